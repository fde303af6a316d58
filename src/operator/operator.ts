/** The operator without its process: reflectors fill the caches, changes fill the queue, its workers reconcile. */
import { POD } from '../adapters/kubernetes/resources.ts';
import { Reflector } from '../adapters/kubernetes/reflector.ts';
import type { Store } from '../adapters/kubernetes/store.ts';
import type { Metrics } from '../adapters/metrics.ts';
import type { Clock, KubernetesApi, Logger, Random, ResourceType } from '../adapters/ports.ts';
import type { KubeObject } from '../api/objects.ts';
import { sameJson } from '../core/hash.ts';
import { labelKeys } from '../core/node-terms.ts';
import { describeAction } from '../core/plan.ts';
import type { Action } from '../core/plan.ts';
import type { AgentPlatform, Snapshot } from '../core/snapshot.ts';
import { phasesOf } from '../core/status.ts';
import { AdoptedPods } from './adopted-pods.ts';
import type { Watched } from './adopted-pods.ts';
import { createCaches, keyOf, keysOfOwned, refOf } from './caches.ts';
import type { Caches, Key } from './caches.ts';
import { NODE_LOSS_BRAKE, NodeBeats } from './node-beats.ts';
import { WorkQueue } from './queue.ts';
import { Reconciler, backoffFor, reasonOf } from './reconcile.ts';
import { parsedSpecOf } from './observe.ts';
import { nodeView } from './views.ts';
import { ViolationTeller } from './violations.ts';
import { eachWatched } from './watched.ts';
import type { WatchedQuery } from './watched.ts';
import { whileLeading } from './while-leading.ts';

export interface OperatorOptions {
  readonly api: KubernetesApi;
  /** In the version the server has (`discoverEndpointSlices`). */
  readonly endpointSlices: ResourceType;
  /** In the version the server has (`discoverDisruptionBudgets`). */
  readonly disruptionBudgets: ResourceType;
  /** Default true. */
  readonly mayReadNodes?: boolean;
  /** Default true. */
  readonly mayReadNodeLeases?: boolean;
  /** Share of nodes, 0 to 1, of which more dark at once are not believed. Default 0.55. */
  readonly nodeLossBrake?: number;
  /** For fencing mode `Agent`; absent: no members can be made in it. */
  readonly agent?: AgentPlatform;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Watch this namespace only. */
  readonly namespace?: string;
  /** Singletons worked on at once. */
  readonly concurrency: number;
}

const SYNC_POLL_MS = 20;
const MAX_AGAIN_AT_ONCE = 3;

const contentOf = ({ metadata, ...rest }: KubeObject): object => {
  const { uid, labels, ownerReferences } = metadata;
  return { uid, labels, ownerReferences, ...rest };
};

export class Operator {
  readonly #options: OperatorOptions;
  readonly #caches: Caches;
  readonly #reflectors: readonly Watched[];
  readonly #adopted: AdoptedPods;
  readonly #queue: WorkQueue;
  readonly #reconciler: Reconciler;
  readonly #beats: NodeBeats;
  /** How often in a row a key's decision was overtaken. */
  readonly #timesStale = new Map<Key, number>();
  readonly #violations: ViolationTeller;
  /** Aborted when this replica may no longer write; undefined while it must not. */
  #lead: AbortController | undefined;
  #stopped = false;

  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#caches = createCaches(options.logger);
    this.#reflectors = this.#createReflectors();
    this.#adopted = new AdoptedPods({
      caches: this.#caches,
      watch: ({ namespace, text, store }, onSync) =>
        this.#reflect(POD, store, { namespace, labelSelector: text }, onSync),
      onChange: (key) => this.#enqueue(key),
    });
    this.#queue = new WorkQueue({
      concurrency: options.concurrency,
      clock: options.clock,
      random: options.random,
      work: (key) => this.#work(key),
      onDepth: (depth) => options.metrics.queueDepth.set(depth),
    });
    this.#beats = this.#createBeats();
    const api = whileLeading(options.api, () => this.#lead?.signal);
    this.#violations = new ViolationTeller({ ...options, api });
    this.#reconciler = new Reconciler({
      api,
      caches: this.#caches,
      disruptionBudgets: options.disruptionBudgets,
      clock: options.clock,
      logger: options.logger,
      ...(options.agent !== undefined && { agent: options.agent }),
      nodes: {
        troubles: this.#beats,
        rights: { leases: options.mayReadNodeLeases !== false, nodes: options.mayReadNodes !== false },
      },
      onSnapshot: (_key, snapshot) => this.#measure(snapshot),
      onAction: (key, action, snapshot) => this.#acted(key, action, snapshot),
      onViolations: (key, violations, look) => this.#violations.seen(key, violations, look),
      onError: (reason) => options.metrics.reconcileErrors.inc({ reason }),
    });
    this.#listen();
  }

  /** Lists and watches, and writes nothing: a standby replica keeps its caches warm. */
  start(): void {
    for (const reflector of this.#reflectors) reflector.start();
    this.#beats.start();
  }

  /** Works, from when every cache is whole: half a cluster looks like a disaster. */
  lead(): void {
    this.#reconciler.leads();
    this.#lead = new AbortController();
    this.#workOnceSynced(this.#lead.signal);
  }

  /** Writes nothing from now on; what is in flight is aborted, and may have landed. */
  standDown(): void {
    this.#lead?.abort();
    this.#lead = undefined;
    this.#queue.clear();
    this.#options.metrics.isLeader.set(0);
  }

  /** The API server answers again: whoever waits out a pause need not. */
  reconnected(): void {
    for (const reflector of [...this.#reflectors, ...this.#adopted.watches]) reflector.retryNow();
  }

  get isSynced(): boolean {
    return this.#reflectors.every((reflector) => reflector.hasSynced);
  }

  /** Takes no more work; resolves when the writes under way have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#queue.stop();
    this.#adopted.stop();
    for (const reflector of this.#reflectors) reflector.stop();
    this.#beats.stop();
  }

  #workOnceSynced(lead: AbortSignal): void {
    if (this.#stopped || lead.aborted) return;
    if (!this.isSynced) {
      this.#options.clock.after(SYNC_POLL_MS, () => this.#workOnceSynced(lead));
      return;
    }
    this.#options.metrics.isLeader.set(1);
    this.#options.logger.info('working', { singletons: this.#caches.singletons.size });
    for (const { metadata } of this.#caches.singletons.values())
      this.#enqueue(keyOf(metadata.namespace, metadata.name));
  }

  #createReflectors(): readonly Watched[] {
    const {
      namespace,
      endpointSlices,
      disruptionBudgets,
      mayReadNodes = true,
      mayReadNodeLeases = true,
    } = this.#options;
    const watched = { namespace, endpointSlices, disruptionBudgets, mayReadNodes, mayReadNodeLeases };
    return eachWatched(this.#caches, watched, (type, store, query) => this.#reflect(type, store, query));
  }

  #createBeats(): NodeBeats {
    const { clock, logger, metrics, mayReadNodes, nodeLossBrake = NODE_LOSS_BRAKE } = this.#options;
    const { nodes, nodeLeases } = this.#caches;
    return new NodeBeats({
      clock,
      logger,
      leases: nodeLeases,
      nodes: mayReadNodes === false ? undefined : nodes,
      brake: nodeLossBrake,
      onChange: (node) => this.#enqueueOn(node),
      onCount: (count) => metrics.nodes(count),
    });
  }

  #reflect<T extends KubeObject, I extends string>(
    type: ResourceType,
    store: Store<T, I>,
    query: WatchedQuery,
    onSync: () => void = () => undefined,
  ): Watched {
    const { api, clock, random, logger, metrics } = this.#options;
    const onRestart = (reason: string): void => metrics.watchRestarts.inc({ resource: type.plural, reason });
    return new Reflector({ api, type, store, query, clock, random, logger, onRestart, onSync });
  }

  #listen(): void {
    const { singletons, pods, services, leases, nodes, slices, budgets } = this.#caches;
    const enqueueOwned = (old: KubeObject | undefined, current: KubeObject | undefined): void => {
      for (const object of [old, current])
        for (const key of object === undefined ? [] : keysOfOwned(object)) this.#enqueue(key);
    };
    singletons.onChange((old, current) => {
      const object = current ?? old;
      if (object !== undefined) this.#enqueue(keyOf(object.metadata.namespace, object.metadata.name));
    });
    pods.onChange((old, current) => {
      if (old !== undefined && current === undefined && old.metadata.deletionTimestamp === undefined) {
        for (const key of keysOfOwned(old)) this.#reconciler.podLost(key, old.metadata.name);
      }
      enqueueOwned(old, current);
    });
    for (const store of [services, leases, slices]) store.onChange(enqueueOwned);
    budgets.onChange((old, current) => {
      // With every move a controller writes its status, which is none of our business.
      if (!sameJson(old && contentOf(old), current && contentOf(current))) enqueueOwned(old, current);
    });
    nodes.onChange((old, current) => {
      const name = (current ?? old)?.metadata.name;
      if (name === undefined) return;
      const isOther = !sameJson(old && nodeView(old, []), current && nodeView(current, []));
      if (isOther) return this.#enqueueOn(name);
      const labels = changedKeys(old?.metadata.labels, current?.metadata.labels);
      const keys = [...pods.byIndex('node', name).flatMap(keysOfOwned), ...pods.adoptersOnNode(name)];
      for (const key of keys) if (this.#preempts(key, labels)) this.#enqueue(key);
    });
  }

  /** Whoever has a member there, or an active that is told of and whose pod was deleted. */
  #enqueueOn(node: string): void {
    const { pods, singletons } = this.#caches;
    for (const pod of pods.byIndex('node', node)) for (const key of keysOfOwned(pod)) this.#enqueue(key);
    for (const key of pods.adoptersOnNode(node)) this.#enqueue(key);
    for (const { metadata } of singletons.byIndex('activesNode', node))
      this.#enqueue(keyOf(metadata.namespace, metadata.name));
  }

  /** Whether a change of these labels of a node may make another member the better one, for which the active hands over. */
  #preempts(key: Key, labels: ReadonlySet<string>): boolean {
    const { namespace, name } = refOf(key);
    const singleton = labels.size === 0 ? undefined : this.#caches.singletons.get(namespace, name);
    const parsed = singleton && parsedSpecOf(singleton);
    if (parsed?.ok !== true || parsed.spec.election.preemption === 'Never') return false;
    const wanted = labelKeys(parsed.spec.election.preferences.map(({ preference }) => preference));
    return wanted.some((label) => labels.has(label));
  }

  #enqueue(key: Key): void {
    if (this.#lead !== undefined && this.isSynced) this.#queue.add(key);
  }

  async #work(key: Key): Promise<void> {
    // Half of its pods look like a disaster, too: it is looked at when all are known.
    if (!this.#adopted.hasSynced(key)) return;
    const { clock, logger, metrics } = this.#options;
    const startedMs = clock.monotonicMs();
    try {
      this.#next(key, await this.#reconciler.reconcile(key));
    } catch (error) {
      logger.warn('a look at a singleton failed and will be repeated', { singleton: key, error });
      metrics.reconcileErrors.inc({ reason: reasonOf(error) });
      this.#queue.addAfterFailure(key, backoffFor(error));
    }
    metrics.reconcileDuration.observe((clock.monotonicMs() - startedMs) / 1000);
  }

  #next(key: Key, next: Awaited<ReturnType<Reconciler['reconcile']>>): void {
    switch (next.kind) {
      case 'gone':
        this.#reconciler.forget(key);
        this.#timesStale.delete(key);
        this.#violations.forget(key);
        this.#queue.forget(key);
        return this.#options.metrics.gone(refOf(key));
      case 'settled':
        this.#queue.succeeded(key);
        this.#timesStale.delete(key);
        if (next.recheckAtMs !== undefined) this.#queue.addAt(key, next.recheckAtMs);
        return undefined;
      case 'again': {
        // At once, but not for ever: somebody may be writing against us.
        const times = (this.#timesStale.get(key) ?? 0) + 1;
        this.#timesStale.set(key, times);
        return times <= MAX_AGAIN_AT_ONCE ? this.#queue.add(key) : this.#queue.addAfterFailure(key);
      }
      case 'backOff':
        return this.#queue.addAfterFailure(key, next);
      default:
        return next satisfies never;
    }
  }

  #measure(snapshot: Snapshot): void {
    const { singleton, members, lease, routedUids } = snapshot;
    const terminating = members.filter((member) => member.terminating).length;
    const ready = members.filter((member) => member.ready && !member.terminating).length;
    this.#options.metrics.seen({
      namespace: singleton.namespace,
      name: singleton.name,
      isRouted: members.some((member) => member.role === 'active' && routedUids.includes(member.uid)),
      term: lease?.ours === true ? lease.term : 0,
      members: { ready, notReady: members.length - ready - terminating, terminating },
    });
  }

  #acted(key: Key, action: Action, snapshot: Snapshot): void {
    const { logger, metrics } = this.#options;
    if (action.kind === 'grantLease') {
      const { reason, message } = action.move;
      return logger.info('granted', { singleton: key, pod: action.to.pod, term: action.term, reason, message });
    }
    if (action.kind === 'writeStatus') {
      const move = action.status.lastMove;
      if (move === undefined || move.term === snapshot.singleton.status?.lastMove?.term) return undefined;
      const { timeline } = snapshot.memory;
      const record = snapshot.lease?.move;
      const phasesMs =
        timeline === undefined ? {} : phasesOf(timeline, record?.grantedWallMs ?? 0, record?.fencedWallMs);
      return metrics.moved({ ...refOf(key), kind: move.kind, reason: move.reason ?? '', phasesMs });
    }
    if (action.kind === 'emitEvent' || action.kind === 'checkTemplate') return undefined;
    return logger.debug(describeAction(action), { singleton: key });
  }
}

/** Keys whose values differ, in either direction. */
function changedKeys(
  old: Readonly<Record<string, string>> = {},
  current: Readonly<Record<string, string>> = {},
): ReadonlySet<string> {
  const all = [...Object.keys(old), ...Object.keys(current)];
  return new Set(all.filter((key) => old[key] !== current[key]));
}
