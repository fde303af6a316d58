/**
 * Moves that nobody is forced to make: the active is fit and had better hand over all the same. An ordered list of named
 * checks; the first that wishes for a move is the answer. What is forced (`neededMove`) always goes first.
 */
import type { Spec } from '../api/spec.ts';
import { avoidance, isOnDrainingNode } from './avoidance.ts';
import { candidates } from './candidates.ts';
import type { Need } from './move.ts';
import { preemption } from './preemption.ts';
import { rolloutStep } from './rollout.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';
import { requestedWish } from './switchover.ts';

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

/** A wish that is not due yet. Nothing waits that anybody would have to be told of; it is only looked at again then. */
export interface Later {
  readonly recheckAtMs: number;
}

type Check = (question: PlannedQuestion) => Wish | Later | undefined;

/** The move goes first, so that the drain has nothing left to wait for. */
const nodeDraining: Check = (question) => {
  const { snapshot, spec, holder, now } = question;
  if (!isOnDrainingNode(holder, snapshot)) return undefined;
  const node = holder.node ?? '';
  return {
    reason: 'NodeDraining',
    message: `node ${node} of the active pod ${holder.pod} is being drained (${snapshot.nodes[node]?.draining ?? ''})`,
    targets: candidates(snapshot, spec, now).filter((member) => mayBeDrainedTo(member, question)),
  };
};

/** Rather to one that has failed of late than to nobody: the drain goes on in any case. */
const mayBeDrainedTo = (member: Member, question: PlannedQuestion): boolean => {
  const avoided = avoidance(member, question);
  return avoided === undefined || avoided.name === 'Quarantined';
};

/** The standbys are updated: the last step of a rollout that a client could notice. */
const rollout: Check = ({ snapshot, spec, holder, now }) => {
  if (spec.paused) return undefined;
  const step = rolloutStep(snapshot, spec, now);
  if (step?.kind !== 'move') return undefined;
  const message = `the template has changed, and pod ${holder.pod} is of an older one`;
  return { reason: 'Rollout', message, targets: step.targets };
};

/** Not in the middle of a rollout, which would move back to a member of the present template. */
const preempted: Check = (question) => {
  const step = rolloutStep(question.snapshot, question.spec, question.now);
  return step === undefined || step.kind === 'stopped' ? preemption(question) : undefined;
};

const CHECKS: readonly Check[] = [requestedWish, nodeDraining, rollout, preempted];

export function plannedMove(question: PlannedQuestion): Wish | undefined {
  for (const check of CHECKS) {
    const wish = check(question);
    if (wish !== undefined && !isLater(wish)) return wish;
  }
  return undefined;
}

/** When the first of the wishes that are not due yet will be. */
export function plannedRecheckAtMs(question: PlannedQuestion): number | undefined {
  const later = CHECKS.map((check) => check(question)).filter((wish) => wish !== undefined && isLater(wish));
  return later.length === 0 ? undefined : Math.min(...later.map(({ recheckAtMs }) => recheckAtMs));
}

const isLater = (wish: Wish | Later): wish is Later => 'recheckAtMs' in wish;

export { willing } from './willing.ts';
