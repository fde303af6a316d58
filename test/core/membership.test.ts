import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import { decide } from '../../src/core/decide.ts';
import { violationsOf } from '../../src/core/invariants.ts';
import { planMembership } from '../../src/core/membership.ts';
import type { MembershipPlan } from '../../src/core/membership.ts';
import { templateRevision } from '../../src/core/objects.ts';
import { describeAction } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import type { SlotFailures, Snapshot } from '../../src/core/snapshot.ts';
import { NOW, aPod, aSnapshot, aSpec, aSteadyState, aTemplate } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

/** Nobody is the active, unless the Lease says so. */
const planOf = (builder: SnapshotBuilder): MembershipPlan => {
  const snapshot = builder.build();
  const holder = snapshot.lease?.holder;
  return planMembership(snapshot, snapshot.singleton.spec ?? aSpec(), {
    active: holder === undefined ? [] : [holder],
    now: NOW,
  });
};

const podsOf = (builder: SnapshotBuilder): string[] =>
  planOf(builder)
    .actions.filter(({ kind }) => kind !== 'emitEvent')
    .map(describeAction);

const created = (plan: MembershipPlan) => plan.actions.filter((action) => action.kind === 'createPod');

const nameOf = (builder: SnapshotBuilder): string => {
  const [creation] = created(planOf(builder));
  if (creation === undefined) throw new Error('no pod is created');
  return creation.pod;
};

describe('members are created', () => {
  it('one for each slot of a new singleton', () => {
    const { actions } = planOf(aSnapshot());
    expect(created({ actions, recheckAtMs: undefined }).map(({ slot }) => slot)).toEqual([0, 1, 2]);
    expect(actions.filter(({ kind }) => kind === 'emitEvent')).toMatchObject([{ event: { reason: 'MemberCreated' } }]);
  });

  it('as standbys that carry name, slot and revision, and no term', () => {
    const [first] = created(planOf(aSnapshot()));
    expect(first?.body).toMatchObject({
      metadata: {
        labels: {
          [LABEL.name]: 'db',
          [LABEL.slot]: '0',
          [LABEL.role]: 'standby',
          [LABEL.revision]: templateRevision(aSpec()),
        },
        ownerReferences: [{ uid: 'uid-db', controller: true }],
      },
    });
    expect(JSON.stringify(first?.body)).not.toContain(LABEL.term);
  });

  it.each<[string, (pod: PodBuilder) => PodBuilder]>([
    ['has failed', (pod) => pod.failed()],
    ['has ended', (pod) => pod.finished()],
    ['is being deleted, however long that takes', (pod) => pod.terminating()],
  ])('at once in place of one that %s', (_what, change) => {
    const { actions } = planOf(aSteadyState().where(2, change));
    expect(created({ actions, recheckAtMs: undefined }).map(({ slot }) => slot)).toEqual([2]);
    expect(actions.find(({ kind }) => kind === 'emitEvent')).toMatchObject({ event: { reason: 'MemberReplaced' } });
  });

  it('not in place of one that is only unready: its kubelet restarts it', () => {
    expect(podsOf(aSteadyState().where(1, (pod) => pod.crashed()))).toEqual([]);
  });

  it('not while paused', () => {
    expect(planOf(aSnapshot().paused())).toEqual({ actions: [], recheckAtMs: undefined });
  });

  it('not for pods that are adopted', () => {
    expect(planOf(aSnapshot().changingSpec({ template: undefined })).actions).toEqual([]);
  });

  it('not from a template that the API server refuses, until it changes', () => {
    const refused = aSnapshot().remembering({ template: { revision: templateRevision(aSpec()), refusal: 'no' } });
    expect(podsOf(refused)).toEqual([]);
    expect(created(planOf(refused.spec({ template: aTemplate('other') })))).toHaveLength(3);
  });

  it('not as a second one because somebody took the slot label away, or edited it', () => {
    expect(podsOf(aSteadyState().where(1, (pod) => pod.but({ slot: undefined })))).toEqual(['mendLabels db-1-a']);
    expect(podsOf(aSteadyState().where(1, (pod) => pod.but({ slot: 7 })))).toEqual(['mendLabels db-1-a']);
  });
});

describe('the name of a member', () => {
  it('is the same each time it is asked for, so that two creates make one pod', () => {
    expect(nameOf(aSnapshot())).toBe(nameOf(aSnapshot()));
    expect(nameOf(aSnapshot())).toMatch(/^db-0-[a-z0-9]{5}$/);
  });

  it('is another for each slot and for each singleton of that name', () => {
    const names = created(planOf(aSnapshot())).map(({ pod }) => pod.slice(-5));
    expect(new Set(names).size).toBe(3);
    expect(nameOf(aSnapshot().butSingleton({ uid: 'other' }))).not.toBe(nameOf(aSnapshot()));
  });

  it('differs from that of whom it replaces, for generation after generation', () => {
    const names: string[] = [];
    let old: PodBuilder[] = [];
    for (let generation = 0; generation < 20; generation++) {
      const name = nameOf(aSnapshot().with(...old));
      expect(names).not.toContain(name);
      names.push(name);
      old = [aPod().named(name).failed()];
    }
  });

  it('differs from that of a predecessor which only the status remembers', () => {
    const first = nameOf(aSnapshot());
    const told = aSnapshot().status({
      members: [{ pod: first, slot: 0, role: 'standby', ready: true, eligible: true }],
    });
    expect(nameOf(told)).not.toBe(first);
  });

  it('differs from that of the last active, whom the Lease remembers when the status does not any more', () => {
    const first = nameOf(aSnapshot());
    const held = aSnapshot().with(aPod().named(first)).leaseHeldBy(0, 1).withoutMember(0);
    expect(nameOf(held)).not.toBe(first);
  });

  it('does not depend on the order in which pods are listed', () => {
    const [a, b] = [aPod().named('db-0-b').failed(), aPod().named('db-0-c').failed()];
    expect(nameOf(aSnapshot().with(a, b))).toBe(nameOf(aSnapshot().with(b, a)));
  });
});

describe('a slot whose members fail again and again', () => {
  const failing = (count: number, agoMs: number): MembershipPlan => {
    const failures: SlotFailures = { count, lastAtMs: NOW.monotonicMs - agoMs, uids: [] };
    return planOf(
      aSteadyState()
        .withoutMember(1)
        .remembering({ failures: { 1: failures } }),
    );
  };

  it.each<[number, number, number]>([
    [1, 0, 0],
    [2, 0, 1_000],
    [3, 0, 2_000],
    [7, 0, 32_000],
    [8, 0, 60_000],
    [40, 0, 60_000],
    [3, 1_500, 500],
  ])('after %i failures, the last %i ms ago, waits %i ms', (count, agoMs, waitMs) => {
    const plan = failing(count, agoMs);
    expect(plan.recheckAtMs).toBe(waitMs === 0 ? undefined : NOW.monotonicMs + waitMs);
    expect(created(plan)).toHaveLength(waitMs === 0 ? 1 : 0);
  });

  it('keeps the failed pod until its replacement is due, whose name then is another', () => {
    const failures = { 1: { count: 3, lastAtMs: NOW.monotonicMs, uids: ['uid-db-1-a'] } };
    const failed = aSteadyState()
      .where(1, (pod) => pod.failed())
      .remembering({ failures });
    expect(planOf(failed).actions).toEqual([]);
    const due = failed.remembering({ failures: { 1: { ...failures[1], lastAtMs: NOW.monotonicMs - 2_000 } } });
    expect(planOf(due).actions.map(({ kind }) => kind)).toEqual(['createPod', 'deletePod', 'emitEvent']);
  });

  it('does not make other slots wait', () => {
    const failures = { 1: { count: 9, lastAtMs: NOW.monotonicMs, uids: [] } };
    const plan = planOf(aSteadyState().withoutMember(1).withoutMember(2).remembering({ failures }));
    expect(created(plan).map(({ slot }) => slot)).toEqual([2]);
  });
});

describe('members are deleted', () => {
  it.each<[string, SnapshotBuilder, string[]]>([
    [
      'those of slots that spec.replicas no longer has',
      aSteadyState().changingSpec({ replicas: 1 }),
      ['deletePod db-1-a (no slot for it)', 'deletePod db-2-a (no slot for it)'],
    ],
    [
      'but not one that is being deleted already',
      aSteadyState()
        .changingSpec({ replicas: 2 })
        .where(2, (pod) => pod.terminating()),
      [],
    ],
    ['but not the active', aSteadyState().leaseHeldBy(2, 1).changingSpec({ replicas: 2 }), []],
    [
      'the unready one of two in a slot',
      aSteadyState().with(aPod().named('db-1-b').notReady().created(-9)),
      ['deletePod db-1-b (no slot for it)'],
    ],
    [
      'the younger of two Ready ones in a slot',
      aSteadyState().with(aPod().named('db-1-b').created(9)),
      ['deletePod db-1-b (no slot for it)'],
    ],
    [
      'the other one of the slot of the active, even when the active is unready',
      aSteadyState()
        .where(0, (pod) => pod.crashed())
        .with(aPod().named('db-0-b').created(-9)),
      ['deletePod db-0-b (no slot for it)'],
    ],
  ])('%s', (_what, builder, expected) => {
    const snapshot = builder.but({
      members: builder.build().members.map((member) => ({ ...member, slot: Number(member.pod[3]) })),
    });
    expect(podsOf(snapshot)).toEqual(expected);
  });

  it('when they have failed, as they are replaced', () => {
    expect(podsOf(aSteadyState().where(2, (pod) => pod.evicted())).at(-1)).toBe('deletePod db-2-a (Evicted)');
  });

  it('not before they have their name again: no watch would tell that they are gone', () => {
    const snapshot = aSteadyState().where(2, (pod) => pod.evicted().withoutName());
    expect(podsOf(snapshot).slice(1)).toEqual(['mendLabels db-2-a']);
  });

  it('never while they hold the Lease, even when they have failed', () => {
    expect(podsOf(aSteadyState().where(0, (pod) => pod.failed())).filter((text) => text.startsWith('delete'))).toEqual(
      [],
    );
  });
});

describe('no plan deletes the active', () => {
  const deletions = (snapshot: Snapshot): Action[] => {
    const plan = decide(snapshot, NOW);
    expect(violationsOf(plan, snapshot, NOW)).toEqual([]);
    return plan.actions.filter(({ kind }) => kind === 'deletePod');
  };

  it('that it grants to: the candidate shares its slot with the old active', () => {
    const snapshot = aSteadyState({ members: 1 })
      .where(0, (pod) => pod.crashed())
      .with(aPod().named('db-0-b'))
      .build();
    expect(decide(snapshot, NOW).actions.find(({ kind }) => kind === 'grantLease')).toMatchObject({
      to: { pod: 'db-0-b' },
    });
    expect(deletions(snapshot)).toEqual([]);
  });

  it('that it grants to: the candidate is the younger of two in its slot', () => {
    const snapshot = aSteadyState({ members: 2 })
      .where(0, (pod) => pod.crashed())
      .where(1, (pod) => pod.ready(50))
      .with(aPod().named('db-1-b').slot(1).ready(20).created(9))
      .build();
    expect(deletions(snapshot)).toMatchObject([{ pod: 'db-1-a' }]);
  });

  it('while the Lease is lost, and with it the word who is the active', () => {
    expect(deletions(aSteadyState().leaseHeldBy(2, 1).changingSpec({ replicas: 1 }).withoutLease().build())).toEqual(
      [],
    );
  });

  it('while the Lease names somebody else by hand', () => {
    const edited = aSteadyState()
      .leaseHeldBy(2, 1)
      .changingSpec({ replicas: 1 })
      .lease({ holder: 'db-0-a_uid-db-0-a' });
    expect(deletions(edited.build())).toEqual([]);
  });
});

describe('labels that hands have changed are mended', () => {
  it.each<[string, (pod: PodBuilder) => PodBuilder, object]>([
    ['the name', (pod) => pod.withoutName(), { [LABEL.name]: 'db' }],
    ['the slot, taken away', (pod) => pod.but({ slot: undefined }), { [LABEL.slot]: '1' }],
    ['the slot, edited', (pod) => pod.but({ slot: 0 }), { [LABEL.slot]: '1' }],
    ['the role', (pod) => pod.withoutRole(), { [LABEL.role]: 'standby' }],
  ])('%s', (_what, change, labels) => {
    expect(planOf(aSteadyState().where(1, change)).actions).toEqual([
      { kind: 'mendLabels', pod: 'db-1-a', expect: { uid: 'uid-db-1-a', resourceVersion: '10' }, labels },
    ]);
  });

  it('but not on a pod that is going', () => {
    expect(podsOf(aSteadyState().where(1, (pod) => pod.withoutRole().terminating())).slice(1)).toEqual([]);
  });
});

describe('a template that no pod was made from yet', () => {
  // A second member of an older template has to go before one of the new can come.
  const changed = aSteadyState()
    .with(aPod().named('db-1-b').slot(1).revision('older').notReady())
    .where(1, (pod) => pod.revision('old'))
    .spec({ template: aTemplate('new') });

  it('is shown to the API server at once, not when a pod of it can be created', () => {
    const revision = templateRevision(aSpec({ template: aTemplate('new') }));
    expect(podsOf(changed)).toEqual([`checkTemplate ${revision}`, 'deletePod db-1-b (no slot for it)']);
  });

  it('is shown once', () => {
    const revision = templateRevision(aSpec({ template: aTemplate('new') }));
    const template = { revision, refusal: undefined };
    expect(podsOf(changed.remembering({ template }))).toEqual(['deletePod db-1-b (no slot for it)']);
  });
});
