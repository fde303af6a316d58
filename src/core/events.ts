/** The events that a new status gives reason for: told on transitions, once each, whatever is sent again after a crash. */
import { CONDITION, EVENT } from '../api/names.ts';
import type { ConditionType } from '../api/names.ts';
import type { Move, Status } from '../api/types.ts';
import type { Verdict } from './conditions.ts';
import { shortHash } from './hash.ts';
import type { EventAction } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

export function eventsBetween(snapshot: Snapshot, before: Status | undefined, after: Status): EventAction[] {
  const events: EventAction[] = [];
  const move = after.lastMove;
  if (move !== undefined && move.term !== before?.lastMove?.term) events.push(moveEvent(snapshot, move));
  const turned = (type: ConditionType): Verdict | undefined => transition(type, before, after);
  const rejected = turned(CONDITION.specAccepted);
  if (rejected?.[0] === 'False') events.push(conditionEvent(snapshot, EVENT.specRejected, 'Warning', rejected[2]));
  const paused = turned(CONDITION.paused);
  if (paused?.[0] === 'True') events.push(conditionEvent(snapshot, EVENT.paused, 'Normal', paused[2]));
  if (paused?.[0] === 'False' && before?.conditions !== undefined) {
    events.push(
      conditionEvent(snapshot, EVENT.resumed, 'Normal', 'spec.paused is false again: moves and pod changes go on'),
    );
  }
  const blocked = turned(CONDITION.blocked);
  if (blocked?.[0] === 'True' && after.lastMove !== undefined) {
    const reason = blocked[1] === 'UnreadyGrace' ? EVENT.failoverStarted : EVENT.moveBlocked;
    events.push(conditionEvent(snapshot, reason, 'Warning', blocked[2]));
  }
  return events;
}

/** What a condition turned into; undefined when it says what it said. A rejected spec that changes is a new rejection. */
function transition(type: ConditionType, before: Status | undefined, after: Status): Verdict | undefined {
  const old = before?.conditions?.find((condition) => condition.type === type);
  const next = after.conditions?.find((condition) => condition.type === type);
  if (next === undefined) return undefined;
  const sameMessage = type !== CONDITION.specAccepted || old?.message === next.message;
  if (old?.status === next.status && sameMessage) return undefined;
  return [next.status === 'True' ? 'True' : 'False', next.reason ?? '', next.message ?? ''];
}

const conditionEvent = (
  snapshot: Snapshot,
  reason: EventAction['reason'],
  type: EventAction['type'],
  message: string,
): EventAction => ({
  // The stored status names the moment before the change: sent again after a crash, it is the same event.
  identity: shortHash([snapshot.singleton.uid, reason, message, snapshot.singleton.resourceVersion], 10),
  reason,
  type,
  message,
});

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
