import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { describeAction, isGrant } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import { NOW, aPod, aSnapshot, aSteadyState, at } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';
import { settle } from './effects.ts';

const kinds = (builder: SnapshotBuilder): string[] => decide(builder.build(), NOW).actions.map(({ kind }) => kind);
const crashed = (pod: PodBuilder): PodBuilder => pod.crashed();
const failedAt = (kind: Action['kind']) => ({ failure: { kind, action: kind, message: 'refused' } });

describe('a steady state', () => {
  it.each([1, 2, 3, 32])('of %i members writes nothing and asks for no other look', (members) => {
    expect(decide(aSteadyState({ members }).build(), NOW)).toEqual({
      actions: [],
      reason: 'in order',
      holds: [],
      recheckAtMs: undefined,
    });
  });

  it('writes nothing an hour later either', () => {
    expect(decide(aSteadyState().build(), at(3_600_000)).actions).toEqual([]);
  });

  it('writes nothing in whatever order the pods are listed', () => {
    const unready = aSteadyState()
      .where(1, (pod) => pod.notReady())
      .where(2, (pod) => pod.crashed())
      .told()
      .build();
    expect(decide({ ...unready, members: unready.members.toReversed() }, NOW).actions).toEqual([]);
  });

  it('writes nothing while paused', () => {
    expect(kinds(aSteadyState().paused().told())).toEqual([]);
  });

  it('writes nothing while a spec is rejected', () => {
    expect(kinds(aSteadyState().rejected().told())).toEqual([]);
  });
});

describe('a new singleton', () => {
  it('gets its Lease, its Services, its members and its budget', () => {
    expect(kinds(aSnapshot())).toEqual([
      'createLease',
      'createService',
      'createService',
      'createPod',
      'createPod',
      'createPod',
      'emitEvent',
      'createBudget',
    ]);
  });

  it('routes to nobody before the first grant', () => {
    const service = decide(aSnapshot().build(), NOW).actions.find(({ kind }) => kind === 'createService');
    expect(service).toMatchObject({ body: { spec: { selector: { 'singleton-operator.io/term': '0' } } } });
  });

  it('has its first active as soon as one member is Ready', () => {
    const { last } = settle(
      aSnapshot().with(aPod().slot(0).notReady(), aPod().slot(1), aPod().slot(2).unscheduled()).build(),
      { now: NOW },
    );
    expect(last.lease).toMatchObject({ holder: 'db-1-a_uid-db-1-a', term: 1 });
    expect(last.routedUids).toEqual(['uid-db-1-a']);
    expect(last.singleton.status?.lastMove).toMatchObject({ kind: 'Initial', to: 'db-1-a', term: 1 });
  });
});

describe('a singleton that is being deleted', () => {
  it('gets nothing, whatever is wrong with it', () => {
    for (const builder of [aSnapshot(), aSteadyState().where(0, crashed), aSteadyState().withoutLease()]) {
      expect(decide(builder.deleting().build(), NOW)).toEqual({
        actions: [],
        reason: 'the SingletonService is being deleted',
        holds: [],
        recheckAtMs: undefined,
      });
    }
  });
});

describe('paused', () => {
  it('nothing is granted, created, deleted or mended on pods, and it is said why', () => {
    const plan = decide(
      aSteadyState()
        .where(0, crashed)
        .where(1, (pod) => pod.failed())
        .where(2, (pod) => pod.withoutRole())
        .paused()
        .build(),
      NOW,
    );
    expect(plan.actions.map(({ kind }) => kind)).toEqual(['emitEvent', 'emitEvent', 'writeStatus']);
    expect(plan.holds.map(({ name }) => name)).toEqual(['Paused']);
  });

  it('a move that was granted already is finished', () => {
    expect(kinds(aSteadyState().leaseHeldBy(1, 2).paused())).toEqual(['stripRole', 'labelActive', 'flipService']);
  });

  it('the move happens as soon as it is resumed', () => {
    expect(decide(aSteadyState().where(0, crashed).build(), NOW).actions.some(isGrant)).toBe(true);
  });
});

describe('a rejected spec', () => {
  it('changes nothing of what runs', () => {
    const plan = decide(aSteadyState().withoutMember(2).withoutHeadless().rejected().build(), NOW);
    expect(plan.actions.map(({ kind }) => kind)).toEqual(['emitEvent', 'writeStatus']);
  });

  it('does not keep a failover from happening', () => {
    const { last } = settle(aSteadyState().where(0, crashed).rejected().build(), { now: NOW });
    expect(last.routedUids).toEqual(['uid-db-1-a']);
  });

  it('that was never accepted makes nothing', () => {
    expect(kinds(aSnapshot().neverAccepted())).toEqual(['emitEvent', 'writeStatus']);
  });
});

describe('a name that somebody else has', () => {
  it('holds back the grant when it is the Lease', () => {
    const plan = decide(aSteadyState().where(0, crashed).lease({ ours: false }).build(), NOW);
    expect(plan.actions.some(isGrant)).toBe(false);
    expect(plan.holds).toMatchObject([{ name: 'LeaseTaken' }]);
  });

  it('holds back the grant when it is the Service, which is not written to', () => {
    const plan = decide(
      aSteadyState().where(0, crashed).selector({ app: 'theirs' }).service({ ours: false }).build(),
      NOW,
    );
    expect(plan.actions.map(({ kind }) => kind)).not.toContain('grantLease');
    expect(plan.actions.map(({ kind }) => kind)).not.toContain('flipService');
    expect(plan.holds[0]).toMatchObject({ name: 'ServiceTaken' });
  });

  it('does not hold back the grant when it is the headless Service', () => {
    const plan = decide(aSteadyState().where(0, crashed).headless({ ours: false }).build(), NOW);
    expect(plan.actions.some(isGrant)).toBe(true);
    expect(plan.holds).toMatchObject([{ name: 'ServiceTaken' }]);
  });
});

describe('a Service that was deleted', () => {
  const createdWith = (builder: SnapshotBuilder): unknown => {
    const action = decide(builder.withoutService().build(), NOW).actions.find(({ kind }) => kind === 'createService');
    return action?.kind === 'createService'
      ? (action.body as { spec: { selector: Record<string, string> } }).spec.selector['singleton-operator.io/term']
      : undefined;
  };

  it.each<[string, SnapshotBuilder]>([
    ['there is an active', aSteadyState({ term: 4 })],
    ['a move is due', aSteadyState({ term: 4 }).where(0, crashed)],
    ['there is no active', aSnapshot().with(aPod().notReady()).leaseHeldByNobody()],
    ['the Lease is not in order', aSteadyState({ term: 4 }).lease({ holder: 'x' })],
  ])('comes back routing to nobody, when %s: a creation that arrives late must not route', (_what, builder) => {
    expect(createdWith(builder)).toBe('0');
  });

  it('is flipped to the active as soon as it is there', () => {
    const plan = decide(aSteadyState({ term: 4 }).serviceSelecting(0).build(), NOW);
    expect(plan.actions).toMatchObject([{ kind: 'flipService', term: 4 }]);
  });
});

describe('after a request failed', () => {
  it('people are told before the work is tried again', () => {
    expect(kinds(aSteadyState().withoutMember(2).remembering(failedAt('createPod')))).toEqual([
      'writeStatus',
      'createPod',
      'emitEvent',
    ]);
  });

  it('a refused event does not keep the status from being written', () => {
    expect(kinds(aSteadyState().paused().remembering(failedAt('emitEvent')))).toEqual(['writeStatus', 'emitEvent']);
  });

  it('the status says which and why', () => {
    const [status] = decide(aSteadyState().withoutMember(2).remembering(failedAt('createPod')).build(), NOW).actions;
    const progressing =
      status?.kind === 'writeStatus' && status.status.conditions?.find(({ type }) => type === 'Progressing');
    expect(progressing).toMatchObject({ reason: 'Retrying', message: 'createPod failed and is tried again: refused' });
  });

  it.each<Action['kind']>(['createPod', 'mendService', 'deletePod', 'emitEvent', 'writeStatus'])(
    'a failover does not wait for anything because of %s',
    (kind) => {
      const first = kinds(aSteadyState().where(0, crashed).remembering(failedAt(kind))).slice(0, 4);
      expect(first).toEqual(['stripRole', 'grantLease', 'labelActive', 'flipService']);
    },
  );

  it('of the move itself, people are told first', () => {
    const [first] = kinds(aSteadyState().where(0, crashed).remembering(failedAt('flipService')));
    expect(['emitEvent', 'writeStatus']).toContain(first);
  });
});

describe('a plan', () => {
  it('has one line that says what it is for and what it does', () => {
    const plan = decide(aSteadyState().where(0, crashed).build(), NOW);
    expect(plan.reason).toBe('pod db-0-a crashed (app: exit code 1)');
    expect(plan.actions.map(describeAction)).toContain('grantLease term 2 to db-1-a');
  });

  it('leaves a second write to the same object to the next look', () => {
    const twice = aSteadyState().where(0, (pod) => pod.withoutRole().but({ slot: undefined }));
    expect(kinds(twice)).toEqual(['labelActive']);
    expect(settle(twice.build(), { now: NOW }).actions.map(({ kind }) => kind)).toEqual(['labelActive', 'mendLabels']);
  });
});
