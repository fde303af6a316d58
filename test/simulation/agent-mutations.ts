/**
 * The agent and the arithmetic of its times, broken in one place at a time (see mutations.ts). Each side of the timing
 * inequality is off by one term once.
 *
 * Not here, since nothing follows from it: a late answer that is taken although its deadline is over. The same step stops
 * the workload before anybody was told to begin. Nor a Lease that is not renewed while its workload stops without haste:
 * it expires, and the workload is dead before that; the release would only have been sooner.
 */
import type { Mutation } from './mutations.ts';

const FENCE = 'core/fence.ts';
const STOP = 'core/fence-stop.ts';
const REQUESTS = 'core/fence-requests.ts';
const LEASE = 'core/fence-lease.ts';
const TIMING = 'api/timing.ts';
/** A kubelet's part of the inequality, and the model's of the operator's. */
const KUBELET = '../test/simulation/agent-member.ts';
const OPERATOR = '../test/simulation/agent-operator.ts';

const agent = (mutation: Omit<Mutation, 'mode'>): Mutation => ({ ...mutation, mode: 'Agent' });

export const AGENT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'fence-from-the-answer',
    what: 'the deadline counts from when a renewal was answered, not from before it was sent',
    file: FENCE,
    find: 'const untilMs = sentAtMs + rules.fenceDeadlineMs;',
    replace: 'const untilMs = nowMs + rules.fenceDeadlineMs;',
  },
  {
    name: 'no-deadline',
    what: 'an agent that cannot renew goes on',
    file: FENCE,
    find: "if (nowMs >= untilMs) return 'Deadline';",
    replace: '',
  },
  {
    name: 'fence-later',
    what: 'the agent begins to stop later than the sum says',
    file: FENCE,
    find: 'const { fenceDeadlineMs } = timingOf(input);',
    replace: 'const fenceDeadlineMs = timingOf(input).fenceDeadlineMs * 1.1;',
  },
  {
    name: 'no-clock-rate-margin',
    what: 'clocks are taken to run at the same rate',
    file: TIMING,
    find: 'fenceDeadlineMs + input.stopGraceMs + enforcementDelayMs + clockRateMarginMs;',
    replace: 'fenceDeadlineMs + input.stopGraceMs + enforcementDelayMs;',
  },
  {
    name: 'no-grace-in-the-sum',
    what: 'a workload is taken to stop at once',
    file: TIMING,
    find: 'fenceDeadlineMs + input.stopGraceMs + enforcementDelayMs + clockRateMarginMs;',
    replace: 'fenceDeadlineMs + enforcementDelayMs + clockRateMarginMs;',
  },
  {
    name: 'no-enforcement-in-the-sum',
    what: 'a kubelet is taken to probe without a pause',
    file: TIMING,
    find: 'fenceDeadlineMs + input.stopGraceMs + enforcementDelayMs + clockRateMarginMs;',
    replace: 'fenceDeadlineMs + input.stopGraceMs + clockRateMarginMs;',
  },
  {
    name: 'grace-before-the-probe',
    what: "the kubelet is told only after the grace, though the container's own grace comes after that",
    file: STOP,
    find: "nowMs >= workload.untilMs || workload.reason === 'Lost' ||",
    replace: "workload.reason === 'Lost' ||",
  },
  {
    name: 'grace-after-a-freeze',
    what: 'an agent that was frozen through the deadline leaves its workload the whole grace again',
    file: STOP,
    find: 'Math.min(askedAtMs, untilMs) + rules.stopGraceMs;',
    replace: 'Math.max(askedAtMs, untilMs) + rules.stopGraceMs;',
  },
  {
    name: 'never-kill',
    what: 'a workload that does not stop is left alone',
    file: STOP,
    find: "workload.killed || rules.enforcement !== 'Signal') return",
    replace: "workload.killed || rules.enforcement === 'Signal') return",
  },
  {
    name: 'failed-probe-taken-for-the-stop',
    what: 'a workload counts as stopped when the kubelet is told to kill it',
    file: STOP,
    find: 'return [{ ...state, workload: next }, answer(false)];',
    replace: 'return [next.killed ? state : stopped(state), answer(false)];',
  },
  {
    name: 'release-before-the-stop',
    what: 'the Lease is released when a release is asked for',
    file: REQUESTS,
    find: "if (workload.kind === 'stopped') return givesUp(state) ? 'release' : 'renew';",
    replace: "if (workload.kind === 'stopped' || givesUp(state)) return givesUp(state) ? 'release' : 'renew';",
  },
  {
    name: 'unanswered-hook-taken-for-the-stop',
    what: 'a call of onDeactivate that failed counts as answered',
    file: FENCE,
    find: "if (kind === 'hookFailed') return",
    replace: "if (kind === 'hookFailed' && hook === 'activate') return",
  },
  {
    name: 'lost-answer-taken-for-a-yes',
    what: 'a renewal without an answer counts as acknowledged',
    file: FENCE,
    find: "case 'failed':\n",
    replace:
      "case 'failed':\n      if (state.requests.some(({ id, kind }) => id === event.id && kind === 'renew')) return [renewed(state, heldTerm(state.lease, state.rules.holder) ?? 0, nowMs, nowMs), []];\n",
  },
  {
    name: 'forget-the-process-before',
    what: 'a new process of the agent takes its workload for stopped',
    file: FENCE,
    find: 'remembered?.mayAct !== true',
    replace: '(true as boolean)',
  },
  {
    name: 'forget-a-stop-under-way',
    what: 'a new process of the agent takes a workload for stopped that the one before was stopping',
    file: FENCE,
    find: "const mayAct = state.workload.kind !== 'stopped';",
    replace: "const mayAct = state.workload.kind === 'active';",
  },
  {
    name: 'agent-writes-without-version',
    what: 'renewals and releases have no precondition',
    file: LEASE,
    find: 'metadata: { ...object.metadata, annotations:',
    replace: "metadata: { ...object.metadata, resourceVersion: '', annotations:",
  },
  {
    name: 'longer-grace-of-the-pod',
    what: 'a pod that is deleted is left longer than the sum says, and its kubelet does not probe it meanwhile',
    file: KUBELET,
    find: 'const graceMs = timing.stopGraceMs + timingOf(timing).enforcementDelayMs;',
    replace: 'const graceMs = 30_000;',
  },
  {
    name: 'operator-counts-from-the-grant',
    what: 'the operator does not begin anew when the Lease has changed',
    file: OPERATOR,
    find: 'if (this.#seen?.version !== version) this.#seen =',
    replace: 'if (this.#seen === undefined) this.#seen =',
  },
  {
    name: 'operator-waits-for-the-deadline-only',
    what: 'the operator takes a Lease for expired when its holder begins to stop',
    file: OPERATOR,
    find: 'nowMs >= this.#seen.atMs + leaseDurationMs;',
    replace: 'nowMs >= this.#seen.atMs + leaseDurationMs / 2;',
  },
  {
    name: 'operator-counts-from-before-its-last-look',
    what: 'the operator counts from its last look at what was there before',
    file: OPERATOR,
    find: 'this.#seen = { version, atMs: nowMs };',
    replace: 'this.#seen = { version, atMs: (this.#seen?.atMs ?? nowMs - 1_000) + 500 };',
  },
  {
    name: 'grant-on-suspicion',
    what: 'an unready holder is taken for stopped',
    file: OPERATOR,
    find: "if (holder?.status?.phase === 'Failed') return 'P2';",
    replace: "if (holder !== undefined && !isReady(holder)) return 'P2';",
  },
  {
    name: 'grant-when-gone-from-sight',
    what: 'a holder that has no pod any more is taken for stopped',
    file: OPERATOR,
    find: "if (holder?.status?.phase === 'Failed') return 'P2';",
    replace: "if (holder === undefined || holder.status?.phase === 'Failed') return 'P2';",
  },
].map(agent);
