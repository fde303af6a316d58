/** What is read of the cluster: one list for whoever watches it and for whoever looks once. */
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import type { Store } from '../adapters/kubernetes/store.ts';
import type { ResourceType } from '../adapters/ports.ts';
import { LABEL, NODE_LEASE_NAMESPACE } from '../api/names.ts';
import type { KubeObject } from '../api/objects.ts';
import type { Caches } from './caches.ts';

/** Kubernetes puts it on the slices of headless Services. */
const HEADLESS = 'service.kubernetes.io/headless';

export interface WatchedOptions {
  /** Absent: all. */
  readonly namespace: string | undefined;
  /** In the version the server has (`discoverEndpointSlices`). */
  readonly endpointSlices: ResourceType;
  /** In the version the server has (`discoverDisruptionBudgets`). */
  readonly disruptionBudgets: ResourceType;
  readonly mayReadNodes: boolean;
  readonly mayReadNodeLeases: boolean;
}

export interface WatchedQuery {
  readonly namespace?: string;
  readonly labelSelector?: string;
}

/** Calls `visit` for each cache, with what fills it. */
export function eachWatched<R>(
  caches: Caches,
  { namespace, endpointSlices, disruptionBudgets, mayReadNodes, mayReadNodeLeases }: WatchedOptions,
  visit: <T extends KubeObject, I extends string>(type: ResourceType, store: Store<T, I>, query: WatchedQuery) => R,
): R[] {
  const inNamespace = namespace === undefined ? {} : { namespace };
  const owned = { ...inNamespace, labelSelector: LABEL.name };
  const { singletons, pods, services, leases, nodes, nodeLeases, slices, budgets } = caches;
  return [
    visit(SINGLETON_SERVICE, singletons, inNamespace),
    visit(POD, pods, owned),
    visit(SERVICE, services, owned),
    visit(LEASE, leases, owned),
    visit(disruptionBudgets, budgets, owned),
    ...(mayReadNodes ? [visit(NODE, nodes, {})] : []),
    ...(mayReadNodeLeases ? [visit(LEASE, nodeLeases, { namespace: NODE_LEASE_NAMESPACE })] : []),
    // Where traffic goes. The headless Service's slices change with every member, and no decision reads them.
    visit(endpointSlices, slices, { ...owned, labelSelector: `${LABEL.name},!${HEADLESS}` }),
  ];
}
