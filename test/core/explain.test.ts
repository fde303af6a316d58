import { assert, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { explain, withFailedActive } from '../../src/core/explain.ts';
import type { Explanation } from '../../src/core/explain.ts';
import { describeAction, isGrant } from '../../src/core/plan.ts';
import { byRank, rank } from '../../src/core/rank.ts';
import type { Rank } from '../../src/core/rank.ts';
import { noNodeLoss } from '../../src/core/snapshot.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { NOW, aPod, aSpec, aSteadyState, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';
import { anySnapshot } from './arbitrary.ts';

const steady = aSteadyState();
const explained = (builder: SnapshotBuilder, now = NOW): Explanation => explain(builder.build(), now);
/** Of each member: pod, place and, where it has none, why. */
const places = ({ members }: Explanation) =>
  members.map(({ pod, place, eligible, reason }) => `${pod} ${place ?? (eligible ? 'active' : reason)}`);
const grants = (looks: Explanation['next'] | undefined) =>
  looks?.map(({ afterMs, grant, holds }) => [afterMs, grant?.pod ?? holds[0]?.name]);

describe('members', () => {
  it('have the place in which they would be granted, or the reason why not', () => {
    expect(places(explained(steady))).toEqual(['db-0-a active', 'db-1-a 1', 'db-2-a 2']);
    expect(places(explained(steady.where(1, (pod) => pod.notReady())))).toEqual([
      'db-0-a active',
      'db-1-a NotReady',
      'db-2-a 1',
    ]);
    const excluded = steady.where(1, (pod) => pod.noFailover()).where(2, (pod) => pod.terminating());
    expect(places(explained(excluded))).toEqual(['db-0-a active', 'db-1-a NoFailover', 'db-2-a Terminating']);
  });

  it.each<[string, SnapshotBuilder, string, string]>([
    ['since when they are Ready', steady, 'db-1-a', 'readySinceWallMs'],
    [
      'their priority',
      steady.spec({ election: { strategy: 'Priority', priorities: [1, 2, 3] } }),
      'db-2-a',
      'priority',
    ],
    ['the ring', steady.spec({ election: { strategy: 'Ring' } }), 'db-1-a', 'slotsBetween'],
    ['their slot', steady.where(2, (pod) => pod.ready(1)), 'db-1-a', 'slot'],
  ])('are told apart by %s', (_what, builder, first, field) => {
    const best = explained(builder).members.find(({ place }) => place === 1);
    expect([best?.pod, best?.aheadBy]).toEqual([first, field]);
  });

  it('have node and zone', () => {
    const [first] = explained(steady.node('node-0', { zone: 'a' })).members;
    expect(first).toMatchObject({ node: 'node-0', zone: 'a', role: 'active', slot: 0 });
  });
});

describe('what comes next', () => {
  it('is nothing in a steady state', () => {
    const { active, next, broken, unknown } = explained(steady);
    expect(active).toEqual({ pod: 'db-0-a', term: 1 });
    expect(next).toEqual([
      {
        afterMs: 0,
        need: undefined,
        holds: [],
        reason: 'in order',
        steps: [],
        grant: undefined,
        recheckAfterMs: undefined,
      },
    ]);
    expect([broken, unknown]).toEqual([[], []]);
  });

  it('is the move of an active that crashed, at once', () => {
    const [look, ...later] = explained(steady.where(0, (pod) => pod.crashed())).next;
    expect(later).toEqual([]);
    expect(look?.need).toMatchObject({ kind: 'Failover', reason: 'ActiveCrashed' });
    expect(look?.grant).toEqual({ pod: 'db-1-a', term: 2 });
    expect(look?.steps).toEqual(expect.arrayContaining(['grantLease term 2 to db-1-a', 'flipService to term 2']));
  });

  it('is the end of the grace that an active has, and then the move; since when it has it is not known', () => {
    const graced = steady.spec({ failover: { unreadyGraceSeconds: 7 } }).where(0, (pod) => pod.notReady());
    const { next, unknown } = explained(graced);
    expect(grants(next)).toEqual([
      [0, 'UnreadyGrace'],
      [7_000, 'db-1-a'],
    ]);
    expect(next[0]?.recheckAfterMs).toBe(7_000);
    expect(unknown).toContainEqual(expect.stringContaining('since when the operator sees the trouble'));
  });

  it('counts the grace from when the trouble was seen, where that is known', () => {
    const holder = steady.build().lease?.holder ?? '';
    const graced = steady
      .spec({ failover: { unreadyGraceSeconds: 7 } })
      .where(0, (pod) => pod.notReady())
      .remembering({ trouble: { holder, cause: 'Failover', since: NOW } });
    const { next, unknown } = explained(graced, at(5_000));
    expect(grants(next)).toEqual([
      [0, 'UnreadyGrace'],
      [2_000, 'db-1-a'],
    ]);
    expect(unknown.join()).not.toContain('since when');
  });

  it('is told in whole milliseconds, where the sum of a clock with fractions and a grace is no exact one', () => {
    const graced = steady.spec({ failover: { unreadyGraceSeconds: 3 } });
    const monotonicMs = 6_543.21;
    expect(monotonicMs + 3_000 - monotonicMs).not.toBe(3_000);
    const { ifActiveFailed } = explained(graced, { ...NOW, monotonicMs });
    expect(grants(ifActiveFailed)).toEqual([
      [0, 'UnreadyGrace'],
      [3_000, 'db-1-a'],
    ]);
    expect(ifActiveFailed?.[0]?.recheckAfterMs).toBe(3_000);
  });

  it.each<[string, SnapshotBuilder, string]>([
    ['while it is paused', steady.spec({ paused: true }), 'Paused'],
    ['without a candidate', steady.where(1, (pod) => pod.notReady()).where(2, (pod) => pod.notReady()), 'NoCandidate'],
  ])('is nothing %s, for as long as nothing changes', (_when, builder, hold) => {
    expect(grants(explained(builder.where(0, (pod) => pod.crashed())).next)).toEqual([[0, hold]]);
    expect(grants(explained(builder).ifActiveFailed)).toEqual([[0, hold]]);
  });
});

describe('a member that is better avoided', () => {
  const pods = ['db-1-a', 'db-1-a', 'db-1-a'];
  const quarantined = steady
    .spec({ failover: { quarantine: { failures: 3, windowSeconds: 600, durationSeconds: 300 } } })
    .leaseHeldBy(0, 1, {
      failures: pods.map((pod) => ({ holder: `${pod}_uid-${pod}`, atWallMs: NOW.wallMs, reignMs: 60_000 })),
    });

  it('comes after the others, and the reason is told with it', () => {
    const { members, ifActiveFailed } = explained(quarantined);
    expect(members.map(({ place, avoided, eligible }) => [place, avoided?.name, eligible])).toEqual([
      [undefined, undefined, true],
      [2, 'Quarantined', true],
      [1, undefined, true],
    ]);
    expect(members[2]?.aheadBy).toBe('reluctance');
    expect(grants(ifActiveFailed)).toEqual([[0, 'db-2-a']]);
  });

  it('is taken when nobody else is left', () => {
    const alone = quarantined.where(2, (pod) => pod.notReady());
    expect(grants(explained(alone).ifActiveFailed)).toEqual([[0, 'db-1-a']]);
  });

  it('may be the active: then the planned move is told', () => {
    const { next } = explained(steady.node('node-0', { draining: 'cordoned' }));
    expect(next[0]?.need).toMatchObject({ kind: 'Switchover', reason: 'NodeDraining' });
    expect(grants(next)).toEqual([[0, 'db-1-a']]);
  });
});

describe('if the active failed', () => {
  it('tells who would take over, and changes nothing of what is', () => {
    const { ifActiveFailed, next } = explained(steady);
    expect(grants(ifActiveFailed)).toEqual([[0, 'db-1-a']]);
    expect(ifActiveFailed?.[0]?.need?.reason).toBe('ActiveCrashed');
    expect(next[0]?.need).toBeUndefined();
  });

  it('knows of the grace', () => {
    const graced = steady.spec({ failover: { unreadyGraceSeconds: 3 } });
    expect(grants(explained(graced).ifActiveFailed)).toEqual([
      [0, 'UnreadyGrace'],
      [3_000, 'db-1-a'],
    ]);
  });

  it.each<[string, SnapshotBuilder]>([
    ['has failed already', steady.where(0, (pod) => pod.crashed())],
    ['is gone', steady.withoutMember(0)],
    ['was never granted', steady.leaseHeldByNobody()],
  ])('is no question when it %s', (_what, builder) => {
    expect(explained(builder).ifActiveFailed).toBeUndefined();
  });
});

describe('what is not as it should be', () => {
  it('is named: a promise that is broken', () => {
    const { broken } = explained(steady.where(1, (pod) => pod.active(1)));
    expect(broken.map((promise) => promise.slice(0, 3))).toEqual(['I2:', 'I3:']);
  });

  it('is named: a spec that breaks a rule, under which the operator does not go on', () => {
    expect(explained(steady.rejected()).unknown).toContainEqual(expect.stringContaining('last accepted spec'));
  });

  it('is named: a member that the operator takes for no candidate, for a reason that can not be seen', () => {
    const told = steady.trouble(1, { silentMs: 20_000 }).told().but({ nodeLoss: noNodeLoss });
    expect(explained(told).unknown).toContainEqual(
      expect.stringContaining('why db-1-a was no candidate (NodeSuspect)'),
    );
  });

  it('is explained without a spec, too', () => {
    const { members, next } = explained(steady.butSingleton({ spec: undefined }));
    expect(members.map(({ place, rank }) => [place, rank])).toEqual(members.map(() => [undefined, undefined]));
    expect(next[0]?.reason).toBe('the spec is not accepted');
  });
});

describe('of any snapshot', () => {
  const grantOf = (snapshot: Snapshot) => decide(snapshot, NOW).actions.find(isGrant)?.to.pod;

  it('the next step is what is decided, and so it is if the active failed', () => {
    assert(
      property(anySnapshot, (snapshot) => {
        const { next, ifActiveFailed } = explain(snapshot, NOW);
        expect(next[0]?.steps).toEqual(decide(snapshot, NOW).actions.map(describeAction));
        expect(next[0]?.grant?.pod).toBe(grantOf(snapshot));
        const failed = withFailedActive(snapshot);
        expect(ifActiveFailed?.[0]?.grant?.pod).toBe(failed && grantOf(failed));
      }),
    );
  });

  const unasked = ({ singleton, lease, ...rest }: Snapshot): Snapshot => ({
    ...rest,
    singleton: { ...singleton, request: undefined },
    lease: lease && { ...lease, switchover: undefined },
  });

  it('whoever is granted in a failover is the first in place; a planned move, and a request, have a target of their own', () => {
    let count = 0;
    const check = (snapshot: Snapshot): void => {
      const grant = decide(snapshot, NOW).actions.find(isGrant);
      if (grant === undefined || grant.move.kind === 'Switchover') return;
      const granted = grant.to.pod;
      count++;
      const { next, members } = explain(snapshot, NOW);
      expect([next[0]?.grant?.pod, members.find(({ place }) => place === 1)?.pod]).toEqual([granted, granted]);
    };
    assert(property(anySnapshot.map(unasked), check), { numRuns: 1_000 });
    expect(count).toBeGreaterThan(0);
  });
});

describe('a rank', () => {
  /** Makes a field differ, in whichever way is better. */
  const better = (base: Rank, field: keyof Rank): [Rank, Rank] => {
    const value: unknown = base[field];
    const other = { ...base, [field]: otherThan(value) };
    return byRank(base, other) < 0 ? [base, other] : [other, base];
  };
  const otherThan = (value: unknown): unknown => {
    if (typeof value === 'number') return value + 1;
    return typeof value === 'boolean' ? !value : `${String(value)}x`;
  };

  it('has its fields in the order in which they are compared', () => {
    const base = rank(aPod().build(), { snapshot: steady.build(), spec: aSpec(), now: NOW });
    const fields = Object.keys(base) as (keyof Rank)[];
    expect(fields.length).toBeGreaterThan(6);
    fields.forEach((earlier, index) => {
      for (const later of fields.slice(index + 1)) {
        const [winner, loser] = better(base, earlier);
        const [good, bad] = better(base, later);
        const pair = [
          { ...winner, [later]: bad[later] },
          { ...loser, [later]: good[later] },
        ] as const;
        expect([earlier, later, Math.sign(byRank(...pair))]).toEqual([earlier, later, -1]);
      }
    });
  });
});
