/**
 * Which operator replica leads: the steps of one replica's election, pure. After client-go's leaderelection, with the
 * same Lease fields, so that either sees the other as one of its own kind.
 *
 * Time is only ever this process's monotonic clock: a leader counts from before it sent the renewal that succeeded, a
 * standby from when it first saw the Lease unchanged. So the leader stops first, whatever their clocks show.
 *
 * Not guaranteed: that a leader which is frozen between two instructions writes nothing when it wakes up. Every write is
 * a compare-and-swap for that reason.
 */

export interface ElectionTimes {
  readonly leaseDurationMs: number;
  /** How often a leader renews. */
  readonly renewIntervalMs: number;
  /** A leader that could not renew for this long stops leading. */
  readonly renewDeadlineMs: number;
}

/**
 * A third of the lease for renewing, two thirds for trying. Throws for a lease so short that no renewal could fail
 * without losing the lead.
 */
export function electionTimes(leaseDurationMs: number): ElectionTimes {
  if (leaseDurationMs < 1_000) throw new RangeError(`a leader lease must last at least 1 s, is ${leaseDurationMs} ms`);
  return { leaseDurationMs, renewIntervalMs: leaseDurationMs / 3, renewDeadlineMs: (leaseDurationMs * 2) / 3 };
}

/** The Lease, as it was seen last. */
export interface LeaderLease {
  readonly holder: string;
  readonly resourceVersion: string;
  /** What its holder promised. */
  readonly durationMs: number;
  /** Its holder writes nothing any more so long after its last renewal; undefined when it did not say. */
  readonly stopsAfterMs?: number | undefined;
}

export interface ElectionState {
  readonly lease: LeaderLease | undefined;
  /** First sight of `lease` as it is. */
  readonly seenAtMs: number;
  /** While leading: before the last renewal that succeeded was sent. */
  readonly renewedAtMs: number | undefined;
}

export const notLeading: ElectionState = { lease: undefined, seenAtMs: 0, renewedAtMs: undefined };

export type ElectionStep =
  /** Write the Lease with our name: to take it, or to renew it. */
  | { readonly kind: 'claim'; readonly expect: string | undefined }
  /** We may no longer lead. */
  | { readonly kind: 'stepDown' }
  | { readonly kind: 'wait'; readonly untilMs: number };

/** A Lease that looks the same keeps the time of its first sight. */
export function sees(state: ElectionState, lease: LeaderLease | undefined, nowMs: number): ElectionState {
  if (state.lease?.resourceVersion === lease?.resourceVersion) return state;
  return { ...state, lease, seenAtMs: nowMs };
}

export function nextStep(state: ElectionState, identity: string, times: ElectionTimes, nowMs: number): ElectionStep {
  const { lease, renewedAtMs, seenAtMs } = state;
  const isOurs = lease?.holder === identity;
  if (renewedAtMs !== undefined) {
    if (!isOurs || nowMs >= renewedAtMs + times.renewDeadlineMs) return { kind: 'stepDown' };
    const dueAtMs = renewedAtMs + times.renewIntervalMs;
    return nowMs >= dueAtMs ? { kind: 'claim', expect: lease.resourceVersion } : { kind: 'wait', untilMs: dueAtMs };
  }
  if (lease === undefined || lease.holder === '' || isOurs) return { kind: 'claim', expect: lease?.resourceVersion };
  const expiresAtMs = seenAtMs + patienceMs(lease, times);
  return nowMs >= expiresAtMs
    ? { kind: 'claim', expect: lease.resourceVersion }
    : { kind: 'wait', untilMs: expiresAtMs };
}

/**
 * How long a Lease must have been seen unchanged before somebody else may take it. Of a holder that says when it stops,
 * three quarters of the way from there to the end of its lease: the write that takes it then lands before that end, and a
 * crashed leader is replaced within the lease's duration, not just after it.
 */
function patienceMs({ durationMs, stopsAfterMs }: LeaderLease, times: ElectionTimes): number {
  const wholeMs = Math.max(durationMs, times.leaseDurationMs);
  if (stopsAfterMs === undefined || stopsAfterMs >= durationMs) return wholeMs;
  return stopsAfterMs + (durationMs - stopsAfterMs) * 0.75;
}

/** As the annotation `stops-after` says it: with the holder, so that it says nothing of one that knows no such annotation. */
export const stopsAfterText = (holder: string, ms: number): string => `${holder} ${Math.ceil(ms)}ms`;

/** Undefined when the text is of another holder, or none of ours. */
export function parseStopsAfter(text = '', holder: string): number | undefined {
  if (holder === '' || !text.startsWith(holder)) return undefined;
  const rest = text.slice(holder.length);
  return /^ \d+ms$/.test(rest) ? Number(rest.slice(1, -2)) : undefined;
}
