/** What one operator process remembers of a singleton between two looks. Losing it costs time or detail, never safety. */
import { LABEL } from '../api/names.ts';
import { mendKeyOfBudget } from '../core/budget.ts';
import { isHolder, lastHolder, parseTerm, routingTerm } from '../core/lease.ts';
import { leaseSeen, sightAfter } from '../core/expiry.ts';
import { isFencing, stoppedSeen } from '../core/fencing.ts';
import { isFinished } from '../core/membership.ts';
import { isLost, isOnSuspectNode } from '../core/node-loss.ts';
import { causeOf, neededMove, wantedMove } from '../core/move.ts';
import { betterSeen } from '../core/preemption.ts';
import type { Action, Expect } from '../core/plan.ts';
import type { Spec } from '../api/spec.ts';
import { provenAtMs } from '../core/revision.ts';
import { slotOf } from '../core/slots.ts';
import { requestSeen } from '../core/switchover.ts';
import { noMemory } from '../core/snapshot.ts';
import type { Key } from './caches.ts';
import type { Instant, Member, Memory, Sight, SlotFailures, Snapshot, Timeline } from '../core/snapshot.ts';

/** A slot whose members did not fail for this long starts again with a clean record. */
const FAILURES_FORGOTTEN_AFTER_MS = 600_000;

export interface Recollection {
  readonly memory: Memory;
  /** The last spec that was accepted, in force while a newer one breaks a rule. */
  readonly accepted: Spec | undefined;
  /** Pods whose deletion was answered, in case the watch does not say so yet. */
  readonly deletedUids: ReadonlySet<string>;
  /** Names of pods that left the watch without being deleted: somebody took their name label away. */
  readonly lostPods: ReadonlySet<string>;
}

/** Takes in what is seen for the first time: that the holder is in trouble, how far its move came, who failed. */
export function afterLooking(snapshot: Snapshot, now: Instant): Memory {
  const fencing = fencingSeen(snapshot, now);
  const memory = { ...snapshot.memory, ...fencing, sights: sightsSeen(snapshot, now) };
  const tenure = tenureSeen({ ...snapshot, memory }, now);
  return {
    ...memory,
    tenure,
    trouble: troubleSeen({ ...snapshot, memory: { ...memory, tenure } }, now),
    timeline: timelineSeen(snapshot, now),
    better: betterThanActive({ ...snapshot, memory: { ...snapshot.memory, ...fencing } }, now),
    requested: requestSeen(snapshot, now),
    failures: failuresSeen(snapshot, now),
    pause: pauseSeen(snapshot, now),
  };
}

/** Nothing in mode `Routing`. */
function fencingSeen(snapshot: Snapshot, now: Instant): Pick<Memory, 'leaseSeen' | 'stopped'> {
  const { leaseSeen: oldLease, stopped: oldStopped } = snapshot.memory;
  const isKnown = oldLease !== undefined || oldStopped !== undefined;
  if (!isKnown && !isFencing(snapshot.singleton.spec)) return {};
  return { leaseSeen: leaseSeen(snapshot, now), stopped: stoppedSeen(snapshot) };
}

/** Undefined unless it was paused in this process's time. */
function pauseSeen({ singleton, memory }: Snapshot, now: Instant): Memory['pause'] {
  if (singleton.spec?.paused === true) return 'paused';
  return memory.pause === 'paused' ? { endedAtMs: now.monotonicMs } : memory.pause;
}

function sightsSeen({ members, memory }: Snapshot, now: Instant): Memory['sights'] {
  return Object.fromEntries(members.map((member) => [member.uid, sightOf(member, memory.sights[member.uid], now)]));
}

function sightOf({ ready, readySinceWallMs, unschedulable }: Member, old: Sight | undefined, now: Instant): Sight {
  const isSame = old?.ready === ready && old.readySinceWallMs === readySinceWallMs;
  const unschedulableMs = unschedulable ? (old?.unschedulableMs ?? now.monotonicMs) : undefined;
  if (isSame && old.unschedulableMs === unschedulableMs) return old;
  return { ready, readySinceWallMs, unschedulableMs, sinceMs: isSame ? old.sinceMs : now.monotonicMs };
}

function tenureSeen(snapshot: Snapshot, now: Instant): Memory['tenure'] {
  const { lease, members, memory, singleton } = snapshot;
  if (lease === undefined || !lease.ours || singleton.spec === undefined) return undefined;
  const { term } = lease;
  const old = memory.tenure?.term === term ? memory.tenure : { term, sinceMs: now.monotonicMs, isProven: false };
  if (old.isProven) return old;
  const active = members.find((member) => isHolder(lease, member));
  const known = { ...snapshot, memory: { ...memory, tenure: old } };
  const dueAtMs = active && provenAtMs(active, known, singleton.spec, now);
  return dueAtMs !== undefined && dueAtMs <= now.monotonicMs ? { ...old, isProven: true } : old;
}

function troubleSeen(snapshot: Snapshot, now: Instant): Memory['trouble'] {
  const { lease, singleton } = snapshot;
  if (lease === undefined || !lease.ours || singleton.spec === undefined) return undefined;
  const wanted = wantedMove(snapshot, singleton.spec, lease, now);
  if (wanted === undefined) return undefined;
  const { need } = wanted;
  return { holder: lastHolder(lease), cause: causeOf(need), since: need.since };
}

/** While the active is fit: a failover is no preemption. */
function betterThanActive(snapshot: Snapshot, now: Instant): Memory['better'] {
  const { lease, members, singleton } = snapshot;
  const holder = lease && members.find((member) => isHolder(lease, member));
  if (lease === undefined || holder === undefined || !lease.ours || singleton.spec === undefined) return undefined;
  if (neededMove(snapshot, lease, holder, now) !== undefined) return undefined;
  return betterSeen({ snapshot, spec: singleton.spec, lease, holder, now });
}

function timelineSeen(snapshot: Snapshot, now: Instant): Timeline | undefined {
  const { lease, members, memory, service } = snapshot;
  if (lease === undefined || lease.holder === '') return undefined;
  const { term } = lease;
  const holder = members.find((member) => isHolder(lease, member));
  const old = memory.timeline?.term === term ? memory.timeline : undefined;
  const isFlipped = parseTerm(service?.spec.selector?.[LABEL.term]) === routingTerm(lease);
  const isRouted = holder !== undefined && isFlipped && snapshot.routedUids.includes(holder.uid);
  return {
    ...(old ?? emptyTimeline(term)),
    flipped: old?.flipped ?? (isFlipped ? now : undefined),
    routed: old?.routed ?? (isRouted ? now : undefined),
  };
}

const emptyTimeline = (term: number): Timeline => ({
  term,
  detected: undefined,
  granted: undefined,
  labelled: undefined,
  flipped: undefined,
  routed: undefined,
});

function failuresSeen(snapshot: Snapshot, now: Instant): Memory['failures'] {
  const failures: Record<number, SlotFailures> = {};
  for (const [slot, old] of Object.entries(snapshot.memory.failures)) {
    if (now.monotonicMs - old.lastAtMs < FAILURES_FORGOTTEN_AFTER_MS) failures[Number(slot)] = old;
  }
  for (const member of snapshot.members) {
    const slot = slotOf(member, snapshot.singleton);
    if (slot === undefined || member.adopted === true) continue;
    if (!hasFailed(member, snapshot, now)) continue;
    const old = failures[slot] ?? { count: 0, lastAtMs: 0, uids: [] };
    if (old.uids.includes(member.uid)) continue;
    // Whoever is still there must not be counted again, however many those are: finalizers may keep them.
    const uids = old.uids.filter((uid) => snapshot.members.some((other) => other.uid === uid));
    failures[slot] = { count: old.count + 1, lastAtMs: now.monotonicMs, uids: [...uids, member.uid] };
  }
  return failures;
}

/** By itself: what ends because it is deleted or evicted says nothing against whoever replaces it. */
const hasFailed = (member: Member, snapshot: Snapshot, now: Instant): boolean =>
  (isFinished(member) && !member.terminating) || isLostAgain(member, snapshot, now);

/**
 * A replacement that is lost as its predecessor was. That one failed by no fault of its slot, and is replaced at once; but
 * Kubernetes, to which the node is well for some seconds more, may put every new pod there.
 */
const isLostAgain = (member: Member, snapshot: Snapshot, now: Instant): boolean =>
  isLost(member, snapshot, now) &&
  snapshot.members.some(
    (other) =>
      other.uid !== member.uid &&
      slotOf(other, snapshot.singleton) === slotOf(member, snapshot.singleton) &&
      other.createdWallMs <= member.createdWallMs &&
      isOnSuspectNode(other, snapshot),
  );

/**
 * After an action was carried out.
 *
 * @param made the version of the Lease that it made, of an action that leaves it with its holder
 */
export function afterAction(memory: Memory, action: Action, now: Instant, made?: string): Memory {
  switch (action.kind) {
    case 'grantLease': {
      const { asked, ...rest } = memory;
      const step = { detected: memory.trouble?.since, granted: now, ...(asked !== undefined && { asked }) };
      return withTimeline(rest, action.term, step);
    }
    case 'labelActive':
      return withTimeline(memory, memory.timeline?.term, { labelled: now });
    case 'flipService':
      return withTimeline(memory, action.term, { flipped: now });
    case 'checkTemplate':
      return { ...memory, template: { revision: action.revision, refusal: undefined } };
    case 'mendService': {
      const { service, expect, patch } = action;
      return { ...memory, mends: { ...memory.mends, [service]: { resourceVersion: expect.resourceVersion, patch } } };
    }
    case 'mendBudget': {
      const { budget, expect, patch } = action;
      const mend = { resourceVersion: expect.resourceVersion, patch };
      return { ...memory, mends: { ...memory.mends, [mendKeyOfBudget(budget)]: mend } };
    }
    case 'writeStatus':
      return { ...memory, statusWrittenAtMs: now.monotonicMs };
    case 'stripRole':
    case 'createLease':
    case 'restoreLease':
    case 'createService':
    case 'createBudget':
    case 'deleteBudget':
    case 'createPod':
    case 'deletePod':
    case 'mendLabels':
    case 'removeRequest':
    case 'noteLease':
    case 'emitEvent':
      return memory;
    case 'requestRelease':
      return withSight({ ...memory, asked: now }, action.expect, made);
    case 'recordSwitchover':
    case 'tellMembers':
      return withSight(memory, action.expect, made);
    case 'ensureAccess':
      return { ...memory, access: { atMs: now.monotonicMs, account: action.account } };
    default:
      return action satisfies never;
  }
}

const withSight = (memory: Memory, expect: Expect, made: string | undefined): Memory =>
  memory.leaseSeen === undefined ? memory : { ...memory, leaseSeen: sightAfter(memory.leaseSeen, expect, made) };

function withTimeline(memory: Memory, term: number | undefined, step: Partial<Timeline>): Memory {
  if (term === undefined) return memory;
  const old = memory.timeline?.term === term ? memory.timeline : undefined;
  return { ...memory, timeline: { ...(old ?? emptyTimeline(term)), ...step } };
}

/**
 * Of a process that leads again, most often since the API server was away: then no agent could renew either, and one that holds
 * by promises is as active as before. Its Lease counts from the next look, so that nothing moves if it renews.
 */
export function afterOutage(memory: Memory): Memory {
  const { leaseSeen } = memory;
  return leaseSeen?.holdSet === undefined ? memory : { ...memory, leaseSeen: { ...leaseSeen, resourceVersion: '' } };
}

/** Everything this process remembers, by singleton. */
export class Recollections {
  readonly #byKey = new Map<Key, Recollection>();

  get(key: Key): Recollection {
    return this.#byKey.get(key) ?? NOTHING;
  }

  /** Changes part of what is remembered; what is not named stays. */
  update(key: Key, change: Partial<Recollection>): void {
    this.#byKey.set(key, { ...this.get(key), ...change });
  }

  remember(key: Key, change: Partial<Memory>): void {
    this.update(key, { memory: { ...this.get(key).memory, ...change } });
  }

  mapMemory(change: (memory: Memory) => Memory): void {
    for (const [key, one] of this.#byKey) this.#byKey.set(key, { ...one, memory: change(one.memory) });
  }

  forget(key: Key): void {
    this.#byKey.delete(key);
  }
}

const NOTHING: Recollection = { memory: noMemory, accepted: undefined, deletedUids: new Set(), lostPods: new Set() };
