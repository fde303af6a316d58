import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Move } from '../../src/api/types.ts';
import { candidates, eligibility } from '../../src/core/candidates.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import { NOW, aMove, aPod, aSnapshot, aSpec, aSteadyState } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

/** `0 1b`: the pods of slot 0 and, by another letter, of slot 1. */
const podsOf = (names: string): string[] =>
  names.split(' ').map((name) => `db-${name.slice(0, 1)}-${name.slice(1) || 'a'}`);

const asSlot =
  (slot: number) =>
  (pod: PodBuilder): PodBuilder =>
    pod.named(pod.build().pod).slot(slot);

/** The member of one slot holds the Lease, and somebody gave it the label of another. */
const heldBy = (slot: number, label: number): SnapshotBuilder =>
  aSnapshot()
    .spec({ replicas: 4 })
    .with(...[0, 1, 2, 3].map((other) => aPod().slot(other)))
    .leaseHeldBy(slot, 3)
    .where(slot, asSlot(label));

/** As for a pod that the operator did not name. */
const nameless = (builder: SnapshotBuilder): SnapshotBuilder =>
  builder.where(2, (pod) => pod.named('odd').uid('uid-odd')).leaseHeldBy(2, 3);

const ACTIVE_1 = { pod: 'db-1-gone', uid: 'uid-gone', term: 3 };
const TO_1: Move = {
  kind: 'Failover',
  reason: 'ActiveCrashed',
  message: 'it crashed',
  to: 'db-1-gone',
  term: 3,
  detectedAt: '2026-01-01T00:00:00Z',
  grantedAt: '2026-01-01T00:00:00Z',
  milliseconds: 1,
};
/** The ring after slot 1. */
const R1 = '2 3 0 1';

const verdict = (pod: PodBuilder) =>
  eligibility(pod.build(), aSnapshot().with(pod).node('marked', { noFailover: true }).build(), NOW);

describe('eligibility', () => {
  it.each<[string, PodBuilder, string]>([
    ['runs and is Ready', aPod(), 'Ready'],
    ['has failed', aPod().failed(), 'Failed'],
    ['was evicted by its kubelet', aPod().evicted(), 'Evicted'],
    ['has ended with exit code 0', aPod().finished(), 'Finished'],
    ['is being deleted', aPod().terminating(), 'Terminating'],
    ['is being deleted and not Ready any more', aPod().terminating().notReady(), 'Terminating'],
    ['failed while it was being deleted', aPod().failed().terminating(), 'Failed'],
    ['has no slot, by label or by name', aPod().withoutSlot().named('db-x'), 'NoSlot'],
    ['has a slot that spec.replicas no longer has', aPod().slot(3), 'SlotRemoved'],
    ['is marked no-failover', aPod().noFailover(), 'NoFailover'],
    ['runs on a node marked no-failover', aPod().onNode('marked'), 'NoFailoverNode'],
    ['runs on a node that is not known', aPod().onNode('unknown'), 'Ready'],
    ['has no node yet', aPod().unscheduled(), 'Unscheduled'],
    ['is not Ready', aPod().notReady(), 'NotReady'],
    ['is not Ready since a container ended', aPod().crashed(), 'Crashed'],
    ['is Ready although a sidecar ended', aPod().but({ crash: 'sidecar: exit code 0' }), 'Ready'],
    ['is in phase Unknown and not Ready', aPod().notReady().but({ phase: 'Unknown' }), 'NotReady'],
  ])('of a pod that %s', (_what, pod, reason) => {
    expect(verdict(pod)).toEqual({ eligible: reason === 'Ready', reason });
  });

  it('does not need a spec', () => {
    const snapshot = aSnapshot().neverAccepted().with(aPod().slot(7)).build();
    expect(snapshot.members.map((member) => eligibility(member, snapshot, NOW).eligible)).toEqual([true]);
  });
});

describe('candidates', () => {
  const names = (...pods: PodBuilder[]): string[] =>
    candidates(
      aSnapshot()
        .spec({ replicas: 9 })
        .with(...pods)
        .build(),
      aSpec(),
      NOW,
    ).map(({ pod }) => pod);

  it('are all who are eligible, without the holder', () => {
    const snapshot = aSteadyState()
      .where(2, (pod) => pod.notReady())
      .build();
    expect(candidates(snapshot, aSpec(), NOW).map(({ pod }) => pod)).toEqual(['db-1-a']);
  });

  it.each<[string, PodBuilder[], string[]]>([
    ['longest Ready first', [aPod().slot(0).ready(5), aPod().slot(1).ready(3)], ['db-1-a', 'db-0-a']],
    [
      'one that does not say since when it is Ready comes last',
      [aPod().slot(0).but({ readySinceWallMs: undefined }), aPod().slot(1).ready(9)],
      ['db-1-a', 'db-0-a'],
    ],
    [
      'the older pod, when both are Ready since the same second',
      [aPod().slot(0).created(2), aPod().slot(1).created(1)],
      ['db-1-a', 'db-0-a'],
    ],
    ['the lower slot, when they were created together', [aPod().slot(1), aPod().slot(0)], ['db-0-a', 'db-1-a']],
    ['the lower UID at last', [aPod().named('db-0-b').uid('b'), aPod().named('db-0-c').uid('a')], ['db-0-c', 'db-0-b']],
  ])('are in order: %s', (_what, pods, expected) => {
    expect(names(...pods)).toEqual(expected);
    expect(names(...pods.toReversed())).toEqual(expected);
  });

  it('come in the same order however they are listed', () => {
    const pod = fc
      .record({
        slot: fc.integer({ min: 0, max: 2 }),
        created: fc.integer({ min: 0, max: 2 }),
        readySinceWallMs: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
      })
      .map(({ slot, created, readySinceWallMs }) => aPod().slot(slot).created(created).but({ readySinceWallMs }));
    const pods = fc
      .array(pod, { maxLength: 7 })
      .map((all) => all.map((each, place) => each.named(`db-0-${place}`)))
      .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
    fc.assert(
      fc.property(pods, ([all, shuffled]) => {
        expect(names(...shuffled)).toEqual(names(...all));
      }),
    );
  });
});

describe('the first candidate', () => {
  type Election = NonNullable<Parameters<typeof aSpec>[0]>;
  const ranked = (election: Election, builder: SnapshotBuilder): string[] => {
    const snapshot = builder.spec({ replicas: 4, election }).build();
    const backwards = { ...snapshot, members: snapshot.members.toReversed() };
    const names = candidates(snapshot, aSpec({ replicas: 4, election }), NOW).map(({ pod }) => pod);
    expect(candidates(backwards, aSpec({ replicas: 4, election }), NOW).map(({ pod }) => pod)).toEqual(names);
    return names;
  };
  /** Slot 3 is Ready for longest, slot 0 for shortest, so that the order is not that of the slots by chance. */
  const four = (): SnapshotBuilder =>
    aSnapshot()
      .spec({ replicas: 4 })
      .with(...[0, 1, 2, 3].map((slot) => aPod().slot(slot).ready(-slot)));
  /** The active of that slot has vanished; the Lease still names it. */
  const after = (slot: number): SnapshotBuilder => {
    const pods = [0, 1, 2, 3].filter((other) => other !== slot).map((other) => aPod().slot(other).ready(-other));
    return aSnapshot()
      .spec({ replicas: 4 })
      .with(...pods)
      .lease({ holder: `db-${slot}-gone_uid-gone`, term: 3 });
  };

  describe('by strategy Priority', () => {
    const by = (...priorities: number[]): Election => ({ strategy: 'Priority', priorities });

    it.each<[string, Election, SnapshotBuilder, string]>([
      ['has the slot with the highest number', by(1, 5, 9, 3), four(), '2 1 3 0'],
      ['has it although another is Ready for longer', by(2, 1, 1, 1), four(), '0 3 2 1'],
      ['is the one Ready for longest among equals', by(7, 7, 7, 7), four(), '3 2 1 0'],
      ['has the highest of those that are left', by(1, 5, 9, 3), four().withoutMember(2), '1 3 0'],
      ['is not the one that is unready', by(1, 5, 9, 3), four().where(2, (pod) => pod.notReady()), '1 3 0'],
      ['is not the one marked no-failover', by(1, 5, 9, 3), four().where(2, (pod) => pod.noFailover()), '1 3 0'],
      ['goes by the slot in the name, not by an edited label', by(0, 0, 9, 0), four().where(1, asSlot(2)), '2 3 1 0'],
      ['does not look at who was the active before', by(1, 5, 9, 3), after(1), '2 3 0'],
    ])('%s', (_what, election, builder, expected) => {
      expect(ranked(election, builder)).toEqual(podsOf(expected));
    });

    it('has a slot with a number above 0 before one without a number, which has 0', () => {
      const election = { ...aSpec().election, strategy: 'Priority' as const, priorities: [0, 1] };
      const snapshot = four().build();
      const spec = { ...aSpec({ replicas: 4 }), election };
      expect(candidates(snapshot, spec, NOW).map(({ pod }) => pod)).toEqual(podsOf('1 3 2 0'));
    });
  });

  describe('by strategy Ring', () => {
    const ring: Election = { strategy: 'Ring' };
    const released = aMove({ to: 'db-1-gone_uid-gone', term: 3 });

    it.each<[string, SnapshotBuilder, string]>([
      ['is in slot 0 when nobody was the active yet', four(), '0 1 2 3'],
      ['follows slot 0', after(0), '1 2 3'],
      ['follows slot 1, and wraps', after(1), '2 3 0'],
      ['follows the last slot with slot 0', after(3), '0 1 2'],
      ['is the next but one when the next is unready', after(1).where(2, (pod) => pod.notReady()), '3 0'],
      ['is in the same slot last of all', after(1).with(aPod().slot(1).ready(-9)), '2 3 0 1'],
      ['follows a slot that was scaled away', after(9), '0 1 2 3'],
      ['follows the holder of the Lease by its name, not by an edited label', heldBy(2, 0), '3 0 1'],
      [
        'follows whom the Lease was last granted to when it was released',
        four().lease({ term: 3, move: released }),
        R1,
      ],
      ['follows the label of a holder whose name tells no slot', nameless(four()), '3 0 1'],
      ['follows whom the status told of when the Lease was lost', four().status({ active: ACTIVE_1 }), R1],
      ['follows whom the status last told a move to', four().leaseHeldByNobody(9).status({ lastMove: TO_1 }), R1],
      ['believes the Lease before the status', after(2).status({ active: ACTIVE_1, lastMove: TO_1 }), '3 0 1'],
      ['does not believe a Lease of somebody else', after(2).with(aPod().slot(2)).lease({ ours: false }), '0 1 2 3'],
      ['is in slot 0 when the last active had no slot', four().lease({ holder: 'odd_uid', term: 3 }), '0 1 2 3'],
      [
        'is the one Ready for longest of two in a slot',
        after(0).with(aPod().named('db-1-b').slot(1).ready(-9)),
        '1b 1 2 3',
      ],
    ])('%s', (_what, builder, expected) => {
      expect(ranked(ring, builder)).toEqual(podsOf(expected));
    });

    it('is the same for an operator that knows nothing but the cluster', () => {
      const snapshot = after(1).remembering({ failures: { 2: { count: 3, lastAtMs: 0, uids: [] } } });
      expect(ranked(ring, snapshot)).toEqual(ranked(ring, snapshot.but({ memory: noMemory })));
    });
  });

  describe('by preferences', () => {
    const prefer = (...terms: [weight: number, operator: string, key: string, ...values: string[]][]): object[] =>
      terms.map(([weight, operator, key, ...values]) => ({
        weight,
        preference: { matchExpressions: [{ key, operator, ...(values.length > 0 && { values }) }] },
      }));
    const zoned = (builder = four()): SnapshotBuilder =>
      builder
        .node('node-0', { labels: { zone: 'a', disk: 'ssd' } })
        .node('node-1', { labels: { zone: 'b', disk: 'ssd' } })
        .node('node-2', { labels: { zone: 'b' } });
    const inA = prefer([10, 'In', 'zone', 'a']);

    it.each<[string, Election, SnapshotBuilder, string]>([
      ['runs on a node that meets them', { preferences: inA }, zoned(), '0 3 2 1'],
      [
        'has the highest sum',
        { preferences: [...inA, ...prefer([6, 'In', 'zone', 'b'], [5, 'Exists', 'disk'])] },
        zoned(),
        '0 1 2 3',
      ],
      [
        'is not counted by terms but by weights',
        { preferences: prefer([2, 'In', 'zone', 'b'], [2, 'Exists', 'disk'], [5, 'In', 'zone', 'a']) },
        zoned(),
        '0 1 2 3',
      ],
      [
        'is chosen by the strategy when all are preferred alike',
        { preferences: prefer([9, 'In', 'zone', 'c']) },
        zoned(),
        '3 2 1 0',
      ],
      ['is found by what a node lacks', { preferences: prefer([1, 'DoesNotExist', 'disk']) }, zoned(), '2 3 1 0'],
      [
        'is not on a node that is not known, whatever the term',
        { preferences: prefer([1, 'NotIn', 'zone', 'b']) },
        zoned(),
        '0 3 2 1',
      ],
      [
        'beats strategy Priority',
        { strategy: 'Priority', priorities: [0, 9, 8, 7], preferences: inA },
        zoned(),
        '0 1 2 3',
      ],
      ['beats strategy Ring', { strategy: 'Ring', preferences: inA }, zoned(after(1)), '0 2 3'],
      [
        'leaves the rest to the ring',
        { strategy: 'Ring', preferences: prefer([1, 'Exists', 'zone']) },
        zoned(after(1)),
        '2 0 3',
      ],
      ['is never one that is not eligible', { preferences: inA }, zoned().where(0, (pod) => pod.notReady()), '3 2 1'],
      [
        'is not on a node marked no-failover',
        { preferences: inA },
        zoned().node('node-0', { noFailover: true, labels: { zone: 'a' } }),
        '3 2 1',
      ],
      [
        'is not found by what every object has',
        { preferences: prefer([1, 'Exists', 'constructor']) },
        zoned(),
        '3 2 1 0',
      ],
      [
        'is not on a node that only sounds known',
        { preferences: prefer([1, 'DoesNotExist', 'disk']) },
        zoned().where(1, (pod) => pod.onNode('constructor')),
        '2 3 1 0',
      ],
    ])('%s', (_what, election, builder, expected) => {
      expect(ranked(election, builder)).toEqual(podsOf(expected));
    });
  });
});
