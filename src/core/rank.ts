/** What candidates are compared by, and in which order. */
import type { Preference, Spec } from '../api/spec.ts';
import { reluctance } from './avoidance.ts';
import type { AvoidanceQuestion } from './avoidance.ts';
import { podOf } from './lease.ts';
import { matches } from './node-terms.ts';
import { SLOTS, slotInName, slotOf } from './slots.ts';
import type { Member, SingletonView, Snapshot } from './snapshot.ts';

/** All that is compared, so that a choice can be told and not only made. */
export interface Rank {
  /** How bad the worst is that speaks against the member, 0 when nothing does. Less is better. */
  readonly reluctance: number;
  /** Sum of the weights of the preferences that the member's node meets. More is better. */
  readonly preference: number;
  /** With strategy Priority that of the member's slot, else 0. More is better. */
  readonly priority: number;
  /** With strategy Ring how many slots lie between the last active's and the member's, else 0. Fewer are better. */
  readonly slotsBetween: number;
  readonly readySinceWallMs: number | undefined;
  readonly createdWallMs: number;
  readonly slot: number | undefined;
  readonly uid: string;
}

/**
 * The one order among candidates, as a comparison for `sort`: the better one first. It is total, so that two operators,
 * or one that looks twice, agree whatever order the caches list the members in. What decides, in this order:
 *
 *   1. what speaks against it (avoidance.ts): whoever is avoided is taken only when nobody else is left
 *   2. the preferences. Before the strategy: Priority and Ring leave no ties that a wish coming after could decide
 *   3. the strategy: the highest priority (the bully algorithm), or the next slot (the ring); Oldest says nothing here
 *   4. since when it is Ready: the longest has proven itself longest. This is strategy Oldest, and the rest for the others
 *   5. when it was created: "Ready since" is in whole seconds, in which members that start together often tie
 *   6. the slot, which people can foretell
 *   7. the UID, which no two members share: a slot has two for a while when one of them is replaced, or a name is forged
 */
export const byRank = (a: Rank, b: Rank): number =>
  a.reluctance - b.reluctance ||
  b.preference - a.preference ||
  b.priority - a.priority ||
  a.slotsBetween - b.slotsBetween ||
  unknownLast(a.readySinceWallMs, b.readySinceWallMs) ||
  a.createdWallMs - b.createdWallMs ||
  unknownLast(a.slot, b.slot) ||
  (a.uid === b.uid ? 0 : a.uid < b.uid ? -1 : 1);

/** Smaller first, unknown last. (`Infinity - Infinity` is NaN, and a NaN would end the order early.) */
function unknownLast(a: number | undefined, b: number | undefined): number {
  if (a === b) return 0;
  return (a ?? Number.MAX_SAFE_INTEGER) - (b ?? Number.MAX_SAFE_INTEGER);
}

/** Where the member stands among all. Says nothing of whether it may be chosen: that is its eligibility. */
export function rank(member: Member, question: AvoidanceQuestion): Rank {
  const { snapshot, spec } = question;
  const { election } = spec;
  const slot = slotOf(member, snapshot.singleton);
  return {
    reluctance: reluctance(member, question),
    preference: preferenceScore(member, snapshot, election.preferences),
    ...byStrategy(slot, snapshot, election),
    readySinceWallMs: member.readySinceWallMs,
    createdWallMs: member.createdWallMs,
    slot,
    uid: member.uid,
  };
}

/** A node that is not known meets no wish, not even one for the absence of a label. */
function preferenceScore({ node }: Member, { nodes }: Snapshot, preferences: readonly Preference[]): number {
  // Own only, since a node may be named `constructor`.
  const labels = node !== undefined && Object.hasOwn(nodes, node) ? nodes[node]?.labels : undefined;
  if (labels === undefined) return 0;
  return preferences
    .filter(({ preference }) => matches(preference, labels))
    .reduce((sum, { weight }) => sum + weight, 0);
}

function byStrategy(
  slot: number | undefined,
  snapshot: Snapshot,
  { strategy, priorities }: Spec['election'],
): Pick<Rank, 'priority' | 'slotsBetween'> {
  switch (strategy) {
    case 'Oldest':
      return { priority: 0, slotsBetween: 0 };
    case 'Priority':
      return { priority: (slot === undefined ? undefined : priorities[slot]) ?? 0, slotsBetween: 0 };
    case 'Ring':
      return { priority: 0, slotsBetween: slotsBetween(lastActiveSlot(snapshot), slot) };
    default:
      return strategy satisfies never;
  }
}

/**
 * Going up from the last active's slot and around. That slot itself comes last: a new member in it may well fail as the
 * one before did. Without a last active the ring begins at slot 0.
 */
const slotsBetween = (last: number | undefined, slot: number | undefined): number =>
  slot === undefined ? SLOTS : (slot - (last ?? -1) - 1 + SLOTS) % SLOTS;

/**
 * From the cluster alone, so that an operator that was just started goes on where the ring was: the Lease's holder, also
 * after its pod is gone; when it was released, whom it was last granted to; when it was lost with its holder, whom the
 * status told of.
 */
function lastActiveSlot({ lease, singleton, members }: Snapshot): number | undefined {
  const granted = lease?.ours === true ? [lease.holder, lease.move?.to ?? ''].map(podOf) : [];
  const told = [singleton.status?.active?.pod, singleton.status?.lastMove?.to];
  for (const pod of [...granted, ...told]) {
    const member = members.find((other) => other.pod === pod);
    const slot = member === undefined ? slotOnceHad(singleton, pod ?? '') : slotOf(member, singleton);
    if (slot !== undefined) return slot;
  }
  return undefined;
}

/** Of a pod that is gone: by its name, if the operator gave it; else as the status told. */
const slotOnceHad = ({ name, spec, status }: SingletonView, pod: string): number | undefined =>
  spec?.selector === undefined
    ? slotInName(name, pod)
    : [...(status?.members ?? []), status?.active].find((member) => member?.pod === pod)?.slot;
