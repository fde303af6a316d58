/**
 * The decision: what one singleton needs now, from what is known of it. Pure: no clock, no chance, no network; the same
 * snapshot and time give the same plan, so every decision can be replayed.
 *
 * The order of a plan's actions is the protocol's. The executor runs them in that order, stage by stage (`stagesOf`), and
 * stops after a stage in which one fails, so whatever stands first protects what stands in the stages after it:
 *
 *   1. the Lease exists and says what its last grant said
 *   2. the move: strip the old active → grant the new one → label it → flip the Service
 *   3. a request for a switchover is taken up, or told why not; agents that may ask each other are told of each other
 *   4. the Services exist and say what the spec says
 *   5. the members: create, replace, delete, mend
 *   6. the PodDisruptionBudget, which must keep no member waiting when it is refused
 *   7. events and status: what people are told may be late, never wrong
 */
import { holderIdentity } from '../api/names.ts';
import { isAdopting, planAdoption } from './adoption.ts';
import { takenNames } from './holds.ts';
import { planBudget } from './budget.ts';
import { planLease } from './lease.ts';
import type { LeasePlan } from './lease.ts';
import { planPeers } from './hold-members.ts';
import { planMembership } from './membership.ts';
import { planMove } from './move.ts';
import type { MovePlan } from './move.ts';
import { nodeLossDueAtMs } from './node-loss.ts';
import { inOrder, isIdle, isToldNow } from './order.ts';
import { isGrant } from './plan.ts';
import type { Plan } from './plan.ts';
import { planServices } from './services.ts';
import type { Instant, Snapshot } from './snapshot.ts';
import { nothingToTell, report } from './status.ts';
import { planRequest } from './switchover.ts';

export function decide(snapshot: Snapshot, now: Instant): Plan {
  const { singleton } = snapshot;
  const { spec } = singleton;
  if (singleton.deleting) return planOf({ reason: 'the SingletonService is being deleted' });
  if (spec === undefined) {
    // Never accepted: nothing runs for it. (What runs for a spec that was accepted once goes on under that one.)
    const { actions, recheckAtMs } = report({ snapshot, need: undefined, holds: [], now });
    return planOf({ reason: 'the spec is not accepted', actions, recheckAtMs });
  }
  const lease = planLease(snapshot, now);
  const move = planMove(snapshot, spec, lease.inOrder, now);
  // A grant writes the Lease itself: a request is left to the next look.
  const isFree = lease.inOrder !== undefined && !move.actions.some(isGrant);
  const request = isFree ? planRequest({ snapshot, spec, lease: lease.inOrder, now }) : undefined;
  // Another write of the Lease would refuse it, or be refused by it.
  const isOnly = isFree && request?.actions.length === 0 && !move.actions.some(({ kind }) => kind === 'requestRelease');
  const peers = isOnly && lease.inOrder !== undefined ? planPeers(snapshot, lease.inOrder) : [];
  const planMembers = isAdopting(spec) ? planAdoption : planMembership;
  const members = planMembers(snapshot, spec, { active: activesAfter(lease, move), now });
  const services = planServices(snapshot, spec, members.actions);
  const holds = [...(move.hold === undefined ? [] : [move.hold]), ...takenNames(snapshot)];
  const failed = snapshot.memory.failure?.kind;
  const work = {
    urgent: [...lease.actions, ...move.actions],
    request: [...(request?.actions ?? []), ...peers],
    other: [...services, ...members.actions, ...planBudget(snapshot, spec)],
  };
  const idle = isIdle(work);
  const told = isToldNow(work, failed) ? report({ snapshot, need: move.need, holds, now }) : nothingToTell;
  return planOf({
    reason: move.need?.message ?? (idle ? 'in order' : 'bringing objects in order'),
    actions: inOrder(work, told.actions, failed),
    holds,
    recheckAtMs: earliest(
      move.hold?.recheckAtMs,
      members.recheckAtMs,
      nodeLossDueAtMs(snapshot, spec, now),
      move.recheckAtMs,
      request?.recheckAtMs,
      idle ? told.recheckAtMs : undefined,
    ),
  });
}

/** Holder identities of whoever is the active, or will be when the move is done: nobody may delete them (I7). */
const activesAfter = ({ inOrder: lease }: LeasePlan, { actions }: MovePlan): string[] | undefined =>
  lease && [lease.holder, ...actions.filter(isGrant).map(({ to }) => holderIdentity(to.pod, to.uid))];

const planOf = (plan: Partial<Plan> & Pick<Plan, 'reason'>): Plan => ({
  actions: [],
  holds: [],
  recheckAtMs: undefined,
  ...plan,
});

function earliest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
