/** Living members beyond those that their slot needs now. */
import type { Spec } from '../api/spec.ts';
import { isAvoided, isOnDrainingNode } from './avoidance.ts';
import { candidates } from './candidates.ts';
import { isHolder } from './lease.ts';
import { failedRevision, fillingMembers, isOutdated, provenAtMs } from './revision.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

/** A standby that starts gets so long to be Ready before a drain is helped along in another way. */
const START_PATIENCE_MS = 10_000;

interface DoublesQuestion {
  readonly alive: readonly Member[];
  readonly isActive: (member: Member) => boolean;
  readonly now: Instant;
}

/** A member that its slot has no use for. */
export interface Double {
  readonly member: Member;
  /** Who stays in its place: it may go only as long as that one is there. */
  readonly kept: Member;
}

/**
 * Of each slot one stays: the active, else a Ready one, and rather not on a node that is being drained, else the oldest.
 * Beside it stays one that is to take its place: of the other template in a rollout, or on a better node.
 */
export function doubles(snapshot: Snapshot, spec: Spec, { alive, isActive, now }: DoublesQuestion): Double[] {
  const rank = (member: Member): number => {
    if (isActive(member)) return 0;
    if (!member.ready) return 3;
    return isOnDrainingNode(member, snapshot) ? 2 : 1;
  };
  const ordered = [...alive].sort(
    (a, b) => rank(a) - rank(b) || a.createdWallMs - b.createdWallMs || (a.uid < b.uid ? -1 : 1),
  );
  const isStopped = failedRevision(snapshot, spec, now) !== undefined;
  const kept = new Map<number, Member[]>();
  return ordered.flatMap((member) => {
    const slot = slotOf(member, snapshot.singleton);
    if (slot === undefined) return [];
    const [first, ...others] = kept.get(slot) ?? [];
    if (first !== undefined && (others.length > 0 || !isSecond(member, first, { snapshot, spec, isStopped, now }))) {
      return [{ member, kept: first }];
    }
    kept.set(slot, [...(first === undefined ? [] : [first]), member]);
    return [];
  });
}

interface PairQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  /** The present template failed. */
  readonly isStopped: boolean;
  readonly now: Instant;
}

function isSecond(member: Member, first: Member, { snapshot, spec, isStopped, now }: PairQuestion): boolean {
  // On whichever node it came to be: deleted, it would only be created again.
  if (isOnDrainingNode(first, snapshot)) return true;
  // The former active: some client may not have followed the move yet, and the new one may fail.
  if (isOnDrainingNode(member, snapshot) && member.ready && provesItselfUntilMs(first, { snapshot, spec, now }) > 0)
    return true;
  if (isOutdated(member, spec) === isOutdated(first, spec)) return false;
  // Nobody is replaced by a version that failed; but when it is all that was left, an older one is a better standby.
  return !isStopped || isOutdated(member, spec);
}

interface TimeQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly now: Instant;
}

/** Monotonic milliseconds; 0: the member is not the active, or has proven itself as it. */
function provesItselfUntilMs(member: Member, { snapshot, spec, now }: TimeQuestion): number {
  const { lease } = snapshot;
  if (lease?.ours !== true || !isHolder(lease, member)) return 0;
  const provenMs = provenAtMs(member, snapshot, spec, now) ?? Infinity;
  return provenMs <= now.monotonicMs ? 0 : provenMs;
}

/** When a second member may have to go because time has passed. */
export function doublesRecheckAtMs(snapshot: Snapshot, spec: Spec, now: Instant): number | undefined {
  const filling = fillingMembers(snapshot, spec, now);
  if (filling.length <= spec.replicas) return undefined;
  const untilMs = Math.max(...filling.map((member) => provesItselfUntilMs(member, { snapshot, spec, now })));
  return untilMs > 0 && untilMs < Infinity ? untilMs : undefined;
}

export interface DrainSurge {
  readonly slot: number;
  /** Monotonic milliseconds; later than now: somebody is just starting who would do. */
  readonly dueAtMs: number;
}

/**
 * The slot in which a second member is needed so that a drain can go on: the active's, or else that of the only candidate,
 * when it is on a node that is being drained and nobody on another one could take over.
 */
export function drainSurge(snapshot: Snapshot, spec: Spec, now: Instant): DrainSurge | undefined {
  const { lease, memory, singleton } = snapshot;
  const filling = fillingMembers(snapshot, spec, now);
  const filled = new Set(filling.map((member) => slotOf(member, singleton)));
  if (lease?.ours !== true || filling.length !== spec.replicas || filled.size !== spec.replicas) return undefined;
  // Another one of a version that failed would not be willing either.
  if (failedRevision(snapshot, spec, now) !== undefined) return undefined;
  const others = candidates(snapshot, spec, now);
  if (others.some((member) => !isAvoided(member, { snapshot, spec, now }))) return undefined;
  const active = filling.find((member) => isHolder(lease, member));
  const leaving = [active, ...others].find((member) => member !== undefined && isOnDrainingNode(member, snapshot));
  const slot = leaving && slotOf(leaving, singleton);
  if (slot === undefined) return undefined;
  const starting = filling.filter(
    (member) => member !== active && !member.ready && !isOnDrainingNode(member, snapshot) && !member.noFailover,
  );
  const sinceMs = (member: Member): number => memory.sights[member.uid]?.sinceMs ?? now.monotonicMs;
  return { slot, dueAtMs: Math.max(0, ...starting.map((member) => sinceMs(member) + START_PATIENCE_MS)) };
}
