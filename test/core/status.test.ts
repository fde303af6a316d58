import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import type { EventAction, Hold } from '../../src/core/plan.ts';
import type { Memory, Snapshot } from '../../src/core/snapshot.ts';
import { nextStatus, phasesOf, report } from '../../src/core/status.ts';
import type { Status } from '../../src/api/types.ts';
import { toIso } from '../../src/api/time.ts';
import { NOW, WALL_MS, aPod, aSnapshot, aSpec, aSteadyState, aTemplate, at, holderOf } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';
import { settle } from './effects.ts';

const statusOf = (builder: SnapshotBuilder, holds: readonly Hold[] = []): Status =>
  nextStatus({ snapshot: builder.build(), need: undefined, holds, now: NOW });

const condition = (type: string, builder: SnapshotBuilder, holds: readonly Hold[] = []): string => {
  const found = statusOf(builder, holds).conditions?.find((each) => each.type === type);
  return `${found?.status} ${found?.reason}: ${found?.message}`;
};

describe('the status', () => {
  it('counts members that are alive, Ready, eligible and up to date', () => {
    const builder = aSteadyState()
      .where(1, (pod) => pod.notReady())
      .where(2, (pod) => pod.revision('old'))
      .with(aPod().named('db-1-z').slot(1).terminating(), aPod().named('db-2-z').slot(2).failed());
    expect(statusOf(builder)).toMatchObject({
      replicas: 3,
      readyReplicas: 2,
      eligibleReplicas: 2,
      updatedReplicas: 2,
      ready: '2/3',
      selector: 'singleton-operator.io/name=db',
    });
  });

  it('names the active with slot, node, zone and term', () => {
    const builder = aSteadyState({ term: 4 }).node('node-0', { zone: 'a' });
    expect(statusOf(builder).active).toMatchObject({ pod: 'db-0-a', slot: 0, node: 'node-0', zone: 'a', term: 4 });
  });

  it('lists the members by slot, with the reason why one is no candidate', () => {
    const builder = aSnapshot()
      .with(aPod().slot(2).noFailover(), aPod().slot(0).notReady(), aPod().slot(1))
      .leaseHeldBy(1, 1);
    expect(statusOf(builder).members).toMatchObject([
      { pod: 'db-0-a', role: 'standby', ready: false, eligible: false, reason: 'NotReady' },
      { pod: 'db-1-a', role: 'active', ready: true, eligible: true },
      { pod: 'db-2-a', role: 'standby', ready: true, eligible: false, reason: 'NoFailover' },
    ]);
  });

  it('keeps the highest term, even when the Lease is lost', () => {
    expect(statusOf(aSteadyState({ term: 9 }).withoutLease()).term).toBe(9);
  });

  it('has no field that is undefined, since the API server would drop it and it would differ for ever', () => {
    const status = statusOf(aSnapshot());
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    expect(Object.values(status)).not.toContain(undefined);
  });
});

describe('the condition Ready', () => {
  it.each<[string, SnapshotBuilder, string]>([
    [
      'is True when the active is Ready and routed',
      aSteadyState({ term: 3 }),
      'True ActiveRouted: pod db-0-a is active with term 3 and the Service routes to it',
    ],
    [
      'tells that nobody is active yet',
      aSnapshot().with(aPod()).leaseHeldByNobody(),
      'False NoActive: no member is active yet',
    ],
    ['tells that the active is gone', aSteadyState().withoutMember(0), 'False ActiveGone: the active pod is gone'],
    [
      'tells that the active is not Ready',
      aSteadyState().where(0, (pod) => pod.notReady()),
      'False ActiveNotReady: the active pod db-0-a is not Ready',
    ],
    [
      'tells that the active is being deleted',
      aSteadyState().where(0, (pod) => pod.terminating()),
      'False ActiveTerminating: the active pod db-0-a is being deleted',
    ],
    [
      'tells that the Service selects another term',
      aSteadyState().serviceSelecting(7),
      'False NotRouted: the Service does not select term 1 yet',
    ],
    [
      'tells that no EndpointSlice names the active',
      aSteadyState().routed(),
      'False NotRouted: no EndpointSlice of the Service names pod db-0-a; is kube-controller-manager running?',
    ],
    [
      'tells that the Lease is somebody else’s',
      aSteadyState().lease({ ours: false }),
      'False LeaseTaken: Lease db-active belongs to somebody else',
    ],
    [
      'tells that the Service is somebody else’s',
      aSteadyState().service({ ours: false }),
      'False ServiceTaken: Service db belongs to somebody else',
    ],
    [
      'is True under a restored Lease whose holder goes on',
      restored(),
      'True ActiveRouted: pod db-0-a is active with term 1001 and the Service routes to it',
    ],
  ])('%s', (_what, builder, text) => {
    expect(condition('Ready', builder)).toBe(text);
  });
});

function restored(): SnapshotBuilder {
  const steady = aSteadyState();
  const [member] = steady.build().members;
  return steady.leaseHeldBy(0, 1001, { routingTerm: 1, to: member === undefined ? '' : holderOf(member) });
}

describe('the other conditions', () => {
  it.each<[string, string, SnapshotBuilder, string]>([
    ['SpecAccepted', 'an accepted spec', aSteadyState(), 'True Accepted: the spec is accepted'],
    [
      'SpecAccepted',
      'a rule that is broken',
      aSteadyState().rejected(),
      'False Invalid: spec.replicas: must be 1 to 32, is 99. What runs is left as it is',
    ],
    [
      'SpecAccepted',
      'fields that are not acted upon',
      aSteadyState().butSingleton({ notActedUpon: ['spec.update'] }),
      'True AcceptedInPart: accepted, but this version does not act upon spec.update',
    ],
    [
      'SpecAccepted',
      'a template without a readiness probe',
      aSteadyState().spec({ template: { spec: { containers: [{ name: 'a', ports: [{ containerPort: 1 }] }] } } }),
      'True Accepted: the spec is accepted; advice: no container of the template has a readinessProbe, so an active that hangs looks healthy',
    ],
    [
      'StandbyReady',
      'two candidates',
      aSteadyState(),
      'True CandidateReady: 2 of 2 other members can take over at once',
    ],
    [
      'StandbyReady',
      'no candidate',
      aSteadyState()
        .where(1, (pod) => pod.notReady())
        .where(2, (pod) => pod.noFailover()),
      'False NoCandidate: no other member can take over (db-1-a: NotReady, db-2-a: NoFailover)',
    ],
    [
      'StandbyReady',
      'one replica',
      aSteadyState({ members: 1 }),
      'False SingleReplica: spec.replicas is 1: a failover has to wait for a new pod',
    ],
    [
      'StandbyReady',
      'no other member',
      aSteadyState().withoutMember(1).withoutMember(2),
      'False NoCandidate: there is no other member',
    ],
    ['Progressing', 'nothing to do', aSteadyState(), 'False Settled: nothing is under way'],
    ['Progressing', 'a member too few', aSteadyState().withoutMember(2), 'True Scaling: 2 members exist, 3 are wanted'],
    [
      'Progressing',
      'a member too few while paused',
      aSteadyState().withoutMember(2).paused(),
      'False Settled: nothing is under way',
    ],
    ['Paused', 'a spec that is not paused', aSteadyState(), 'False NotPaused: spec.paused is false'],
    [
      'Paused',
      'a paused spec',
      aSteadyState().paused(),
      'True PausedBySpec: spec.paused is true: no grant and no pod changes',
    ],
    ['Blocked', 'no hold', aSteadyState(), 'False NotBlocked: no move waits'],
  ])('%s tells of %s', (type, _what, builder, text) => {
    expect(condition(type, builder)).toBe(text);
  });

  it('SpecAccepted tells the server’s own words about a template that it refuses', () => {
    const template = {
      revision: aSpecRevision(),
      refusal: 'Pod "x" is invalid: spec.containers[0].image: Required value',
    };
    expect(condition('SpecAccepted', aSteadyState().remembering({ template }))).toBe(
      `False TemplateRefused: spec.template: the API server refuses a pod made from it: ${template.refusal}. What runs is left as it is`,
    );
  });

  it('SpecAccepted forgets the refusal when the template is another', () => {
    const template = { revision: aSpecRevision(), refusal: 'no' };
    const changed = aSteadyState()
      .spec({ template: aTemplate('other') })
      .remembering({ template });
    expect(condition('SpecAccepted', changed)).toMatch(/^True Accepted/);
  });

  it('Blocked names the first hold', () => {
    const holds: Hold[] = [
      { name: 'Paused', message: 'it is paused' },
      { name: 'NoCandidate', message: 'nobody' },
    ];
    expect(condition('Blocked', aSteadyState(), holds)).toBe('True Paused: it is paused');
  });
});

function aSpecRevision(): string {
  const revision = aPod().build().revision;
  if (revision === undefined) throw new Error('a pod of the template has no revision');
  return revision;
}

describe('a condition’s transition time', () => {
  it('stays while the status of the condition stays, whatever its message', () => {
    const before = aSteadyState().status(undefined).told(at(-60_000));
    const ready = statusOf(before.where(1, (pod) => pod.notReady())).conditions;
    expect(ready?.find(({ type }) => type === 'StandbyReady')?.lastTransitionTime).toBe(toIso(WALL_MS - 60_000));
  });

  it('is now when it turns', () => {
    const turned = statusOf(
      aSteadyState()
        .told(at(-60_000))
        .where(0, (pod) => pod.notReady()),
    ).conditions;
    expect(turned?.find(({ type }) => type === 'Ready')?.lastTransitionTime).toBe(toIso(WALL_MS));
  });
});

describe('the status is written', () => {
  const written = (builder: SnapshotBuilder, now = NOW) =>
    report({ snapshot: builder.build(), need: undefined, holds: [], now });
  const noticed: Partial<Memory> = { statusWrittenAtMs: NOW.monotonicMs - 100 };
  const minor = aSteadyState()
    .where(2, (pod) => pod.onNode('node-x'))
    .remembering(noticed);

  it('not when it says it all already', () => {
    expect(written(aSteadyState())).toEqual({ actions: [], recheckAtMs: undefined });
  });

  it('at once for the first time, and for what people wait for', () => {
    expect(written(aSteadyState().status(undefined)).actions.at(-1)?.kind).toBe('writeStatus');
    const unready = aSteadyState()
      .where(0, (pod) => pod.notReady())
      .remembering(noticed);
    expect(written(unready).actions.at(-1)?.kind).toBe('writeStatus');
  });

  it('twice a second at most for what nobody waits for', () => {
    expect(written(minor)).toEqual({ actions: [], recheckAtMs: NOW.monotonicMs + 400 });
    expect(written(minor, at(400)).actions.map(({ kind }) => kind)).toEqual(['writeStatus']);
  });

  it('after the EndpointSlices name the new active, so that a move costs one write', () => {
    const flipped = aSteadyState()
      .routed()
      .remembering({
        timeline: { term: 1, detected: NOW, granted: NOW, labelled: NOW, flipped: NOW, routed: undefined },
      });
    expect(written(flipped)).toEqual({ actions: [], recheckAtMs: NOW.monotonicMs + 1_000 });
    expect(written(flipped, at(1_000)).actions.at(-1)?.kind).toBe('writeStatus');
  });

  it('once for a move, whichever member fails in whichever way', () => {
    for (const change of ['crashed', 'terminating', 'notReady', 'finished'] as const) {
      const run = settle(
        aSteadyState()
          .where(0, (pod) => pod[change]())
          .build(),
        { now: NOW },
      );
      expect(run.actions.filter(({ kind }) => kind === 'writeStatus')).toHaveLength(1);
      expect(run.actions.filter(({ kind }) => kind === 'grantLease')).toHaveLength(1);
    }
  });
});

describe('a move', () => {
  const moved = (snapshot: Snapshot): Snapshot => settle(snapshot, { now: NOW }).last;
  const crashActive = (snapshot: Snapshot): Snapshot => ({
    ...snapshot,
    members: snapshot.members.map((member) =>
      snapshot.lease?.holder === holderOf(member) ? { ...member, ready: false } : { ...member, ready: true },
    ),
  });

  it('is told with both pods, why, and when each step was', () => {
    const { status } = moved(
      aSteadyState()
        .where(0, (pod) => pod.crashed())
        .build(),
    ).singleton;
    expect(status?.lastMove).toMatchObject({
      kind: 'Failover',
      reason: 'ActiveCrashed',
      message: 'pod db-0-a crashed (app: exit code 1)',
      from: 'db-0-a',
      to: 'db-1-a',
      term: 2,
      detectedAt: toIso(WALL_MS),
      grantedAt: toIso(WALL_MS),
    });
    expect(status?.moves?.[0]).toEqual(status?.lastMove);
    expect(status?.active?.since).toBe(status?.lastMove?.routedAt);
  });

  it('is one of the last ten, the newest first', () => {
    let snapshot = aSteadyState().build();
    for (let n = 0; n < 13; n++) snapshot = moved(crashActive(snapshot));
    expect(snapshot.singleton.status?.moves?.map(({ term }) => term)).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5]);
  });

  it('is timed by the monotonic clock where one process saw both ends', () => {
    const timeline = {
      term: 2,
      detected: { monotonicMs: 100, wallMs: WALL_MS + 9_000 },
      granted: undefined,
      labelled: undefined,
      flipped: undefined,
      routed: { monotonicMs: 142, wallMs: WALL_MS },
    };
    const builder = aSteadyState().leaseHeldBy(1, 2, { kind: 'Failover' }).remembering({ timeline });
    expect(statusOf(builder).lastMove?.milliseconds).toBe(42);
  });

  it('is timed by the Lease’s record after a restart, and never below zero', () => {
    const builder = aSteadyState().leaseHeldBy(1, 2, { kind: 'Failover', detectedWallMs: WALL_MS - 70 });
    expect(statusOf(builder).lastMove?.milliseconds).toBe(70);
    const early = aSteadyState().leaseHeldBy(1, 2, { kind: 'Failover', detectedWallMs: WALL_MS + 70 });
    expect(statusOf(early).lastMove?.milliseconds).toBe(0);
  });

  it('to nobody is none: the Lease was restored, and nobody was routed', () => {
    const { last, actions } = settle(
      aSteadyState()
        .withoutMember(0)
        .where(1, (pod) => pod.notReady())
        .where(2, (pod) => pod.notReady())
        .withoutLease()
        .build(),
      { now: NOW },
    );
    expect(last.singleton.status?.lastMove).toEqual(aSteadyState().build().singleton.status?.lastMove);
    expect(
      actions.filter((action) => action.kind === 'emitEvent' && action.event.reason === 'FailoverCompleted'),
    ).toEqual([]);
  });
});

describe('events', () => {
  const eventsOf = (builder: SnapshotBuilder): EventAction[] =>
    decide(builder.build(), NOW).actions.flatMap((action) => (action.kind === 'emitEvent' ? [action.event] : []));
  const reasons = (builder: SnapshotBuilder): string[] => eventsOf(builder).map(({ reason }) => reason);

  it.each<[string, SnapshotBuilder, string[]]>([
    ['the first grant', aSteadyState().status(undefined), ['Granted']],
    [
      'a failover',
      aSteadyState()
        .leaseHeldBy(1, 2, { kind: 'Failover' })
        .where(0, (pod) => pod.standby())
        .where(1, (pod) => pod.active(2))
        .serviceSelecting(2)
        .routed(1),
      ['FailoverCompleted'],
    ],
    [
      'a planned move',
      aSteadyState()
        .leaseHeldBy(1, 2, { kind: 'Switchover' })
        .where(0, (pod) => pod.standby())
        .where(1, (pod) => pod.active(2))
        .serviceSelecting(2)
        .routed(1),
      ['SwitchoverCompleted'],
    ],
    ['a rejected spec', aSteadyState().rejected(), ['SpecRejected']],
    ['a pause', aSteadyState().paused(), ['Paused']],
    ['the end of a pause', aSteadyState().paused().told().changingSpec({ paused: false }), ['Resumed']],
    [
      'a grace that begins',
      aSteadyState()
        .spec({ failover: { unreadyGraceSeconds: 9 } })
        .where(0, (pod) => pod.notReady()),
      ['FailoverStarted'],
    ],
    ['a move that nobody can take', aSteadyState({ members: 1 }).where(0, (pod) => pod.notReady()), ['MoveBlocked']],
    ['nothing new', aSteadyState(), []],
    ['a pause that goes on', aSteadyState().paused().told(), []],
    ['a rejection that goes on', aSteadyState().rejected().told(), []],
  ])('tell of %s', (_what, builder, expected) => {
    expect(reasons(builder)).toEqual(expected);
  });

  it('tell of a rejection again when it is another one', () => {
    const first = aSteadyState().rejected().told();
    expect(reasons(first.rejected({ path: 'spec.paused', rule: 'must be a boolean' }))).toEqual(['SpecRejected']);
  });

  it('are the same event when they are sent again after a crash', () => {
    const builder = aSteadyState().rejected();
    expect(eventsOf(builder)).toEqual(eventsOf(builder));
  });

  it('are the same event although somebody else wrote the object meanwhile', () => {
    const [first] = eventsOf(aSteadyState().paused());
    const [second] = eventsOf(aSteadyState().paused().butSingleton({ resourceVersion: '99' }));
    expect(second?.identity).toBe(first?.identity);
  });

  it('are another event when the same thing happens again', () => {
    const pausedAfter = (lastTransitionTime: string) => {
      const { status } = aSteadyState().build().singleton;
      const conditions = status?.conditions?.map((condition) => ({ ...condition, lastTransitionTime }));
      return eventsOf(
        aSteadyState()
          .paused()
          .butSingleton({ status: { ...status, conditions } }),
      );
    };
    const [first] = pausedAfter('2026-01-01T00:00:00.000Z');
    const [second] = pausedAfter('2026-01-02T00:00:00.000Z');
    expect(second?.identity).not.toBe(first?.identity);
  });
});

describe('phases of a move for the metrics', () => {
  it('are the times between what this process saw', () => {
    const timeline = { term: 1, detected: at(0), granted: at(30), labelled: at(50), flipped: at(60), routed: at(90) };
    expect(phasesOf(timeline, at(20).wallMs)).toEqual({ detect: 20, grant: 10, label: 20, route: 40 });
  });

  it('has in mode Agent from when the release was asked for, or else needed, until the old active had stopped for certain', () => {
    const timeline = { term: 2, detected: at(0), granted: at(30), labelled: at(50), flipped: at(60), routed: at(90) };
    const decidedAt = at(20).wallMs;
    const others = { grant: 10, label: 20, route: 40 };
    expect(phasesOf({ ...timeline, asked: at(5) }, decidedAt, decidedAt)).toEqual({ detect: 5, fence: 15, ...others });
    expect(phasesOf(timeline, decidedAt, decidedAt)).toEqual({ detect: 0, fence: 20, ...others });
    const unseen = { ...timeline, detected: undefined };
    expect(phasesOf(unseen, decidedAt, decidedAt)).toMatchObject({ detect: undefined, fence: undefined });
  });

  it('are unknown where it did not see both ends', () => {
    const timeline = {
      term: 1,
      detected: undefined,
      granted: undefined,
      labelled: undefined,
      flipped: at(60),
      routed: at(90),
    };
    expect(phasesOf(timeline, 0)).toEqual({ detect: undefined, grant: undefined, label: undefined, route: undefined });
  });
});

describe('a spec that was never accepted', () => {
  it('is told about, with nothing else made up', () => {
    const status = statusOf(aSnapshot().neverAccepted());
    expect(status).toMatchObject({ replicas: 0, ready: '0/0', term: 0, members: [] });
    expect(aSpec().replicas).toBe(3);
  });
});
