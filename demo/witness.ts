/** Watches what a move writes, as anybody with a watch could, and notes when it saw each step. */
import { headlessServiceName, LABEL, leaseName, serviceName } from '../src/api/names.ts';
import type { EndpointSlice, Lease, Pod, Service } from '../src/api/objects.ts';
import { readyUids } from '../src/operator/views.ts';
import type { RestClient } from '../test/control-plane/rest-client.ts';

export interface Step {
  readonly atMs: number;
  readonly what: string;
}

/** The latest of each object that the demo shows, and a diary of their changes. */
export class Witness {
  readonly #namespace: string;
  readonly #name: string;
  readonly #stop = new AbortController();
  readonly #seen = new Map<string, string>();
  readonly #pods = new Map<string, Pod>();
  #diary: Step[] = [];
  #routedUids: readonly string[] = [];

  constructor(namespace: string, name: string) {
    this.#namespace = namespace;
    this.#name = name;
  }

  start(api: RestClient): void {
    const inNamespace = `/namespaces/${this.#namespace}`;
    const selector = { labelSelector: `${LABEL.name}=${this.#name}` };
    // Each path delivers the kind of object that its note reads.
    const watch = (path: string, note: (object: never) => void): void => {
      const onEvent = (type: string, object: never): void => {
        if (type === 'ADDED' || type === 'MODIFIED') note(object);
      };
      void api.follow(path, selector, { onList: (items: never[]) => items.forEach(note), onEvent }, this.#stop.signal);
    };
    watch(`/apis/coordination.k8s.io/v1${inNamespace}/leases`, (lease: Lease) => this.#lease(lease));
    watch(`/api/v1${inNamespace}/pods`, (pod: Pod) => this.#pod(pod));
    watch(`/api/v1${inNamespace}/services`, (service: Service) => this.#service(service));
    watch(`/apis/discovery.k8s.io/v1beta1${inNamespace}/endpointslices`, (slice: EndpointSlice) => this.#slice(slice));
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The pod that a client of the Service reaches now; undefined while there is none or more than one. */
  get routed(): string | undefined {
    const [uid, ...others] = this.#routedUids;
    return others.length > 0
      ? undefined
      : [...this.#pods.values()].find((pod) => pod.metadata.uid === uid)?.metadata.name;
  }

  takeDiary(): readonly Step[] {
    const diary = this.#diary;
    this.#diary = [];
    return diary;
  }

  /** Notes a line when `value` is not what it was. */
  #note(subject: string, value: string, what: string): void {
    if (this.#seen.get(subject) === value) return;
    this.#seen.set(subject, value);
    this.#diary.push({ atMs: Date.now(), what });
  }

  #lease({ metadata, spec }: Lease): void {
    if (metadata.name !== leaseName(this.#name) || !spec?.holderIdentity) return;
    const pod = spec.holderIdentity.split('_')[0] ?? '';
    this.#note('lease', spec.holderIdentity, `grant: the Lease names ${pod}, term ${spec.leaseTransitions ?? 0}`);
  }

  #pod(pod: Pod): void {
    const { name, labels, deletionTimestamp } = pod.metadata;
    this.#pods.set(name, pod);
    const ready = pod.status?.conditions?.find((condition) => condition.type === 'Ready')?.status === 'True';
    const state = deletionTimestamp !== undefined ? 'is being deleted' : ready ? 'is Ready' : 'is not Ready';
    if (ready || this.#seen.has(`state ${name}`)) this.#note(`state ${name}`, state, `pod ${name} ${state}`);
    const role = labels?.[LABEL.role];
    const before = this.#seen.get(`role ${name}`);
    if (role === 'active')
      this.#note(`role ${name}`, role, `label: ${name} is active, term ${labels?.[LABEL.term] ?? '?'}`);
    else if (before === 'active') this.#note(`role ${name}`, role ?? '', `strip: ${name} is standby`);
  }

  #service({ metadata, spec }: Service): void {
    if (metadata.name !== serviceName(this.#name)) return;
    const term = spec?.selector?.[LABEL.term] ?? '0';
    if (term !== '0') this.#note('service', term, `flip: the Service selects term ${term}`);
  }

  #slice(slice: EndpointSlice): void {
    if (slice.metadata.labels?.['kubernetes.io/service-name'] === headlessServiceName(this.#name)) return;
    this.#routedUids = readyUids([slice]);
    const { routed } = this;
    if (routed !== undefined) this.#note('routed', routed, `routed: the EndpointSlice names ${routed}`);
  }
}
