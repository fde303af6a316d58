import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { templateRevision } from '../../src/core/objects.ts';
import { describeAction } from '../../src/core/plan.ts';
import { rolloutVerdict } from '../../src/core/progress.ts';
import { failedRevision } from '../../src/core/revision.ts';
import { rolloutStep } from '../../src/core/rollout.ts';
import type { Member, Memory, Sight, Snapshot } from '../../src/core/snapshot.ts';
import { NOW, WALL_MS, aPod, aSpec, aSteadyState, at } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

const OLD = 'old';
const SPEC = aSpec();

/** Seen as they are `ms` ago, and the active proven. */
const seen = (ms: number, snapshot: Snapshot): Memory => ({
  ...snapshot.memory,
  sights: Object.fromEntries(
    snapshot.members.map(({ uid, ready, readySinceWallMs, unschedulable }): [string, Sight] => [
      uid,
      {
        ready,
        readySinceWallMs,
        sinceMs: NOW.monotonicMs - ms,
        unschedulableMs: unschedulable ? NOW.monotonicMs - ms : undefined,
      },
    ]),
  ),
  tenure: { term: snapshot.lease?.term ?? 0, sinceMs: NOW.monotonicMs - ms, isProven: ms >= 5_000 },
});

const seenFor = (ms: number, builder: SnapshotBuilder): SnapshotBuilder =>
  builder.remembering(seen(ms, builder.build()));

const everyOneOld = (state: SnapshotBuilder, slots: readonly number[]): SnapshotBuilder =>
  slots.reduce((before, slot) => before.where(slot, (pod) => pod.revision(OLD)), state);

/** Three members of an older template, slot 0 the active. */
const outdated = (): SnapshotBuilder => everyOneOld(aSteadyState(), [0, 1, 2]);

/** What a pod wishes for that had better not be on these nodes. */
const offNodes = (...values: string[]) => ({
  nodeAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      { preference: { matchExpressions: [{ operator: 'NotIn', values }] } },
    ],
  },
});

const second = (slot: number): PodBuilder => aPod().named(`db-${slot}-b`).slot(slot);

const stepOf = (builder: SnapshotBuilder, now = NOW) => {
  const snapshot = builder.build();
  return rolloutStep(snapshot, snapshot.singleton.spec ?? SPEC, now);
};

const planOf = (builder: SnapshotBuilder, now = NOW): string[] =>
  decide(builder.build(), now)
    .actions.filter(({ kind }) => kind !== 'emitEvent' && kind !== 'writeStatus')
    .map(describeAction);

const told = (builder: SnapshotBuilder, now = NOW) => rolloutVerdict(builder.build(), now);

const podOf = (member: Member | undefined): string | undefined => member?.pod;

describe('a rollout takes no step', () => {
  it('when all members are of the present template', () => {
    expect(stepOf(aSteadyState())).toBeUndefined();
    expect(told(aSteadyState())).toBeUndefined();
  });

  it('when the newest spec is refused: it is not known what is wanted', () => {
    expect(stepOf(outdated().rejected())).toBeUndefined();
  });

  it("when the Lease is somebody else's: nobody can tell who the active is", () => {
    expect(stepOf(outdated().lease({ ours: false }))).toBeUndefined();
  });

  it('while it is paused, and says so', () => {
    expect(planOf(outdated().paused())).toEqual([]);
    expect(told(outdated().paused())?.slice(0, 2)).toEqual(['False', 'RolloutPaused']);
  });

  it('for a member that is going, or that no slot is for', () => {
    const going = aSteadyState().with(second(1).revision(OLD).terminating(), second(7).revision(OLD));
    expect(stepOf(going)).toBeUndefined();
  });
});

describe('the standbys come first', () => {
  it('the lowest slot gets a second member, and nothing is deleted', () => {
    expect(stepOf(outdated())).toMatchObject({ kind: 'surge', slot: 1 });
    expect(planOf(outdated())).toEqual([expect.stringMatching(/^createPod db-1-/)]);
  });

  it('one that is not Ready before one that is: it is no loss', () => {
    expect(stepOf(outdated().where(2, (pod) => pod.notReady()))).toMatchObject({ kind: 'surge', slot: 2 });
  });

  it('one at a time, until it has been Ready for minReadySeconds', () => {
    const starting = outdated().with(second(1).notReady());
    expect(stepOf(starting)).toMatchObject({ kind: 'soak', as: 'standby', untilMs: undefined });
    expect(planOf(starting)).toEqual([]);
    const ready = outdated().with(second(1));
    expect(stepOf(seenFor(4_999, ready))).toMatchObject({ kind: 'soak', untilMs: NOW.monotonicMs + 1 });
    expect(planOf(seenFor(4_999, ready))).toEqual([]);
    expect(planOf(seenFor(5_000, ready))).toEqual(['deletePod db-1-a (it is of an older template)']);
  });

  it('the deletion names the successor, which is read live before', () => {
    const plan = decide(seenFor(5_000, outdated().with(second(1))).build(), NOW);
    expect(plan.actions[0]).toMatchObject({ kind: 'deletePod', pod: 'db-1-a', successor: 'db-1-b' });
  });

  it('it asks to look again when the soak is over', () => {
    expect(decide(seenFor(2_000, outdated().with(second(1)).told()).build(), NOW).recheckAtMs).toBe(
      NOW.monotonicMs + 3_000,
    );
  });

  it('an operator that has just started waits the whole soak: it has seen nothing', () => {
    expect(stepOf(outdated().with(second(1)))).toMatchObject({ kind: 'soak', untilMs: NOW.monotonicMs + 5_000 });
  });

  it('an empty slot is filled before', () => {
    expect(stepOf(outdated().withoutMember(2))).toEqual({ kind: 'fill', slot: 2 });
  });

  it('what came into an empty slot must stand before the next is replaced', () => {
    const filled = everyOneOld(aSteadyState(), [0, 1]).where(2, (pod) => pod.notReady());
    expect(stepOf(filled)).toMatchObject({ kind: 'soak', member: { pod: 'db-2-a' } });
  });

  it('but not while the active is unfit: then a new member may be what helps', () => {
    const down = everyOneOld(aSteadyState(), [0, 1])
      .where(2, (pod) => pod.notReady())
      .where(0, (pod) => pod.notReady())
      .where(1, (pod) => pod.notReady());
    expect(stepOf(down)).toMatchObject({ kind: 'surge', slot: 1 });
  });

  it('a member without a revision counts as outdated', () => {
    const unlabelled = aSteadyState().where(2, (pod) => pod.but({ revision: undefined }));
    expect(stepOf(seenFor(5_000, unlabelled))).toMatchObject({ kind: 'surge', slot: 2 });
  });
});

describe('a surge for which there is no room', () => {
  const unschedulable = (ms: number): SnapshotBuilder =>
    seenFor(ms, outdated().with(second(1).unscheduled().but({ unschedulable: true })));

  it('is waited for at first', () => {
    expect(planOf(unschedulable(9_999))).toEqual([]);
  });

  it('takes the place of the older standby, when another one could take over', () => {
    expect(planOf(unschedulable(10_000))).toEqual(['deletePod db-1-a (it is of an older template)']);
  });

  it('takes the place of an older standby that could not take over anyway', () => {
    const [broken] = [unschedulable(10_000).where(1, (pod) => (pod.build().node === undefined ? pod : pod.notReady()))];
    expect(planOf(broken.where(2, (pod) => pod.notReady()))).toEqual(['deletePod db-1-a (it is of an older template)']);
  });

  it('never that of the only candidate', () => {
    expect(planOf(unschedulable(60_000).where(2, (pod) => pod.notReady()))).toEqual([]);
  });

  it('nor that of the active', () => {
    const single = everyOneOld(aSteadyState({ members: 1 }), [0]).with(
      second(0).unscheduled().but({ unschedulable: true }),
    );
    expect(planOf(seenFor(60_000, single))).toEqual([]);
  });

  const refused = {
    failure: { kind: 'createPod', action: 'createPod db-1-b', message: 'forbidden: exceeded quota: pods' },
  } as const;

  it('because of a quota, likewise', () => {
    expect(planOf(outdated().remembering(refused))).toEqual(['deletePod db-1-a (it is of an older template)']);
  });

  it('because of a quota, and nobody else could take over: it is tried again', () => {
    const alone = outdated().where(2, (pod) => pod.noFailover());
    expect(planOf(alone.remembering(refused))).toEqual([expect.stringMatching(/^createPod db-1-/)]);
  });
});

describe('the active comes last', () => {
  const standbysDone = (): SnapshotBuilder => everyOneOld(aSteadyState(), [0]);

  it('it hands over to an updated standby that has been Ready for minReadySeconds', () => {
    expect(stepOf(seenFor(4_000, standbysDone()))).toMatchObject({ kind: 'soak', as: 'standby' });
    const plan = decide(seenFor(5_000, standbysDone()).build(), NOW);
    const grant = plan.actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-1-a' }, move: { kind: 'Switchover', reason: 'Rollout' } });
  });

  it('not to one on a node that is being drained, nor to one that is marked no-failover', () => {
    const drained = seenFor(5_000, standbysDone().node('node-1', { draining: 'cordoned' }));
    expect(stepOf(drained)).toMatchObject({ kind: 'move', targets: [{ pod: 'db-2-a' }] });
    const marked = seenFor(
      5_000,
      standbysDone().where(1, (pod) => pod.noFailover()),
    );
    expect(stepOf(marked)).toMatchObject({ kind: 'move', targets: [{ pod: 'db-2-a' }] });
  });

  it('with update.switchover Manual it waits, and says for whom', () => {
    const manual = seenFor(5_000, standbysDone().changingSpec({ update: { ...SPEC.update, switchover: 'Manual' } }));
    expect(planOf(manual)).toEqual([]);
    expect(told(manual)).toEqual([
      'True',
      'WaitingForSwitchover',
      '2 of 3 members are updated; waiting for a requested switchover to db-1-a, db-2-a (update.switchover is Manual)',
    ]);
  });

  it('when nobody else could take over it gets a second member beside it', () => {
    expect(stepOf(seenFor(5_000, everyOneOld(aSteadyState({ members: 1 }), [0])))).toMatchObject({
      kind: 'surge',
      slot: 0,
    });
    const excluded = standbysDone()
      .where(1, (pod) => pod.noFailover())
      .where(2, (pod) => pod.noFailover());
    expect(stepOf(seenFor(5_000, excluded))).toMatchObject({ kind: 'surge', slot: 0 });
  });

  it('hands over early when its slot has the surge: no other step is possible', () => {
    const early = seenFor(5_000, outdated().with(second(0)));
    expect(stepOf(early)).toMatchObject({ kind: 'move', targets: [{ pod: 'db-0-b' }] });
  });

  it('nothing more is replaced until the new active has proven itself', () => {
    const moved = everyOneOld(aSteadyState(), [1, 2]).with(second(1));
    expect(stepOf(seenFor(4_000, moved))).toMatchObject({
      kind: 'soak',
      as: 'active',
      untilMs: NOW.monotonicMs + 1_000,
    });
    expect(planOf(seenFor(4_000, moved))).toEqual([]);
    expect(planOf(seenFor(5_000, moved))).toEqual(['deletePod db-1-a (it is of an older template)']);
  });

  it('of a slot with both the old one goes when the new one is the active and has proven itself', () => {
    const single = everyOneOld(aSteadyState({ members: 1 }), [0])
      .where(0, (pod) => pod.standby())
      .with(second(0).active(2));
    const holder = single.build().members[1];
    const moved = single
      .lease({ holder: `${podOf(holder)}_${holder?.uid}`, term: 2, move: undefined })
      .serviceSelecting(2);
    expect(planOf(seenFor(4_000, moved)).filter((action) => action.startsWith('deletePod'))).toEqual([]);
    expect(planOf(seenFor(5_000, moved))).toContain('deletePod db-0-a (it is of an older template)');
  });
});

describe('a new active that is in trouble for another reason than its version', () => {
  /** Slot 0 has the new active, and the old one beside it. */
  const moved = everyOneOld(aSteadyState({ members: 1 }), [0]).where(0, (pod) => pod.standby());
  const inTrouble = (change: (pod: PodBuilder) => PodBuilder): SnapshotBuilder => {
    const both = moved.with(change(second(0).active(2)));
    const holder = both.build().members[1];
    return both.lease({ holder: `${podOf(holder)}_${holder?.uid}`, term: 2, move: undefined }).serviceSelecting(2);
  };
  const kept = (builder: SnapshotBuilder): boolean =>
    !planOf(seenFor(60_000, builder)).some((action) => action.startsWith('deletePod db-0-a'));

  it('keeps the old one, which could take over, while it is unready and given time to recover', () => {
    const graced = inTrouble((pod) => pod.notReady());
    const spec = graced.build().singleton.spec ?? SPEC;
    expect(kept(graced.changingSpec({ failover: { ...spec.failover, unreadyGraceMs: 600_000 } }))).toBe(true);
  });

  it('and while its node is silent, whatever it is told to be', () => {
    const node = second(0).build().node ?? '';
    const trouble = { silentSinceMs: NOW.monotonicMs - 5_000, gone: false, outOfService: false };
    const silent = inTrouble((pod) => pod);
    expect(kept(silent)).toBe(false);
    const nodeLoss = { ...silent.build().nodeLoss, nodes: { [node]: trouble } };
    expect(
      kept(silent.where(0, (pod) => (pod.build().pod === 'db-0-a' ? pod.onNode('node-9') : pod)).but({ nodeLoss })),
    ).toBe(true);
  });
});

describe('a version that fails as the active', () => {
  const granted = (ms: number) => ({ grantedWallMs: WALL_MS - ms });
  /** Slot 0 is the new active, slot 1 of an older template. */
  const failing = (change: (pod: PodBuilder) => PodBuilder, ms = 1_000): SnapshotBuilder =>
    everyOneOld(aSteadyState({ members: 2 }), [1])
      .leaseHeldBy(0, 1, granted(ms))
      .where(0, change);
  const REVISION = templateRevision(SPEC);

  it.each<[string, (pod: PodBuilder) => PodBuilder]>([
    ['crashes', (pod) => pod.crashed()],
    ['is not Ready any more', (pod) => pod.notReady()],
    ['fails', (pod) => pod.failed()],
    ['ends', (pod) => pod.finished()],
  ])('one that %s: back to an older member, and the Lease remembers it', (_what, change) => {
    const plan = decide(failing(change).build(), NOW);
    const grant = plan.actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-1-a' }, move: { kind: 'Failover', failedRevision: REVISION } });
  });

  it.each<[string, (pod: PodBuilder) => PodBuilder]>([
    ['is deleted', (pod) => pod.terminating().notReady()],
    ['is evicted', (pod) => pod.evicting().notReady()],
    ['failed with its node', (pod) => pod.failed('NodeLost')],
    ['goes on', (pod) => pod],
  ])('but not one that %s', (_what, change) => {
    expect(failedRevision(failing(change).build(), SPEC, NOW)).toBeUndefined();
  });

  it('not after it has proven itself, nor a time after its grant that nobody saw', () => {
    const crashed = failing((pod) => pod.crashed(), 60_000);
    expect(failedRevision(crashed.build(), SPEC, NOW)).toBeUndefined();
    const saw = {
      term: 1,
      detected: undefined,
      granted: NOW,
      labelled: undefined,
      flipped: undefined,
      routed: undefined,
    };
    expect(failedRevision(crashed.remembering({ timeline: saw }).build(), SPEC, NOW)).toBe(REVISION);
    const tenure = { term: 1, sinceMs: 0, isProven: true };
    expect(failedRevision(crashed.remembering({ timeline: saw, tenure }).build(), SPEC, NOW)).toBeUndefined();
  });

  it('nor when another clock, which is ahead, says that it was granted in times to come', () => {
    const ahead = failing((pod) => pod.crashed(), -43_000);
    expect(failedRevision(ahead.build(), SPEC, NOW)).toBeUndefined();
  });

  it('not when nobody of an older template is left', () => {
    const alone = failing((pod) => pod.crashed()).where(1, (pod) => pod.revision(REVISION));
    expect(failedRevision(alone.build(), SPEC, NOW)).toBeUndefined();
  });

  it('older members come first, even on a node that is being drained', () => {
    const drained = everyOneOld(aSteadyState(), [2])
      .leaseHeldBy(0, 1, granted(1_000))
      .where(0, (pod) => pod.crashed())
      .node('node-2', { draining: 'cordoned' });
    const grant = decide(drained.build(), NOW).actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-2-a' } });
  });

  const stopped = (): SnapshotBuilder =>
    everyOneOld(aSteadyState(), [0, 2]).leaseHeldBy(0, 1, { failedRevision: REVISION });

  it('stops the rollout, and people are told', () => {
    expect(stepOf(seenFor(60_000, stopped()))).toEqual({ kind: 'stopped', revision: REVISION });
    expect(planOf(seenFor(60_000, stopped()))).toEqual([]);
    expect(told(stopped())?.slice(0, 2)).toEqual(['False', 'RolloutFailed']);
  });

  it('but a missing member is created, of the only template there is', () => {
    expect(planOf(stopped().withoutMember(2))).toEqual([expect.stringMatching(/^createPod db-2-/)]);
  });

  it('and a second member of it goes, unless it is the active', () => {
    expect(planOf(seenFor(60_000, stopped().with(second(2))))).toEqual(['deletePod db-2-b (no slot for it)']);
  });

  it('is carried along by later grants', () => {
    const grant = decide(
      stopped()
        .where(0, (pod) => pod.terminating())
        .build(),
      NOW,
    ).actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-2-a' }, move: { failedRevision: REVISION } });
  });

  it('until the template is another one', () => {
    const next = stopped().leaseHeldBy(0, 1, { failedRevision: 'another' });
    expect(failedRevision(next.build(), SPEC, NOW)).toBeUndefined();
    const grant = decide(next.where(0, (pod) => pod.terminating()).build(), NOW).actions.find(
      ({ kind }) => kind === 'grantLease',
    );
    expect(grant).toMatchObject({ move: { failedRevision: undefined } });
  });
});

describe('a failover in the middle of a rollout', () => {
  it('goes to whoever is best while the active is of the older template', () => {
    const before = everyOneOld(aSteadyState(), [0, 1]).where(0, (pod) => pod.crashed());
    const grant = decide(before.build(), NOW).actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-1-a' } });
  });

  it('rather to an updated member when the active was: another one would have to hand over again', () => {
    const after = everyOneOld(aSteadyState(), [1]).where(0, (pod) => pod.terminating());
    const grant = decide(after.build(), NOW).actions.find(({ kind }) => kind === 'grantLease');
    expect(grant).toMatchObject({ to: { pod: 'db-2-a' } });
  });
});

describe('people are told', () => {
  it('how many members are updated, and what is waited for', () => {
    expect(told(outdated().with(second(1).notReady().but({ waiting: 'app: ImagePullBackOff' })))).toEqual([
      'True',
      'RollingOut',
      '0 of 3 members are updated; waiting for db-1-b to be Ready for 5 s (app: ImagePullBackOff)',
    ]);
    expect(told(everyOneOld(aSteadyState(), [0, 1]).with(second(1)))?.[2]).toMatch(/^1 of 3 members are updated; /);
    expect(told(everyOneOld(aSteadyState(), [1]))?.[2]).toBe(
      '2 of 3 members are updated; waiting for the new active db-0-a to stay Ready for 5 s',
    );
  });

  const stuck = (ms: number): SnapshotBuilder => seenFor(ms, outdated().with(second(1).crashed()));

  it('that it is stalled, when a member does not become Ready within progressDeadlineSeconds', () => {
    expect(told(stuck(599_999))?.[1]).toBe('RollingOut');
    expect(told(stuck(600_000))).toEqual([
      'False',
      'RolloutStalled',
      '0 of 3 members are updated; db-1-b does not become Ready (app: exit code 1)',
    ]);
  });

  it('and still so by an operator that has just started', () => {
    const restarted = stuck(600_000).told().remembering({ sights: {} });
    expect(told(restarted)?.[1]).toBe('RolloutStalled');
  });

  it('that the API server refuses the template', () => {
    const template = { revision: templateRevision(SPEC), refusal: 'spec.containers: Required value' };
    expect(told(outdated().remembering({ template }))).toEqual([
      'False',
      'RolloutStalled',
      '0 of 3 members are updated; the API server refuses the template: spec.containers: Required value',
    ]);
  });

  it('nothing that changes by time alone, so that the status is not written again and again', () => {
    const waiting = outdated().with(second(1));
    expect(told(waiting, at(1_000))).toEqual(told(waiting, at(2_000)));
  });
});

describe('a drain that nobody could take over for', () => {
  const single = (): SnapshotBuilder => aSteadyState({ members: 1 }).node('node-0', { draining: 'cordoned' });

  it('gets a second member beside the active, which is then moved to', () => {
    expect(planOf(single())).toEqual([expect.stringMatching(/^createPod db-0-/)]);
    expect(planOf(single().with(second(0).unscheduled()))).toEqual([]);
    expect(planOf(single().with(second(0).onNode('node-9')))).toContain('grantLease term 2 to db-0-b');
  });

  it('the second member keeps off that node, which the scheduler may not be told of for a while when its machine shuts down', () => {
    const snapshot = single().node('node-0', { draining: 'shutting down' }).build();
    const [creation] = decide(snapshot, NOW).actions.filter((action) => action.kind === 'createPod');
    expect(creation?.body).toMatchObject({ spec: { affinity: offNodes('node-0') } });
  });

  it('one that came to be on the same node is not replaced again and again', () => {
    expect(planOf(single().with(second(0)))).toEqual([]);
  });

  it('gets no third one, when another slot is empty for a while: it would go again at once', () => {
    const twoOfOne = aSteadyState({ members: 2 })
      .node('node-0', { draining: 'cordoned' })
      .withoutMember(1)
      .with(second(0).notReady())
      .remembering({ failures: { 1: { count: 6, lastAtMs: NOW.monotonicMs, uids: [] } } });
    expect(planOf(seenFor(10_000, twoOfOne))).toEqual([]);
  });

  it('waits a while for a standby that is just starting elsewhere', () => {
    const starting = aSteadyState({ members: 2 })
      .node('node-0', { draining: 'cordoned' })
      .where(1, (pod) => pod.notReady());
    expect(planOf(seenFor(9_999, starting))).toEqual([]);
    expect(planOf(seenFor(10_000, starting))).toEqual([expect.stringMatching(/^createPod db-0-/)]);
  });

  it('the second member goes when the drain is over', () => {
    const over = aSteadyState({ members: 1 }).with(second(0).unscheduled());
    expect(planOf(over)).toEqual(['deletePod db-0-b (no slot for it)']);
  });

  it('the former active stays until the new one has proven itself', () => {
    const single0 = single()
      .where(0, (pod) => pod.standby())
      .with(second(0).onNode('node-9').active(2));
    const [old, next] = single0.build().members;
    const moved = single0
      .lease({ holder: `${podOf(next)}_${next?.uid}`, term: 2, move: undefined })
      .serviceSelecting(2);
    expect(planOf(seenFor(1_000, moved)).filter((action) => action.startsWith('deletePod'))).toEqual([]);
    expect(planOf(seenFor(5_000, moved))).toContain(`deletePod ${podOf(old)} (no slot for it)`);
  });

  it('nothing comes of it when somebody elsewhere is willing', () => {
    const drained = aSteadyState().node('node-0', { draining: 'cordoned' });
    expect(planOf(drained).filter((action) => action.startsWith('createPod'))).toEqual([]);
  });
});

describe("the Service's ports, when they come from the template", () => {
  const port = (containerPort: number) => ({ name: 'app', ports: [{ containerPort }], readinessProbe: {} });
  const asked = { template: { spec: { containers: [port(9090)] } } };
  const revision = templateRevision(aSpec(asked));
  const successor = second(1).revision(revision);
  const patchOf = (builder: SnapshotBuilder) =>
    decide(builder.build(), NOW).actions.find((action) => action.kind === 'mendService' && action.service === 'db');

  it('stay while the active is of an older template: it does not listen on the new ones', () => {
    expect(patchOf(aSteadyState().spec(asked).with(successor))).toBeUndefined();
  });

  it('though everything else is brought to what the spec says', () => {
    const both = aSteadyState()
      .spec({ ...asked, service: { type: 'NodePort' } })
      .with(successor);
    expect(patchOf(both)).toMatchObject({ patch: { spec: { type: 'NodePort' } } });
    expect(patchOf(both)).not.toHaveProperty('patch.spec.ports');
  });

  it('change when an updated member is the active', () => {
    const state = aSteadyState().spec(asked);
    const moved = state.where(0, (pod) => pod.revision(revision));
    expect(patchOf(moved)).toMatchObject({ patch: { spec: { ports: [{ port: 9090 }] } } });
  });
});
