/** Who could be the active now, and who first. */
import type { Spec } from '../api/spec.ts';
import { isHolder } from './lease.ts';
import type { Member, Snapshot } from './snapshot.ts';

export type Eligibility =
  | { readonly eligible: true; readonly reason: 'Ready' }
  | {
      readonly eligible: false;
      readonly reason:
        | 'Terminating'
        | 'Evicted'
        | 'Failed'
        | 'Finished'
        | 'SlotRemoved'
        | 'NoSlot'
        | 'Unscheduled'
        | 'Crashed'
        | 'NotReady'
        | 'NoFailover'
        | 'NoFailoverNode';
    };

const not = (reason: Exclude<Eligibility['reason'], 'Ready'>): Eligibility => ({ eligible: false, reason });

/**
 * Whether a member may be granted a term, and if not why: the first reason that stands, the lasting ones before those
 * that pass. Being the active already is no reason here.
 */
export function eligibility(member: Member, snapshot: Snapshot): Eligibility {
  if (member.phase === 'Failed') return not(member.podReason === 'Evicted' ? 'Evicted' : 'Failed');
  if (member.phase === 'Succeeded') return not('Finished');
  if (member.terminating) return not('Terminating');
  if (member.slot === undefined) return not('NoSlot');
  if (snapshot.singleton.spec !== undefined && member.slot >= snapshot.singleton.spec.replicas)
    return not('SlotRemoved');
  if (member.noFailover) return not('NoFailover');
  if (member.node !== undefined && snapshot.nodes[member.node]?.noFailover === true) return not('NoFailoverNode');
  if (member.node === undefined) return not('Unscheduled');
  if (!member.ready) return not(member.crash === undefined ? 'NotReady' : 'Crashed');
  return { eligible: true, reason: 'Ready' };
}

/** The standbys that may be granted a term now, best first. */
export function candidates(snapshot: Snapshot, spec: Spec): Member[] {
  const { lease } = snapshot;
  return snapshot.members
    .filter((member) => eligibility(member, snapshot).eligible && !(lease !== undefined && isHolder(lease, member)))
    .sort(orderOf(spec));
}

type Order = (a: Member, b: Member) => number;

/** Each strategy is an order of preference. All end in the UID, so that two looks at the same members agree. */
function orderOf(spec: Spec): Order {
  switch (spec.election.strategy) {
    // Priority and Ring are accepted and not acted upon yet (see api/not-yet.ts).
    case 'Priority':
    case 'Ring':
    case 'Oldest':
      return oldestFirst;
    default:
      return spec.election.strategy satisfies never;
  }
}

/** Longest Ready first: it has proven itself longest. */
const oldestFirst: Order = (a, b) =>
  byNumber(a.readySinceWallMs, b.readySinceWallMs) ||
  a.createdWallMs - b.createdWallMs ||
  byNumber(a.slot, b.slot) ||
  (a.uid < b.uid ? -1 : 1);

/** Smaller first, unknown last. (`Infinity - Infinity` is NaN, and a NaN would end the order early.) */
function byNumber(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0;
  return (a ?? Number.MAX_SAFE_INTEGER) - (b ?? Number.MAX_SAFE_INTEGER);
}
