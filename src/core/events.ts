/** The events that a new status gives reason for: told on transitions, once each, whatever is sent again after a crash. */
import { CONDITION, EVENT } from '../api/names.ts';
import type { ConditionType } from '../api/names.ts';
import type { Move, Status } from '../api/types.ts';
import type { Verdict } from './conditions.ts';
import { shortHash } from './hash.ts';
import type { EventAction } from './plan.ts';
import type { Snapshot } from './snapshot.ts';
import { isToldAsSwitchover, switchoverEvents } from './switchover-status.ts';

export function eventsBetween(snapshot: Snapshot, before: Status | undefined, after: Status): EventAction[] {
  const events: EventAction[] = [];
  const move = after.lastMove;
  const isNew = move !== undefined && move.term !== before?.lastMove?.term;
  if (isNew && !isToldAsSwitchover(move)) events.push(moveEvent(snapshot, move));
  events.push(...switchoverEvents(snapshot, before, after));
  const turned = (type: ConditionType): Verdict | undefined => transition(type, before, after);
  const tell = (condition: ConditionType, event: Omit<EventAction, 'identity'>): void => {
    events.push({ ...event, identity: identityOf(snapshot, condition, event) });
  };
  const rejected = turned(CONDITION.specAccepted);
  if (rejected?.[0] === 'False') {
    tell(CONDITION.specAccepted, { reason: EVENT.specRejected, type: 'Warning', message: rejected[2] });
  }
  const paused = turned(CONDITION.paused);
  if (paused?.[0] === 'True') tell(CONDITION.paused, { reason: EVENT.paused, type: 'Normal', message: paused[2] });
  if (paused?.[0] === 'False' && before?.conditions !== undefined) {
    const message = 'spec.paused is false again: moves and pod changes go on';
    tell(CONDITION.paused, { reason: EVENT.resumed, type: 'Normal', message });
  }
  const blocked = turned(CONDITION.blocked);
  if (blocked?.[0] === 'True' && after.lastMove !== undefined) {
    const isGrace = blocked[1] === 'UnreadyGrace' || blocked[1] === 'NodeLossGrace';
    const reason = isGrace ? EVENT.failoverStarted : EVENT.moveBlocked;
    tell(CONDITION.blocked, { reason, type: 'Warning', message: blocked[2] });
  }
  return [...events, ...quarantines(snapshot, before, after)];
}

/** One for each member that the status says to be in quarantine for the first time. */
function quarantines({ singleton }: Snapshot, before: Status | undefined, after: Status): EventAction[] {
  const inQuarantine = (status: Status | undefined): string[] =>
    (status?.members ?? []).filter(({ reason }) => reason === 'Quarantined').map(({ pod }) => pod);
  const known = inQuarantine(before);
  const spec = singleton.spec?.failover.quarantine;
  if (spec === undefined) return [];
  const { failures, windowMs, durationMs } = spec;
  return inQuarantine(after)
    .filter((pod) => !known.includes(pod))
    .map((pod) => ({
      identity: shortHash([singleton.uid, EVENT.memberQuarantined, pod, after.term], 10),
      reason: EVENT.memberQuarantined,
      type: 'Warning',
      message:
        `${pod} failed as the active ${failures} times within ${windowMs / 1000} s and is no candidate for ` +
        `${durationMs / 1000} s, unless nobody else is left`,
    }));
}

/**
 * What a condition turned into; undefined when it says what it said. A rejected spec that changes is a new rejection, and
 * what a pause keeps from being done may become worse: an active that was unready is gone.
 */
function transition(type: ConditionType, before: Status | undefined, after: Status): Verdict | undefined {
  const old = before?.conditions?.find((condition) => condition.type === type);
  const next = after.conditions?.find((condition) => condition.type === type);
  if (next === undefined) return undefined;
  const isRetold = type === CONDITION.specAccepted || (type === CONDITION.blocked && next.reason === 'Paused');
  const sameMessage = !isRetold || old?.message === next.message;
  if (old?.status === next.status && sameMessage) return undefined;
  return [next.status === 'True' ? 'True' : 'False', next.reason ?? '', next.message ?? ''];
}

/**
 * Since when the condition is what it turns away from names the turn: told again, after a crash or because somebody else
 * wrote the object meanwhile, it is the same event.
 */
function identityOf({ singleton }: Snapshot, type: ConditionType, event: Omit<EventAction, 'identity'>): string {
  const since = singleton.status?.conditions?.find((condition) => condition.type === type)?.lastTransitionTime;
  return shortHash([singleton.uid, event.reason, event.message, singleton.generation, since], 10);
}

function moveEvent(snapshot: Snapshot, move: Move): EventAction {
  const identity = shortHash([snapshot.singleton.uid, 'move', move.term], 10);
  if (move.kind === 'Initial') {
    return {
      identity,
      reason: EVENT.granted,
      type: 'Normal',
      message: `pod ${move.to} is active with term ${move.term}`,
    };
  }
  const [reason, type] =
    move.kind === 'Failover'
      ? ([EVENT.failoverCompleted, 'Warning'] as const)
      : ([EVENT.switchoverCompleted, 'Normal'] as const);
  const took = move.milliseconds === undefined ? '' : `, ${move.milliseconds} ms after it was noticed`;
  const from = move.from === undefined ? '' : ` from ${move.from}`;
  return {
    identity,
    reason,
    type,
    message: `moved${from} to ${move.to} with term ${move.term}${took}: ${move.message}`,
  };
}
