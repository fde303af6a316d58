/** Which members are of the present template, which have proven themselves, and whether the template failed. */
import { holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { lastHolder } from './lease.ts';
import { isLost, isOnSuspectNode } from './node-loss.ts';
import { templateRevision } from './objects.ts';
import { hasGivenUp } from './release.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

/** Made from another template than the present one. */
export const isOutdated = (member: Member, spec: Spec): boolean => member.revision !== templateRevision(spec);

/** Members that fill one of the slots there are to fill. */
export const fillingMembers = (snapshot: Snapshot, { replicas }: Spec, now: Instant): Member[] =>
  snapshot.members.filter((member) => {
    const slot = slotOf(member, snapshot.singleton);
    const isAlive = !member.terminating && member.phase !== 'Failed' && member.phase !== 'Succeeded';
    return isAlive && slot !== undefined && slot < replicas && !isLost(member, snapshot, now);
  });

/**
 * Monotonic milliseconds: when the member will have been Ready for `update.minReadySeconds`. Undefined: it is not Ready, or
 * nobody can tell, since its node is silent.
 * Counted from this process' own first sight, since another machine's clock says nothing: a new operator counts anew.
 */
export function soakedAtMs(member: Member, snapshot: Snapshot, spec: Spec, now: Instant): number | undefined {
  if (!member.ready || isOnSuspectNode(member, snapshot)) return undefined;
  const sight = snapshot.memory.sights[member.uid];
  return (sight?.ready === true ? sight.sinceMs : now.monotonicMs) + spec.update.minReadyMs;
}

export const isSoaked = (member: Member, snapshot: Snapshot, spec: Spec, now: Instant): boolean =>
  (soakedAtMs(member, snapshot, spec, now) ?? Infinity) <= now.monotonicMs;

/** The same of the active, in its term: to be Ready as a standby proves little. */
export function provenAtMs(active: Member, snapshot: Snapshot, spec: Spec, now: Instant): number | undefined {
  const { memory, lease } = snapshot;
  const tenure = memory.tenure?.term === lease?.term ? memory.tenure : undefined;
  if (tenure?.isProven === true) return 0;
  const soakedMs = soakedAtMs(active, snapshot, spec, now);
  if (soakedMs === undefined) return undefined;
  return Math.max(soakedMs, (tenure?.sinceMs ?? now.monotonicMs) + spec.update.minReadyMs);
}

/**
 * The present template's revision, when it failed as the active of a rollout and nobody has changed the template since:
 * as the Lease remembers it, or because it is failing now, with members of an older template still there.
 */
export function failedRevision(snapshot: Snapshot, spec: Spec, now: Instant): string | undefined {
  const { lease, members } = snapshot;
  if (lease?.ours !== true || spec.template === undefined) return undefined;
  const revision = templateRevision(spec);
  const isFailed =
    lease.move?.failedRevision === revision ||
    members.some(
      (member) =>
        lastHolder(lease) === holderIdentity(member.pod, member.uid) &&
        !isOutdated(member, spec) &&
        failsEarly(member, snapshot, spec, now),
    );
  const isRollout = isFailed && fillingMembers(snapshot, spec, now).some((member) => isOutdated(member, spec));
  return isRollout ? revision : undefined;
}

/**
 * It broke down by itself before it had proven itself. Whoever deletes, evicts or drains it says nothing of its version,
 * nor does its node; nor does an end after a time that an operator which has just started did not see. (It has the time of the grant from the
 * wall clock of another operator: one that lies ahead of its own says nothing. To stop a rollout by mistake is worse than to
 * see the version fail once more.)
 */
function failsEarly(active: Member, snapshot: Snapshot, spec: Spec, now: Instant): boolean {
  const { lease, memory } = snapshot;
  if (active.terminating || active.evicting || active.podReason !== undefined) return false;
  if (isOnSuspectNode(active, snapshot)) return false;
  const isWell = active.ready && lease !== undefined && !hasGivenUp(lease);
  if (isWell && active.phase !== 'Failed' && active.phase !== 'Succeeded') return false;
  if (memory.tenure?.term === lease?.term && memory.tenure?.isProven === true) return false;
  const sawGrant = memory.timeline?.term === lease?.term && memory.timeline?.granted !== undefined;
  const agoMs = now.wallMs - (lease?.move?.grantedWallMs ?? -Infinity);
  return sawGrant || (agoMs >= 0 && agoMs < spec.update.minReadyMs);
}
