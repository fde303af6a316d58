import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import { planAdoption } from '../../src/core/adoption.ts';
import { candidates, eligibility, fitness } from '../../src/core/candidates.ts';
import { decide } from '../../src/core/decide.ts';
import { violationsOf } from '../../src/core/invariants.ts';
import { describeAction } from '../../src/core/plan.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { NOW, aPod, aSnapshot, aSpec, holderOf } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

const SELECTOR = { matchLabels: { app: 'web' } };
const spec = (fields: object = {}) =>
  aSpec({ template: null, selector: SELECTOR, service: { ports: [{ name: 'http', port: 80 }] }, ...fields });

const adopted = (name: string): PodBuilder => aPod().named(name).but({ slot: undefined, adopted: true });
const notYetNamed = (name: string): PodBuilder => adopted(name).withoutName().withoutRole();
/** Made by the operator while there was a template. */
const leftover = (slot: number): PodBuilder => aPod().slot(slot).but({ leaving: true });

const adopting = (...pods: PodBuilder[]): SnapshotBuilder =>
  aSnapshot()
    .butSingleton({ spec: spec() })
    .with(...pods);

const plan = (builder: SnapshotBuilder, active: readonly string[] | undefined = []) => {
  const snapshot = builder.build();
  return planAdoption(snapshot, snapshot.singleton.spec ?? spec(), { active });
};

const described = (builder: SnapshotBuilder, active?: readonly string[]): string[] =>
  plan(builder, active).actions.map(describeAction);

const chosen = (snapshot: Snapshot): string[] =>
  candidates(snapshot, snapshot.singleton.spec ?? spec(), NOW).map(({ pod }) => pod);

describe('pods that are adopted', () => {
  it('get the name and the role of a standby, and no slot and no revision', () => {
    const { actions } = plan(adopting(notYetNamed('web-a')));
    expect(actions).toMatchObject([{ kind: 'mendLabels', labels: { [LABEL.name]: 'db', [LABEL.role]: 'standby' } }]);
    expect(Object.keys((actions[0] as { labels: object }).labels)).toHaveLength(2);
  });

  it('that come from another singleton bring no term along', () => {
    const { actions } = plan(adopting(notYetNamed('web-a').term(7)));
    expect(actions).toMatchObject([{ labels: { [LABEL.term]: null } }]);
  });

  it.each([
    ['have their labels', adopted('web-a')],
    ['are on their way out', notYetNamed('web-a').terminating()],
    ['have ended', notYetNamed('web-a').failed('Evicted')],
  ])('get nothing when they %s', (_what, pod) => {
    expect(described(adopting(pod))).toEqual([]);
  });

  it.each([
    ['paused', adopting(notYetNamed('web-a')).paused()],
    ['refused', adopting(notYetNamed('web-a')).rejected()],
  ])('are left as they are while the spec is %s', (_what, builder) => {
    expect(described(builder)).toEqual([]);
  });

  it('are left as they are while the Lease is not in order', () => {
    expect(plan(adopting(notYetNamed('web-a'))).actions).toHaveLength(1);
    const snapshot = adopting(notYetNamed('web-a')).build();
    expect(planAdoption(snapshot, spec(), { active: undefined }).actions).toEqual([]);
  });

  it('are candidates without a slot, and however many they are', () => {
    const snapshot = adopting(...['a', 'b', 'c', 'd'].map((name) => adopted(`web-${name}`))).build();
    expect(snapshot.members.map((member) => eligibility(member, snapshot, NOW).eligible)).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  it('are candidates under ordinals that spec.replicas does not reach', () => {
    const snapshot = adopting(adopted('web-7').slot(7)).build();
    expect(eligibility(snapshot.members[0] ?? fail(), snapshot, NOW)).toEqual({ eligible: true, reason: 'Ready' });
  });

  it('that are not selected any more are no candidates, and no fit active', () => {
    const snapshot = adopting(adopted('web-a').but({ leaving: true })).build();
    const [member = fail()] = snapshot.members;
    expect(eligibility(member, snapshot, NOW).reason).toBe('NotSelected');
    expect(fitness(member, snapshot).reason).toBe('NotSelected');
  });

  it('are never deleted: a plan that did would be refused', () => {
    const snapshot = adopting(adopted('web-a')).leaseHeldByNobody().build();
    const [{ uid, resourceVersion } = fail()] = snapshot.members;
    const deletion = { kind: 'deletePod', pod: 'web-a', expect: { uid, resourceVersion }, why: 'a bug' } as const;
    const broken = { actions: [deletion], reason: '', holds: [], recheckAtMs: undefined };
    expect(violationsOf(broken, snapshot, NOW)).toMatchObject([{ invariant: 'I7' }]);
  });

  it('are not even deleted, or given slots, under a template that came instead of the selector', () => {
    const holder = adopted('db-0').slot(0).active(3).but({ leaving: true });
    const builder = aSnapshot().with(holder).leaseHeldBy(0, 3).serviceSelecting(3).routed(0);
    const actions = decide(builder.build(), NOW).actions.map(describeAction);
    expect(actions.filter((action) => /^(deletePod|mendLabels)/.test(action))).toEqual([]);
    expect(actions.filter((action) => action.startsWith('createPod'))).toHaveLength(3);
  });
});

describe('what the operator made before there was a selector', () => {
  const builder = adopting(leftover(0), leftover(1), adopted('web-a'));
  const [old = fail(), , taker = fail()] = builder.build().members;

  it('stays while one of them is the active', () => {
    expect(described(builder, [holderOf(old)])).toEqual([]);
    expect(described(builder, [holderOf(old), holderOf(taker)])).toEqual([]);
  });

  it('is deleted when the active has moved to an adopted pod', () => {
    expect(described(builder, [holderOf(taker)])).toEqual([
      'deletePod db-0-a (the spec has no template any more)',
      'deletePod db-1-a (the spec has no template any more)',
    ]);
  });
});

describe('the choice among adopted pods', () => {
  const withElection = (election: object, ...pods: PodBuilder[]): Snapshot =>
    aSnapshot()
      .butSingleton({ spec: spec({ election }) })
      .with(...pods)
      .build();

  it('is by who is Ready for longest, with strategy Oldest', () => {
    expect(chosen(adopting(adopted('web-a').ready(2), adopted('web-b').ready(1)).build())).toEqual(['web-b', 'web-a']);
  });

  it('is by the priority of the ordinal, and 0 where there is none', () => {
    const snapshot = withElection(
      { strategy: 'Priority', priorities: [1, 5] },
      adopted('web-x').ready(0),
      adopted('web-0').slot(0).ready(1),
      adopted('web-1').slot(1).ready(2),
      adopted('web-2').slot(2).ready(3),
    );
    expect(chosen(snapshot)).toEqual(['web-1', 'web-0', 'web-x', 'web-2']);
  });

  it('is the next ordinal in the ring, and then whoever has none, the longest Ready first', () => {
    const snapshot = withElection(
      { strategy: 'Ring' },
      adopted('web-y').ready(2),
      adopted('web-x').ready(1),
      adopted('web-2').slot(2),
      adopted('web-1').slot(1),
    );
    expect(chosen(snapshot)).toEqual(['web-1', 'web-2', 'web-x', 'web-y']);
  });

  it('goes on in the ring after a last active that is gone, as the status told of it', () => {
    const told = { pod: 'web-1', uid: 'gone', slot: 1, term: 4 };
    const { singleton, ...rest } = withElection(
      { strategy: 'Ring' },
      adopted('web-0').slot(0),
      adopted('web-2').slot(2),
    );
    const snapshot = { ...rest, singleton: { ...singleton, status: { active: told } } };
    expect(chosen(snapshot)).toEqual(['web-2', 'web-0']);
  });
});

function fail(): never {
  throw new Error('there is no member');
}
