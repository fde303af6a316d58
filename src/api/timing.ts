/**
 * The times of mode `Agent`, all derived here from what the spec says, and the two sums that must hold between them.
 *
 * The agent counts `fenceDeadline` from *before* it sent the last renewal that succeeded; the operator counts the lease
 * duration from its own first sight of that renewal, so from later. Two clocks are never compared, only their rates
 * matter, and for those there is `clockRateMargin`. What is not guaranteed: a machine that is frozen as a whole wakes up
 * after any deadline; against that there is only the term, as a fencing token.
 */

export type Enforcement = 'Probe' | 'Signal' | 'Cooperative';

/** What the sums are made of, as `Spec` has it. */
export interface TimingInput {
  readonly leaseDurationMs: number;
  readonly renewIntervalMs: number;
  readonly stopGraceMs: number;
  readonly enforcement: Enforcement;
}

export interface Timing {
  /** An agent that could not renew for this long stops its workload. */
  readonly fenceDeadlineMs: number;
  /** By how much the operator's clock may run faster than the agent's during one lease. */
  readonly clockRateMarginMs: number;
  /** From the end of the grace until a workload that does not cooperate is dead, at worst. */
  readonly enforcementDelayMs: number;
}

/** Half of the lease is for renewing, half for stopping. (Divisors, so that the sums are exact in whole numbers.) */
const LEASE_PER_FENCE_DEADLINE = 2;

/** 5 %, a hundred times the 500 ppm at which NTP gives up on a clock: rates also differ while a machine is migrated. */
const LEASE_PER_CLOCK_RATE_MARGIN = 20;

/**
 * `Probe`: the probe runs once a second and may take a second to time out before the kubelet kills. `Signal`: the agent
 * itself kills. `Cooperative`: nobody does, so nothing is added (and nothing is promised).
 */
const ENFORCEMENT_DELAY_MS: Readonly<Record<Enforcement, number>> = {
  Probe: 2_000,
  Signal: 0,
  Cooperative: 0,
};

/** The derived times for a spec; all in and out in milliseconds. */
export const timingOf = (input: TimingInput): Timing => ({
  fenceDeadlineMs: input.leaseDurationMs / LEASE_PER_FENCE_DEADLINE,
  clockRateMarginMs: input.leaseDurationMs / LEASE_PER_CLOCK_RATE_MARGIN,
  enforcementDelayMs: ENFORCEMENT_DELAY_MS[input.enforcement],
});

const seconds = (ms: number): string => `${Number((ms / 1000).toFixed(3))} s`;

/** Two renewals must fit before the deadline, so that one lost request fences nobody. Undefined: it holds. */
export const renewalSumBroken = (input: TimingInput): string | undefined => {
  const { fenceDeadlineMs } = timingOf(input);
  if (input.renewIntervalMs * 2 < fenceDeadlineMs) return undefined;
  return (
    `twice the renew interval must be less than the fence deadline (half the lease duration): ` +
    `2 × ${seconds(input.renewIntervalMs)} = ${seconds(input.renewIntervalMs * 2)} is not less than ` +
    `${seconds(input.leaseDurationMs)} / 2 = ${seconds(fenceDeadlineMs)}`
  );
};

/** What must be less than the lease duration, with its parts. */
function expirySumOf(input: TimingInput): Timing & { readonly sumMs: number } {
  const { fenceDeadlineMs, clockRateMarginMs, enforcementDelayMs } = timingOf(input);
  const sumMs = fenceDeadlineMs + input.stopGraceMs + enforcementDelayMs + clockRateMarginMs;
  return { fenceDeadlineMs, clockRateMarginMs, enforcementDelayMs, sumMs };
}

/** The sum of a spec that holds, for people. */
export const expirySum = (input: TimingInput): string => {
  const { fenceDeadlineMs, clockRateMarginMs, enforcementDelayMs, sumMs } = expirySumOf(input);
  return (
    `fence deadline ${seconds(fenceDeadlineMs)} + stop grace ${seconds(input.stopGraceMs)} + enforcement ` +
    `(${input.enforcement}) ${seconds(enforcementDelayMs)} + clock rate margin ${seconds(clockRateMarginMs)} = ` +
    `${seconds(sumMs)}, less than the lease duration of ${seconds(input.leaseDurationMs)}`
  );
};

/**
 * `onApiLoss: Hold`: how long a standby promises not to become active. By whichever clock, whoever it was promised to is dead
 * by then, unless it was promised again.
 */
export const promiseMs = (input: TimingInput): number => expirySumOf(input).sumMs;

/** The old active must be dead before anybody may hold its lease for expired. Undefined: it holds. */
export const expirySumBroken = (input: TimingInput): string | undefined => {
  const { fenceDeadlineMs, clockRateMarginMs, enforcementDelayMs, sumMs } = expirySumOf(input);
  if (sumMs < input.leaseDurationMs) return undefined;
  return (
    `fence deadline + stop grace + enforcement (${input.enforcement}) + clock rate margin must be less than the lease ` +
    `duration: ${seconds(fenceDeadlineMs)} + ${seconds(input.stopGraceMs)} + ${seconds(enforcementDelayMs)} + ` +
    `${seconds(clockRateMarginMs)} = ${seconds(sumMs)} is not less than ${seconds(input.leaseDurationMs)}`
  );
};
