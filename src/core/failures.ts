/**
 * How members failed as the active, and what follows: quarantine for a member that fails again and again, and a pause
 * between failovers when every active fails as soon as it is one (a broken dependency, say), so that moves don't come
 * faster than anybody recovers.
 *
 * The history is part of the Lease's move record: written by the very grant that a failure led to, it costs no write and
 * outlives the operator. It is in wall-clock time, for it is shared by operators: clocks that differ make a quarantine
 * longer or shorter, and nothing unsafe.
 */
import { holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { lastHolder } from './lease.ts';
import type { Need } from './move.ts';
import type { Failure, Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

/** An active that failed sooner than this was hardly one. */
const SHORT_REIGN_MS = 5_000;
/** So many actives in a row may fail at once before the next failover waits. */
const FREE_FAILOVERS = 8;
const FIRST_BACKOFF_MS = 1_000;
/** Of a Lease's annotation; more than 32 members need to be put into quarantine, one after another. */
const MAX_FAILURES_KEPT = 64;
/** For the backoff, when quarantine needs less. */
const MIN_KEPT_MS = 600_000;

/** Somebody's deletion, or an eviction, says nothing of the member. */
const IS_OWN_FAILURE: ReadonlySet<Need['reason']> = new Set([
  'ActiveFailed',
  'ActiveFinished',
  'ActiveCrashed',
  'ActiveUnready',
  'AgentSilent',
  'AgentReleased',
]);

/** A switchover that is rolled back because the new active failed is a failure of that one, too. */
export const isOwnFailure = ({ reason, trouble }: Pick<Need, 'reason' | 'trouble'>): boolean =>
  IS_OWN_FAILURE.has(trouble ?? reason);

const failuresIn = ({ lease }: Pick<Snapshot, 'lease'>): readonly Failure[] =>
  (lease?.ours === true ? lease.move?.failures : undefined) ?? [];

/** The history that goes with the grant that `need` leads to; undefined while there is none. */
export function failuresWith(snapshot: Snapshot, spec: Spec, lease: LeaseView, need: Need): MoveFailures {
  const { windowMs, durationMs } = spec.failover.quarantine;
  const since = need.since.wallMs;
  const kept = failuresIn(snapshot).filter(
    ({ atWallMs }) => atWallMs > since - Math.max(windowMs + durationMs, MIN_KEPT_MS),
  );
  const all = isOwnFailure(need) ? [...kept, failureOf(lease, need)] : kept;
  return all.length === 0 ? undefined : all.slice(-MAX_FAILURES_KEPT);
}

type MoveFailures = readonly Failure[] | undefined;

const failureOf = (lease: LeaseView, { since }: Need): Failure => ({
  holder: lastHolder(lease),
  atWallMs: since.wallMs,
  reignMs: Math.max(0, since.wallMs - (lease.move?.grantedWallMs ?? since.wallMs)),
});

/**
 * When the member's quarantine ends, in wall-clock ms; undefined: it is in none. It is in one since so many of its
 * failures as the active lay within one window, and for the duration after the last of them.
 */
export function quarantineOverAtWallMs(
  { pod, uid }: Member,
  snapshot: Snapshot,
  spec: Spec,
  now: Instant,
): number | undefined {
  const { failures, windowMs, durationMs } = spec.failover.quarantine;
  // A clock that was set back must not make a failure lie in the future.
  const times = failuresIn(snapshot)
    .filter(({ holder }) => holder === holderIdentity(pod, uid))
    .map(({ atWallMs }) => Math.min(atWallMs, now.wallMs));
  const ends = times
    .filter((time, index) => time - (times[index - failures + 1] ?? -Infinity) <= windowMs)
    .map((time) => time + durationMs)
    .filter((end) => end > now.wallMs);
  return ends.length === 0 ? undefined : Math.max(...ends);
}

/** When the failover that `need` asks for may go on, in monotonic ms: not in the past only when it has to wait. */
export function backoffOverAtMs(snapshot: Snapshot, spec: Spec, need: Need): number {
  if (!isOwnFailure(need)) return 0;
  const { lease } = snapshot;
  const reigns = failuresIn(snapshot).map(({ reignMs }) => reignMs);
  if (lease !== undefined) reigns.push(failureOf(lease, need).reignMs);
  const lastLong = reigns.findLastIndex((reignMs) => reignMs >= SHORT_REIGN_MS);
  const beyondFree = reigns.length - 1 - lastLong - FREE_FAILOVERS;
  if (beyondFree <= 0) return 0;
  return need.since.monotonicMs + Math.min(spec.failover.backoffMaxMs, FIRST_BACKOFF_MS * 2 ** (beyondFree - 1));
}
