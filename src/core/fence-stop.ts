/**
 * How the agent stops its workload: it tells it, then it makes it stop.
 *
 * `Probe`: past the fence deadline the kubelet is told at once that the workload is not alive, since it leaves the
 * container a grace of its own, which is `stopGrace`. While the Lease is still held there is no hurry: only a workload
 * that has not stopped within `stopGrace` is reported. `Signal`: the agent kills `stopGrace` after it asked.
 */
import type { FenceAction, FenceState, Hook, StopReason, Workload } from './fence-types.ts';

/**
 * The kubelet probes once a second. What comes sooner after a failure was on its way before: of an agent that was frozen,
 * or of somebody else.
 */
const LEAST_RESTART_MS = 500;

type Stopping = Workload & { readonly kind: 'stopping' };
type Outcome = readonly [FenceState, readonly FenceAction[]];

export const stopping = (
  { term, untilMs }: { readonly term: number; readonly untilMs: number },
  reason: StopReason,
  nowMs: number,
): Stopping => ({
  kind: 'stopping',
  term,
  reason,
  askedAtMs: nowMs,
  untilMs,
  killed: false,
  failed: [],
  restarted: [],
});

/** It is known that the workload does not act. */
export const stopped = (state: FenceState): FenceState => ({ ...state, workload: { kind: 'stopped' } });

/** Its own word counts only where no hook has to be answered. */
export const acknowledged = (state: FenceState): FenceState =>
  state.workload.kind === 'stopping' && !state.rules.hooks.deactivate ? stopped(state) : state;

/** Asked to stop late (a process that was frozen), it has no grace left. */
const graceEndMs = ({ rules }: FenceState, { askedAtMs, untilMs }: Stopping): number =>
  Math.min(askedAtMs, untilMs) + rules.stopGraceMs;

/** The grace is over, or there is none: nothing holds the Lease for this workload any more. */
const mustFail = (state: FenceState, workload: Stopping, nowMs: number): boolean =>
  nowMs >= workload.untilMs || workload.reason === 'Lost' || nowMs >= graceEndMs(state, workload);

/** Whether the workload may go on for good, since nothing makes it stop. */
export const isBeyondReach = (state: FenceState, nowMs: number): boolean =>
  state.workload.kind === 'stopping' &&
  state.rules.enforcement === 'Cooperative' &&
  nowMs >= graceEndMs(state, state.workload);

/**
 * The kubelet stops probing a container whose probe failed until it has restarted it (with a failure threshold of 1): so
 * the next probe after a failure is of a new process, which was never told to act.
 */
export function answerProbe(state: FenceState, container: string, nowMs: number): Outcome {
  const { workload, rules } = state;
  const answer = (healthy: boolean): FenceAction[] => [{ kind: 'answerProbe', container, healthy }];
  if (rules.enforcement !== 'Probe' || workload.kind !== 'stopping') return [state, answer(true)];
  const failed = workload.failed.find((one) => one.container === container);
  if (failed !== undefined && nowMs >= failed.atMs + LEAST_RESTART_MS) {
    const restarted = [...new Set([...workload.restarted, container])];
    const awaited = [...rules.containers, ...workload.failed.map((one) => one.container)];
    const isAll = awaited.every((one) => restarted.includes(one));
    return [isAll ? stopped(state) : { ...state, workload: { ...workload, restarted } }, answer(true)];
  }
  if (failed !== undefined) return [state, answer(false)];
  if (!mustFail(state, workload, nowMs)) return [state, answer(true)];
  const next = { ...workload, failed: [...workload.failed, { container, atMs: nowMs }] };
  return [{ ...state, workload: next }, answer(false)];
}

export function killWhenDue(state: FenceState, nowMs: number): Outcome {
  const { workload, rules } = state;
  if (workload.kind !== 'stopping' || workload.killed || rules.enforcement !== 'Signal') return [state, []];
  if (nowMs < graceEndMs(state, workload)) return [state, []];
  return [{ ...state, workload: { ...workload, killed: true } }, [{ kind: 'kill' }]];
}

/** One call at a time, so that the workload hears them in their order. */
export function callHookWhenDue(state: FenceState, nowMs: number): Outcome {
  const { hook, workload, rules } = state;
  if (workload.kind === 'stopped') return [state, []];
  const wanted: Hook = workload.kind === 'active' ? 'activate' : 'deactivate';
  if (hook.inFlight !== undefined) return [state, hook.inFlight === wanted ? [] : [{ kind: 'abortHook' }]];
  if (!rules.hooks[wanted] || hook.isDone || nowMs < hook.retryAtMs) return [state, []];
  return [{ ...state, hook: { ...hook, inFlight: wanted } }, [{ kind: 'callHook', hook: wanted, term: workload.term }]];
}

/** When the passes above have something to do next; times that are over mean nothing. */
export function wakesForStop(state: FenceState): number[] {
  const { workload, hook } = state;
  if (workload.kind === 'stopped') return [];
  return workload.kind === 'active' ? [hook.retryAtMs] : [hook.retryAtMs, graceEndMs(state, workload)];
}
