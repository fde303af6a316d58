/** One look at one singleton: observe → decide → execute. */
import { LEASE, POD, SERVICE } from '../adapters/kubernetes/resources.ts';
import { ApiError, TransportError } from '../adapters/ports.ts';
import type { Clock, Logger } from '../adapters/ports.ts';
import type { Pod } from '../api/objects.ts';
import { isBudgetTaken } from '../core/budget.ts';
import { decide } from '../core/decide.ts';
import { objectNames, templateRevision } from '../core/objects.ts';
import { violationsIn, violationsOf } from '../core/invariants.ts';
import type { Violation } from '../core/invariants.ts';
import { describeAction, describePlan, sameGrant } from '../core/plan.ts';
import type { Action, Plan } from '../core/plan.ts';
import type { AgentPlatform, Instant, Snapshot } from '../core/snapshot.ts';
import { refOf } from './caches.ts';
import type { Key } from './caches.ts';
import { execute, readLive } from './execute.ts';
import type { Executor, Outcome } from './execute.ts';
import { LeaseSights } from './lease-sights.ts';
import { LiveReads } from './live-reads.ts';
import { Recollections, afterAction, afterLooking, afterOutage } from './memory.ts';
import { observe } from './observe.ts';
import type { NodeTroubles } from './observe.ts';
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
  /** For fencing mode `Agent`; absent: no members can be made in it. */
  readonly agent?: AgentPlatform;
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
  readonly #live: LiveReads;
  readonly #sights: LeaseSights;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#live = new LiveReads(options);
    this.#sights = new LeaseSights(options.caches.leases, options.clock);
  }

  /** Rejects only when a read failed; what was written until then stands, and the next look goes on from there. */
  async reconcile(key: Key): Promise<Next> {
    await this.#findLostPods(key);
    const first = this.#look(key);
    if (first === undefined) return { kind: 'gone' };
    // A move is decided twice: the caches may be old, so everything it rests on is read live before it.
    const last = await this.#live.under(key, first, () => this.#look(key));
    if (last === undefined) return { kind: 'gone' };
    return sameGrant(first.plan, last.plan) ? this.#carryOut(key, last) : { kind: 'again' };
  }

  /** A pod left the watch's selection without being deleted. */
  podLost(key: Key, pod: string): void {
    this.#recollections.update(key, { lostPods: new Set([...this.#recollections.get(key).lostPods, pod]) });
  }

  /** This replica has just got the lead: others wrote until now. */
  leads(): void {
    this.#recollections.mapMemory(afterOutage);
    this.#live.distrustAll();
  }

  forget(key: Key): void {
    this.#live.distrust(key);
    this.#recollections.forget(key);
  }

  #look(key: Key): Look | undefined {
    const now = instantOf(this.#options.clock);
    const recollection = this.#recollections.get(key);
    const observation = observe(key, this.#options.caches, recollection, {
      troubles: this.#options.nodes?.troubles,
      agent: this.#options.agent,
      sights: this.#sights,
    });
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
    this.#options.onViolations?.(key, [...violationsIn(snapshot), ...violationsOf(look.plan, snapshot, now)], look);
    return look;
  }

  async #carryOut(key: Key, { snapshot, plan, now }: Look): Promise<Next> {
    // A decision that breaks the protocol is a bug of ours: better to stand still than to carry it out.
    if (violationsOf(plan, snapshot, now).length > 0) return { kind: 'backOff' };
    const { logger } = this.#options;
    if (plan.actions.length > 0) logger.debug('plan', () => ({ singleton: key, plan: describePlan(plan) }));
    const onDone: Executor['onDone'] = (action, made) => this.#done(key, action, snapshot, made);
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

  #done(key: Key, action: Action, snapshot: Snapshot, made: string | undefined): void {
    const { memory, deletedUids } = this.#recollections.get(key);
    this.#recollections.update(key, {
      memory: afterAction(memory, action, instantOf(this.#options.clock), made),
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
    if (error instanceof TransportError) this.#live.distrust(key);
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
