/** What people are told of a rollout, in the words of `kubectl rollout status`. */
import type { Spec } from '../api/spec.ts';
import { templateRevision } from './objects.ts';
import { fillingMembers, isOutdated } from './revision.ts';
import { rolloutStep } from './rollout.ts';
import type { RolloutStep } from './rollout.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export type RolloutVerdict = readonly [status: 'True' | 'False', reason: string, message: string];

/** Undefined: all members are of the present template, or there is none. */
export function rolloutVerdict(snapshot: Snapshot, now: Instant): RolloutVerdict | undefined {
  const { spec } = snapshot.singleton;
  if (spec === undefined) return undefined;
  const step = rolloutStep(snapshot, spec, now);
  if (step === undefined) return undefined;
  const updated = `${updatedSlots(snapshot, spec, now)} of ${spec.replicas} members are updated`;
  const tell = (status: 'True' | 'False', reason: string, what: string): RolloutVerdict => [
    status,
    reason,
    `${updated}; ${what}`,
  ];
  if (spec.paused) return tell('False', 'RolloutPaused', 'spec.paused is true');
  const refusal = refusalOf(snapshot, spec);
  if (refusal !== undefined) return tell('False', 'RolloutStalled', `the API server refuses the template: ${refusal}`);
  if (step.kind === 'stopped') return tell('False', 'RolloutFailed', failure(step.revision));
  if (step.kind === 'soak' && isStalled(step.member, snapshot, spec, now))
    return tell('False', 'RolloutStalled', `${step.member.pod} does not become Ready${because(step.member)}`);
  if (step.kind === 'awaitSwitchover') {
    const pods = step.targets.map(({ pod }) => pod).join(', ');
    const what = `waiting for a requested switchover to ${pods} (update.switchover is Manual)`;
    return tell('True', 'WaitingForSwitchover', what);
  }
  return tell('True', 'RollingOut', describeStep(step, snapshot, spec));
}

const failure = (revision: string): string =>
  `the new version (revision ${revision}) failed as the active within update.minReadySeconds, so no more members are ` +
  'replaced by it; change the template to go on';

/** Slots that have an updated member and no older one. */
function updatedSlots(snapshot: Snapshot, spec: Spec, now: Instant): number {
  const filling = fillingMembers(snapshot, spec, now);
  const slots = (members: readonly Member[]) => new Set(members.map((member) => slotOf(member, snapshot.singleton)));
  const old = slots(filling.filter((member) => isOutdated(member, spec)));
  return [...slots(filling)].filter((slot) => !old.has(slot)).length;
}

function refusalOf({ memory: { template } }: Snapshot, spec: Spec): string | undefined {
  return template?.revision === templateRevision(spec) ? template.refusal : undefined;
}

/** What was told once holds until the member is Ready: an operator that has just started has seen it for no time. */
function isStalled(member: Member, { memory, singleton }: Snapshot, spec: Spec, now: Instant): boolean {
  if (member.ready) return false;
  const told = singleton.status?.conditions?.find(({ reason }) => reason === 'RolloutStalled');
  if (told?.message?.includes(member.pod) === true) return true;
  const sinceMs = memory.sights[member.uid]?.sinceMs ?? now.monotonicMs;
  return now.monotonicMs >= sinceMs + spec.update.progressDeadlineMs;
}

function because({ waiting, crash }: Member): string {
  const why = waiting ?? crash;
  return why === undefined ? '' : ` (${why})`;
}

function describeStep(step: Exclude<RolloutStep, { kind: 'stopped' }>, snapshot: Snapshot, spec: Spec): string {
  const seconds = `for ${spec.update.minReadyMs / 1000} s`;
  switch (step.kind) {
    case 'soak':
      return step.as === 'active'
        ? `waiting for the new active ${step.member.pod} to stay Ready ${seconds}`
        : `waiting for ${step.member.pod} to be Ready ${seconds}${because(step.member)}`;
    case 'fill':
      return `slot ${step.slot} gets a member first`;
    case 'surge':
      return `${step.old.pod} is to be replaced`;
    case 'replace':
      return step.successor === undefined
        ? `${step.old.pod} makes room for its successor`
        : `${step.successor.pod} replaces ${step.old.pod}`;
    case 'move':
    case 'awaitSwitchover':
      return `the active moves to ${step.targets[0]?.pod ?? snapshot.singleton.name}`;
    default:
      return step satisfies never;
  }
}
