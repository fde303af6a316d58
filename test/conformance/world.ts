/** What the conformance suite needs of an API server and its controllers, and words for what it does there. */
import { onTestFinished } from 'vitest';
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { KubernetesApi, ResourceType, WatchEvent, WatchQuery } from '../../src/adapters/ports.ts';
import { API_VERSION, KIND } from '../../src/api/names.ts';
import type { KubeObject, Lease, ObjectMeta, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';

export interface ConformanceWorld {
  readonly api: KubernetesApi;
  /** The suite's own. */
  readonly namespace: string;
  /** A node that nobody's kubelet runs: its pods are what the tests say of them. */
  readonly node: string;
  /** In the version that the server has. */
  readonly endpointSlices: ResourceType;
  /** In the version that the server has. */
  readonly disruptionBudgets: ResourceType;
  /** @throws an error with the `status` that the eviction API answered */
  evict(pod: KubeObject): Promise<void>;
  /** Looks until it sees something, while controllers work. @throws when that takes too long */
  eventually<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T>;
  /** At the server so much time passes before this resolves, or passes by itself afterwards. */
  elapse(ms: number): void;
  /** The server forgets its history. */
  compact(): Promise<void>;
}

/** A function, since the world exists only while tests run. */
export type UseWorld = () => ConformanceWorld;

export const OF = 'conformance.test/of';

export const refOf = ({ metadata: { name, namespace = '' } }: KubeObject) => ({ name, namespace });
export const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion);

/** What it was rejected with; undefined when it was not. */
export const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

let names = 0;
export const aName = (prefix = 'test'): string => `${prefix}-${++names}`;

type Metadata = Partial<Omit<ObjectMeta, 'uid' | 'resourceVersion'>> & { readonly finalizers?: string[] };

/** Makes objects that are about nothing in particular. */
export class Maker {
  readonly #world: UseWorld;

  constructor(world: UseWorld) {
    this.#world = world;
  }

  lease(metadata: Metadata = {}, spec: Lease['spec'] = { leaseTransitions: 1 }): Promise<Lease> {
    const { api, namespace } = this.#world();
    return api.create<Lease>(LEASE, namespace, { metadata: { name: aName('lease'), ...metadata }, spec });
  }

  /** On the silent node, unless told otherwise; no scheduler cares for it. */
  pod(metadata: Metadata = {}, spec: object = { nodeName: this.#world().node }): Promise<Pod> {
    const { api, namespace } = this.#world();
    return api.create<Pod>(POD, namespace, aPod({ name: aName('pod'), ...metadata }, spec));
  }

  service(metadata: Metadata = {}, spec: object = {}): Promise<Service> {
    const { api, namespace } = this.#world();
    const body = { metadata: { name: aName('service'), ...metadata }, spec: { ports: [{ port: 80 }], ...spec } };
    return api.create<Service>(SERVICE, namespace, body);
  }

  singleton(metadata: Metadata = {}, spec: object = aSingletonSpec()): Promise<SingletonService> {
    const { api, namespace } = this.#world();
    const body = { ...SINGLETON, metadata: { name: aName('singleton'), ...metadata }, spec };
    return api.create<SingletonService>(SINGLETON_SERVICE, namespace, body);
  }

  /** What a kubelet would say of the pod. */
  report(pod: Pod, ready: boolean, podIP = `10.64.0.${++addresses}`): Promise<Pod> {
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
    const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
    return this.#world().api.mergePatch<Pod>(POD, refOf(pod), { status }, { subresource: 'status' });
  }
}

let addresses = 0;

export const aPod = (metadata: Metadata, spec: object = {}) => ({
  metadata,
  spec: { schedulerName: 'nobody', containers: [{ name: 'app', image: 'app' }], ...spec },
});

/** What a custom resource, unlike a built-in kind, must say of itself. */
export const SINGLETON = { apiVersion: API_VERSION, kind: KIND };

export const aSingletonSpec = () => ({
  template: { spec: { containers: [{ name: 'app', image: 'app', ports: [{ containerPort: 8080 }] }] } },
});

export interface Watching<T extends KubeObject> {
  /** Without bookmarks. */
  readonly told: { readonly type: string; readonly object: T }[];
  readonly bookmarks: string[];
  /** With what it was rejected; undefined: in good order. */
  readonly ended: Promise<unknown>;
  stop(): void;
  /** Waits until it has been told of so much. */
  seen(count: number): Promise<readonly { readonly type: string; readonly object: T }[]>;
}

/** A watch that ends with the test; of the suite's namespace, unless it is to be of all. */
export function watching<T extends KubeObject>(
  world: ConformanceWorld,
  type: ResourceType,
  { everywhere = false, ...query }: Partial<WatchQuery> & { resourceVersion: string; everywhere?: boolean },
): Watching<T> {
  const { api, namespace } = world;
  const told: { type: string; object: T }[] = [];
  const bookmarks: string[] = [];
  const onEvent = (event: WatchEvent<T>): void => {
    if (event.type === 'BOOKMARK') bookmarks.push(event.resourceVersion);
    else told.push(event);
  };
  const abort = new AbortController();
  const whole = { ...(everywhere ? {} : { namespace }), timeoutSeconds: 60, ...query };
  const ended = errorOf(api.watch<T>(type, whole, onEvent, { signal: abort.signal }));
  const stop = (): void => abort.abort();
  onTestFinished(stop);
  return {
    told,
    bookmarks,
    ended,
    stop,
    seen: (count) => world.eventually(`${count} events`, async () => told.length >= count && told),
  };
}
