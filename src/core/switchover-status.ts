/** What people are told of the last request for a switchover, and the events of it. */
import { EVENT } from '../api/names.ts';
import { toIso } from '../api/time.ts';
import type { Move, Status, SwitchoverStatus } from '../api/types.ts';
import { shortHash } from './hash.ts';
import { podOf } from './lease.ts';
import type { EventAction, Hold } from './plan.ts';
import { ourLease } from './situation.ts';
import type { Situation } from './situation.ts';
import type { Snapshot, SwitchoverRecord } from './snapshot.ts';
import { isVerified } from './switchover.ts';

type Outcome = Pick<SwitchoverStatus, 'outcome' | 'reason' | 'message'>;

/** Undefined: nobody ever asked. What was told as the end of a request stays told, until the next one. */
export function switchoverStatus({ snapshot, holds, now }: Situation): SwitchoverStatus | undefined {
  const before = snapshot.singleton.status?.switchover;
  const lease = ourLease(snapshot);
  if (lease === undefined) return before;
  const record = lease.switchover;
  const at = toIso(now.wallMs);
  if (record === undefined) return before?.outcome === 'Pending' ? { ...before, ...LOST, at } : before;
  const { request } = record;
  const requestedAt = toIso(record.acceptedWallMs);
  const isTold = before?.requestedAt === requestedAt && before.request === request;
  if (isTold && before.outcome !== 'Pending') return before;
  const outcome = outcomeOf(record, snapshot, holds);
  if (isTold && before.outcome === outcome.outcome && before.reason === outcome.reason) return before;
  return {
    request,
    ...outcome,
    ...(record.from !== '' && { from: podOf(record.from) }),
    ...(record.to !== undefined && { to: podOf(record.to) }),
    requestedAt,
    at,
  };
}

const LOST: Outcome = {
  outcome: 'RolledBack',
  reason: 'RequestLost',
  message: 'the Lease was lost, and what it said of this request with it; ask again',
};

function outcomeOf(record: SwitchoverRecord, snapshot: Snapshot, [hold]: readonly Hold[]): Outcome {
  const { state, reason, message } = record;
  switch (state) {
    case 'Pending':
      return { outcome: 'Pending', reason: hold?.name ?? reason, message: hold?.message ?? message };
    case 'Granted': {
      const to = podOf(record.to ?? '');
      return isVerified(record, snapshot)
        ? { outcome: 'Completed', reason, message: `pod ${to} is the active, Ready and routed` }
        : {
            outcome: 'Pending',
            reason: 'Verifying',
            message: `pod ${to} was granted, and is not Ready and routed yet`,
          };
    }
    case 'Completed':
    case 'RolledBack':
    case 'Refused':
      return { outcome: state, reason, message };
    default:
      return state satisfies never;
  }
}

const REASONS = {
  Completed: EVENT.switchoverCompleted,
  RolledBack: EVENT.switchoverRolledBack,
  Refused: EVENT.switchoverRefused,
} as const;

/** One when something is moved for the request, and one for its end. */
export function switchoverEvents(snapshot: Snapshot, before: Status | undefined, after: Status): EventAction[] {
  const [old, next] = [before?.switchover, after.switchover];
  if (next === undefined) return [];
  const isSame = old?.requestedAt === next.requestedAt && old.request === next.request;
  const tell = (reason: EventAction['reason'], type: EventAction['type'], message: string): EventAction => {
    const identity = shortHash([snapshot.singleton.uid, 'switchover', next.requestedAt, next.request, reason], 10);
    return { identity, reason, type, message };
  };
  const isNewlyMoved = next.to !== undefined && !(isSame && old.to !== undefined);
  const begun = isNewlyMoved
    ? [
        tell(
          EVENT.switchoverStarted,
          'Normal',
          `from ${next.from ?? 'nobody'} to ${next.to}, as ${next.request} asked for`,
        ),
      ]
    : [];
  if (next.outcome === 'Pending' || (isSame && old.outcome === next.outcome)) return begun;
  const type = next.outcome === 'Completed' ? 'Normal' : 'Warning';
  return [
    ...begun,
    tell(REASONS[next.outcome], type, `${messageOf(next, after.lastMove)} (requested: ${next.request})`),
  ];
}

function messageOf({ outcome, reason, message }: SwitchoverStatus, move: Move | undefined): string {
  if (outcome !== 'Completed' || reason !== 'Requested' || move?.reason !== 'Requested') return message;
  const took = move.milliseconds === undefined ? '' : `, ${move.milliseconds} ms after it was taken up`;
  return `moved from ${move.from ?? 'nobody'} to ${move.to} with term ${move.term}${took}`;
}

/** Moves that `switchoverEvents` tells of. */
export const isToldAsSwitchover = ({ reason }: Move): boolean =>
  reason === 'Requested' || reason === 'SwitchoverRolledBack';
