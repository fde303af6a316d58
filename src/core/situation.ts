/** A snapshot with what was made of it, and the questions that status, conditions and events ask of it. */
import { LABEL, MAX_REPLICAS } from '../api/names.ts';
import { isHolder, parseTerm, routingTerm } from './lease.ts';
import { isFinished } from './membership.ts';
import type { Need } from './move.ts';
import { isLost } from './node-loss.ts';
import type { Hold } from './plan.ts';
import { slotOf } from './slots.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

export interface Situation {
  readonly snapshot: Snapshot;
  readonly need: Need | undefined;
  readonly holds: readonly Hold[];
  readonly now: Instant;
}

export const ourLease = (snapshot: Snapshot): LeaseView | undefined =>
  snapshot.lease?.ours === true ? snapshot.lease : undefined;

export function isActive(snapshot: Snapshot, member: Member): boolean {
  const lease = ourLease(snapshot);
  return lease !== undefined && isHolder(lease, member);
}

export const activeMember = (snapshot: Snapshot): Member | undefined =>
  snapshot.members.find((member) => isActive(snapshot, member));

/** Members that have a slot to fill: neither going nor gone, nor given up with their node. */
export const aliveMembers = (snapshot: Snapshot, now: Instant): Member[] =>
  snapshot.members.filter((member) => !member.terminating && !isFinished(member) && !isLost(member, snapshot, now));

/** The caches list them in the order in which they changed last, which says nothing. */
export function bySlot({ members, singleton }: Snapshot): Member[] {
  const place = (member: Member): number => slotOf(member, singleton) ?? MAX_REPLICAS;
  return [...members].sort(
    (a, b) => place(a) - place(b) || a.createdWallMs - b.createdWallMs || (a.uid < b.uid ? -1 : 1),
  );
}

/** Whether the Service selects the term under which the Lease's holder is routed. */
export const isFlipped = (snapshot: Snapshot, lease: LeaseView): boolean =>
  parseTerm(snapshot.service?.spec.selector?.[LABEL.term]) === routingTerm(lease);

/** Whether the EndpointSlices name the member. */
export const isRouted = (snapshot: Snapshot, member: Member): boolean => snapshot.routedUids.includes(member.uid);
