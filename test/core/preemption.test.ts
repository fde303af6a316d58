import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { plannedMove, plannedRecheckAtMs } from '../../src/core/planned.ts';
import type { PlannedQuestion } from '../../src/core/planned.ts';
import { afterLooking } from '../../src/operator/memory.ts';
import { at, aSpec, aSteadyState } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const ZONE_A = [{ weight: 10, preference: { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] } }];
const STABLE = { preemption: 'AfterStable', stableSeconds: 60 };

const spec = (election: object) => aSpec({ election });
const preferring = (election: object = STABLE): SnapshotBuilder =>
  aSteadyState()
    .changingSpec(spec({ preferences: ZONE_A, ...election }))
    .node('node-1', { labels: { zone: 'a' } });

/** Looks at each of the moments in turn, as one operator does, and asks at the last. */
function questionAfter(looks: readonly (readonly [number, SnapshotBuilder])[]): PlannedQuestion {
  let { memory } = aSteadyState().build();
  let question: PlannedQuestion | undefined;
  for (const [ms, builder] of looks) {
    const seen = { ...builder.build(), memory };
    memory = afterLooking(seen, at(ms));
    const snapshot = { ...seen, memory };
    const [lease, holder, wanted] = [snapshot.lease, snapshot.members[0], snapshot.singleton.spec];
    if (lease === undefined || holder === undefined || wanted === undefined) throw new Error('it is not in order');
    question = { snapshot, spec: wanted, lease, holder, now: at(ms) };
  }
  if (question === undefined) throw new Error('nobody looked');
  return question;
}

const wishAfter = (...looks: (readonly [number, SnapshotBuilder])[]) => plannedMove(questionAfter(looks));
const podsOf = (wish: ReturnType<typeof plannedMove>): string[] => (wish?.targets ?? []).map(({ pod }) => pod);

describe('a better candidate takes over', () => {
  it('after it has been better for stableSeconds, and says by what', () => {
    const wish = wishAfter([0, preferring()], [60_000, preferring()]);
    expect(podsOf(wish)).toEqual(['db-1-a']);
    expect(wish).toMatchObject({
      reason: 'Preempted',
      message: 'pod db-1-a has been better than db-0-a for 60 s (preferences 10 instead of 0)',
    });
  });

  it('not before, and the operator looks again when it is due', () => {
    const question = questionAfter([
      [0, preferring()],
      [59_999, preferring()],
    ]);
    expect(plannedMove(question)).toBeUndefined();
    expect(plannedRecheckAtMs(question)).toBe(at(60_000).monotonicMs);
  });

  it('at once with stableSeconds 0', () => {
    const election = { ...STABLE, stableSeconds: 0 };
    expect(podsOf(wishAfter([0, preferring(election)]))).toEqual(['db-1-a']);
  });

  it('by its priority', () => {
    const election = { strategy: 'Priority', priorities: [1, 1, 2], ...STABLE };
    const builder = aSteadyState().changingSpec(spec(election));
    expect(podsOf(wishAfter([0, builder], [60_000, builder]))).toEqual(['db-2-a']);
  });

  it('by its preference against its priority', () => {
    const election = { strategy: 'Priority', priorities: [1, 0, 2], ...STABLE };
    expect(podsOf(wishAfter([0, preferring(election)], [60_000, preferring(election)]))).toEqual(['db-1-a', 'db-2-a']);
  });

  it('when it is stable, although a better one still has come since', () => {
    const best = preferring().node('node-2', { labels: { zone: 'a' } });
    expect(podsOf(wishAfter([0, preferring()], [50_000, best], [60_000, best]))).toEqual(['db-1-a']);
  });
});

describe('nobody takes over', () => {
  const never = (builder: SnapshotBuilder): void => {
    const question = questionAfter([
      [0, builder],
      [3_600_000, builder],
    ]);
    expect([plannedMove(question), plannedRecheckAtMs(question)]).toEqual([undefined, undefined]);
  };

  it.each<[string, SnapshotBuilder]>([
    ['without preemption', preferring({ preemption: 'Never' })],
    [
      'who is only older',
      aSteadyState()
        .changingSpec(spec(STABLE))
        .where(1, (pod) => pod.ready(-9_000).created(-9_000)),
    ],
    ['who is only next in the ring', aSteadyState().changingSpec(spec({ strategy: 'Ring', ...STABLE }))],
    [
      'with the same priority',
      aSteadyState().changingSpec(spec({ strategy: 'Priority', priorities: [2, 2, 2], ...STABLE })),
    ],
    ['who is not Ready', preferring().where(1, (pod) => pod.notReady())],
    ['who is marked no-failover', preferring().where(1, (pod) => pod.noFailover())],
    ['whose node is being drained', preferring().node('node-1', { labels: { zone: 'a' }, draining: 'cordoned' })],
    ['from one on a node that is as good', preferring().node('node-0', { labels: { zone: 'a' } })],
  ])('%s', (_who, builder) => never(builder));

  it.each<[string, SnapshotBuilder]>([
    ['was not Ready', preferring().where(1, (pod) => pod.notReady())],
    ['was not preferred', preferring().node('node-1', { labels: {} })],
    ['was on a drained node', preferring().node('node-1', { labels: { zone: 'a' }, draining: 'cordoned' })],
  ])('who %s for a moment: it begins anew', (_what, broken) => {
    const question = questionAfter([
      [0, preferring()],
      [30_000, broken],
      [31_000, preferring()],
      [60_000, preferring()],
    ]);
    expect(plannedMove(question)).toBeUndefined();
    expect(plannedRecheckAtMs(question)).toBe(at(91_000).monotonicMs);
  });

  it('whose readiness broke between two looks', () => {
    const again = preferring().where(1, (pod) => pod.ready(45_000));
    expect(wishAfter([0, preferring()], [60_000, again])).toBeUndefined();
  });

  it('within stableSeconds after the active got its term', () => {
    const before = preferring().leaseHeldBy(2, 5);
    expect(wishAfter([0, before], [59_000, preferring()], [60_000, preferring()])).toBeUndefined();
  });

  it('from an active that fails and can not be replaced, and the operator does not look again for it', () => {
    const failing = preferring()
      .paused()
      .where(0, (pod) => pod.crashed());
    const { snapshot } = questionAfter([[0, failing]]);
    expect(snapshot.memory.better).toBeUndefined();
    expect(decide(snapshot, at(0)).recheckAtMs).toBeUndefined();
  });

  it('who was better for so long to another operator', () => {
    expect(wishAfter([60_000, preferring()])).toBeUndefined();
  });
});
