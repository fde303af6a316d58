import { describe, expect, it } from 'vitest';
import { toIso } from '../../src/api/time.ts';
import { decide } from '../../src/core/decide.ts';
import { describeAction } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import type { Snapshot, SwitchoverRecord } from '../../src/core/snapshot.ts';
import { nextStatus } from '../../src/core/status.ts';
import { isVerified, parseTarget, planRequest, requestSeen } from '../../src/core/switchover.ts';
import type { RequestPlan, SwitchoverQuestion } from '../../src/core/switchover.ts';
import { NOW, aSpec, aSteadyState, at } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

const ACTIVE = 'db-0-a_uid-db-0-a';
const TARGET = 'db-1-a_uid-db-1-a';

const aRecord = (fields: Partial<SwitchoverRecord> = {}): SwitchoverRecord => ({
  request: 'slot:1',
  acceptedWallMs: NOW.wallMs,
  deadlineWallMs: NOW.wallMs + 30_000,
  state: 'Pending',
  reason: 'Accepted',
  message: 'a switchover to slot:1 was requested',
  from: ACTIVE,
  to: undefined,
  ...fields,
});

const pending = (fields: Partial<SwitchoverRecord> = {}): SnapshotBuilder =>
  aSteadyState().lease({ switchover: aRecord(fields) });

/** Slot 0 was the active, and slot 1 was asked for and granted. */
const granted = (fields: Partial<SwitchoverRecord> = {}): SnapshotBuilder =>
  aSteadyState()
    .where(0, (pod) => pod.standby())
    .where(1, (pod) => pod.active(2))
    .leaseHeldBy(1, 2, { kind: 'Switchover', reason: 'Requested', from: 'db-0-a' })
    .serviceSelecting(2)
    .routed(0)
    .lease({ switchover: aRecord({ state: 'Granted', reason: 'Requested', to: TARGET, ...fields }) });

const questionOf = (builder: SnapshotBuilder, nowMs = 0): SwitchoverQuestion => {
  const snapshot = builder.build();
  if (snapshot.lease === undefined) throw new Error('there is no Lease');
  return { snapshot, spec: snapshot.singleton.spec ?? aSpec(), lease: snapshot.lease, now: at(nowMs) };
};

const planOf = (builder: SnapshotBuilder, nowMs = 0): RequestPlan => planRequest(questionOf(builder, nowMs));
const recordIn = ({ actions }: RequestPlan): SwitchoverRecord | undefined =>
  actions.flatMap((action) => (action.kind === 'recordSwitchover' ? [action.switchover] : []))[0];

const asking = (request: string, builder = aSteadyState()): SnapshotBuilder => builder.butSingleton({ request });
const decided = (builder: SnapshotBuilder, nowMs = 0): readonly Action[] => decide(builder.build(), at(nowMs)).actions;
const steps = (builder: SnapshotBuilder, nowMs = 0): string[] => decided(builder, nowMs).map(describeAction);

describe('what an annotation asks for', () => {
  it.each([
    ['any', { kind: 'any' }],
    ['slot:0', { kind: 'slot', slot: 0 }],
    ['slot:31', { kind: 'slot', slot: 31 }],
    ['db-1-a', { kind: 'pod', pod: 'db-1-a' }],
    ['db.example', { kind: 'pod', pod: 'db.example' }],
    ['', undefined],
    ['slot:', undefined],
    ['slot:100', undefined],
    ['slot:-1', undefined],
    ['Any', undefined],
    ['db-1-a ', undefined],
    ['a'.repeat(254), undefined],
  ])('%s', (request, target) => {
    expect(parseTarget(request)).toEqual(target);
  });
});

describe('a request is taken up', () => {
  it('in the Lease first, and then the annotation is removed', () => {
    const { actions } = planOf(asking('slot:1'));
    expect(actions.map(describeAction)).toEqual(['recordSwitchover Pending slot:1', 'removeRequest']);
    expect(recordIn(planOf(asking('slot:1')))).toEqual(aRecord());
  });

  it('once: what is left of it is to remove the annotation', () => {
    expect(planOf(asking('slot:1', pending())).actions.map(describeAction)).toEqual(['removeRequest']);
  });

  it('in place of the one before it, when that is not granted yet', () => {
    expect(recordIn(planOf(asking('slot:2', pending())))).toMatchObject({ request: 'slot:2', state: 'Pending' });
  });

  it('not while the move for the one before it is being verified', () => {
    expect(planOf(asking('slot:2', granted())).actions).toEqual([]);
  });

  it('anew when it is the same as one that has ended, and is told from that', () => {
    const ended = asking('slot:1', pending({ state: 'Refused' }));
    expect(recordIn(planOf(ended))).toMatchObject({ state: 'Pending', acceptedWallMs: NOW.wallMs + 1 });
  });

  it('with the deadline of the spec', () => {
    const spec = aSpec({ switchover: { deadlineSeconds: 5 } });
    const record = recordIn(planOf(asking('any', aSteadyState().changingSpec(spec))));
    expect(record).toMatchObject({ deadlineWallMs: NOW.wallMs + 5_000 });
  });

  it('cut short when it is longer than a name can be', () => {
    expect(recordIn(planOf(asking('x'.repeat(100_000))))?.request).toHaveLength(300);
  });

  it('and nothing is moved for it before the annotation is gone', () => {
    expect(steps(asking('slot:1', pending()))).toEqual(['removeRequest']);
    expect(steps(pending())).toContain('grantLease term 2 to db-1-a');
  });

  it('by the grant, when there has to be a move anyway, which then goes to whoever was asked for', () => {
    const crashed = asking('slot:2').where(0, (pod) => pod.crashed());
    const grant = decided(crashed).find((action) => action.kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-2-a' }, switchover: { state: 'Pending', from: ACTIVE } });
    expect(steps(crashed)).not.toContain('removeRequest');
  });

  it('last of all, when its removal was refused: members do not wait for it', () => {
    const failure = { kind: 'removeRequest', action: 'removeRequest', message: 'forbidden' } as const;
    const plan = steps(asking('slot:1', pending()).withoutMember(2).remembering({ failure }));
    expect(plan.findIndex((step) => step.startsWith('createPod'))).toBeLessThan(plan.indexOf('removeRequest'));
  });
});

describe('a request is refused', () => {
  const one = (change: (pod: PodBuilder) => PodBuilder): SnapshotBuilder => pending().where(1, change);

  it.each<[string, SnapshotBuilder, string, RegExp]>([
    ['that means nothing', pending({ request: 'to:1' }), 'Malformed', /^to:1: must be a pod's name/],
    ['for a pod that is not there', pending({ request: 'db-9-x' }), 'NoSuchPod', /^db has no member db-9-x$/],
    ['for a slot that is not there', pending({ request: 'slot:9' }), 'NoSuchSlot', /slots 0 to 2$/],
    ['while it is paused', pending().paused(), 'Paused', /^spec.paused is true/],
    ['for one that is not Ready', one((pod) => pod.notReady()), 'NotReady', /db-1-a can't be the active/],
    ['for one that crashed', one((pod) => pod.crashed()), 'Crashed', /Crashed/],
    ['for one that is going', one((pod) => pod.terminating()), 'Terminating', /Terminating/],
    ['for one that is marked', one((pod) => pod.noFailover()), 'NoFailover', /NoFailover/],
    [
      'for a drained node',
      pending().node('node-1', { draining: 'cordoned' }),
      'NodeDraining',
      /^pod db-1-a can't be the active: node node-1/,
    ],
    [
      'for any while nobody can take over',
      pending({ request: 'any' })
        .where(1, (pod) => pod.notReady())
        .where(2, (pod) => pod.notReady()),
      'NoCandidate',
      /^no other member can take over$/,
    ],
    [
      'for any while only drained nodes are left',
      pending({ request: 'any' }).node('node-1', { draining: 'cordoned' }).node('node-2', { draining: 'cordoned' }),
      'NodeDraining',
      /^no other member can take over but db-1-a/,
    ],
    [
      'for any of one',
      aSteadyState({ members: 1 }).lease({ switchover: aRecord({ request: 'any' }) }),
      'SingleReplica',
      /^spec.replicas is 1/,
    ],
    [
      'for an active that fails',
      pending({ request: 'slot:0' }).where(0, (pod) => pod.notReady()),
      'NotReady',
      /db-0-a/,
    ],
  ])('%s', (_which, builder, reason, message) => {
    const record = recordIn(planOf(builder));
    expect(record).toMatchObject({ state: 'Refused', reason });
    expect(record?.message).toMatch(message);
    const moves = decided(builder).flatMap((action) => (action.kind === 'grantLease' ? [action.move.reason] : []));
    expect(moves).not.toContain('Requested');
  });

  it.each<[string, SnapshotBuilder, string]>([
    ['for the active itself', pending({ request: 'db-0-a' }), 'AlreadyActive'],
    ['for any, when another is the active meanwhile', pending({ request: 'any', from: TARGET }), 'AlreadyMoved'],
  ])('not but fulfilled %s', (_which, builder, reason) => {
    expect(recordIn(planOf(builder))).toMatchObject({ state: 'Completed', reason });
  });

  it('not when the user overrules what is only avoided otherwise: of several in the slot it is the Ready one', () => {
    expect(recordIn(planOf(pending()))).toBeUndefined();
  });
});

describe('the deadline of a request', () => {
  const waiting = pending()
    .changingSpec(aSpec({ failover: { unreadyGraceSeconds: 60 } }))
    .where(0, (pod) => pod.notReady());

  it('is looked at when it is due', () => {
    expect(planOf(waiting, 10_000)).toEqual({ actions: [], recheckAtMs: at(30_000).monotonicMs });
  });

  it('ends a request that could not be granted, and nothing moves for it later', () => {
    expect(recordIn(planOf(waiting, 30_000))).toMatchObject({ state: 'RolledBack', reason: 'DeadlineExceeded' });
    expect(steps(pending(), 30_000)).toEqual(['recordSwitchover RolledBack slot:1']);
  });

  it('comes by the operator’s own clock as well: a wall clock that is behind does not make it wait for ever', () => {
    const behind = pending({ acceptedWallMs: NOW.wallMs + 3_600_000, deadlineWallMs: NOW.wallMs + 3_630_000 });
    const requested = requestSeen(behind.build(), NOW);
    const seen = behind.remembering({ requested });
    expect(planOf(seen).recheckAtMs).toBe(at(30_000).monotonicMs);
    expect(recordIn(planOf(seen, 30_000))).toMatchObject({ state: 'RolledBack', reason: 'DeadlineExceeded' });
  });

  it('is counted from the first sight of this very request', () => {
    const requested = { request: 'slot:1', acceptedWallMs: NOW.wallMs - 1, sinceMs: 0 };
    const snapshot = pending().remembering({ requested }).build();
    expect(requestSeen(snapshot, NOW)).toMatchObject({ acceptedWallMs: NOW.wallMs, sinceMs: NOW.monotonicMs });
    const known = { ...snapshot, memory: { ...snapshot.memory, requested: requestSeen(snapshot, NOW) } };
    expect(requestSeen(known, at(5_000))).toMatchObject({ sinceMs: NOW.monotonicMs });
  });
});

describe('the grant', () => {
  const grantIn = (builder: SnapshotBuilder, nowMs = 0) => {
    const grant = decided(builder, nowMs).find((action) => action.kind === 'grantLease');
    if (grant === undefined) throw new Error('there is no grant');
    return grant;
  };

  it('writes down what it granted, in the same write', () => {
    const { move, switchover } = grantIn(pending());
    expect(move).toMatchObject({ kind: 'Switchover', reason: 'Requested', from: 'db-0-a', to: TARGET });
    expect(switchover).toMatchObject({ state: 'Granted', from: ACTIVE, to: TARGET });
  });

  it('of a failover leaves a request that waits', () => {
    const other = pending({ request: 'any' }).where(0, (pod) => pod.crashed());
    expect(grantIn(other).switchover).toBeUndefined();
  });

  it.each<[string, (pod: PodBuilder) => PodBuilder, string]>([
    ['crashes', (pod) => pod.crashed(), 'ActiveCrashed'],
    ['is not Ready', (pod) => pod.notReady(), 'ActiveUnready'],
    ['is deleted', (pod) => pod.terminating(), 'ActiveDeleted'],
    ['fails', (pod) => pod.failed(), 'ActiveFailed'],
  ])('goes back when the new active %s before it is verified', (_what, change, reason) => {
    const { move, switchover, to } = grantIn(granted().where(1, change));
    expect(to.pod).toBe('db-0-a');
    expect(move).toMatchObject({ kind: 'Switchover', reason: 'SwitchoverRolledBack' });
    expect(switchover).toMatchObject({ state: 'RolledBack', reason });
  });

  it('goes back when the new active vanishes', () => {
    expect(grantIn(granted().withoutMember(1))).toMatchObject({
      to: { pod: 'db-0-a' },
      switchover: { state: 'RolledBack', reason: 'ActiveVanished' },
    });
  });

  it('goes on to another when the old active can not take it back', () => {
    const { move, switchover, to } = grantIn(
      granted()
        .where(0, (pod) => pod.notReady())
        .where(1, (pod) => pod.crashed()),
    );
    expect(to.pod).toBe('db-2-a');
    expect(move).toMatchObject({ kind: 'Failover', reason: 'ActiveCrashed' });
    expect(switchover).toMatchObject({ state: 'RolledBack', reason: 'ActiveCrashed' });
  });

  it('goes back when nobody routes to the new active by the deadline', () => {
    expect(grantIn(granted(), 30_000)).toMatchObject({
      to: { pod: 'db-0-a' },
      switchover: { state: 'RolledBack', reason: 'NotRouted' },
    });
    expect(decided(granted(), 29_999).some(({ kind }) => kind === 'grantLease')).toBe(false);
  });

  it('of an ordinary failover after it was told as completed says so', () => {
    const { move, switchover } = grantIn(completed().where(1, (pod) => pod.crashed()));
    expect(move).toMatchObject({ kind: 'Failover', reason: 'ActiveCrashed' });
    expect(switchover).toMatchObject({ state: 'Completed' });
  });
});

const completed = (): SnapshotBuilder => {
  const snapshot = granted().routed(1).build();
  return granted()
    .routed(1)
    .status(nextStatus({ snapshot, need: undefined, holds: [], now: NOW }));
};

describe('a move is verified', () => {
  const record = aRecord({ state: 'Granted', to: TARGET });
  it.each<[string, SnapshotBuilder, boolean]>([
    ['when the new active is Ready and routed', granted().routed(1), true],
    ['not while the EndpointSlices name another', granted(), false],
    ['not while the Service selects the old term', granted().serviceSelecting(1).routed(1), false],
    [
      'not while it is not Ready',
      granted()
        .routed(1)
        .where(1, (pod) => pod.notReady()),
      false,
    ],
    ['not when another holds the Lease', granted().routed(1).lease({ holder: ACTIVE }), false],
  ])('%s', (_when, builder, verified) => {
    expect(isVerified(record, builder.build())).toBe(verified);
  });

  it('and ends when the Lease has another holder by no doing of its own', () => {
    expect(recordIn(planOf(granted().lease({ holder: ACTIVE })))).toMatchObject({ reason: 'Overtaken' });
  });

  it('and stays unrouted when nobody can take it back, which ends it', () => {
    const stuck = granted().where(0, (pod) => pod.notReady());
    expect(recordIn(planOf(stuck, 30_000))).toMatchObject({ state: 'RolledBack', reason: 'NotRouted' });
  });

  it('and leaves nothing to do, nor to look at, when it was told', () => {
    expect(planOf(completed(), 60_000)).toEqual({ actions: [], recheckAtMs: undefined });
  });
});

describe('people are told', () => {
  const toldOf = (snapshot: Snapshot, nowMs = 0) =>
    nextStatus({ snapshot, need: undefined, holds: [], now: at(nowMs) }).switchover;
  const eventsIn = (builder: SnapshotBuilder, nowMs = 0): string[] =>
    decided(builder, nowMs).flatMap((action) => (action.kind === 'emitEvent' ? [action.event.reason] : []));

  it('of a switchover that is completed: who, to whom, when', () => {
    expect(toldOf(granted().routed(1).build(), 7)).toEqual({
      request: 'slot:1',
      outcome: 'Completed',
      reason: 'Requested',
      message: 'pod db-1-a is the active, Ready and routed',
      from: 'db-0-a',
      to: 'db-1-a',
      requestedAt: toIso(NOW.wallMs),
      at: toIso(NOW.wallMs + 7),
    });
  });

  it('with events for its beginning and its end, once', () => {
    expect(eventsIn(granted().routed(1))).toEqual(['SwitchoverStarted', 'SwitchoverCompleted']);
    expect(eventsIn(completed())).toEqual([]);
  });

  it('of a refusal by one event', () => {
    expect(eventsIn(pending({ state: 'Refused', reason: 'NoSuchPod', message: 'no' }))).toEqual(['SwitchoverRefused']);
  });

  it('of a request that waits, and by what it is held up', () => {
    const held = { name: 'UnreadyGrace', message: 'it has its grace' } as const;
    const { switchover } = nextStatus({ snapshot: pending().build(), need: undefined, holds: [held], now: NOW });
    expect(switchover).toMatchObject({ outcome: 'Pending', reason: 'UnreadyGrace', message: 'it has its grace' });
  });

  it('that a request was lost with the Lease, when they had been told of it', () => {
    const told = nextStatus({ snapshot: pending().build(), need: undefined, holds: [], now: NOW });
    expect(toldOf(aSteadyState().status(told).build())).toMatchObject({ outcome: 'RolledBack', reason: 'RequestLost' });
    expect(toldOf(aSteadyState().build())).toBeUndefined();
  });

  it('the same at every look after the end of it, whatever happens to the active', () => {
    const { switchover } = completed().build().singleton.status ?? {};
    const later = completed().where(1, (pod) => pod.crashed());
    expect(toldOf(later.build(), 99_000)).toEqual(switchover);
  });
});
