import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { candidates } from '../../src/core/candidates.ts';
import { byRank, rank } from '../../src/core/rank.ts';
import type { Rank } from '../../src/core/rank.ts';
import { NOW, WALL_MS, aPod, aSnapshot, aSpec } from '../builders.ts';
import { anySnapshot } from './arbitrary.ts';

const RUNS = { numRuns: Number(process.env['RUNS'] ?? 300) };

/** Few values, so that ties are common. */
const few = fc.integer({ min: 0, max: 2 });
const someRank: fc.Arbitrary<Rank> = fc.record({
  preference: few,
  priority: few,
  slotsBetween: few,
  readySinceWallMs: fc.option(few, { nil: undefined }),
  createdWallMs: few,
  slot: fc.option(few, { nil: undefined }),
  uid: fc.constantFrom('a', 'b', 'B', 'ä'),
});

describe('the order of ranks', () => {
  it('is antisymmetric, and only the same rank is a tie', () => {
    fc.assert(
      fc.property(someRank, someRank, (a, b) => {
        expect(Math.sign(byRank(a, b))).toBe(0 - Math.sign(byRank(b, a)));
        if (byRank(a, b) === 0) expect(a).toEqual(b);
        expect(byRank(a, { ...a })).toBe(0);
      }),
      RUNS,
    );
  });

  it('is transitive', () => {
    fc.assert(
      fc.property(someRank, someRank, someRank, (a, b, c) => {
        if (byRank(a, b) <= 0 && byRank(b, c) <= 0) expect(byRank(a, c)).toBeLessThanOrEqual(0);
      }),
      RUNS,
    );
  });

  const WORST: Rank = {
    preference: 0,
    priority: 0,
    slotsBetween: 9,
    readySinceWallMs: undefined,
    createdWallMs: 9,
    slot: undefined,
    uid: 'z',
  };
  const BETTER: readonly (readonly [string, Partial<Rank>])[] = [
    ['preference', { preference: 1 }],
    ['priority', { priority: 1 }],
    ['slots between', { slotsBetween: 0 }],
    ['Ready since', { readySinceWallMs: 0 }],
    ['created', { createdWallMs: 0 }],
    ['slot', { slot: 0 }],
    ['UID', { uid: 'a' }],
  ];

  it.each(BETTER)('lets %s decide before all that comes after it together', (name, better) => {
    const rest = BETTER.slice(BETTER.findIndex(([other]) => other === name) + 1).map(([, fields]) => fields);
    const betterInTheRest: Rank = Object.assign({ ...WORST }, ...rest);
    expect(byRank({ ...WORST, ...better }, betterInTheRest)).toBeLessThan(0);
  });
});

describe('a rank', () => {
  const pod = aPod().slot(2).ready(5).created(3);
  const preferences = [
    { weight: 7, preference: { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] } },
    { weight: 4, preference: { matchExpressions: [{ key: 'disk', operator: 'Exists' }] } },
    { weight: 100, preference: { matchExpressions: [{ key: 'zone', operator: 'In', values: ['b'] }] } },
  ];
  const snapshot = aSnapshot()
    .with(pod)
    .lease({ holder: 'db-1-gone_uid', term: 1 })
    .node('node-2', { labels: { zone: 'a', disk: 'ssd' } })
    .build();

  it.each<[string, object, Partial<Rank>]>([
    ['Oldest', { strategy: 'Oldest' }, { preference: 0, priority: 0, slotsBetween: 0 }],
    ['Priority', { strategy: 'Priority', priorities: [1, 2, 8] }, { priority: 8, slotsBetween: 0 }],
    ['Ring', { strategy: 'Ring' }, { priority: 0, slotsBetween: 0 }],
    ['preferences', { preferences }, { preference: 11 }],
  ])('tells all that is compared, with %s', (_what, election, expected) => {
    expect(rank(pod.build(), snapshot, aSpec({ election }))).toMatchObject({
      readySinceWallMs: WALL_MS + 5,
      createdWallMs: WALL_MS + 3,
      slot: 2,
      uid: 'uid-db-2-a',
      ...expected,
    });
  });
});

describe('the candidates of any snapshot', () => {
  it('come in the same order however the members are listed', () => {
    fc.assert(
      fc.property(anySnapshot, fc.infiniteStream(fc.nat()), (snapshot, dice) => {
        const { spec } = snapshot.singleton;
        if (spec === undefined) return;
        const thrown = new Map(snapshot.members.map((member) => [member.uid, dice.next().value]));
        const members = snapshot.members.toSorted((a, b) => (thrown.get(a.uid) ?? 0) - (thrown.get(b.uid) ?? 0));
        const uids = (all: typeof members): string[] => all.map(({ uid }) => uid);
        expect(uids(candidates({ ...snapshot, members }, spec, NOW))).toEqual(uids(candidates(snapshot, spec, NOW)));
      }),
      RUNS,
    );
  });
});
