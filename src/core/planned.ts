/**
 * Moves that nobody is forced to make: the active is fit and had better hand over all the same. An ordered list of named
 * checks; the first that wishes for a move is the answer. What is forced (`neededMove`) always goes first.
 */
import type { Spec } from '../api/spec.ts';
import { isAvoided, isOnDrainingNode } from './avoidance.ts';
import { candidates } from './candidates.ts';
import type { Need } from './move.ts';
import { rolloutStep } from './rollout.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

export interface PlannedQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly lease: LeaseView;
  /** Fit to be the active. */
  readonly holder: Member;
  readonly now: Instant;
}

export interface Wish {
  readonly reason: Need['reason'];
  /** A sentence for people: why the active had better hand over. */
  readonly message: string;
  /** Who may take over, best first. Nobody: the wish is told, and waits. */
  readonly targets: readonly Member[];
}

type Check = (question: PlannedQuestion) => Wish | undefined;

/** The move goes first, so that the drain has nothing left to wait for. */
const nodeDraining: Check = (question) => {
  const { snapshot, holder } = question;
  if (!isOnDrainingNode(holder, snapshot)) return undefined;
  const node = holder.node ?? '';
  return {
    reason: 'NodeDraining',
    message: `node ${node} of the active pod ${holder.pod} is being drained (${snapshot.nodes[node]?.draining ?? ''})`,
    targets: willing(question),
  };
};

/** The standbys are updated: the last step of a rollout that a client could notice. */
const rollout: Check = ({ snapshot, spec, holder, now }) => {
  if (spec.paused) return undefined;
  const step = rolloutStep(snapshot, spec, now);
  if (step?.kind !== 'move') return undefined;
  const message = `the template has changed, and pod ${holder.pod} is of an older one`;
  return { reason: 'Rollout', message, targets: step.targets };
};

const CHECKS: readonly Check[] = [nodeDraining, rollout];

export function plannedMove(question: PlannedQuestion): Wish | undefined {
  for (const check of CHECKS) {
    const wish = check(question);
    if (wish !== undefined) return wish;
  }
  return undefined;
}

/** The candidates without those that are only taken when nobody else is left: no reason to leave a fit active for them. */
export const willing = ({ snapshot, spec, now }: PlannedQuestion): Member[] =>
  candidates(snapshot, spec, now).filter((member) => !isAvoided(member, { snapshot, spec, now }));
