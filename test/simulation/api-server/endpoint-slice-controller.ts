/**
 * Keeps the EndpointSlices of Services equal to the pods they select, as kube-controller-manager does. One slice a Service, however many pods; IPv4 only.
 */
import { SERVICE, POD } from '../../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../../src/adapters/ports.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../../src/api/objects.ts';
import { keyOf } from './collection.ts';
import { sameValue, sealed } from './json.ts';
import type { Stored } from './kind.ts';
import type { SimulatedApiServer } from './server.ts';
import { WorkQueue } from './work-queue.ts';

const USER = 'endpointslice-controller';
const OF_SERVICE = 'kubernetes.io/service-name';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'endpointslice-controller.k8s.io';

interface Ref {
  readonly namespace: string;
  readonly name: string;
}

/** By namespace, then by name. */
type ByNamespace<T> = Map<string, Map<string, T>>;

export class EndpointSliceController {
  readonly #server: SimulatedApiServer;
  readonly #services: ByNamespace<Service> = new Map();
  readonly #pods: ByNamespace<Pod> = new Map();
  /** The slices it made, by their Service's key. */
  readonly #slices = new Map<string, EndpointSlice>();
  /** Services whose slice may be out of date, by key. */
  readonly work = new WorkQueue<Ref>((ref, key) => this.#sync(key, ref));

  /** It has to be made before the objects are: it learns of them by their writes. */
  constructor(server: SimulatedApiServer) {
    this.#server = server;
    server.onWrite((_user, _verb, before, after, type) => this.#see(before, after, type));
  }

  #see(before: Stored | undefined, after: Stored | undefined, type: ResourceType): void {
    const object = after ?? before;
    if (object === undefined) return;
    const { namespace = '' } = object.metadata;
    if (type.plural === SERVICE.plural) {
      keep(this.#services, object, after);
      this.#enqueue(object);
    } else if (type.plural === POD.plural) {
      keep(this.#pods, object, after);
      for (const service of this.#services.get(namespace)?.values() ?? []) {
        if ([before, after].some((pod) => pod !== undefined && selects(service, pod))) this.#enqueue(service);
      }
    } else if (type.plural === this.#server.endpointSlices.plural) this.#seeSlice(object, after);
  }

  /** Its slices that others change or delete are mended. */
  #seeSlice({ metadata }: KubeObject, after: EndpointSlice | undefined): void {
    const name = metadata.labels?.[OF_SERVICE];
    const { namespace = '' } = metadata;
    if (name === undefined || metadata.labels?.[MANAGED_BY] !== MANAGER) return;
    const key = keyOf(namespace, name);
    if (after === undefined) this.#slices.delete(key);
    else this.#slices.set(key, after);
    this.work.add(key, { namespace, name });
  }

  #enqueue({ metadata: { name, namespace = '' } }: KubeObject): void {
    this.work.add(keyOf(namespace, name), { namespace, name });
  }

  #sync(key: string, { namespace, name }: Ref): void {
    const service = this.#services.get(namespace)?.get(name);
    // Of a Service without a selector the slices are somebody else's, and those that were its own stay as they were.
    // Those of a Service that is gone are the garbage collector's.
    if (service?.spec?.selector === undefined || service.metadata.deletionTimestamp !== undefined) return;
    const wanted = this.#sliceOf(service);
    const slice = this.#slices.get(key);
    const type = this.#server.endpointSlices;
    if (slice === undefined) this.#server.create(USER, type, namespace, wanted);
    else if (!isUpToDate(slice, wanted)) {
      const { name, resourceVersion } = slice.metadata;
      const { labels } = wanted.metadata;
      const patch = {
        ...wanted,
        metadata: { resourceVersion, labels: { ...absent(slice.metadata.labels), ...labels } },
      };
      this.#server.patch(USER, type, { namespace, name }, patch);
    }
  }

  #sliceOf(service: Service) {
    const { name, namespace = '', uid, labels } = service.metadata;
    const pods = [...(this.#pods.get(namespace)?.values() ?? [])].filter((pod) => selects(service, pod));
    const isHeadless = service.spec?.clusterIP === 'None';
    return {
      metadata: {
        generateName: `${name}-`,
        labels: {
          ...labels,
          [OF_SERVICE]: name,
          [MANAGED_BY]: MANAGER,
          ...(isHeadless && { 'service.kubernetes.io/headless': '' }),
        },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true }],
      },
      addressType: 'IPv4',
      endpoints: pods.flatMap((pod) => this.#endpointOf(pod, service)),
      ports: (service.spec?.ports ?? []).map(({ name: portName = '', port, targetPort = port, protocol = 'TCP' }) => ({
        name: portName,
        port: targetPort,
        protocol,
      })),
    };
  }

  #endpointOf(pod: Pod, service: Service): object[] {
    const { metadata, spec, status } = pod;
    const isOld = this.#server.endpointSlices.version === 'v1beta1';
    const isPublished = service.spec?.publishNotReadyAddresses === true;
    if (status?.podIP === undefined || status.podIP === '') return [];
    if (isOld ? !wasEndpoint(pod, isPublished) : hasEnded(pod)) return [];
    const isTerminating = metadata.deletionTimestamp !== undefined;
    const isServing = status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
    const ready = isPublished || (isServing && !isTerminating);
    const { name, namespace, uid } = metadata;
    return [
      {
        addresses: [status.podIP],
        conditions: isOld ? { ready } : { ready, serving: isServing, terminating: isTerminating },
        targetRef: { kind: 'Pod', namespace, name, uid },
        ...(isOld ? {} : { nodeName: spec?.nodeName }),
      },
    ];
  }
}

const hasEnded = ({ status }: Pod): boolean => status?.phase === 'Failed' || status?.phase === 'Succeeded';

/**
 * Kubernetes 1.20: a pod that is going is no endpoint, unless unready ones are published; one that has ended still is, if
 * it is one that is restarted.
 */
function wasEndpoint(pod: Pod, isPublished: boolean): boolean {
  if (pod.metadata.deletionTimestamp !== undefined && !isPublished) return false;
  const { restartPolicy } = pod.spec as { restartPolicy?: string };
  if (restartPolicy === 'Never') return !hasEnded(pod);
  return restartPolicy !== 'OnFailure' || pod.status?.phase !== 'Succeeded';
}

function keep<T>(all: ByNamespace<T>, { metadata: { namespace = '', name } }: KubeObject, object: T | undefined): void {
  const those = all.get(namespace) ?? new Map<string, T>();
  all.set(namespace, those);
  if (object === undefined) those.delete(name);
  else those.set(name, object);
}

function selects({ spec }: Service, { metadata: { labels = {} } }: KubeObject): boolean {
  if (spec?.selector === undefined) return false;
  return Object.entries(spec.selector).every(([key, value]) => labels[key] === value);
}

const isUpToDate = (
  slice: EndpointSlice,
  wanted: { metadata: { labels: object }; endpoints: unknown; ports: unknown },
): boolean =>
  sameValue(slice.metadata.labels, wanted.metadata.labels) &&
  sameValue(slice.endpoints ?? [], sealed(wanted.endpoints)) &&
  sameValue((slice as { ports?: unknown }).ports, wanted.ports);

const absent = (labels: object = {}): object => Object.fromEntries(Object.keys(labels).map((key) => [key, null]));
