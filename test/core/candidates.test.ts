import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { candidates, eligibility } from '../../src/core/candidates.ts';
import { aPod, aSnapshot, aSpec, aSteadyState } from '../builders.ts';
import type { PodBuilder } from '../builders.ts';

const verdict = (pod: PodBuilder) =>
  eligibility(pod.build(), aSnapshot().with(pod).node('marked', { noFailover: true }).build());

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
    expect(snapshot.members.map((member) => eligibility(member, snapshot).eligible)).toEqual([true]);
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
    ).map(({ pod }) => pod);

  it('are all who are eligible, without the holder', () => {
    const snapshot = aSteadyState()
      .where(2, (pod) => pod.notReady())
      .build();
    expect(candidates(snapshot, aSpec()).map(({ pod }) => pod)).toEqual(['db-1-a']);
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

  it.each(['Priority', 'Ring'] as const)(
    'of strategy %s, which is not acted upon yet, are ordered as Oldest',
    (strategy) => {
      const priorities = strategy === 'Priority' ? [1, 2, 3] : undefined;
      const snapshot = aSnapshot().with(aPod().slot(0).ready(2), aPod().slot(1).ready(1)).build();
      const spec = aSpec({ election: { strategy, priorities } });
      expect(candidates(snapshot, spec)).toEqual(candidates(snapshot, aSpec()));
    },
  );
});
