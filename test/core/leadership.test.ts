import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  electionTimes,
  nextStep,
  notLeading,
  parseStopsAfter,
  sees,
  stopsAfterText,
} from '../../src/core/leadership.ts';
import type { ElectionState, LeaderLease } from '../../src/core/leadership.ts';

const times = electionTimes(3_000);
const lease = (holder: string, resourceVersion = '1', durationMs = 3_000): LeaderLease => ({
  holder,
  resourceVersion,
  durationMs,
});
const leading = (renewedAtMs: number, resourceVersion = '1'): ElectionState => ({
  lease: lease('me', resourceVersion),
  seenAtMs: renewedAtMs,
  renewedAtMs,
});

describe('one step of the election of the leader', () => {
  test.each([
    ['takes a Lease that does not exist', notLeading, 0, { kind: 'claim', expect: undefined }],
    ['takes a Lease that was released', sees(notLeading, lease(''), 0), 0, { kind: 'claim', expect: '1' }],
    [
      'waits for the whole duration since first sight',
      sees(notLeading, lease('other'), 100),
      200,
      { kind: 'wait', untilMs: 3_100 },
    ],
    [
      'takes a Lease seen unchanged for its duration',
      sees(notLeading, lease('other'), 100),
      3_100,
      { kind: 'claim', expect: '1' },
    ],
    [
      'waits for as long as the holder promised, if that is longer',
      sees(notLeading, lease('other', '1', 15_000), 0),
      3_000,
      { kind: 'wait', untilMs: 15_000 },
    ],
    [
      'takes it sooner from a holder that says when it stops, and not before',
      sees(notLeading, { ...lease('other'), stopsAfterMs: 2_000 }, 0),
      2_749,
      { kind: 'wait', untilMs: 2_750 },
    ],
    [
      'waits for the whole lease of a holder that says it stops only after it',
      sees(notLeading, { ...lease('other'), stopsAfterMs: 9_000 }, 0),
      2_999,
      { kind: 'wait', untilMs: 3_000 },
    ],
    ['a leader waits until the next renewal', leading(0), 10, { kind: 'wait', untilMs: 1_000 }],
    ['a leader renews', leading(0), 1_000, { kind: 'claim', expect: '1' }],
    ['a leader that could not renew steps down', leading(0), 2_000, { kind: 'stepDown' }],
    [
      'a leader whose Lease somebody took steps down',
      sees(leading(0), lease('other', '2'), 5),
      10,
      { kind: 'stepDown' },
    ],
  ] as const)('%s', (_name, state, nowMs, step) => {
    expect(nextStep(state, 'me', times, nowMs)).toEqual(step);
  });

  test('a Lease that looks the same keeps the time of its first sight', () => {
    const once = sees(notLeading, lease('other'), 100);
    expect(sees(once, lease('other'), 2_000)).toBe(once);
    expect(sees(once, lease('other', '2'), 2_000).seenAtMs).toBe(2_000);
  });

  test.each([
    ['a_1 2000ms', 'a_1', 2_000],
    ['a_1 2000ms', 'b_2', undefined],
    ['a_1 soon', 'a_1', undefined],
    [' 2000ms', '', undefined],
    [undefined, 'a_1', undefined],
  ])('that %j is said of %j means %j', (text, holder, ms) => {
    expect(parseStopsAfter(text, holder)).toBe(ms);
  });

  test('what a holder says of itself is read back', () => {
    expect(parseStopsAfter(stopsAfterText('host_1 2', 2_000.5), 'host_1 2')).toBe(2_001);
  });

  test('a lease too short to survive a failed renewal is refused', () => {
    expect(() => electionTimes(500)).toThrow(/at least 1 s/);
  });
});

interface Replica {
  readonly name: string;
  /** Of its clock, against true time. */
  readonly rate: number;
  state: ElectionState;
  /** A claim on its way: it lands, then its answer comes. */
  claim:
    | { expect: string | undefined; sentAtMs: number; landsAt: number; answeredAt: number; landed?: LeaderLease }
    | undefined;
  asleepUntil: number;
}

/** What the run is made of; every number is drawn by fast-check. */
interface Weather {
  readonly delays: readonly number[];
  readonly naps: readonly number[];
  readonly rates: readonly number[];
}

/** Replicas against one Lease with compare-and-swap, in true milliseconds. Returns the moments with two leaders. */
function runElection({ delays, naps, rates }: Weather): number[] {
  let version = 1;
  let stored: LeaderLease | undefined;
  let drawn = 0;
  const draw = (from: readonly number[]): number => from[drawn++ % from.length] ?? 0;
  const replicas: Replica[] = rates.map((rate, index) => ({
    name: `r${index}`,
    rate,
    state: notLeading,
    claim: undefined,
    asleepUntil: 0,
  }));
  const violations: number[] = [];
  for (let now = 0; now < 30_000; now += 10) {
    for (const replica of replicas) {
      const localMs = now * replica.rate;
      const { claim } = replica;
      if (claim !== undefined && claim.landsAt <= now && claim.landed === undefined && claim.landsAt > now - 10) {
        if (stored?.resourceVersion === claim.expect) {
          stored = { ...lease(replica.name, String(++version)), stopsAfterMs: times.renewDeadlineMs };
          claim.landed = stored;
        }
      }
      if (now < replica.asleepUntil) continue;
      if (claim !== undefined) {
        const wasLeading = replica.state.renewedAtMs;
        const endMs = (wasLeading ?? claim.sentAtMs) + times.renewDeadlineMs;
        if (claim.answeredAt <= now || localMs >= endMs) {
          replica.claim = undefined;
          if (claim.landed !== undefined && claim.answeredAt <= now && localMs < endMs) {
            replica.state = { lease: claim.landed, seenAtMs: localMs, renewedAtMs: claim.sentAtMs };
          }
        }
        if (replica.claim !== undefined) continue;
      }
      replica.state = sees(replica.state, stored, localMs);
      const step = nextStep(replica.state, replica.name, times, localMs);
      if (step.kind === 'stepDown') replica.state = { ...replica.state, renewedAtMs: undefined };
      if (step.kind === 'claim') {
        const landsAt = now + 10 + draw(delays);
        replica.claim = {
          expect: step.expect,
          sentAtMs: localMs,
          landsAt: Math.ceil(landsAt / 10) * 10,
          answeredAt: landsAt + draw(delays),
        };
      }
      if (draw(naps) > 0) replica.asleepUntil = now + draw(naps);
    }
    // A replica that is asleep writes nothing; when it wakes, it looks at its clock before anything else.
    const leaders = replicas.filter((replica) => {
      const { renewedAtMs } = replica.state;
      return (
        renewedAtMs !== undefined &&
        now >= replica.asleepUntil &&
        now * replica.rate < renewedAtMs + times.renewDeadlineMs
      );
    });
    if (leaders.length > 1) violations.push(now);
  }
  return violations;
}

test('no two replicas lead at once, whatever the delays, naps and clock rates within 1 %', () => {
  const weather = fc.record({
    delays: fc.array(fc.nat(2_500), { minLength: 1, maxLength: 20 }),
    naps: fc.array(fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(6_000) }), {
      minLength: 1,
      maxLength: 30,
    }),
    rates: fc.array(fc.double({ min: 0.99, max: 1.01, noNaN: true }), { minLength: 2, maxLength: 3 }),
  });
  const noTwoLead = (drawn: Weather): void => {
    expect(runElection(drawn)).toEqual([]);
  };
  fc.assert(fc.property(weather, noTwoLead), { numRuns: 300 });
});
