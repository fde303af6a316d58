import { describe, expect, it } from 'vitest';
import { describeAction, describePlan, isGrant, sameGrant } from '../../src/core/plan.ts';
import type { Action, Plan } from '../../src/core/plan.ts';
import { aMove, aSwitchover } from '../builders.ts';

const expectation = { uid: 'u', resourceVersion: '1' };

const grant = (pod: string, term: number, uid = `uid-${pod}`): Action => ({
  kind: 'grantLease',
  lease: 'db-active',
  expect: expectation,
  to: { pod, uid },
  from: undefined,
  term,
  move: aMove(),
});

const plan = (...actions: Action[]): Plan => ({ actions, reason: 'because', holds: [], recheckAtMs: undefined });

describe('an action in words', () => {
  it.each<[Action, string]>([
    [{ kind: 'stripRole', pod: 'p', expect: expectation, labels: {} }, 'stripRole p'],
    [grant('p', 4), 'grantLease term 4 to p'],
    [{ kind: 'labelActive', pod: 'p', expect: expectation, labels: {} }, 'labelActive p'],
    [{ kind: 'flipService', service: 's', expect: expectation, term: 4, selector: {} }, 'flipService to term 4'],
    [{ kind: 'createLease', lease: 'l' }, 'createLease term 0 holder nobody'],
    [
      { kind: 'restoreLease', lease: 'l', expect: expectation, holder: 'p_u', term: 3, move: aMove() },
      'restoreLease term 3 holder p_u',
    ],
    [
      {
        kind: 'recordSwitchover',
        lease: 'l',
        expect: expectation,
        switchover: aSwitchover({ from: 'p_u' }),
      },
      'recordSwitchover Pending any',
    ],
    [{ kind: 'removeRequest', singleton: 's', expect: expectation }, 'removeRequest'],
    [{ kind: 'createService', service: 's', body: {} }, 'createService s'],
    [{ kind: 'mendService', service: 's', expect: expectation, patch: {} }, 'mendService s'],
    [{ kind: 'createBudget', budget: 'b', body: {} }, 'createBudget b'],
    [{ kind: 'mendBudget', budget: 'b', expect: expectation, patch: {} }, 'mendBudget b'],
    [{ kind: 'deleteBudget', budget: 'b', expect: expectation }, 'deleteBudget b'],
    [{ kind: 'checkTemplate', revision: 'r', body: {} }, 'checkTemplate r'],
    [{ kind: 'createPod', pod: 'p', slot: 1, body: {} }, 'createPod p'],
    [
      { kind: 'deletePod', pod: 'p', expect: { uid: 'u', resourceVersion: '1' }, why: 'Evicted' },
      'deletePod p (Evicted)',
    ],
    [{ kind: 'mendLabels', pod: 'p', expect: expectation, labels: {} }, 'mendLabels p'],
    [
      { kind: 'emitEvent', event: { identity: 'i', reason: 'Granted', type: 'Normal', message: 'm' } },
      'emitEvent Granted',
    ],
    [{ kind: 'writeStatus', resourceVersion: '1', status: {} }, 'writeStatus'],
  ])('%j', (action, text) => {
    expect(describeAction(action)).toBe(text);
  });
});

describe('a plan in words', () => {
  it('is reason, steps and holds', () => {
    const held: Plan = { ...plan(grant('p', 4)), holds: [{ name: 'Paused', message: 'it is paused' }] };
    expect(describePlan(held)).toBe('because | grantLease term 4 to p | held by Paused: it is paused');
  });

  it('leaves out what it does not have', () => {
    expect(describePlan(plan())).toBe('because');
  });
});

describe('two plans grant the same', () => {
  it.each<[string, Plan, Plan, boolean]>([
    ['when neither grants', plan(), plan(), true],
    [
      'when term and pod are the same, whatever else they do',
      plan(grant('p', 4)),
      plan({ kind: 'checkTemplate', revision: 'r', body: {} }, grant('p', 4)),
      true,
    ],
    ['not when the term is another', plan(grant('p', 4)), plan(grant('p', 5)), false],
    ['not when the pod is another', plan(grant('p', 4)), plan(grant('q', 4)), false],
    ['not when the pod is a new one of the same name', plan(grant('p', 4)), plan(grant('p', 4, 'new')), false],
    ['not when only one grants', plan(grant('p', 4)), plan(), false],
  ])('%s', (_when, a, b, same) => {
    expect(sameGrant(a, b)).toBe(same);
    expect(sameGrant(b, a)).toBe(same);
  });

  it('so a grant is told from everything else', () => {
    expect([grant('p', 1), ...plan({ kind: 'checkTemplate', revision: 'r', body: {} }).actions].map(isGrant)).toEqual([
      true,
      false,
    ]);
  });
});
