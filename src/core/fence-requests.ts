/** What the agent asks of the API server, one request at a time: a renewal, a release, or to read what it has missed. */
import type { Sight } from './fence-lease.ts';
import { mayActivateAtMs, sentWith, setToWrite } from './fence-hold.ts';
import { heldTerm } from './fence-lease.ts';
import { isBeyondReach } from './fence-stop.ts';
import type { FenceAction, FenceState, Request, RequestKind } from './fence-types.ts';
import type { HoldSet } from './hold-set.ts';

/** Whether the term that is held will be released instead of renewed, as soon as the workload has stopped. */
export function givesUp(state: FenceState): boolean {
  const term = heldTerm(state.lease, state.rules.holder);
  if (term === undefined) return false;
  return state.leaving || state.givenUpTerm === term || state.lease.sight?.releaseRequested === term;
}

/** What there is to ask for, sooner or later. */
function wanted(state: FenceState, nowMs: number): RequestKind | undefined {
  const { workload } = state;
  if (state.mustRead) return 'read';
  const term = heldTerm(state.lease, state.rules.holder);
  if (term === undefined) return undefined;
  if (workload.kind === 'stopped') return givesUp(state) ? 'release' : 'renew';
  // While the old term's workload may still act, a new one is not begun: its Lease may as well expire.
  return workload.term === term && !isBeyondReach(state, nowMs) ? 'renew' : undefined;
}

/** A term that was never renewed is renewed at once, or when nothing that was promised stands against it. */
function dueAtMs(state: FenceState, kind: RequestKind): number {
  const { workload, retryAtMs, renewAtMs } = state;
  if (kind !== 'renew') return retryAtMs;
  return Math.max(retryAtMs, workload.kind === 'stopped' ? mayActivateAtMs(state) : renewAtMs);
}

export function sendDue(state: FenceState, nowMs: number): readonly [FenceState, readonly FenceAction[]] {
  const kind = wanted(state, nowMs);
  if (kind === undefined || isWaiting(state) || nowMs < dueAtMs(state, kind)) return [state, []];
  const { sight } = state.lease;
  const id = state.lastId + 1;
  const request: Request = { id, kind, term: sight?.term ?? 0, sentAtMs: nowMs, overdue: false };
  const requests = [...state.requests.filter((one) => isWorthWaiting(state, one, nowMs)), request];
  const holdSet = kind === 'renew' ? setToWrite(state) : undefined;
  const next = sentWith({ ...state, requests, lastId: id }, id, holdSet);
  return [next, [action(kind, id, sight, holdSet)]];
}

function action(kind: RequestKind, id: number, sight: Sight | undefined, holdSet: HoldSet | undefined): FenceAction {
  if (kind === 'read' || sight === undefined) return { kind: 'read', id };
  return { kind, id, lease: sight, ...(holdSet !== undefined && { holdSet }) };
}

const isWaiting = ({ requests }: FenceState): boolean => requests.some(({ overdue }) => !overdue);

/** An answer that comes after the deadline that it gives is worth nothing. */
const isWorthWaiting = ({ rules }: FenceState, { overdue, sentAtMs }: Request, nowMs: number): boolean =>
  !overdue || nowMs < sentAtMs + rules.fenceDeadlineMs;

/** When `sendDue` has something to do next; times that are over mean nothing. */
export function wakesForRequest(state: FenceState, nowMs: number): number[] {
  const kind = isWaiting(state) ? undefined : wanted(state, nowMs);
  return kind === undefined ? [] : [dueAtMs(state, kind)];
}
