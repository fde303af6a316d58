import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { violationsBetween } from '../../src/core/invariants.ts';
import {
  TERM_GAP_AFTER_LOSS,
  highestTermOutsideLease,
  isHolder,
  mendedLease,
  nextTerm,
  parseTerm,
  recreatedLease,
  routedMember,
  routingTerm,
} from '../../src/core/lease.ts';
import type { LeaseContent } from '../../src/core/lease.ts';
import { NOW, WALL_MS, aLease, aMove, aPod, aSnapshot, aFencedState, aSteadyState, holderOf } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';
import { settle } from './effects.ts';

const INT32_MAX = 2_147_483_647;

const mended = (builder: SnapshotBuilder): LeaseContent | undefined => {
  const snapshot = builder.build();
  if (snapshot.lease === undefined) throw new Error('the snapshot has no Lease');
  return mendedLease(snapshot, snapshot.lease, WALL_MS);
};

const next = (builder: SnapshotBuilder): number => {
  const snapshot = builder.build();
  if (snapshot.lease === undefined) throw new Error('the snapshot has no Lease');
  return nextTerm(snapshot, snapshot.lease);
};

describe('a term in a label', () => {
  it.each<[string | undefined, number | undefined]>([
    ['1', 1],
    ['0', 0],
    ['2147483647', INT32_MAX],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['1e3', undefined],
    [' 1', undefined],
    ['99999999999', undefined],
  ])('%j is read as %j', (text, term) => {
    expect(parseTerm(text)).toBe(term);
  });

  it('with a leading zero is none, since the Service compares texts', () => {
    expect(parseTerm('07')).toBeUndefined();
  });
});

describe('the term of the next grant', () => {
  it.each<[string, SnapshotBuilder, number]>([
    ['is one above that of the Lease', aSteadyState({ term: 7 }), 8],
    ['is 1 for a new singleton', aSnapshot().leaseHeldByNobody(), 1],
    ['is above what the status knows', aSteadyState().status({ term: 9 }), 10],
    ['is above what the Service selects', aSteadyState().serviceSelecting(9), 10],
    ['is above what a pod carries', aSteadyState().where(1, (pod) => pod.term(9)), 10],
    [
      'is above what a pod carries that was adopted and has ended',
      aSteadyState()
        .changingSpec({ template: undefined, selector: { matchLabels: { app: 'web' } } })
        .withStranger({ term: '9' }),
      10,
    ],
    ['is not raised by a pod that was never a member', aSteadyState().withStranger({ term: '9' }), 2],
    ['does not follow a term that no singleton comes to', aSteadyState().where(1, (pod) => pod.term(1_999_999_999)), 2],
    ['does not follow a label above 32 bits', aSteadyState().where(1, (pod) => pod.term(9_999_999_999)), 2],
    ['does not follow a selector that no singleton comes to', aSteadyState().serviceSelecting(2_000_000_000), 2],
  ])('%s', (_what, builder, term) => {
    expect(next(builder)).toBe(term);
  });

  it('keeps growing whatever somebody wrote into a label', () => {
    const before = aSteadyState({ term: 5 })
      .where(2, (pod) => pod.term(1_999_999_999))
      .where(0, (pod) => pod.crashed())
      .build();
    const first = settle(before, { now: NOW }).last;
    const second = settle(
      { ...first, members: first.members.map((member) => (member.slot === 1 ? { ...member, ready: false } : member)) },
      { now: NOW },
    ).last;
    expect([first.lease?.term, second.lease?.term]).toEqual([6, 7]);
  });
});

describe('a lost Lease', () => {
  const lost = (builder: SnapshotBuilder): LeaseContent => recreatedLease(builder.withoutLease().build(), WALL_MS);
  const firstKinds = (builder: SnapshotBuilder): string[] =>
    decide(builder.build(), NOW).actions.map(({ kind }) => kind);

  it('is made empty, whatever bears witness of it: the creation may arrive when that is old', () => {
    const [action] = decide(aSteadyState({ term: 3 }).withoutLease().build(), NOW).actions;
    expect(action).toEqual({ kind: 'createLease', lease: 'db-active' });
  });

  it.each<[string, SnapshotBuilder]>([
    ['in the status', aSteadyState().status({ term: 40 }).serviceSelecting(0).withoutMember(0)],
    ['in the selector', aSnapshot().with(aPod().slot(0)).serviceSelecting(41)],
    ['on a pod', aSnapshot().with(aPod().slot(0).term(42), aPod().slot(1))],
  ])(
    'that was just made empty is restored before anything is granted, when a term is witnessed %s',
    (_where, builder) => {
      const kinds = firstKinds(builder.leaseHeldByNobody());
      expect(kinds[0]).toBe('restoreLease');
      expect(kinds).not.toContain('grantLease');
    },
  );

  it('that was just made empty is no lost one of a new singleton, which nothing bears witness of', () => {
    expect(firstKinds(aSnapshot().with(aPod().slot(0)).serviceSelecting(0).leaseHeldByNobody())).toContain(
      'grantLease',
    );
  });

  it.each<[string, SnapshotBuilder, number]>([
    ['in the status', aSteadyState().status({ term: 40 }), 40],
    ['in the selector', aSteadyState().serviceSelecting(41), 41],
    ['on a pod', aSteadyState().where(2, (pod) => pod.term(42)), 42],
  ])(`comes back ${TERM_GAP_AFTER_LOSS} above the highest term witnessed %s`, (_where, builder, highest) => {
    expect(highestTermOutsideLease(builder.withoutLease().build())).toBe(highest);
    expect(lost(builder).term).toBe(highest + TERM_GAP_AFTER_LOSS);
  });

  it('comes back held by whoever is routed, under the labels it has', () => {
    const { holder, term, move } = lost(aSteadyState({ term: 3 }));
    expect({ holder, term }).toEqual({ holder: 'db-0-a_uid-db-0-a', term: 1003 });
    expect(move).toMatchObject({ reason: 'LeaseRestored', to: holder, term, routingTerm: 3 });
  });

  it('comes back held by whoever was granted last, when the Service is lost with it', () => {
    expect(lost(aSteadyState({ term: 3 }).withoutService()).holder).toBe('db-0-a_uid-db-0-a');
  });

  it('comes back held by nobody, when nobody is routed', () => {
    expect(lost(aSteadyState({ term: 3 }).withoutMember(0))).toMatchObject({ holder: '', term: 1003 });
  });

  it('costs no request: no label and no selector changes, and the status hears of no move', () => {
    const run = settle(aSteadyState({ term: 3 }).withoutLease().build(), { now: NOW });
    expect(run.actions.map(({ kind }) => kind)).toEqual(['createLease', 'restoreLease', 'writeStatus']);
    expect(run.last.singleton.status?.lastMove).toEqual(aSteadyState({ term: 3 }).build().singleton.status?.lastMove);
    expect(run.last.singleton.status?.term).toBe(1003);
  });

  it('is followed by a grant above any term that may have been given', () => {
    const run = settle(
      aSteadyState({ term: 3 })
        .withoutLease()
        .where(0, (pod) => pod.crashed())
        .build(),
      { now: NOW },
    );
    expect(run.last.lease).toMatchObject({ holder: 'db-1-a_uid-db-1-a', term: 1004 });
  });

  it('is given to the member that the status calls the active, when a second one forged its term', () => {
    const snapshot = aSteadyState({ term: 3 })
      .where(1, (pod) => pod.term(3))
      .withoutLease()
      .build();
    expect(routedMember(snapshot)?.pod).toBe('db-0-a');
    expect(routedMember(aSteadyState({ term: 4 }).serviceSelecting(0).build())?.pod).toBe('db-0-a');
    expect(routedMember({ ...snapshot, members: snapshot.members.toReversed() })?.pod).toBe('db-0-a');
  });

  it('does not believe a label that no singleton comes to', () => {
    expect(lost(aSteadyState({ term: 3 }).where(2, (pod) => pod.term(1_999_999_999))).term).toBe(1003);
  });
});

describe('a Lease that somebody edited', () => {
  const steady = (): SnapshotBuilder => aSteadyState({ term: 5 });

  it.each<[string, SnapshotBuilder]>([
    ['as it was granted', steady()],
    ['of a new singleton', aSnapshot().leaseHeldByNobody()],
    ['whose record was damaged', steady().lease({ move: undefined })],
    ['while labels were edited', steady().where(0, (pod) => pod.term(77).role('standby'))],
    ['while the selector was edited', steady().serviceSelecting(77)],
  ])('is left alone %s', (_what, builder) => {
    expect(mended(builder)).toBeUndefined();
  });

  it.each<[string, SnapshotBuilder, Partial<LeaseContent>]>([
    ['another holder', steady().lease({ holder: 'db-1-a_uid-db-1-a' }), { holder: 'db-0-a_uid-db-0-a', term: 5 }],
    ['no holder', steady().lease({ holder: '' }), { holder: 'db-0-a_uid-db-0-a', term: 5 }],
    ['a lower term', steady().lease({ term: 2 }), { holder: 'db-0-a_uid-db-0-a', term: 5 }],
    ['a higher term, which may have been read', steady().lease({ term: 9 }), { holder: 'db-0-a_uid-db-0-a', term: 9 }],
    [
      'a term that no singleton comes to',
      steady().lease({ term: INT32_MAX }),
      { holder: 'db-0-a_uid-db-0-a', term: 5 },
    ],
    ['a term below zero', steady().lease({ term: -1 }), { holder: 'db-0-a_uid-db-0-a', term: 5 }],
    ['no name label', steady().lease({ named: false }), { holder: 'db-0-a_uid-db-0-a', term: 5 }],
    [
      'neither record nor term',
      steady().lease({ term: 0, move: undefined }),
      { holder: 'db-0-a_uid-db-0-a', term: 1005 },
    ],
  ])('with %s is restored', (_what, builder, expected) => {
    expect(mended(builder)).toMatchObject(expected);
  });

  it('with a higher term goes on routing by the labels that are there', () => {
    const content = mended(steady().lease({ term: 9 }));
    expect(content?.move).toMatchObject({ term: 9, routingTerm: 5 });
    const [plan] = settle(steady().lease({ term: 9 }).build(), { now: NOW }).plans;
    expect(plan?.actions.map(({ kind }) => kind)).toEqual(['restoreLease']);
  });

  it('back to an older grant, as from a backup, does not give a term a second holder or move traffic', () => {
    const old = aLease({ holder: 'db-1-a_uid-db-1-a', term: 3, move: aMove({ to: 'db-1-a_uid-db-1-a', term: 3 }) });
    const before = steady().but({ lease: old }).build();
    const run = settle(before, { now: NOW });
    expect(run.last.lease).toMatchObject({ holder: 'db-0-a_uid-db-0-a', term: 1005 });
    expect(run.actions.map(({ kind }) => kind)).toEqual(['restoreLease', 'writeStatus']);
  });

  it('is not restored, and nothing is granted, when it is not ours', () => {
    const plan = decide(
      steady()
        .where(0, (pod) => pod.crashed())
        .lease({ ours: false, holder: 'x' })
        .build(),
      NOW,
    );
    expect(plan.actions.filter(({ kind }) => kind === 'restoreLease' || kind === 'grantLease')).toEqual([]);
    expect(plan.holds.map(({ name }) => name)).toEqual(['LeaseTaken']);
  });

  it('does not spoil the term in the status before it is restored', () => {
    const failing = steady()
      .lease({ term: INT32_MAX })
      .remembering({ failure: { kind: 'restoreLease', action: 'restoreLease', message: 'no' } })
      .build();
    const status = decide(failing, NOW).actions.find((action) => action.kind === 'writeStatus');
    expect(status?.status.term).toBe(5);
  });

  it('never gives a term two holders on the way back', () => {
    const edits = [
      steady().lease({ holder: 'db-2-a_uid-db-2-a', term: 2 }),
      steady().lease({ holder: '', term: 8 }),
      steady().lease({ holder: 'db-2-a_uid-db-2-a', move: undefined }),
    ];
    for (const edit of edits) {
      const { states } = settle(edit.build(), { now: NOW });
      for (const [place, state] of states.entries()) {
        const before = states[place - 1];
        if (before !== undefined) expect(violationsBetween(before, state)).toEqual([]);
      }
    }
  });
});

describe('in mode Agent', () => {
  it('a Lease that says which term was released is no edit', () => {
    expect(mended(aFencedState({ term: 4 }).lease({ holder: '', releasedTerm: 4 }))).toBeUndefined();
  });

  it.each([undefined, 3, 5])('one that was emptied with %s released of term 4 gets its holder back', (releasedTerm) => {
    const emptied = aFencedState({ term: 4 }).lease({
      holder: '',
      ...(releasedTerm !== undefined && { releasedTerm }),
    });
    expect(mended(emptied)).toMatchObject({ holder: 'db-0-a_uid-db-0-a', term: 4 });
  });

  it('a holder edited by hand is put back under its own term', () => {
    const edited = aFencedState({ term: 4 }).lease({ holder: 'db-1-a_uid-db-1-a' });
    expect(mended(edited)).toMatchObject({ holder: 'db-0-a_uid-db-0-a', term: 4, move: { routingTerm: undefined } });
  });

  it('a Lease that was lost names nobody: whoever was granted last may have left no other trace', () => {
    expect(mended(aFencedState({ term: 4 }).lease({ holder: '', term: 0, move: undefined }))).toMatchObject({
      holder: '',
      term: 1004,
      move: { to: '', routingTerm: undefined },
    });
  });

  it('a term that went back names nobody, above any that was given', () => {
    const restored = aFencedState({ term: 9 }).leaseHeldBy(1, 7).lease({ leaseDurationMs: 10_000, renewedTerm: 7 });
    expect(mended(restored)).toMatchObject({ holder: '', term: 1009 });
  });
});

describe('the Lease names', () => {
  it('its holder by pod name and UID, so that a new pod of the same name holds nothing', () => {
    const pod = aPod().build();
    const lease = aLease({ holder: holderOf(pod) });
    expect(isHolder(lease, pod)).toBe(true);
    expect(isHolder(lease, { ...pod, uid: 'other' })).toBe(false);
  });

  it('the term to route by: its own, unless it was restored around somebody who is routed', () => {
    expect(routingTerm(aLease({ term: 5 }))).toBe(5);
    expect(routingTerm(aLease({ term: 5, move: aMove({ routingTerm: 3 }) }))).toBe(3);
  });
});
