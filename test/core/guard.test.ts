/** Whom the label `guarded` keeps from being evicted, and what that costs. */
import { describe, expect, it } from 'vitest';
import { GUARDED, LABEL } from '../../src/api/names.ts';
import { decide } from '../../src/core/decide.ts';
import { selectedPods } from '../../src/core/invariants.ts';
import type { Action } from '../../src/core/plan.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { NOW, aPod, aSteadyState } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';
import { settle } from './effects.ts';

const guarded = ({ members }: Snapshot): string[] =>
  members.filter((member) => member.guarded && !member.terminating).map(({ pod }) => pod);
const drained = (): SnapshotBuilder => aSteadyState().node('node-0', { draining: 'cordoned' });
const labelsGiven = (actions: readonly Action[]): object[] =>
  actions.flatMap((action) => ('labels' in action ? [{ [action.pod]: action.labels }] : []));

describe('in a planned move', () => {
  it.each<[string, SnapshotBuilder]>([
    ['a drain', drained()],
    [
      'a scale-down',
      aSteadyState({ members: 2 })
        .where(0, (pod) => pod.slot(2).named('db-2-a'))
        .leaseHeldBy(2, 1),
    ],
  ])('whoever is routed is guarded in every state, and no more than two are: %s', (_what, start) => {
    const { states, last } = settle(start.build(), { now: NOW });
    for (const state of states) {
      expect(guarded(state)).toEqual(expect.arrayContaining(selectedPods(state)));
      expect(guarded(state).length).toBeLessThanOrEqual(2);
    }
    expect(last.lease?.term).toBe(2);
    expect(guarded(last)).toEqual(selectedPods(last));
  });

  it('the old active keeps the label until the flip, and loses it by the one write that follows', () => {
    const { actions } = settle(drained().build(), { now: NOW });
    expect(actions.map(({ kind }) => kind)).toEqual([
      'stripRole',
      'grantLease',
      'labelActive',
      'flipService',
      'stripRole',
      'emitEvent',
      'writeStatus',
    ]);
    expect(labelsGiven(actions)).toMatchObject([
      { 'db-0-a': { [LABEL.role]: 'standby' } },
      { 'db-1-a': { [LABEL.guarded]: GUARDED } },
      { 'db-0-a': { [LABEL.guarded]: null } },
    ]);
    expect(JSON.stringify(actions[0])).not.toContain(LABEL.guarded);
  });

  it('an old active that is deleted meanwhile needs no write more', () => {
    const { last } = settle(drained().build(), { now: NOW });
    const going: Snapshot = {
      ...last,
      members: last.members.map((member) =>
        member.pod === 'db-0-a' ? { ...member, guarded: true, terminating: true } : member,
      ),
    };
    expect(decide(going, NOW).actions.filter(({ kind }) => kind === 'stripRole')).toEqual([]);
  });

  it('that another one overtakes, only who is routed still and who comes are guarded', () => {
    const granted = drained()
      .where(1, (pod) => pod.active(2))
      .where(0, (pod) => pod.standby().guarded())
      .leaseHeldBy(1, 2, { kind: 'Switchover', from: 'db-0-a' })
      .node('node-1', { draining: 'cordoned' });
    const { states, last } = settle(granted.build(), { now: NOW });
    for (const state of states) expect(guarded(state)).toEqual(expect.arrayContaining(selectedPods(state)));
    expect(guarded(last)).toEqual(selectedPods(last));
  });
});

describe('in a failover', () => {
  it.each<[string, (pod: PodBuilder) => PodBuilder]>([
    ['crashed', (pod) => pod.crashed()],
    ['failed', (pod) => pod.failed()],
    ['is not Ready', (pod) => pod.notReady()],
    ['is being deleted', (pod) => pod.terminating()],
    ['is being evicted', (pod) => pod.evicting()],
  ])('the old active loses the label along with its role, and it costs six writes, when it %s', (_what, change) => {
    const { actions } = settle(aSteadyState().where(0, change).build(), { now: NOW });
    const writes = actions.filter(({ kind }) => kind !== 'createPod' && kind !== 'deletePod');
    const moving = writes.filter((action) => action.kind !== 'emitEvent' || action.event.reason !== 'MemberReplaced');
    expect(moving.map(({ kind }) => kind)).toEqual([
      'stripRole',
      'grantLease',
      'labelActive',
      'flipService',
      'emitEvent',
      'writeStatus',
    ]);
    expect(moving[0]).toMatchObject({ labels: { [LABEL.role]: 'standby', [LABEL.guarded]: null } });
  });

  it('likewise when its node is lost', () => {
    const start = aSteadyState().trouble(0, { silentMs: 600_000 });
    const [strip] = decide(start.build(), NOW).actions;
    expect(strip).toMatchObject({ labels: { [LABEL.role]: 'standby', [LABEL.guarded]: null } });
  });
});

describe('an edit by hand is healed: guarded', () => {
  const took = { kind: 'stripRole', labels: { [LABEL.guarded]: null } };
  it.each<[string, SnapshotBuilder, object[]]>([
    [
      'is missing on the active',
      aSteadyState().where(0, (pod) => pod.guarded(false)),
      [{ kind: 'labelActive', labels: { [LABEL.guarded]: GUARDED } }],
    ],
    ['is a standby', aSteadyState().where(1, (pod) => pod.guarded()), [{ ...took, pod: 'db-1-a' }]],
    ['is a standby that is not Ready', aSteadyState().with(aPod().slot(1).notReady().guarded()), [took]],
    ['is somebody else', aSteadyState().withStranger({ guarded: 'true' }), [{ ...took, pod: 'stranger' }]],
    [
      'is a standby with its active drained and nobody who could take over',
      drained()
        .where(1, (pod) => pod.notReady().guarded())
        .where(2, (pod) => pod.notReady()),
      [{ ...took, pod: 'db-1-a' }],
    ],
    ['is a standby, while no budget is wanted', unwanted((pod) => pod.guarded()), [{ ...took, pod: 'db-1-a' }]],
    ['is the active alone', aSteadyState(), []],
    ['is the active, while no budget is wanted', unwanted((pod) => pod), []],
    ['is a standby that is going anyway', aSteadyState().where(1, (pod) => pod.guarded().terminating()), []],
  ])('%s', (_what, start, expected) => {
    const { actions } = decide(start.build(), NOW);
    const labelling = actions.filter(({ kind }) => kind === 'stripRole' || kind === 'labelActive');
    expect(labelling).toMatchObject(expected);
    expect(labelling).toHaveLength(expected.length);
  });
});

function unwanted(change: (pod: PodBuilder) => PodBuilder): SnapshotBuilder {
  return aSteadyState().changingSpec({ disruptionBudget: false }).withoutBudget().where(1, change);
}
