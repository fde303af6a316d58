/**
 * The true state of the cluster, for those who live in it without a network of their own: kubelets, controllers, users,
 * checkers. They are no subject of these tests, so their requests neither wait nor fail; their own lag is theirs.
 */
import { POD } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import type { KubeObject } from '../../src/api/objects.ts';
import type { SimulatedApiServer } from './api-server/server.ts';

/** One write as the API server took it. */
export interface Write {
  readonly user: string;
  readonly verb: 'create' | 'patch' | 'delete';
  readonly type: ResourceType;
  /** Undefined: it was created. */
  readonly before: KubeObject | undefined;
  /** Undefined: it is gone. */
  readonly after: KubeObject | undefined;
}

export interface Cluster {
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.get: the caller knows the kind
  get<T extends KubeObject>(type: ResourceType, name: string, namespace?: string): T | undefined;
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.list: the caller knows the kind
  list<T extends KubeObject>(type: ResourceType): readonly T[];
  /** Each of the writes is false when the server refuses it: whoever does it comes too late. */
  create(user: string, type: ResourceType, body: object): boolean;
  patch(user: string, type: ResourceType, object: KubeObject, patch: object, subresource?: 'status'): boolean;
  delete(user: string, type: ResourceType, object: KubeObject, gracePeriodSeconds?: number): boolean;
  /** By the eviction API; false: refused, by a budget or since it comes too late. */
  evict(user: string, pod: KubeObject): boolean;
  bind(user: string, pod: KubeObject, node: string): boolean;
}

/** Whoever is refused comes too late, which is ordinary; what the server does not understand is a mistake of ours. */
function isTaken(write: () => unknown, refusals: readonly number[] = [404, 409]): boolean {
  try {
    write();
    return true;
  } catch (error) {
    if (error instanceof ApiError && refusals.includes(error.status)) return false;
    throw error;
  }
}

/** The name may be another object's by now. */
const meantFor = ({ metadata: { uid } }: KubeObject, patch: { metadata?: object }): object => ({
  ...patch,
  metadata: { ...patch.metadata, uid },
});

export const clusterOf = (server: SimulatedApiServer): Cluster => ({
  get: (type, name, namespace) => server.find(type, { name, ...(namespace !== undefined && { namespace }) }),
  list: (type) => server.objects(type),
  create: (user, type, body) => {
    const { metadata } = body as KubeObject;
    return isTaken(() => server.create(user, type, metadata.namespace ?? '', body));
  },
  patch: (user, type, object, patch, subresource) =>
    isTaken(() => server.patch(user, type, object.metadata, meantFor(object, patch), subresource)),
  delete: (user, type, { metadata }, gracePeriodSeconds) =>
    isTaken(() =>
      server.delete(user, type, metadata, {
        uid: metadata.uid,
        ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
      }),
    ),
  evict: (user, { metadata }) => isTaken(() => server.evict(user, POD, metadata), [404, 409, 429, 500]),
  bind: (user, { metadata }, node) => isTaken(() => server.bindPod(user, POD, metadata, node)),
});
