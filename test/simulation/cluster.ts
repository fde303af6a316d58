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
  bind(user: string, pod: KubeObject, node: string): boolean;
}

/** Whoever is refused comes too late, which is ordinary; what the server does not understand is a mistake of ours. */
function isTaken(write: () => unknown): boolean {
  try {
    write();
    return true;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 409)) return false;
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
  bind: (user, { metadata }, node) => isTaken(() => server.bindPod(user, POD, metadata, node)),
});
