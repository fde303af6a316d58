/** Who could be the active now, and who first. */
import type { Spec } from '../api/spec.ts';
import { avoidance, isAvoided } from './avoidance.ts';
import { isFenced } from './fencing.ts';
import { isHolder } from './lease.ts';
import { isLost } from './node-loss.ts';
import { byRank, rank } from './rank.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export type Eligibility =
  | { readonly eligible: true; readonly reason: 'Ready' }
  | {
      readonly eligible: false;
      readonly reason:
        | 'Terminating'
        | 'Evicted'
        | 'Failed'
        | 'Finished'
        | 'NodeLost'
        | 'SlotRemoved'
        | 'NoSlot'
        | 'Unscheduled'
        | 'Crashed'
        | 'NotReady'
        | 'NoFailover'
        | 'NoFailoverNode'
        | 'NotSelected'
        | 'NoAgent';
    };

type Unfit = Extract<Eligibility, { eligible: false }>;

const not = <R extends Unfit['reason']>(reason: R) => ({ eligible: false, reason }) as const;
const READY = { eligible: true, reason: 'Ready' } as const;

/**
 * Whether a member may be granted a term, and if not why: the first reason that stands, the lasting ones before those
 * that pass. Being the active already is no reason here.
 */
export const eligibility = (member: Member, snapshot: Snapshot, now: Instant): Eligibility =>
  ended(member) ??
  onLostNode(member, snapshot, now) ??
  notSelected(member) ??
  withoutSlot(member, snapshot) ??
  excluded(member, snapshot) ??
  withoutAgent(member, snapshot) ??
  notUp(member) ??
  READY;

/**
 * Whether the active can go on being it. Not to be chosen (`no-failover`) is no reason to be moved away from, and none to
 * be kept when it fails.
 */
export const fitness = (member: Member, snapshot: Snapshot) =>
  ended(member) ?? slotRemoved(member, snapshot) ?? notUp(member) ?? notSelected(member) ?? READY;

/** Whether whoever is routed to it is answered, as far as its kubelet tells. */
export const isServing = (member: Member): boolean => ended(member) === undefined && notUp(member) === undefined;

function ended(member: Member) {
  if (member.phase === 'Failed') return not(member.podReason === 'Evicted' ? 'Evicted' : 'Failed');
  if (member.phase === 'Succeeded') return not('Finished');
  return member.terminating ? not('Terminating') : undefined;
}

const onLostNode = (member: Member, snapshot: Snapshot, now: Instant) =>
  isLost(member, snapshot, now) ? not('NodeLost') : undefined;

const notSelected = ({ leaving }: Member) => (leaving === true ? not('NotSelected') : undefined);

/** Slots are given by the operator: adopted pods need none, and how many of them there are is not the operator's to say. */
const withoutSlot = (member: Member, snapshot: Snapshot) =>
  member.adopted !== true && slotOf(member, snapshot.singleton) === undefined
    ? not('NoSlot')
    : slotRemoved(member, snapshot);

function slotRemoved(member: Member, { singleton }: Snapshot) {
  if (member.adopted === true || singleton.spec?.selector !== undefined) return undefined;
  const slot = slotOf(member, singleton);
  return slot !== undefined && singleton.spec !== undefined && slot >= singleton.spec.replicas
    ? not('SlotRemoved')
    : undefined;
}

function excluded(member: Member, { nodes }: Snapshot) {
  if (member.noFailover) return not('NoFailover');
  return member.node !== undefined && nodes[member.node]?.noFailover === true ? not('NoFailoverNode') : undefined;
}

/** Once somebody is the active whom an agent can stop, so must everybody be who comes after. */
const withoutAgent = ({ agent }: Member, snapshot: Snapshot) =>
  agent === undefined && snapshot.lease !== undefined && isFenced(snapshot, snapshot.lease)
    ? not('NoAgent')
    : undefined;

function notUp(member: Member) {
  if (member.node === undefined) return not('Unscheduled');
  if (member.ready) return undefined;
  return member.crash === undefined ? not('NotReady') : not('Crashed');
}

/**
 * What people are told of a member: its eligibility, but that one which is avoided is no candidate as long as another
 * member is a better one. So the last eligible member is never said to be in quarantine.
 */
export function standing(member: Member, snapshot: Snapshot, now: Instant): { eligible: boolean; reason: string } {
  const { lease, members, singleton } = snapshot;
  const { spec } = singleton;
  const own = eligibility(member, snapshot, now);
  const isActive = (other: Member): boolean => lease !== undefined && isHolder(lease, other);
  if (!own.eligible || spec === undefined || isActive(member)) return own;
  const question = { snapshot, spec, now };
  const avoided = avoidance(member, question);
  if (avoided === undefined) return own;
  const isBetter = (other: Member): boolean =>
    !isActive(other) && eligibility(other, snapshot, now).eligible && !isAvoided(other, question);
  return members.some(isBetter) ? { eligible: false, reason: avoided.name } : own;
}

/** The standbys that may be granted a term now, best first (`byRank` says what is best). */
export function candidates(snapshot: Snapshot, spec: Spec, now: Instant): Member[] {
  const { lease } = snapshot;
  return snapshot.members
    .filter(
      (member) => eligibility(member, snapshot, now).eligible && !(lease !== undefined && isHolder(lease, member)),
    )
    .map((member) => ({ member, rank: rank(member, { snapshot, spec, now }) }))
    .sort((a, b) => byRank(a.rank, b.rank))
    .map(({ member }) => member);
}
