import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import { decide } from '../../src/core/decide.ts';
import { recordGrant, selectedPods, violationsBetween, violationsIn, violationsOf } from '../../src/core/invariants.ts';
import type { Violation } from '../../src/core/invariants.ts';
import type { Action, Plan } from '../../src/core/plan.ts';
import { NOW, aMove, aPod, aSteadyState } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const names = (violations: readonly Violation[]): string[] => violations.map(({ invariant }) => invariant);

const expectation = { uid: 'u', resourceVersion: '1' };
const strip: Action = { kind: 'stripRole', pod: 'db-0-a', expect: expectation, labels: {} };
const label: Action = { kind: 'labelActive', pod: 'db-1-a', expect: expectation, labels: {} };
const flip: Action = { kind: 'flipService', service: 'db', expect: expectation, term: 2, selector: {} };
const grant = (term = 2, pod = 'db-1-a'): Action => ({
  kind: 'grantLease',
  lease: 'db-active',
  expect: expectation,
  to: { pod, uid: `uid-${pod}` },
  from: undefined,
  term,
  move: aMove(),
});
const deletion = (pod: string): Action => ({
  kind: 'deletePod',
  pod,
  expect: { uid: `uid-${pod}`, resourceVersion: '1' },
  why: 'a test',
});

const planned = (builder: SnapshotBuilder, ...actions: Action[]): string[] => {
  const plan: Plan = { actions, reason: 'a test', holds: [], recheckAtMs: undefined };
  return names(violationsOf(plan, builder.build(), NOW));
};

describe('in a state', () => {
  it.each<[string, SnapshotBuilder, string[]]>([
    ['that is steady, all is well', aSteadyState(), []],
    ['in which two pods carry the routed term, I2 is broken', aSteadyState().where(1, (pod) => pod.term(1)), ['I2']],
    ['in which a stranger carries the routed term, I2 is broken', aSteadyState().withStranger({ term: '1' }), ['I2']],
    [
      'in which the second one has lost its name, all is well',
      aSteadyState().where(1, (pod) => pod.term(1).withoutName()),
      [],
    ],
    ['in which the selector is too wide, I2 is broken', aSteadyState().selector({ [LABEL.name]: 'db' }), ['I2']],
    ['in which there is no selector, nothing is selected', aSteadyState().selector({}), []],
    [
      'whose Service is not ours, that is theirs',
      aSteadyState()
        .selector({ [LABEL.name]: 'db' })
        .service({ ours: false }),
      [],
    ],
    ['in which two have the role, I3 is broken', aSteadyState().where(1, (pod) => pod.role('active')), ['I3']],
    ['in which a stranger has the role, I3 is broken', aSteadyState().withStranger({ role: 'active' }), ['I3']],
    [
      'in the middle of a move nobody has the role, and all is well',
      aSteadyState().where(0, (pod) => pod.standby()),
      [],
    ],
  ])('%s', (_what, builder, expected) => {
    expect(names(violationsIn(builder.build()))).toEqual(expected);
  });

  it('the selected pods are told by name', () => {
    expect(selectedPods(aSteadyState().build())).toEqual(['db-0-a']);
  });
});

describe('from one state to the next', () => {
  const steady = aSteadyState({ term: 5 });

  it.each<[string, SnapshotBuilder, string[]]>([
    ['nothing changed', steady, []],
    ['a grant raised the term', steady.leaseHeldBy(1, 6), []],
    ['a grant kept the term: I1 is broken', steady.leaseHeldBy(1, 5), ['I1']],
    ['the term went back: I1 is broken', steady.leaseHeldBy(0, 4), ['I1']],
    ['the Lease is gone, by somebody’s hand', steady.withoutLease(), []],
    ['an edited holder is put back', steady.lease({ holder: 'db-1-a_uid-db-1-a' }), []],
    ['the Lease is not ours any more', steady.leaseHeldBy(1, 1).lease({ ours: false }), []],
  ])('%s', (_what, after, expected) => {
    expect(names(violationsBetween(steady.build(), after.build()))).toEqual(expected);
  });
});

describe('over the life of a singleton', () => {
  it('a term has one holder, ever', () => {
    const first = recordGrant(new Map(), grant(2, 'db-1-a'));
    expect(first.violations).toEqual([]);
    expect(recordGrant(first.grants, grant(2, 'db-1-a')).violations).toEqual([]);
    expect(names(recordGrant(first.grants, grant(2, 'db-2-a')).violations)).toEqual(['I1']);
    expect(recordGrant(first.grants, grant(3, 'db-2-a')).violations).toEqual([]);
  });

  it('a restored Lease grants too, but not to nobody', () => {
    const move = aMove();
    const restored = { kind: 'restoreLease', lease: 'l', expect: expectation, holder: '', term: 2, move } as const;
    expect(recordGrant(new Map([[2, 'x']]), restored).violations).toEqual([]);
    expect(names(recordGrant(new Map([[2, 'x']]), { ...restored, holder: 'y' }).violations)).toEqual(['I1']);
  });
});

describe('a plan', () => {
  const steady = aSteadyState();

  it.each<[string, string[], string[]]>([
    ['that moves in order breaks nothing', planned(steady, strip, grant(), label, flip), []],
    ['that grants twice breaks I1', planned(steady, grant(2), grant(3)), ['I1']],
    ['that grants a term again breaks I1', planned(steady, grant(1)), ['I1']],
    ['that grants a term which the status knows breaks I1', planned(steady.status({ term: 9 }), grant(9)), ['I1']],
    ['that grants without a Lease of ours breaks I1', planned(steady.withoutLease(), grant()), ['I1']],
    ['that grants while paused breaks I5', planned(steady.paused(), grant()), ['I5']],
    ['that deletes the active breaks I7', planned(steady, deletion('db-0-a')), ['I7']],
    ['that deletes whom it grants to breaks I7', planned(steady, grant(), deletion('db-1-a')), ['I7']],
    ['that deletes the old active after the grant breaks nothing', planned(steady, grant(), deletion('db-0-a')), []],
    ['that deletes a standby breaks nothing', planned(steady, deletion('db-2-a')), []],
    [
      'that deletes whoever is routed, without a Lease, breaks I7',
      planned(steady.withoutLease(), deletion('db-0-a')),
      ['I7'],
    ],
    ['that labels before the strip breaks I3', planned(steady, grant(), label, strip), ['I3']],
    ['that flips before the label breaks I2', planned(steady, grant(), flip, label), ['I2']],
    ['that labels before the grant breaks I2', planned(steady, label, grant()), ['I2']],
  ])('%s', (_what, broken, expected) => {
    expect(broken).toEqual(expected);
  });

  it('of ours breaks none', () => {
    for (const change of ['crashed', 'failed', 'terminating', 'evicting'] as const) {
      const snapshot = aSteadyState()
        .where(0, (pod) => pod[change]())
        .with(aPod().named('db-1-b').slot(1))
        .build();
      expect(violationsOf(decide(snapshot, NOW), snapshot, NOW)).toEqual([]);
    }
  });
});
