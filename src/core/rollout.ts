/**
 * Rollouts: how a changed template reaches all members. One step at a time, each of which rests on what the cluster shows
 * alone, so that whoever decides next goes on where the last one stopped:
 *
 *   1. a standby of an older template gets an updated member beside it in its slot: the surge, one in the whole singleton
 *   2. when that has been Ready for `update.minReadySeconds`, the older one goes. So for every standby, the unready first
 *   3. the active hands over to an updated standby: one planned move, or a requested one with `update.switchover: Manual`
 *   4. when the new active has stayed Ready for as long, the old one is replaced in the same way
 *
 * No candidate goes before its successor stands. The only exception is a surge for which there is no room: then an older
 * standby makes room, if somebody else could still take over.
 */
import type { Spec } from '../api/spec.ts';
import { eligibility, fitness } from './candidates.ts';
import { isHolder } from './lease.ts';
import { isOnSuspectNode } from './node-loss.ts';
import { failedRevision, fillingMembers, isOutdated, isSoaked, provenAtMs, soakedAtMs } from './revision.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';
import { willing } from './willing.ts';

/** So long a surge may be unschedulable before an older standby makes room for it. */
const ROOM_PATIENCE_MS = 10_000;

export type RolloutStep =
  /** The new version failed as the active: nothing more is replaced by it. */
  | { readonly kind: 'stopped'; readonly revision: string }
  /** An updated member has to be Ready for a while; as the active, or before it counts as one. */
  | {
      readonly kind: 'soak';
      readonly member: Member;
      readonly as: 'active' | 'standby';
      readonly untilMs: number | undefined;
    }
  /** A slot is empty, and filled first. */
  | { readonly kind: 'fill'; readonly slot: number }
  | { readonly kind: 'surge'; readonly slot: number; readonly old: Member }
  /** Without a successor: there is no room for one yet. */
  | { readonly kind: 'replace'; readonly old: Member; readonly successor: Member | undefined }
  | { readonly kind: 'move'; readonly targets: readonly Member[] }
  | { readonly kind: 'awaitSwitchover'; readonly targets: readonly Member[] };

interface Rollout {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly now: Instant;
  readonly filling: readonly Member[];
  /** Undefined: nobody, or one that has no slot of ours. */
  readonly active: Member | undefined;
}

/** The next step of the rollout; undefined when all members are of the present template. */
export function rolloutStep(snapshot: Snapshot, spec: Spec, now: Instant): RolloutStep | undefined {
  const { lease } = snapshot;
  if (spec.template === undefined || snapshot.singleton.problems.length > 0 || lease?.ours !== true) return undefined;
  const filling = fillingMembers(snapshot, spec, now);
  if (!filling.some((member) => isOutdated(member, spec))) return undefined;
  const active = filling.find((member) => isHolder(lease, member));
  const rollout = { snapshot, spec, now, filling, active };
  for (const check of CHECKS) {
    const step = check(rollout);
    if (step !== undefined) return step;
  }
  return undefined;
}

function stopped({ snapshot, spec, now }: Rollout): RolloutStep | undefined {
  const revision = failedRevision(snapshot, spec, now);
  return revision === undefined ? undefined : { kind: 'stopped', revision };
}

/** One that is unfit gets no patience: what comes next may be what helps. */
function soakOfActive({ snapshot, spec, now, active }: Rollout): RolloutStep | undefined {
  if (active === undefined || isOutdated(active, spec) || !fitness(active, snapshot).eligible) return undefined;
  const untilMs = provenAtMs(active, snapshot, spec, now);
  if (untilMs !== undefined && untilMs <= now.monotonicMs && !isOnSuspectNode(active, snapshot)) return undefined;
  return { kind: 'soak', member: active, as: 'active', untilMs };
}

/** A slot that has a member of each kind. */
function pairs(rollout: Rollout): RolloutStep | undefined {
  const { snapshot, spec, now, filling, active } = rollout;
  for (const successor of filling.filter((member) => !isOutdated(member, spec))) {
    const slot = slotOf(successor, snapshot.singleton);
    const old = filling.find((member) => isOutdated(member, spec) && slotOf(member, snapshot.singleton) === slot);
    if (old === undefined) continue;
    // The active has proven itself (above), or is unfit: then the old one is who could take over.
    const isReady = isSoaked(successor, snapshot, spec, now) && fitness(successor, snapshot).eligible;
    if (old === active) {
      if (!isReady) return soakOf(successor, rollout);
    } else if (isReady || (hasNoRoom(successor, rollout) && isDispensable(old, rollout))) {
      return { kind: 'replace', old, successor };
    } else return soakOf(successor, rollout);
  }
  return undefined;
}

const soakOf = (member: Member, { snapshot, spec, now }: Rollout): RolloutStep => ({
  kind: 'soak',
  member,
  as: 'standby',
  untilMs: soakedAtMs(member, snapshot, spec, now),
});

const hasNoRoom = ({ uid, unschedulable }: Member, { snapshot: { memory }, now }: Rollout): boolean =>
  unschedulable && now.monotonicMs >= (memory.sights[uid]?.unschedulableMs ?? Infinity) + ROOM_PATIENCE_MS;

/** Whether a standby may go before its successor stands: it could not take over, or somebody else can. */
const isDispensable = (standby: Member, { snapshot, spec, now }: Rollout): boolean =>
  !eligibility(standby, snapshot, now).eligible || willing({ snapshot, spec, now }).some((other) => other !== standby);

function fill({ snapshot, spec, filling }: Rollout): RolloutStep | undefined {
  const taken = new Set(filling.map((member) => slotOf(member, snapshot.singleton)));
  const slot = Array.from({ length: spec.replicas }, (_, each) => each).find((each) => !taken.has(each));
  return slot === undefined ? undefined : { kind: 'fill', slot };
}

/**
 * What is updated already must stand before more is: one that came without a surge, in an empty slot or where an older one
 * made room. But not while nobody is fit: then another one may be what helps.
 */
function unproven(rollout: Rollout): RolloutStep | undefined {
  const { snapshot, spec, now, filling, active } = rollout;
  if (active === undefined || !fitness(active, snapshot).eligible) return undefined;
  const waits = (member: Member): boolean =>
    member !== active && !isOutdated(member, spec) && !isSoaked(member, snapshot, spec, now);
  const [next] = filling
    .filter(waits)
    .sort((a, b) => (slotOf(a, snapshot.singleton) ?? 0) - (slotOf(b, snapshot.singleton) ?? 0));
  return next === undefined ? undefined : soakOf(next, rollout);
}

/** Those that are not Ready first: they are no loss. */
function standbys(rollout: Rollout): RolloutStep | undefined {
  const { snapshot, spec, filling, active } = rollout;
  // The active's slot has the surge: it can only go on by a move.
  if (filling.length > spec.replicas) return undefined;
  const slot = (member: Member): number => slotOf(member, snapshot.singleton) ?? 0;
  const [old] = filling
    .filter((member) => isOutdated(member, spec) && member !== active)
    .sort((a, b) => Number(a.ready) - Number(b.ready) || slot(a) - slot(b));
  return old === undefined ? undefined : surge(old, rollout);
}

function surge(old: Member, rollout: Rollout): RolloutStep {
  const { snapshot, active } = rollout;
  const { failure } = snapshot.memory;
  const isRefused = failure?.kind === 'createPod' && failure.message.includes('exceeded quota');
  if (isRefused && old !== active && isDispensable(old, rollout)) return { kind: 'replace', old, successor: undefined };
  return { kind: 'surge', slot: slotOf(old, snapshot.singleton) ?? 0, old };
}

/** Only the active is left, or in the way. */
function last(rollout: Rollout): RolloutStep | undefined {
  const { snapshot, spec, now, filling, active } = rollout;
  if (active === undefined || !isOutdated(active, spec)) return undefined;
  const targets = willing({ snapshot, spec, now }).filter(
    (member) => filling.includes(member) && !isOutdated(member, spec),
  );
  if (targets.length > 0) return { kind: spec.update.switchover === 'Manual' ? 'awaitSwitchover' : 'move', targets };
  // Nobody who could take over: one more, beside the active.
  return filling.length > spec.replicas ? undefined : surge(active, rollout);
}

type Check = (rollout: Rollout) => RolloutStep | undefined;

/** The first that has something to say is the next step. */
const CHECKS: readonly Check[] = [stopped, soakOfActive, pairs, fill, unproven, standbys, last];

/** Monotonic milliseconds at which time alone changes the step, or what is told of it. */
export function recheckAtMs(step: RolloutStep | undefined, { memory }: Snapshot, spec: Spec, now: Instant) {
  if (step?.kind !== 'soak') return undefined;
  const sight = memory.sights[step.member.uid];
  const times = [
    step.untilMs,
    (sight?.unschedulableMs ?? Infinity) + ROOM_PATIENCE_MS,
    step.member.ready ? Infinity : (sight?.sinceMs ?? now.monotonicMs) + spec.update.progressDeadlineMs,
  ].filter((time) => time !== undefined && time > now.monotonicMs && time < Infinity);
  return times.length === 0 ? undefined : Math.min(...times.map(Number));
}
