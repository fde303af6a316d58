/**
 * `election.preemption: AfterStable`: a better candidate takes over from a fit active, by a planned move. Better is who is
 * preferred to the active by the user's own words, the preferences and the priorities. Who is merely older, or has another
 * slot, is not: that would move for nothing.
 *
 * How long it has been the better one is counted by the clock of this process. Another operator begins anew, which is
 * slower and safe.
 */
import { podOf } from './lease.ts';
import { rank } from './rank.ts';
import type { Rank } from './rank.ts';
import type { Instant, LeaseView, Member, Memory, Snapshot } from './snapshot.ts';
import type { Spec } from '../api/spec.ts';
import type { Wish } from './planned.ts';
import { willing } from './willing.ts';

export interface PreemptionQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly lease: LeaseView;
  readonly holder: Member;
  readonly now: Instant;
}

const isBetter = (a: Rank, b: Rank): boolean =>
  a.preference > b.preference || (a.preference === b.preference && a.priority > b.priority);

/** Those that may take over and are better than the holder, best first; nobody while the user does not want it. */
function betterThan(holder: Member, { snapshot, spec, now }: Omit<PreemptionQuestion, 'lease' | 'holder'>): Member[] {
  if (spec.election.preemption === 'Never') return [];
  const question = { snapshot, spec, now };
  const held = rank(holder, question);
  return willing(question).filter((member) => isBetter(rank(member, question), held));
}

/** One that was unready for a moment between two looks has had a break all the same. */
const standing = ({ uid, readySinceWallMs }: Member): string => `${uid} ${readySinceWallMs ?? 0}`;

/** Who is better than the holder, and since when without a break. From a new holder on all begins anew. */
export function betterSeen(question: PreemptionQuestion): Memory['better'] {
  const { snapshot, lease, holder, now } = question;
  const better = betterThan(holder, question);
  if (better.length === 0) return undefined;
  const old = snapshot.memory.better?.holder === lease.holder ? snapshot.memory.better.sinceMs : {};
  const sinceMs = better.map((member) => [standing(member), old[standing(member)] ?? now.monotonicMs] as const);
  return { holder: lease.holder, sinceMs: Object.fromEntries(sinceMs) };
}

/** Either the wish that is due, or when one will be; undefined: nobody is better. */
export function preemption(question: PreemptionQuestion): Wish | { readonly recheckAtMs: number } | undefined {
  const { snapshot, spec, lease, holder, now } = question;
  const { stableMs } = spec.election;
  const seen = betterSeen(question);
  if (seen === undefined) return undefined;
  const better = betterThan(holder, question);
  const dueAtMs = (member: Member): number => (seen.sinceMs[standing(member)] ?? now.monotonicMs) + stableMs;
  const stable = better.filter((member) => dueAtMs(member) <= now.monotonicMs);
  const [best] = stable;
  if (best === undefined) return { recheckAtMs: Math.min(...better.map(dueAtMs)) };
  const why = reasonWhy(rank(best, { snapshot, spec, now }), rank(holder, { snapshot, spec, now }));
  return {
    reason: 'Preempted',
    message: `pod ${best.pod} has been better than ${podOf(lease.holder)} for ${stableMs / 1000} s (${why})`,
    targets: stable,
  };
}

const reasonWhy = (best: Rank, held: Rank): string =>
  best.preference === held.preference
    ? `priority ${best.priority} instead of ${held.priority}`
    : `preferences ${best.preference} instead of ${held.preference}`;
