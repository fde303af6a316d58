/** One look at a singleton with the operator's own eyes: its caches, filled once, and its `observe`. */
import {
  NODE,
  SINGLETON_SERVICE,
  discoverDisruptionBudgets,
  discoverEndpointSlices,
} from '../adapters/kubernetes/resources.ts';
import type { Store } from '../adapters/kubernetes/store.ts';
import { ApiError, isNotFound } from '../adapters/ports.ts';
import type { Clock, KubernetesApi, Logger, ResourceType } from '../adapters/ports.ts';
import type { KubeObject } from '../api/objects.ts';
import type { Instant, Snapshot } from '../core/snapshot.ts';
import { createCaches, keyOf } from '../operator/caches.ts';
import type { Caches } from '../operator/caches.ts';
import { Recollections, afterLooking } from '../operator/memory.ts';
import { NODE_LOSS_BRAKE, NodeBeats } from '../operator/node-beats.ts';
import { observe } from '../operator/observe.ts';
import { eachWatched } from '../operator/watched.ts';
import type { WatchedQuery } from '../operator/watched.ts';
import { crdMissing, listAll, noSuch } from './cluster.ts';
import type { Ref } from './cluster.ts';
import { CliError } from './errors.ts';

export interface Look {
  readonly snapshot: Snapshot;
  readonly now: Instant;
  /** Sentences: what could not be read. */
  readonly unread: readonly string[];
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * The lists are asked for one beside the other, so they may be of slightly different moments, as the operator's watches
 * are; before it moves anything, the operator reads again.
 */
export async function lookAt(api: KubernetesApi, clock: Clock, ref: Ref): Promise<Look> {
  const [endpointSlices, disruptionBudgets] = await Promise.all([
    discoverEndpointSlices(api),
    discoverDisruptionBudgets(api),
  ]);
  if (endpointSlices === undefined || disruptionBudgets === undefined) {
    throw new CliError(
      'the API server has no EndpointSlices or PodDisruptionBudgets; Kubernetes 1.20 or newer is needed',
    );
  }
  const caches = createCaches(silent);
  const unread: string[] = [];
  // One beat of a node says nothing: whether it is silent is heard by who listens for a while.
  const versions = { endpointSlices, disruptionBudgets };
  const watched = { namespace: ref.namespace, ...versions, mayReadNodes: true, mayReadNodeLeases: false };
  const troubles = troublesIn(caches, clock);
  const fills = eachWatched(caches, watched, async (type, store, query) => {
    try {
      await fill(api, type, store, query);
    } catch (error) {
      if (type === SINGLETON_SERVICE && isNotFound(error)) throw crdMissing();
      // Without the rest there is nothing to tell.
      const hidden = type === NODE || type === disruptionBudgets ? hides(type) : undefined;
      if (hidden === undefined || !(error instanceof ApiError) || error.status !== 403) throw error;
      unread.push(hidden);
    }
  });
  await Promise.all(fills);
  const now = { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  const key = keyOf(ref.namespace, ref.name);
  const observation = observe(key, caches, new Recollections().get(key), { troubles });
  if (observation === undefined) throw noSuch(ref);
  const { snapshot } = observation;
  return { snapshot: { ...snapshot, memory: afterLooking(snapshot, now) }, now, unread };
}

const hides = (type: ResourceType): string =>
  type === NODE
    ? 'the nodes, for lack of the right to list them: zones, preferred labels, drains and no-failover on nodes'
    : `${type.plural}, for lack of the right to list them: a step that makes one may be shown that is not needed`;

/** Of nodes, as far as their objects tell. Made before the caches are filled, since it hears of what comes into them. */
const troublesIn = ({ nodeLeases: leases, nodes }: Caches, clock: Clock): NodeBeats =>
  new NodeBeats({ leases, nodes, clock, logger: silent, brake: NODE_LOSS_BRAKE, onChange: () => undefined });

async function fill<T extends KubeObject, I extends string>(
  api: KubernetesApi,
  type: ResourceType,
  store: Store<T, I>,
  query: WatchedQuery,
): Promise<void> {
  const { items, resourceVersion } = await listAll<T>(api, type, query);
  store.replace(items, resourceVersion);
}
