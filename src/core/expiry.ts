/**
 * P5: the Lease has expired, since this process itself has seen it unchanged for the whole lease duration, by its own
 * monotonic clock. What counts is the resourceVersion: `renewTime` is another machine's clock, and is not looked at.
 *
 * Not remembered across restarts: a new process counts from its own first sight, which is slower and safe. A replica that did
 * not lead until now has seen what its watch told it, though it did not look. And a look into
 * a cache that is old delays nothing and hurries nothing: a version that is still the server's at the live read before the
 * grant was so at each look in between.
 */
import type { Instant, LeaseSight, LeaseView, Snapshot } from './snapshot.ts';

/** Milliseconds without a change after which it has expired: what the operator or any agent may go by, the longest. */
export function leaseDurationMs({ singleton, members }: Snapshot, lease: LeaseView): number {
  return Math.max(
    singleton.spec?.election.leaseDurationMs ?? 0,
    lease.leaseDurationMs ?? 0,
    ...members.map(({ agent }) => agent?.leaseDurationMs ?? 0),
  );
}

/** Takes in the Lease of this look; a Lease in another version counts from now. */
export function leaseSeen({ singleton, lease, memory }: Snapshot, now: Instant): LeaseSight | undefined {
  if (singleton.spec?.fencing.mode !== 'Agent') return undefined;
  const old = memory.leaseSeen;
  if (lease?.ours !== true) return old && { ...old, isReplaced: true };
  const { uid, resourceVersion } = lease;
  if (old?.uid === uid && old.resourceVersion === resourceVersion) return old;
  const isReplaced = old !== undefined && isOther(old, lease);
  // What a leader that is new, or was away (an empty version stands for it), was told before may be as old as an outage in
  // which nobody could renew: an active that goes on by promises has its time from here.
  const isAnew = lease.holdSet !== undefined && (old === undefined || old.resourceVersion === '');
  const toldAtMs = isAnew ? undefined : lease.toldAtMs;
  const holdSet = lease.holdSet ?? (isReplaced ? old.holdSet : undefined);
  return {
    uid,
    resourceVersion,
    sinceMs: Math.min(toldAtMs ?? now.monotonicMs, now.monotonicMs),
    isReplaced,
    term: Math.max(old?.term ?? 0, lease.move?.term ?? 0),
    ...(holdSet !== undefined && { holdSet }),
  };
}

/**
 * After a write of this process' own, from the version it expected to the one it made: between the two there was no renewal,
 * or it would have been refused. So what was seen unchanged before counts on; else each question would cost another wait.
 */
export function sightAfter(
  old: LeaseSight | undefined,
  expect: { readonly uid: string; readonly resourceVersion: string },
  made: string | undefined,
): LeaseSight | undefined {
  if (made === undefined || old?.uid !== expect.uid || old.resourceVersion !== expect.resourceVersion) return old;
  return { ...old, resourceVersion: made };
}

const isOther = (old: LeaseSight, { uid }: LeaseView): boolean => old.isReplaced || old.uid !== uid;

/** Monotonic milliseconds at which the Lease will have expired if nobody writes it; undefined: this version is not seen yet. */
export function expiresAtMs(snapshot: Snapshot, lease: LeaseView): number | undefined {
  const sight = snapshot.memory.leaseSeen;
  if (sight?.uid !== lease.uid || sight.resourceVersion !== lease.resourceVersion) return undefined;
  return sight.sinceMs + leaseDurationMs(snapshot, lease);
}

export const isExpired = (snapshot: Snapshot, lease: LeaseView, now: Instant): boolean =>
  (expiresAtMs(snapshot, lease) ?? Infinity) <= now.monotonicMs;
