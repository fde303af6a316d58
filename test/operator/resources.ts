import type { Store } from '../../src/adapters/kubernetes/store.ts';
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import type { KubeObject } from '../../src/api/objects.ts';
import type { Caches } from '../../src/operator/caches.ts';

export const ENDPOINT_SLICES: ResourceType = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};

export const DISRUPTION_BUDGETS: ResourceType = {
  group: 'policy',
  version: 'v1',
  plural: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  namespaced: true,
};

/** Each cache with the resource that fills it. */
export const objectsOf = (caches: Caches): readonly { type: ResourceType; store: Store<KubeObject> }[] => [
  { type: SINGLETON_SERVICE, store: caches.singletons },
  { type: POD, store: caches.pods },
  { type: SERVICE, store: caches.services },
  { type: LEASE, store: caches.leases },
  { type: NODE, store: caches.nodes },
  { type: ENDPOINT_SLICES, store: caches.slices },
  { type: DISRUPTION_BUDGETS, store: caches.budgets },
];
