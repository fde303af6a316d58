import { describe, expect, it } from 'vitest';
import { GUARDED, LABEL } from '../../src/api/names.ts';
import { budgetDrift, disruptionBudget } from '../../src/core/budget.ts';
import { decide } from '../../src/core/decide.ts';
import type { BudgetView, Snapshot } from '../../src/core/snapshot.ts';
import { afterAction } from '../../src/operator/memory.ts';
import { NOW, aBudget, aSnapshot, aSteadyState } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';
import { settle } from './effects.ts';

const { singleton } = aSnapshot().build();
const selector = { matchLabels: { [LABEL.name]: 'db', [LABEL.guarded]: GUARDED } };
const kinds = (builder: SnapshotBuilder): string[] => decide(builder.build(), NOW).actions.map(({ kind }) => kind);
const conditionsOf = ({ singleton: { status } }: Snapshot) =>
  new Map(status?.conditions?.map((condition) => [condition.type, condition]));

describe('the PodDisruptionBudget', () => {
  it('protects whoever is guarded, one pod or two; not while that is unready', () => {
    expect(disruptionBudget(singleton)).toEqual({
      metadata: {
        name: 'db',
        namespace: 'default',
        labels: { [LABEL.name]: 'db' },
        ownerReferences: [expect.objectContaining({ uid: 'uid-db', controller: true })],
      },
      spec: { minAvailable: 2, selector, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
    });
  });

  it('is made when it is missing, with whatever else a new singleton gets', () => {
    expect(kinds(aSteadyState().withoutBudget())).toEqual(['createBudget']);
    expect(kinds(aSnapshot())).toContain('createBudget');
  });

  it('comes after whatever a member needs, so that a refusal keeps none of them waiting', () => {
    const kindsOf = kinds(aSteadyState().withoutBudget().withoutMember(2));
    expect(kindsOf).toContain('createPod');
    expect(kindsOf.at(-1)).toBe('createBudget');
  });

  it('is written in no move, forced or planned', () => {
    const crashed = aSteadyState().where(0, (pod) => pod.crashed());
    const drained = aSteadyState().node('node-0', { draining: 'cordoned' });
    for (const start of [crashed, drained]) {
      const { actions, last } = settle(start.build(), { now: NOW });
      expect(last.lease?.term).toBe(2);
      expect(actions.filter(({ kind }) => kind.endsWith('Budget'))).toEqual([]);
    }
  });

  it('is deleted when the spec does not want it, and then stays away', () => {
    const unwanted = aSteadyState().changingSpec({ disruptionBudget: false });
    expect(kinds(unwanted)).toEqual(['deleteBudget']);
    expect(kinds(unwanted.withoutBudget().told())).toEqual([]);
  });

  it('is left as it is with a singleton that is being deleted', () => {
    expect(kinds(aSteadyState().budget({ spec: {} }).deleting())).toEqual([]);
  });

  it('is kept in order while the newest spec breaks a rule, and is neither made nor deleted then', () => {
    const rejected = aSteadyState({ term: 2 }).rejected();
    const budgetKinds = (builder: SnapshotBuilder) => kinds(builder).filter((kind) => kind.endsWith('Budget'));
    expect(budgetKinds(rejected.budget({ spec: {} }))).toEqual(['mendBudget']);
    expect(budgetKinds(rejected.withoutBudget())).toEqual([]);
    expect(budgetKinds(rejected.changingSpec({ disruptionBudget: false }))).toEqual([]);
  });

  it('is kept in order while the singleton is paused, as the Services are', () => {
    expect(kinds(aSteadyState().paused().withoutBudget())).toContain('createBudget');
  });

  it('of somebody else is neither changed nor deleted, blocks nothing, and is told of', () => {
    const taken = aSteadyState().budget({ ours: false, spec: { maxUnavailable: 0 } });
    expect(kinds(taken.changingSpec({ disruptionBudget: false }))).not.toContain('deleteBudget');
    const { last, actions } = settle(taken.where(0, (pod) => pod.crashed()).build(), { now: NOW });
    expect(actions.map(({ kind }) => kind).filter((kind) => kind.endsWith('Budget'))).toEqual([]);
    expect(last.lease?.term).toBe(2);
    expect(conditionsOf(last).get('SpecAccepted')).toMatchObject({
      status: 'True',
      message: expect.stringContaining('PodDisruptionBudget db exists and is not owned') as string,
    });
    expect(conditionsOf(last).get('Blocked')).toMatchObject({ status: 'False' });
  });

  it('is no news to anybody who does not want one', () => {
    const taken = aSteadyState().budget({ ours: false }).changingSpec({ disruptionBudget: false });
    const { last } = settle(taken.build(), { now: NOW });
    expect(conditionsOf(last).get('SpecAccepted')?.message).not.toContain('PodDisruptionBudget');
  });
});

describe('the drift of a budget', () => {
  const whole = aBudget().spec;
  const { unhealthyPodEvictionPolicy: _policy, ...old } = whole;
  it.each<[string, Partial<BudgetView>, object | undefined]>([
    ['nothing', {}, undefined],
    ['what an old server has dropped', { spec: old }, undefined],
    ["other people's labels", { labels: { [LABEL.name]: 'db', team: 'a' } }, undefined],
    ['another number', { spec: { ...whole, minAvailable: 0 } }, { spec: { minAvailable: 2 } }],
    ['a percentage', { spec: { ...whole, minAvailable: '100%' } }, { spec: { minAvailable: 2 } }],
    ['the other kind of number', { spec: { ...old, maxUnavailable: 1 } }, { spec: { maxUnavailable: null } }],
    [
      'another selector',
      { spec: { ...whole, selector: { matchLabels: { [LABEL.name]: 'db', app: 'x' } } } },
      { spec: { selector: { matchLabels: { app: null, [LABEL.guarded]: GUARDED } } } },
    ],
    [
      'a narrower selector',
      { spec: { ...whole, selector: { ...selector, matchExpressions: [{ key: 'x', operator: 'Exists' }] } } },
      { spec: { selector: { matchExpressions: null } } },
    ],
    [
      'whoever has a term, as an older version selected',
      { spec: { ...whole, minAvailable: 1, selector: { matchLabels: { [LABEL.name]: 'db', [LABEL.term]: '1' } } } },
      { spec: { minAvailable: 2, selector: { matchLabels: { [LABEL.term]: null, [LABEL.guarded]: GUARDED } } } },
    ],
    ['no selector', { spec: { minAvailable: 2 } }, { spec: { selector } }],
    [
      'another eviction policy',
      { spec: { ...whole, unhealthyPodEvictionPolicy: 'IfHealthyBudget' } },
      { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } },
    ],
    ['a lost name label', { labels: {} }, { metadata: { labels: { [LABEL.name]: 'db' } } }],
  ])('of %s', (_what, fields, expected) => {
    expect(budgetDrift(singleton, aBudget(fields))).toEqual(expected);
  });

  it('is mended once; a server that undoes that is not asked again and again', () => {
    const start = aSteadyState().budget({ spec: { ...whole, minAvailable: 0 } });
    const [mend] = decide(start.build(), NOW).actions;
    if (mend === undefined) throw new Error('nothing is mended');
    const { memory } = start.build();
    expect(kinds(start.remembering(afterAction(memory, mend, NOW)))).toEqual([]);
    expect(settle(start.build(), { now: NOW }).last.budget?.spec).toEqual(whole);
  });
});
