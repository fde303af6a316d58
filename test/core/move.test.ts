import { describe, expect, it } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import type { LeaseView } from '../../src/core/snapshot.ts';
import { planMove, wantedMove } from '../../src/core/move.ts';
import type { MovePlan } from '../../src/core/move.ts';

import { describeAction } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { NOW, aPod, aSnapshot, aSpec, aSteadyState, at, holderOf, selectorOf } from '../builders.ts';
import type { PodBuilder, SnapshotBuilder } from '../builders.ts';

const leaseOf = (snapshot: Snapshot): LeaseView => {
  if (snapshot.lease === undefined) throw new Error('the snapshot has no Lease');
  return snapshot.lease;
};

const moveOf = (builder: SnapshotBuilder, now = NOW): MovePlan => {
  const snapshot = builder.build();
  return planMove(snapshot, snapshot.singleton.spec ?? aSpec(), leaseOf(snapshot), now);
};

const steps = (builder: SnapshotBuilder): string[] => moveOf(builder).actions.map(describeAction);

const needOf = (builder: SnapshotBuilder) => {
  const snapshot = builder.build();
  const lease = leaseOf(snapshot);
  return wantedMove(snapshot, snapshot.singleton.spec ?? aSpec(), lease, NOW)?.need;
};

const crashed = (pod: PodBuilder): PodBuilder => pod.crashed('app: exit code 137 (OOMKilled)');

describe('a move is needed', () => {
  it.each<[string, (pod: PodBuilder) => PodBuilder, string, string]>([
    ['the active failed', (pod) => pod.failed(), 'ActiveFailed', 'pod db-0-a failed'],
    [
      'the active failed with its node',
      (pod) => pod.failed('NodeLost'),
      'ActiveFailed',
      'pod db-0-a failed (NodeLost)',
    ],
    ...['Shutdown', 'NodeShutdown', 'Terminated'].map(
      (reason): [string, (pod: PodBuilder) => PodBuilder, string, string] => [
        `its kubelet ended the active with the machine (${reason})`,
        (pod) => pod.failed(reason),
        'ActiveFailed',
        `pod db-0-a was ended by the shutdown of its node node-0 (${reason})`,
      ],
    ),
    ['its kubelet evicted the active', (pod) => pod.evicted(), 'ActiveEvicted', 'pod db-0-a was evicted'],
    ['the active is being evicted', (pod) => pod.evicting(), 'ActiveEvicted', 'pod db-0-a is being evicted'],
    ['the active is being deleted', (pod) => pod.terminating(), 'ActiveDeleted', 'pod db-0-a is being deleted'],
    [
      'the active has ended well',
      (pod) => pod.finished(),
      'ActiveFinished',
      'all containers of pod db-0-a ended with exit code 0',
    ],
    ['the active crashed', crashed, 'ActiveCrashed', 'pod db-0-a crashed (app: exit code 137 (OOMKilled))'],
    ['the active is not Ready', (pod) => pod.notReady(), 'ActiveUnready', 'pod db-0-a is not Ready'],
    ['the active lost its node', (pod) => pod.unscheduled(), 'ActiveUnready', 'pod db-0-a is not Ready'],
    [
      'a crashed active is marked no-failover',
      (pod) => crashed(pod).noFailover(),
      'ActiveCrashed',
      'pod db-0-a crashed (app: exit code 137 (OOMKilled))',
    ],
    [
      'an unready active runs on a node marked no-failover',
      (pod) => pod.notReady().onNode('marked'),
      'ActiveUnready',
      'pod db-0-a is not Ready',
    ],
    [
      'an unready active has lost its slot label',
      (pod) => pod.notReady().but({ slot: undefined }),
      'ActiveUnready',
      'pod db-0-a is not Ready',
    ],
  ])('when %s', (_what, change, reason, message) => {
    const steady = aSteadyState().node('marked', { noFailover: true });
    expect(needOf(steady.where(0, change))).toEqual({ kind: 'Failover', reason, message, since: NOW });
  });

  it('when the active has vanished', () => {
    expect(needOf(aSteadyState().withoutMember(0))).toMatchObject({
      reason: 'ActiveVanished',
      message: 'pod db-0-a is gone',
    });
  });

  it('when another pod took the name of the active', () => {
    expect(needOf(aSteadyState().where(0, (pod) => pod.uid('uid-new')))).toMatchObject({ reason: 'ActiveVanished' });
  });

  it('when nobody was granted ever', () => {
    expect(needOf(aSnapshot().with(aPod()).leaseHeldByNobody())).toMatchObject({
      kind: 'Initial',
      reason: 'FirstGrant',
    });
  });

  it('when the Lease was released', () => {
    expect(needOf(aSteadyState().lease({ holder: '' }))).toMatchObject({ kind: 'Failover', reason: 'ActiveReleased' });
  });

  it('as a planned one, when the active holds a slot that is removed', () => {
    const scaled = aSteadyState().changingSpec({ replicas: 1 });
    expect(needOf(scaled)).toBeUndefined();
    const inSlot2 = aSteadyState().leaseHeldBy(2, 1).changingSpec({ replicas: 1 });
    expect(needOf(inSlot2)).toMatchObject({ kind: 'Switchover', reason: 'ScaledDown' });
  });

  it('since this operator saw the trouble first, not since it looked last', () => {
    const steady = aSteadyState().where(0, crashed);
    const holder = leaseOf(steady.build()).holder;
    expect(needOf(steady.remembering({ trouble: { holder, cause: 'Failover', since: at(-500) } }))?.since).toEqual(
      at(-500),
    );
    expect(
      needOf(steady.remembering({ trouble: { holder: 'other', cause: 'Failover', since: at(-500) } }))?.since,
    ).toEqual(NOW);
  });
});

describe('no move is needed', () => {
  it.each<[string, (pod: PodBuilder) => PodBuilder]>([
    ['is healthy', (pod) => pod],
    [
      'is marked no-failover and healthy: not to be chosen is no reason to be moved away from',
      (pod) => pod.noFailover(),
    ],
    ['runs on a node marked no-failover and is healthy', (pod) => pod.onNode('marked')],
    ['lost its slot label', (pod) => pod.but({ slot: undefined })],
    ['has a slot label that somebody edited', (pod) => pod.but({ slot: 9 })],
    ['restarted a container and is Ready again', (pod) => pod.but({ crash: 'app: exit code 1' })],
  ])('when the active %s', (_what, change) => {
    const steady = aSteadyState().node('marked', { noFailover: true }).where(0, change);
    expect(moveOf(steady)).toEqual({ actions: [], need: undefined, hold: undefined });
  });
});

describe('the steps of a move', () => {
  it('are strip, grant, label, flip, in that order', () => {
    expect(steps(aSteadyState({ term: 3 }).where(0, crashed))).toEqual([
      'stripRole db-0-a',
      'grantLease term 4 to db-1-a',
      'labelActive db-1-a',
      'flipService to term 4',
    ]);
  });

  it('carry the preconditions of the state they were decided from', () => {
    const snapshot = aSteadyState()
      .where(0, (pod) => crashed(pod).version('111'))
      .where(1, (pod) => pod.version('112'))
      .lease({ resourceVersion: '113' })
      .service({ resourceVersion: '114' });
    expect(moveOf(snapshot).actions.map((action) => ('expect' in action ? action.expect : undefined))).toEqual([
      { uid: 'uid-db-0-a', resourceVersion: '111' },
      { uid: 'uid-lease', resourceVersion: '113' },
      { uid: 'uid-db-1-a', resourceVersion: '112' },
      { uid: 'uid-service', resourceVersion: '114' },
    ]);
  });

  it('write into the Lease who moves from where to where and why', () => {
    const [, grant] = moveOf(aSteadyState({ term: 3 }).where(0, crashed)).actions;
    expect(grant).toMatchObject({
      kind: 'grantLease',
      from: 'db-0-a',
      to: { pod: 'db-1-a', uid: 'uid-db-1-a' },
      term: 4,
      move: { kind: 'Failover', reason: 'ActiveCrashed', from: 'db-0-a', to: 'db-1-a_uid-db-1-a', term: 4 },
    });
  });

  it('leave the old term label on the old active, since until the flip traffic must go on reaching it', () => {
    const [strip] = moveOf(aSteadyState().where(0, (pod) => pod.terminating())).actions;
    expect(strip).toMatchObject({ kind: 'stripRole', labels: { [LABEL.role]: 'standby' } });
  });

  it('do not need the pod of the old active', () => {
    expect(steps(aSteadyState().withoutMember(0))).toEqual([
      'grantLease term 2 to db-1-a',
      'labelActive db-1-a',
      'flipService to term 2',
    ]);
  });

  it('wait with the flip for a Service that is there and ours', () => {
    expect(steps(aSteadyState().withoutMember(0).withoutService())).toEqual([
      'grantLease term 2 to db-1-a',
      'labelActive db-1-a',
    ]);
  });

  it('take away first what somebody forged of the term to be granted', () => {
    const forged = aSteadyState()
      .where(0, crashed)
      .where(2, (pod) => pod.term(2));
    expect(steps(forged)).toEqual([
      'stripRole db-0-a',
      'grantLease term 3 to db-1-a',
      'labelActive db-1-a',
      'flipService to term 3',
    ]);
  });

  it('strip even a member that is NotReady or Terminating', () => {
    const back = aSteadyState().where(2, (pod) => pod.role('active').notReady().terminating());
    expect(steps(back)).toEqual(['stripRole db-2-a']);
  });
});

describe('a move that was cut is finished', () => {
  const granted = (): SnapshotBuilder => aSteadyState().leaseHeldBy(1, 2);

  it.each<[string, SnapshotBuilder, string[]]>([
    ['after the grant', granted(), ['stripRole db-0-a', 'labelActive db-1-a', 'flipService to term 2']],
    [
      'after the strip and the grant',
      granted().where(0, (pod) => pod.standby()),
      ['labelActive db-1-a', 'flipService to term 2'],
    ],
    [
      'after the label',
      granted()
        .where(0, (pod) => pod.standby())
        .where(1, (pod) => pod.active(2)),
      ['flipService to term 2'],
    ],
    [
      'after the flip',
      granted()
        .where(0, (pod) => pod.standby())
        .where(1, (pod) => pod.active(2))
        .serviceSelecting(2),
      [],
    ],
    [
      'after the flip of a planned one',
      granted()
        .where(0, (pod) => pod.standby().guarded())
        .where(1, (pod) => pod.active(2))
        .serviceSelecting(2),
      ['stripRole db-0-a'],
    ],
    [
      'after the strip alone, while the old active recovered',
      aSteadyState().where(0, (pod) => pod.standby()),
      ['labelActive db-0-a'],
    ],
    ['while paused', granted().paused(), ['stripRole db-0-a', 'labelActive db-1-a', 'flipService to term 2']],
    [
      'while the spec is rejected',
      granted().rejected(),
      ['stripRole db-0-a', 'labelActive db-1-a', 'flipService to term 2'],
    ],
  ])('%s', (_when, builder, expected) => {
    expect(steps(builder)).toEqual(expected);
  });
});

describe('labels that hands have changed are mended', () => {
  it.each<[string, SnapshotBuilder, string[]]>([
    ['the active lost its role', aSteadyState().where(0, (pod) => pod.withoutRole()), ['labelActive db-0-a']],
    ['the active lost its term', aSteadyState().where(0, (pod) => pod.term(undefined)), ['labelActive db-0-a']],
    ['the active got another term', aSteadyState().where(0, (pod) => pod.term(7)), ['labelActive db-0-a']],
    ['the active lost its name label', aSteadyState().where(0, (pod) => pod.withoutName()), ['labelActive db-0-a']],
    [
      'the active lost its name label while paused',
      aSteadyState()
        .paused()
        .where(0, (pod) => pod.withoutName()),
      ['labelActive db-0-a'],
    ],
    ['a standby took the role', aSteadyState().where(1, (pod) => pod.role('active')), ['stripRole db-1-a']],
    ['a standby forged the term', aSteadyState().where(1, (pod) => pod.term(1)), ['stripRole db-1-a']],
    ['a standby has an older term: it routes nowhere', aSteadyState({ term: 3 }).where(1, (pod) => pod.term(2)), []],
    [
      'a standby has term 0, which nobody is given',
      aSteadyState().where(1, (pod) => pod.term(0)),
      ['stripRole db-1-a'],
    ],
    ['a stranger took the role', aSteadyState().withStranger({ role: 'active' }), ['stripRole stranger']],
    ['a stranger forged the term', aSteadyState().withStranger({ term: '1' }), ['stripRole stranger']],
    ['a stranger only has the name', aSteadyState().withStranger(), []],
    ['the selector was edited', aSteadyState().selector({ app: 'echo' }), ['flipService to term 1']],
    ['the selector lost its term', aSteadyState().selector({ [LABEL.name]: 'db' }), ['flipService to term 1']],
    [
      'the selector was narrowed',
      aSteadyState().selector({ ...selectorOf(1), app: 'echo' }),
      ['flipService to term 1'],
    ],
    [
      'the selector lost its term while nobody can take over',
      aSteadyState({ members: 1 })
        .withoutMember(0)
        .with(aPod().named('db-0-b').notReady())
        .selector({ [LABEL.name]: 'db' }),
      ['flipService to term 1'],
    ],
    [
      'the selector lost its term before anybody was granted',
      aSnapshot()
        .with(aPod().notReady(), aPod().slot(1).notReady())
        .leaseHeldByNobody()
        .selector({ [LABEL.name]: 'db' }),
      ['flipService to term 0'],
    ],
  ])('when %s', (_what, builder, expected) => {
    expect(steps(builder)).toEqual(expected);
  });

  it('the term of the Lease does not follow them', () => {
    for (const action of moveOf(aSteadyState().where(0, (pod) => pod.term(700))).actions as Action[]) {
      expect(action).toMatchObject({ kind: 'labelActive', labels: { [LABEL.term]: '1' } });
    }
  });

  it('a stranger loses role, term and guard, and nothing else', () => {
    const { actions } = moveOf(aSteadyState().withStranger({ role: 'active', term: '1', guarded: 'true' }));
    const labels = { [LABEL.role]: null, [LABEL.term]: null, [LABEL.guarded]: null };
    expect(actions).toMatchObject([{ pod: 'stranger', labels }]);
    expect(actions[0]).toHaveProperty('labels', labels);
  });
});

describe('a Lease that nobody holds', () => {
  const released = (): SnapshotBuilder =>
    aSteadyState({ term: 4 })
      .lease({ holder: '' })
      .where(0, (pod) => pod.crashed());

  it('leaves traffic where it is until somebody is granted', () => {
    const alone = released()
      .where(1, (pod) => pod.notReady())
      .where(2, (pod) => pod.notReady());
    const { actions } = moveOf(alone);
    expect(actions).toMatchObject([{ kind: 'stripRole', pod: 'db-0-a', labels: { [LABEL.role]: 'standby' } }]);
    expect(actions).not.toMatchObject([{ labels: { [LABEL.term]: null } }]);
  });

  it('leaves it with one pod, when another forged the term', () => {
    const alone = released()
      .where(1, (pod) => pod.notReady().term(4))
      .where(2, (pod) => pod.notReady());
    expect(moveOf(alone).actions).toMatchObject([{ pod: 'db-0-a' }, { pod: 'db-1-a', labels: { [LABEL.term]: null } }]);
  });
});

describe('a holder without a grant', () => {
  it('is the active all the same, when only the record of the grant is lost', () => {
    expect(moveOf(aSteadyState().lease({ move: undefined })).actions).toEqual([]);
  });

  it('keeps its labels under a restored Lease, so that no request fails', () => {
    const [holder] = aSteadyState().build().members;
    if (holder === undefined) throw new Error('no member');
    const restored = aSteadyState().leaseHeldBy(0, 1001, { routingTerm: 1, to: holderOf(holder) });
    expect(moveOf(restored).actions).toEqual([]);
  });
});
