/** Watches one namespace from outside: who holds which term, who is routed, and when this process learned of it. */
import type { Api, Obj } from './api.ts';
import { readyUids } from './objects.ts';
import type { Lease, Pod, Service, Slice } from './objects.ts';
import type { Share } from './share.ts';

interface Sight<T> {
  readonly atMs: number;
  readonly type: string;
  readonly object: T;
}

const KINDS = {
  pods: (namespace: string) => `/api/v1/namespaces/${namespace}/pods`,
  services: (namespace: string) => `/api/v1/namespaces/${namespace}/services`,
  leases: (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
  slices: (namespace: string, version: string) =>
    `/apis/discovery.k8s.io/${version}/namespaces/${namespace}/endpointslices`,
} as const;

const ROLE = 'singleton-operator.io/role';
const TERM = 'singleton-operator.io/term';

export class Watcher {
  readonly pods: Sight<Pod>[] = [];
  readonly leases: Sight<Lease>[] = [];
  readonly services: Sight<Service>[] = [];
  readonly slices: Sight<Slice>[] = [];
  /** By UID of the pod, ascending. Kept for good: a late answer is judged by it. */
  readonly terms = new Map<string, number[]>();
  /** A term that went back, or was given twice, in words. */
  readonly broken: string[] = [];
  readonly #highest = new Map<string, { term: number; holder: string }>();
  readonly #end = new AbortController();

  start(api: Api, namespace: string, sliceVersion: string): void {
    const into = <T extends Obj>(path: string, list: Sight<T>[], onEach: (object: T) => void = () => {}): void => {
      const see = (type: string, object: T): void => {
        list.push({ atMs: performance.now(), type, object });
        if (type !== 'DELETED') onEach(object);
      };
      const handler = { onList: (items: T[]) => items.forEach((item) => see('LISTED', item)), onEvent: see };
      void api.follow<T>(path, handler, this.#end.signal);
    };
    into(KINDS.pods(namespace), this.pods);
    into(KINDS.services(namespace), this.services);
    into(KINDS.slices(namespace, sliceVersion), this.slices);
    into<Lease>(KINDS.leases(namespace), this.leases, (lease) => this.#grantSeen(lease));
  }

  stop(): void {
    this.#end.abort();
  }

  /** Forgets what was seen, not who was granted which term. */
  clear(): void {
    for (const list of [this.pods, this.leases, this.services, this.slices]) list.length = 0;
  }

  /** The failover from pod `uid`, as it was seen here since `sinceMs`; undefined when a step was not seen. */
  failoverFrom(uid: string, sinceMs: number): Share | undefined {
    const fell = this.pods.find(({ atMs, object }) => atMs >= sinceMs && object.metadata.uid === uid && !isUp(object));
    if (fell === undefined) return undefined;
    const after = <T>(list: readonly Sight<T>[], is: (object: T) => boolean): number | undefined => {
      const seen = list.find(({ atMs, object }) => atMs >= fell.atMs && is(object));
      return seen === undefined ? undefined : seen.atMs - fell.atMs;
    };
    const grantedMs = after(this.leases, ({ spec }) => spec?.holderIdentity?.endsWith(uid) === false);
    const labelledMs = after(this.pods, ({ metadata }) => metadata.uid !== uid && metadata.labels?.[ROLE] === 'active');
    const flippedMs = after(this.services, ({ spec }) => spec.selector?.[TERM] !== undefined);
    const routedMs = after(this.slices, (slice) => isRouting(slice) && readyUids(slice).some((other) => other !== uid));
    if (routedMs === undefined) return undefined;
    return { grantedMs, labelledMs, flippedMs, routedMs };
  }

  /** Since the last `clear`. */
  sawDown(uid: string): boolean {
    return this.pods.some(({ object }) => object.metadata.uid === uid && !isUp(object));
  }

  /** Since the last `clear`. */
  sawRoutedOtherThan(uid: string): boolean {
    return this.slices.some(({ object }) => isRouting(object) && readyUids(object).some((routed) => routed !== uid));
  }

  /** The pod as it was seen last since the last `clear`. */
  latest(uid: string): Pod | undefined {
    return this.pods.findLast(({ object }) => object.metadata.uid === uid)?.object;
  }

  #grantSeen({ metadata, spec }: Lease): void {
    const term = spec?.leaseTransitions ?? 0;
    const holder = spec?.holderIdentity ?? '';
    const key = `${metadata.name}/${metadata.uid}`;
    const before = this.#highest.get(key) ?? { term: 0, holder: '' };
    if (term < before.term) this.broken.push(`${metadata.name} went back from term ${before.term} to ${term}`);
    if (term === before.term && holder !== '' && before.holder !== '' && holder !== before.holder)
      this.broken.push(`term ${term} of ${metadata.name} was given to ${before.holder} and to ${holder}`);
    this.#highest.set(key, { term, holder });
    const uid = holder.split('_')[1];
    if (uid === undefined) return;
    const terms = this.terms.get(uid) ?? [];
    if (!terms.includes(term))
      this.terms.set(
        uid,
        [...terms, term].toSorted((a, b) => a - b),
      );
  }
}

/** The headless Service has slices, too, with all members in them. */
const isRouting = ({ metadata }: Slice): boolean =>
  metadata.labels?.['kubernetes.io/service-name']?.endsWith('-members') === false;

const isUp = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
