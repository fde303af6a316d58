/** Who may take over from a fit active. */
import type { Spec } from '../api/spec.ts';
import { isAvoided } from './avoidance.ts';
import { candidates } from './candidates.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export interface WillingQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly now: Instant;
}

/** The candidates without those that are only taken when nobody else is left: no reason to leave a fit active for them. */
export const willing = ({ snapshot, spec, now }: WillingQuestion): Member[] =>
  candidates(snapshot, spec, now).filter((member) => !isAvoided(member, { snapshot, spec, now }));
