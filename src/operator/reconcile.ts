/** One look at one singleton: observe → decide → execute. */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import { ApiError, TransportError } from '../adapters/ports.ts';
import type { Clock, Logger } from '../adapters/ports.ts';
import { LABEL } from '../api/names.ts';
import type { Pod } from '../api/objects.ts';
import { isBudgetTaken } from '../core/budget.ts';
import { decide } from '../core/decide.ts';
import { podOf } from '../core/lease.ts';
import { objectNames, templateRevision } from '../core/objects.ts';
import { violationsIn, violationsOf } from '../core/invariants.ts';
import type { Violation } from '../core/invariants.ts';
import { describeAction, describePlan, isGrant, restsOnLease, restsOnWitnesses, sameGrant } from '../core/plan.ts';
import type { Action, Plan } from '../core/plan.ts';
import type { Instant, Snapshot } from '../core/snapshot.ts';
import { refOf } from './caches.ts';
import type { Key } from './caches.ts';
import { execute, readLive } from './execute.ts';
import type { Executor, Outcome } from './execute.ts';
import { Recollections, afterAction, afterLooking } from './memory.ts';
import { activesNode } from '../core/node-loss.ts';
import { observe } from './observe.ts';
import type { NodeTroubles } from './observe.ts';
import { readNode } from './read-node.ts';
import type { NodeRights } from './read-node.ts';
import type { Backoff } from './queue.ts';

/** What the queue is to do with the key. */
export type Next =
  | { readonly kind: 'gone' }
  | { readonly kind: 'settled'; readonly recheckAtMs: number | undefined }
  | { readonly kind: 'again' }
  | ({ readonly kind: 'backOff' } & Backoff);

/** Somebody else's Lease, Service or budget is in the way: no watch tells when it goes, so it is read again this often. */
const FOREIGN_RECHECK_MS = 10_000;

export interface ReconcilerOptions extends Omit<Executor, 'onDone'> {
  readonly logger: Logger;
  /** Absent: nothing is known of nodes. */
  readonly nodes?: { readonly troubles: NodeTroubles; readonly rights: NodeRights };
  /** For metrics and checks. */
  readonly onSnapshot?: (key: Key, snapshot: Snapshot) => void;
  readonly onAction?: (key: Key, action: Action, snapshot: Snapshot) => void;
  readonly onError?: (reason: string) => void;
  /** Each time an invariant is seen broken; the same one again with every look that finds it so. */
  readonly onViolations?: (key: Key, violations: readonly Violation[], look: Look) => void;
}

export interface Look {
  readonly snapshot: Snapshot;
  readonly now: Instant;
  readonly plan: Plan;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #recollections = new Recollections();
  /**
   * Singletons of which everything was read live since this replica leads, and no answer was lost since: what the caches
   * say of them is what this replica made of them. (Watches of pods and Leases tell of one move at different times.)
   */
  readonly #sure = new Set<Key>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Rejects only when a read failed; what was written until then stands, and the next look goes on from there. */
  async reconcile(key: Key): Promise<Next> {
    await this.#findLostPods(key);
    const first = this.#look(key);
    if (first === undefined) return { kind: 'gone' };
    // A move is decided twice: the caches may be old, so everything it rests on is read live before it.
    const last = await this.#lookLive(key, first);
    if (last === undefined) return { kind: 'gone' };
    return sameGrant(first.plan, last.plan) ? this.#carryOut(key, last) : { kind: 'again' };
  }

  /** A pod left the watch's selection without being deleted. */
  podLost(key: Key, pod: string): void {
    this.#recollections.update(key, { lostPods: new Set([...this.#recollections.get(key).lostPods, pod]) });
  }

  /** This replica has just got the lead: others wrote until now. */
  leads(): void {
    this.#sure.clear();
  }

  forget(key: Key): void {
    this.#sure.delete(key);
    this.#recollections.forget(key);
  }

  #look(key: Key): Look | undefined {
    const now = instantOf(this.#options.clock);
    const recollection = this.#recollections.get(key);
    const observation = observe(key, this.#options.caches, recollection, this.#options.nodes?.troubles);
    if (observation === undefined) return undefined;
    const memory = afterLooking(observation.snapshot, now);
    const snapshot = { ...observation.snapshot, memory };
    const uids = new Set(snapshot.members.map((member) => member.uid));
    this.#recollections.update(key, {
      memory,
      ...(observation.parsed.ok && { accepted: observation.parsed.spec }),
      deletedUids: new Set([...recollection.deletedUids].filter((uid) => uids.has(uid))),
    });
    this.#options.onSnapshot?.(key, snapshot);
    const look = { snapshot, now, plan: decide(snapshot, now) };
    this.#options.onViolations?.(key, [...violationsIn(snapshot), ...violationsOf(look.plan, snapshot)], look);
    return look;
  }

  async #carryOut(key: Key, { snapshot, plan }: Look): Promise<Next> {
    // A decision that breaks the protocol is a bug of ours: better to stand still than to carry it out.
    if (violationsOf(plan, snapshot).length > 0) return { kind: 'backOff' };
    const { logger } = this.#options;
    if (plan.actions.length > 0) logger.debug('plan', () => ({ singleton: key, plan: describePlan(plan) }));
    const onDone = (action: Action): void => this.#done(key, action, snapshot);
    const outcome = await execute(plan, snapshot.singleton, { ...this.#options, onDone });
    switch (outcome.kind) {
      case 'done':
        this.#recollections.remember(key, { failure: undefined });
        // Nothing in the caches tells that a template was taken.
        if (plan.actions.some(({ kind }) => kind === 'checkTemplate')) return { kind: 'again' };
        return this.#settled(snapshot, plan);
      case 'stale':
        logger.debug('an object changed meanwhile: deciding again', {
          singleton: key,
          action: describeAction(outcome.action),
        });
        this.#options.onError?.('Conflict');
        return { kind: 'again' };
      case 'failed':
        return this.#failed(key, snapshot, outcome);
      default:
        return outcome satisfies never;
    }
  }

  #done(key: Key, action: Action, snapshot: Snapshot): void {
    const { memory, deletedUids } = this.#recollections.get(key);
    this.#recollections.update(key, {
      memory: afterAction(memory, action, instantOf(this.#options.clock)),
      ...(action.kind === 'deletePod' && { deletedUids: new Set([...deletedUids, action.expect.uid]) }),
    });
    this.#options.onAction?.(key, action, snapshot);
  }

  async #settled(snapshot: Snapshot, plan: Plan): Promise<Next> {
    const isInTheWay =
      plan.holds.some((hold) => hold.name === 'LeaseTaken' || hold.name === 'ServiceTaken') || isBudgetTaken(snapshot);
    if (!isInTheWay) return { kind: 'settled', recheckAtMs: plan.recheckAtMs };
    if (await this.#isForeignGone(snapshot)) return { kind: 'again' };
    const recheckAtMs = this.#options.clock.monotonicMs() + FOREIGN_RECHECK_MS;
    return { kind: 'settled', recheckAtMs: Math.min(recheckAtMs, plan.recheckAtMs ?? Infinity) };
  }

  #failed(key: Key, snapshot: Snapshot, { action, error }: Extract<Outcome, { kind: 'failed' }>): Next {
    const { logger } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.onError?.(reasonOf(error));
    // It may have landed, or may yet.
    if (error instanceof TransportError) this.#sure.delete(key);
    const { spec } = snapshot.singleton;
    if (spec !== undefined && isVerdictOnTemplate(action, error)) {
      this.#recollections.remember(key, { template: { revision: templateRevision(spec), refusal: message } });
      return { kind: 'again' };
    }
    if (spec !== undefined && saysNothingOfTemplate(action, error)) {
      this.#recollections.remember(key, { template: { revision: templateRevision(spec), refusal: undefined } });
      return { kind: 'again' };
    }
    const failure = { kind: action.kind, action: describeAction(action), message };
    const isKnown = this.#recollections.get(key).memory.failure?.message === message;
    if (!isKnown)
      logger.warn('a request failed and will be tried again', { singleton: key, action: failure.action, message });
    this.#recollections.remember(key, { failure });
    return { kind: 'backOff', ...backoffFor(error) };
  }

  /** Reads and decides until all that the decision rests on has been read. What is read may name more. */
  async #lookLive(key: Key, first: Look): Promise<Look | undefined> {
    const { api, caches, nodes: { rights } = { rights: { leases: false, nodes: false } } } = this.#options;
    const { namespace, name } = first.snapshot.singleton;
    const names = objectNames(name);
    const read = {
      // It may have been paused, or scaled, and the watch may not have told yet.
      singleton: () => readLive(api, SINGLETON_SERVICE, caches.singletons, { namespace, name }),
      lease: () => readLive(api, LEASE, caches.leases, { namespace, name: names.lease }),
      service: () => readLive(api, SERVICE, caches.services, { namespace, name: names.service }),
      pod: (pod: string) => readLive(api, POD, caches.pods, { namespace, name: pod }),
      node: (node: string) => readNode(node, { api, caches, rights }),
    };
    const done = new Set<string>();
    let hasReadAll = false;
    let look: Look | undefined = first;
    while (look !== undefined) {
      const { objects, pods, everything } = restsOn(look);
      const nodes = this.#options.nodes === undefined ? [] : nodesRestedOn(look);
      if (!hasReadAll && objects.length > 0 && (everything || !this.#sure.has(key))) {
        hasReadAll = true;
        for (const what of await this.#readAll(key, look)) done.add(what);
        look = this.#look(key);
        continue;
      }
      const named = [...pods.map((pod) => `pod ${pod}`), ...nodes.map((node) => `node ${node}`)];
      const missing = [...objects, ...named].filter((what) => !done.has(what));
      if (missing.length === 0) return look;
      await Promise.all([
        ...objects.filter((object) => !done.has(object)).map((object) => read[object]()),
        ...pods.filter((pod) => !done.has(`pod ${pod}`)).map((pod) => read.pod(pod)),
        ...nodes.filter((node) => !done.has(`node ${node}`)).map((node) => read.node(node)),
      ]);
      for (const what of missing) done.add(what);
      look = this.#look(key);
    }
    return undefined;
  }

  /** All there is of the singleton, with pods that no cache knows yet. Returns what was read, as `#lookLive` names it. */
  async #readAll(key: Key, { snapshot, plan }: Look): Promise<string[]> {
    const { api, caches } = this.#options;
    const { namespace, name } = snapshot.singleton;
    const names = objectNames(name);
    const mark = caches.pods.mark();
    const [{ items }] = await Promise.all([
      api.list<Pod>(POD, { namespace, labelSelector: `${LABEL.name}=${name}` }),
      readLive(api, SINGLETON_SERVICE, caches.singletons, { namespace, name }),
      readLive(api, LEASE, caches.leases, { namespace, name: names.lease }),
      readLive(api, SERVICE, caches.services, { namespace, name: names.service }),
    ]);
    for (const pod of items) caches.pods.acceptRead(pod, mark);
    const listed = new Set(items.map(({ metadata }) => metadata.name));
    const known = [...snapshot.members, ...snapshot.strangers].map(({ pod }) => pod);
    const others = [...new Set([...known, plan.actions.find(isGrant)?.from])].filter(
      (pod) => pod !== undefined && !listed.has(pod),
    ) as string[];
    await Promise.all(others.map((pod) => readLive(api, POD, caches.pods, { namespace, name: pod })));
    this.#sure.add(key);
    return ['singleton', 'lease', 'service', ...[...listed, ...others].map((pod) => `pod ${pod}`)];
  }

  /** A member whose name label was taken away is invisible to the watch; read, it is seen again, and mended. */
  async #findLostPods(key: Key): Promise<void> {
    const { lostPods } = this.#recollections.get(key);
    if (lostPods.size === 0) return;
    this.#recollections.update(key, { lostPods: new Set() });
    const { namespace } = refOf(key);
    for (const name of lostPods)
      await readLive<Pod>(this.#options.api, POD, this.#options.caches.pods, { namespace, name });
  }

  /** Whether something that was in the way is no longer there; the caches then know, and nobody else tells. */
  async #isForeignGone(snapshot: Snapshot): Promise<boolean> {
    const { singleton, lease, service, headless } = snapshot;
    const { api, caches, disruptionBudgets } = this.#options;
    const names = objectNames(singleton.name);
    const ref = (name: string) => ({ namespace: singleton.namespace, name });
    const live = await Promise.all([
      ...(lease?.ours === false ? [readLive(api, LEASE, caches.leases, ref(names.lease))] : []),
      ...(service?.ours === false ? [readLive(api, SERVICE, caches.services, ref(names.service))] : []),
      ...(headless?.ours === false ? [readLive(api, SERVICE, caches.services, ref(names.headless))] : []),
      ...(isBudgetTaken(snapshot) ? [readLive(api, disruptionBudgets, caches.budgets, ref(names.budget))] : []),
    ]);
    return live.includes(undefined);
  }
}

interface Rests {
  readonly objects: readonly ('singleton' | 'lease' | 'service')[];
  readonly pods: readonly string[];
  /** On members, too, that nobody has told of yet. */
  readonly everything: boolean;
}

/** What must not be old for the plan to be right; nothing, when each of its actions has a precondition that says it all. */
function restsOn({ snapshot, plan: { actions } }: Look): Rests {
  const { lease, members, singleton } = snapshot;
  if (actions.some(restsOnWitnesses)) {
    const pods = new Set([...members.map(({ pod }) => pod), singleton.status?.active?.pod]);
    return { objects: ['singleton', 'lease', 'service'], pods: known(pods), everything: true };
  }
  if (!actions.some(restsOnLease)) return { objects: [], pods: [], everything: false };
  const grant = actions.find(isGrant);
  const successors = actions.map((action) => (action.kind === 'deletePod' ? action.successor : undefined));
  const pods = grant === undefined ? [lease?.move?.from, readableName(lease?.holder)] : [grant.from, grant.to.pod];
  return { objects: ['singleton', 'lease'], pods: known(new Set([...pods, ...successors])), everything: false };
}

/**
 * Nodes in trouble, when somebody is given up or chosen: the watch of their beats may be silent, not they. And with policy
 * Wait the node of the active: Kubernetes says of the pods of a lost node that they are not Ready, and the watch of pods
 * may tell that before the watch of nodes tells why.
 */
function nodesRestedOn({ snapshot, plan: { actions } }: Look): string[] {
  const { nodeLoss, singleton } = snapshot;
  const gives = actions.some(({ kind }) => kind === 'grantLease' || kind === 'createPod' || kind === 'deletePod');
  if (!gives) return [];
  const waits = singleton.spec?.failover.nodeLoss.policy === 'Wait' && actions.some(isGrant);
  return known(new Set([...Object.keys(nodeLoss.nodes), waits ? activesNode(snapshot) : undefined]));
}

const known = (pods: ReadonlySet<string | undefined>): string[] => [...pods].filter((pod) => pod !== undefined);

/** Undefined for a holder that can't be a pod's name: the server would refuse to look for it. */
function readableName(holder = ''): string | undefined {
  const pod = podOf(holder);
  return /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(pod) ? pod : undefined;
}

const instantOf = (clock: Clock): Instant => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() });

/** 422 and 400 say that this pod will never be taken; 403 (quota, policy) may pass. */
const isVerdictOnTemplate = (action: Action, error: unknown): boolean =>
  (action.kind === 'createPod' || action.kind === 'checkTemplate') &&
  error instanceof ApiError &&
  (error.status === 422 || error.status === 400);

/** A quota that the members use up leaves no room to try a pod out, and would not until one of them goes. */
const saysNothingOfTemplate = (action: Action, error: unknown): boolean =>
  action.kind === 'checkTemplate' &&
  error instanceof ApiError &&
  error.status === 403 &&
  error.message.includes('exceeded quota');

/** When the API server is back, failovers must not wait for a long backoff to end. */
const UNREACHABLE_MAX_MS = 2_000;

/** How long to wait after an error: what the server asks for; not long when it can't be reached or is overloaded. */
export function backoffFor(error: unknown): Backoff {
  if (error instanceof TransportError) return { maxMs: UNREACHABLE_MAX_MS };
  if (!(error instanceof ApiError) || (error.status !== 429 && error.status < 500)) return {};
  return { maxMs: UNREACHABLE_MAX_MS, minMs: error.retryAfterMs ?? 0 };
}

/** For metrics. */
export const reasonOf = (error: unknown): string => {
  if (error instanceof ApiError) return error.reason;
  return error instanceof TransportError ? error.failure : 'Unknown';
};
