/**
 * The agent of fencing mode `Agent`: `step(state, event, nowMs)` gives the next state and what to do, pure. What it is
 * given and what it answers: `FenceEvent`, `FenceAction`, `FenceState`, `Report` in fence-types.ts; the Lease: `Sight` in
 * fence-lease.ts; what is asked of the API server: fence-requests.ts; how a workload is stopped: fence-stop.ts.
 *
 * The promise: the workload acts only from an acknowledged renewal of its own term until (the time *before* that renewal
 * was sent) + fenceDeadline. From then on it is being stopped: it is told, its hook is called, and what does not
 * stop is stopped by `fencing.enforcement`. An answer that comes late counts from when its request was sent, so it may
 * be worth nothing. The Lease is released only after an acknowledged stop; else it expires.
 *
 * `onApiLoss: Hold` puts the deadline off without a renewal: fence-hold.ts.
 *
 * Not promised: that a frozen machine acts no more when it wakes up, for the time it takes to look at its clock.
 */
import type { TimingInput } from '../api/timing.ts';
import { promiseMs, timingOf } from '../api/timing.ts';
import {
  answerQuestion,
  askWhenDue,
  beginsToHold,
  mayActivateAtMs,
  promised,
  setConfirmed,
  startHold,
  wakesForHold,
} from './fence-hold.ts';
import { heldTerm, sees } from './fence-lease.ts';
import { givesUp, sendDue, wakesForRequest } from './fence-requests.ts';
import {
  acknowledged,
  answerProbe,
  callHookWhenDue,
  killWhenDue,
  stopped,
  stopping,
  wakesForStop,
} from './fence-stop.ts';
import type { FenceAction, FenceEvent, FenceRules, FenceState, Remembered, Report, StopReason } from './fence-types.ts';

/** A state, and what has to be done to get there, in this order. */
export type Step = readonly [FenceState, readonly FenceAction[]];

/** `holdAs`: the pod's UID; with it its agent knows `onApiLoss: Hold`. */
export type RulesInput = TimingInput &
  Pick<FenceRules, 'holder' | 'hooks' | 'containers'> & { readonly holdAs?: string | undefined };

/** Of what is left after a renewal's interval, two requests fit in before the deadline. */
export function fenceRules(input: RulesInput): FenceRules {
  const { fenceDeadlineMs } = timingOf(input);
  const { holder, hooks, containers, renewIntervalMs, stopGraceMs, enforcement, holdAs } = input;
  const requestDeadlineMs = (fenceDeadlineMs - renewIntervalMs) / 2;
  const retryMs = renewIntervalMs / 10;
  return {
    holder,
    hooks,
    containers,
    renewIntervalMs,
    fenceDeadlineMs,
    stopGraceMs,
    enforcement,
    requestDeadlineMs,
    retryMs,
    ...(holdAs !== undefined && { hold: { uid: holdAs, promiseMs: promiseMs(input) } }),
  };
}

/**
 * The state of a new process. Under an earlier one's term that is not over yet the workload goes on; where it is over,
 * nobody knows whether it was stopped.
 */
export function startFence(rules: FenceRules, remembered: Remembered | undefined, nowMs: number): FenceState {
  const before = remembered?.report;
  const { term = 0, sinceMs = nowMs, untilMs = 0 } = before ?? {};
  return {
    rules,
    lease: { sight: undefined, sightAtMs: -Infinity, highest: remembered?.highest ?? NO_TERM },
    workload:
      remembered?.mayAct !== true
        ? { kind: 'stopped' }
        : before?.active === true && nowMs < untilMs
          ? { kind: 'active', term, sinceMs, untilMs }
          : stopping({ term, untilMs }, 'Restarted', nowMs),
    requests: [],
    lastId: 0,
    renewAtMs: nowMs,
    retryAtMs: nowMs,
    mustRead: false,
    givenUpTerm: 0,
    leaving: false,
    hook: { inFlight: undefined, isDone: false, retryAtMs: nowMs },
    timerAtMs: undefined,
    told: {
      report: before ?? { active: false, term: 0, sinceMs: nowMs, untilMs: 0 },
      mayAct: remembered?.mayAct ?? false,
      highest: remembered?.highest ?? NO_TERM,
      ...(remembered?.promise !== undefined && { promise: remembered.promise }),
    },
    ...(rules.hold !== undefined && { hold: startHold(rules.hold, remembered, nowMs) }),
  };
}

const NO_TERM = { term: 0, holder: '' };

/** In this order: what is over is stopped before anything else is looked at. */
const PASSES = [stopWhenDue, killWhenDue, callHookWhenDue, sendDue, askWhenDue, exitWhenDone];

export function step(state: FenceState, event: FenceEvent, nowMs: number): Step {
  // A process that was frozen hears first of what has waited longest: whatever it is, it starts nothing that is over.
  let [next, actions] = hear(stopWhenDue(state, nowMs)[0], event, nowMs);
  for (const pass of PASSES) {
    const [after, more] = pass(next, nowMs);
    [next, actions] = [after, [...actions, ...more]];
  }
  const [told, publish] = tell(next, nowMs);
  const [armed, timer] = arm(told, nowMs);
  return [armed, [...publish, ...actions, ...timer]];
}

/** What an event changes by itself. */
function hear(state: FenceState, event: FenceEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'seen':
      return [{ ...state, lease: sees(state.lease, event.lease, nowMs, event.askedAtMs) }, []];
    case 'replied':
      return [replied(state, event, nowMs), []];
    case 'refused':
      return [{ ...without(state, event.id), mustRead: true }, []];
    case 'failed':
      return [{ ...without(state, event.id), retryAtMs: nowMs + state.rules.retryMs }, []];
    case 'unanswered':
      return [
        { ...state, requests: state.requests.map((one) => (one.id === event.id ? { ...one, overdue: true } : one)) },
        [],
      ];
    case 'hookAnswered':
    case 'hookFailed':
      return [hookEnded(state, event, nowMs), []];
    case 'acknowledged':
      return [event.term === workloadTerm(state) ? acknowledged(state) : state, []];
    case 'gone':
      return [gone(state, nowMs), []];
    case 'probed':
      return answerProbe(state, event.container, nowMs);
    case 'asked':
      return answerQuestion(state, event, nowMs);
    case 'promised':
      return [promised(state, event), []];
    case 'terminate':
      return [{ ...state, leaving: true }, []];
    case 'timer':
      return [{ ...state, timerAtMs: undefined }, []];
    default:
      return event satisfies never;
  }
}

const without = (state: FenceState, id: number): FenceState => ({
  ...state,
  requests: state.requests.filter((request) => request.id !== id),
});

function replied(state: FenceState, { id, lease }: FenceEvent & { kind: 'replied' }, nowMs: number): FenceState {
  const request = state.requests.find((one) => one.id === id);
  if (request === undefined) return state;
  const askedAtMs = request.kind === 'read' ? request.sentAtMs : undefined;
  const known = { ...without(state, id), lease: sees(state.lease, lease, nowMs, askedAtMs) };
  if (request.kind === 'read') return { ...known, mustRead: false };
  if (request.kind === 'release') return known;
  return renewed(setConfirmed(known, id), request.term, request.sentAtMs, nowMs);
}

/** A renewal was acknowledged: this is all that ever makes a workload active, and but for promises all that keeps it. */
function renewed(state: FenceState, term: number, sentAtMs: number, nowMs: number): FenceState {
  const { workload, rules } = state;
  const untilMs = sentAtMs + rules.fenceDeadlineMs;
  const next = { ...state, renewAtMs: Math.max(state.renewAtMs, sentAtMs + rules.renewIntervalMs) };
  if (nowMs >= untilMs || heldTerm(state.lease, rules.holder) !== term) return next;
  if (workload.kind !== 'stopped') {
    if (workload.term !== term) return next;
    return { ...next, workload: { ...workload, untilMs: Math.max(workload.untilMs, untilMs) } };
  }
  // A promise that was given while the renewal was on its way stands, too.
  if (givesUp(state) || nowMs < mayActivateAtMs(next)) return next;
  const hook = { ...state.hook, isDone: false, retryAtMs: nowMs };
  return beginsToHold({ ...next, hook, workload: { kind: 'active', term, sinceMs: nowMs, untilMs } });
}

function hookEnded(state: FenceState, { kind, hook }: FenceEvent & { hook: unknown }, nowMs: number): FenceState {
  const next = { ...state, hook: { ...state.hook, inFlight: undefined } };
  const isWanted = (state.workload.kind === 'active') === (hook === 'activate');
  if (!isWanted) return next;
  if (kind === 'hookFailed') return { ...next, hook: { ...next.hook, retryAtMs: nowMs + state.rules.retryMs } };
  if (hook === 'deactivate') return stopped(next);
  return { ...next, hook: { ...next.hook, isDone: true } };
}

/**
 * It cannot act any more. What ended by itself is not begun again here: another member is to take over. But a call that
 * tells it to act, and is on its way, may reach the process that comes next: then that one has to be stopped.
 */
function gone(state: FenceState, nowMs: number): FenceState {
  const { workload, hook } = state;
  if (workload.kind === 'stopped') return state;
  const mayBeTold = hook.inFlight === 'activate';
  if (workload.kind === 'stopping') return mayBeTold ? state : stopped(state);
  const given = { ...state, givenUpTerm: workload.term };
  if (!mayBeTold) return stopped(given);
  return { ...given, hook: { ...hook, isDone: false, retryAtMs: nowMs }, workload: stopping(workload, 'Gone', nowMs) };
}

const workloadTerm = ({ workload }: FenceState): number | undefined =>
  workload.kind === 'stopped' ? undefined : workload.term;

function stopWhenDue(state: FenceState, nowMs: number): Step {
  const { workload } = state;
  const reason = workload.kind === 'active' ? stopReason(state, workload, nowMs) : undefined;
  if (workload.kind !== 'active' || reason === undefined) return [state, []];
  const hook = { ...state.hook, isDone: false, retryAtMs: nowMs };
  return [{ ...state, hook, workload: stopping(workload, reason, nowMs) }, []];
}

function stopReason(
  { lease, rules, leaving }: FenceState,
  { term, untilMs }: { readonly term: number; readonly untilMs: number },
  nowMs: number,
): StopReason | undefined {
  const { sight } = lease;
  if (nowMs >= untilMs) return 'Deadline';
  if (leaving) return 'Leaving';
  // A Lease that is gone is made anew, and nobody else is granted until then or the deadline.
  if (sight === undefined) return undefined;
  if (sight.holder !== rules.holder) return 'Lost';
  if (heldTerm(lease, rules.holder) !== term) return 'Superseded';
  return sight.releaseRequested === term ? 'Requested' : undefined;
}

function exitWhenDone(state: FenceState): Step {
  const isDone = state.workload.kind === 'stopped' && heldTerm(state.lease, state.rules.holder) === undefined;
  return [state, state.leaving && isDone ? [{ kind: 'exit' }] : []];
}

function tell(state: FenceState, nowMs: number): Step {
  const { highest } = state.lease;
  const report = reportOf(state, nowMs);
  const mayAct = state.workload.kind !== 'stopped';
  const before = state.told;
  const promise = state.hold?.given;
  const isSame = report === before.report && mayAct === before.mayAct && highest === before.highest;
  if (isSame && promise === before.promise) return [state, []];
  const told = { report, mayAct, highest, ...(promise !== undefined && { promise }) };
  return [{ ...state, told }, [{ kind: 'publish', told }]];
}

function reportOf({ workload, told }: FenceState, nowMs: number): Report {
  const before = told.report;
  if (workload.kind === 'active') {
    const { term, sinceMs, untilMs } = workload;
    return before.active && before.untilMs === untilMs ? before : { active: true, term, sinceMs, untilMs };
  }
  return before.active ? { active: false, term: before.term, sinceMs: nowMs, untilMs: 0 } : before;
}

function arm(state: FenceState, nowMs: number): Step {
  const { workload } = state;
  const deadlines = workload.kind === 'active' ? [workload.untilMs] : [];
  const due = [...deadlines, ...wakesForStop(state), ...wakesForRequest(state, nowMs), ...wakesForHold(state)].filter(
    (atMs) => atMs > nowMs,
  );
  const atMs = due.length === 0 ? undefined : Math.min(...due);
  if (atMs === state.timerAtMs) return [state, []];
  return [{ ...state, timerAtMs: atMs }, [{ kind: 'setTimer', atMs }]];
}
