/** Who may take over from a fit active. */
import { isAvoided } from './avoidance.ts';
import type { AvoidanceQuestion } from './avoidance.ts';
import { candidates } from './candidates.ts';
import type { Member } from './snapshot.ts';

/** The candidates without those that are only taken when nobody else is left: no reason to leave a fit active for them. */
export const willing = (question: AvoidanceQuestion): Member[] =>
  candidates(question.snapshot, question.spec, question.now).filter((member) => !isAvoided(member, question));
