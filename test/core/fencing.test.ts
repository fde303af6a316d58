import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { explain } from '../../src/core/explain.ts';
import { isExpired, leaseSeen, sightAfter } from '../../src/core/expiry.ts';
import { awaitsRenewal, fencingHold, proofOf, stoppedSeen } from '../../src/core/fencing.ts';
import { violationsOf } from '../../src/core/invariants.ts';
import { isGrant } from '../../src/core/plan.ts';
import type { Plan } from '../../src/core/plan.ts';
import type { LeaseView, Snapshot } from '../../src/core/snapshot.ts';
import { afterAction, afterLooking } from '../../src/operator/memory.ts';
import { NOW, aFencedState, aLease, aSteadyState, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const LEASE_MS = 10_000;

const leaseOf = ({ lease }: Snapshot): LeaseView => {
  if (lease === undefined) throw new Error('no Lease');
  return lease;
};

const proof = (builder: SnapshotBuilder): string | undefined => {
  const snapshot = builder.build();
  return proofOf({ snapshot, lease: leaseOf(snapshot), now: NOW })?.name;
};

const planOf = (builder: SnapshotBuilder): Plan => decide(builder.build(), NOW);
const grantOf = (builder: SnapshotBuilder) => planOf(builder).actions.find(isGrant);
const asksOf = (builder: SnapshotBuilder) => planOf(builder).actions.find(({ kind }) => kind === 'requestRelease');

describe('what proves that the old active has stopped', () => {
  const fenced = aFencedState({ term: 4 });
  const released = fenced.lease({ holder: '', releasedTerm: 4 });
  const gone = fenced.withoutMember(0);

  it.each<[string | undefined, string, SnapshotBuilder]>([
    ['P1', 'its agent released this term', released],
    [undefined, 'its agent released an earlier term', fenced.lease({ holder: '', releasedTerm: 3 })],
    [undefined, 'the Lease was emptied, and nobody says to have released it', fenced.lease({ holder: '' })],
    [undefined, 'it holds the Lease, and released it before', fenced.lease({ releasedTerm: 4 })],
    ['P2', 'all its containers have ended for good', fenced.where(0, (pod) => pod.stopped())],
    [
      'P2',
      'that, and its node is silent by now',
      fenced.where(0, (pod) => pod.stopped()).trouble(0, { silentMs: 60_000 }),
    ],
    [undefined, 'its phase is Failed, and a container may run', fenced.where(0, (pod) => pod.failed('Evicted'))],
    [undefined, 'it crashed, and is started again', fenced.where(0, (pod) => pod.crashed())],
    [undefined, 'another member has ended', fenced.where(1, (pod) => pod.stopped())],
    ['P3', 'it is gone after that was seen', gone.remembering({ stopped: 'db-0-a_uid-db-0-a' })],
    [undefined, 'it is gone', gone],
    [undefined, 'it is gone, and another had ended', gone.remembering({ stopped: 'db-1-a_uid-db-1-a' })],
    [undefined, 'it is being deleted', fenced.where(0, (pod) => pod.terminating())],
    [undefined, 'it is not Ready', fenced.where(0, (pod) => pod.notReady())],
    ['P4', 'its node is out of service', fenced.trouble(0, { outOfService: true })],
    ['P4', 'its Node object is gone', fenced.trouble(0, { gone: true })],
    ['P4', 'it is gone, and the node that the status told is out of service', gone.trouble(0, { outOfService: true })],
    [undefined, 'its node is silent', fenced.trouble(0, { silentMs: 600_000 })],
    [undefined, "another member's node is out of service", fenced.trouble(1, { outOfService: true })],
    ['P5', 'the Lease was seen unchanged for its duration', aFencedState({ seenMs: LEASE_MS })],
    [undefined, 'the Lease was seen unchanged for less', aFencedState({ seenMs: LEASE_MS - 1 })],
    [undefined, 'another version of it was', aFencedState({ seenMs: LEASE_MS }).lease({ resourceVersion: '31' })],
    [undefined, 'another Lease of that version was', aFencedState({ seenMs: LEASE_MS }).lease({ uid: 'other' })],
    [undefined, 'nobody has looked yet', aFencedState({ seenMs: LEASE_MS }).remembering({ leaseSeen: undefined })],
    ['NoAgent', 'it has no agent', fenced.where(0, (pod) => pod.but({ agent: undefined }))],
  ])('%s: %s', (expected, _when, builder) => {
    expect(proof(builder)).toBe(expected);
  });

  it('counts the longest of the durations that the spec, the Lease and any agent go by', () => {
    const state = aFencedState({ seenMs: LEASE_MS });
    expect(proof(state.lease({ leaseDurationMs: 20_000 }))).toBeUndefined();
    expect(proof(state.where(0, (pod) => pod.withAgent(20_000)))).toBeUndefined();
    expect(proof(state.spec({ fencing: { mode: 'Agent' }, election: { leaseDurationSeconds: 20 } }))).toBeUndefined();
    expect(proof(state.lease({ leaseDurationMs: 5_000 }))).toBe('P5');
  });

  it('is asked of nobody before the first grant', () => {
    const fresh = aFencedState().lease(aLease()).status(undefined).remembering({ leaseSeen: undefined });
    expect(proof(fresh.lease({ leaseDurationMs: undefined, renewedTerm: undefined }))).toBe('NeverGranted');
  });

  it('is asked for an empty Lease that took the place of another', () => {
    const seen = { uid: 'uid-lease', resourceVersion: '30', sinceMs: NOW.monotonicMs, isReplaced: true, term: 0 };
    const empty = { ...aLease(), leaseDurationMs: undefined, renewedTerm: undefined };
    expect(proof(aFencedState().lease(empty).status(undefined).remembering({ leaseSeen: seen }))).toBeUndefined();
  });
});

describe('since when a Lease is seen unchanged', () => {
  const state = aFencedState({ seenMs: 4_000 });
  const sinceMs = (builder: SnapshotBuilder, ms = 0) => leaseSeen(builder.build(), at(ms))?.sinceMs;

  it('stays while the version does', () => {
    expect(sinceMs(state, 3_000)).toBe(NOW.monotonicMs - 4_000);
  });

  it('begins anew with each renewal', () => {
    expect(sinceMs(state.lease({ resourceVersion: '31' }), 3_000)).toBe(NOW.monotonicMs + 3_000);
  });

  it('begins anew with a new process', () => {
    expect(sinceMs(state.remembering({ leaseSeen: undefined }), 3_000)).toBe(NOW.monotonicMs + 3_000);
  });

  it('counts from when a process that did not look yet was told of this version, and not from later than now', () => {
    const told = (toldAtMs: number) => sinceMs(state.lease({ toldAtMs }).remembering({ leaseSeen: undefined }), 3_000);
    expect(told(NOW.monotonicMs + 1_000)).toBe(NOW.monotonicMs + 1_000);
    expect(told(NOW.monotonicMs + 9_000)).toBe(NOW.monotonicMs + 3_000);
  });

  it('is not looked at in mode Routing', () => {
    expect(leaseSeen(aSteadyState().build(), NOW)).toBeUndefined();
    expect(afterLooking(aSteadyState().build(), NOW)).not.toHaveProperty('leaseSeen');
  });

  it("goes on over a write of the operator's own, which no renewal can have come before", () => {
    const { memory } = state.build();
    const release = { term: 1, kind: 'Failover', reason: '', message: '', to: '', detectedWallMs: 0 } as const;
    const expectOf = (resourceVersion: string) => ({ uid: 'uid-lease', resourceVersion });
    const asking = { kind: 'requestRelease', lease: 'db-active', release } as const;
    const after = afterAction(memory, { ...asking, expect: expectOf('30') }, at(5), '35');
    expect(after.leaseSeen).toMatchObject({ resourceVersion: '35', sinceMs: NOW.monotonicMs - 4_000 });
    // What it was meant for is not what was seen last.
    expect(sightAfter(memory.leaseSeen, expectOf('29'), '35')).toBe(memory.leaseSeen);
    // Nobody knows whether it landed.
    expect(sightAfter(memory.leaseSeen, expectOf('30'), undefined)).toBe(memory.leaseSeen);
  });

  it('is long enough to the millisecond', () => {
    const snapshot = aFencedState().build();
    expect(isExpired(snapshot, leaseOf(snapshot), at(LEASE_MS - 1))).toBe(false);
    expect(isExpired(snapshot, leaseOf(snapshot), at(LEASE_MS))).toBe(true);
  });
});

describe('that the kubelet attested the end of the holder', () => {
  const holder = 'db-0-a_uid-db-0-a';

  it('is remembered when its pod is gone, and forgotten with the next grant', () => {
    const ended = aFencedState().where(0, (pod) => pod.stopped());
    expect(stoppedSeen(ended.build())).toBe(holder);
    expect(stoppedSeen(ended.withoutMember(0).remembering({ stopped: holder }).build())).toBe(holder);
    expect(stoppedSeen(ended.leaseHeldBy(1, 2).remembering({ stopped: holder }).build())).toBeUndefined();
  });
});

describe('a move in mode Agent', () => {
  const crashed = aFencedState().where(0, (pod) => pod.crashed());

  it('asks for the release first, says what for, and waits', () => {
    expect(grantOf(crashed)).toBeUndefined();
    expect(asksOf(crashed)).toMatchObject({
      expect: { uid: 'uid-lease', resourceVersion: '30' },
      release: { term: 1, kind: 'Failover', reason: 'ActiveCrashed', to: 'db-1-a_uid-db-1-a' },
    });
    expect(planOf(crashed).holds).toMatchObject([{ name: 'Fencing', recheckAtMs: NOW.monotonicMs + LEASE_MS }]);
  });

  it('asks once in a term', () => {
    expect(asksOf(crashed.lease({ releaseRequested: 1 }))).toBeUndefined();
    expect(asksOf(crashed.lease({ releaseRequested: 0 }))).toBeDefined();
  });

  it('asks nobody to stop while nobody else could be the active', () => {
    const alone = crashed.where(1, (pod) => pod.notReady()).where(2, (pod) => pod.notReady());
    expect(asksOf(alone)).toBeUndefined();
    expect(planOf(alone).holds).toMatchObject([{ name: 'NoCandidate' }]);
  });

  it('asks nobody to stop whose node is silent, until it has been for its time: an agent that can hear it goes on renewing', () => {
    const silent = (silentMs: number) => aFencedState().trouble(0, { silentMs });
    expect(planOf(silent(29_999)).holds).toMatchObject([{ name: 'Fencing' }]);
    expect(asksOf(silent(29_999))).toBeUndefined();
    expect(asksOf(silent(30_000))).toMatchObject({ release: { reason: 'NodeLost' } });
    expect(asksOf(silent(600_000).braked())).toBeUndefined();
    // Somebody wants it to go.
    expect(asksOf(silent(20_000).where(0, (pod) => pod.terminating()))).toBeDefined();
    expect(asksOf(silent(30_000).lease({ releaseRequested: 1 }))).toBeUndefined();
  });

  it('tells what it waits for', () => {
    const snapshot = crashed.build();
    const hold = fencingHold({ snapshot, lease: leaseOf(snapshot), now: NOW }, 'pod db-0-a crashed');
    expect(hold?.message).toBe(
      'pod db-0-a crashed; pod db-0-a may act still: waiting for its agent to release the Lease, for its kubelet to say ' +
        'that all its containers have ended, for the Lease to expire (10 s without a renewal), or for its node to be ' +
        'taken out of service',
    );
  });

  it('grants, with proof, and labels nobody before the agent has taken up its term', () => {
    const plan = planOf(crashed.lease({ holder: '', releasedTerm: 1 }));
    expect(plan.actions.map(({ kind }) => kind)).toEqual(['stripRole', 'grantLease']);
    const granted = aFencedState().leaseHeldBy(1, 2).lease({ leaseDurationMs: LEASE_MS, renewedTerm: 1 });
    expect(awaitsRenewal(granted.build(), leaseOf(granted.build()))).toBe(true);
    expect(planOf(granted).actions.map(({ kind }) => kind)).toEqual(['stripRole']);
    expect(planOf(granted.lease({ renewedTerm: 2 })).actions.map(({ kind }) => kind)).toEqual([
      'stripRole',
      'labelActive',
      'flipService',
    ]);
  });

  it('goes where the release was asked for, also for an operator that knows nothing else', () => {
    const release = {
      term: 1,
      kind: 'Switchover',
      reason: 'Preempted',
      message: 'a better one',
      to: 'db-2-a_uid-db-2-a',
      detectedWallMs: NOW.wallMs - 5,
    } as const;
    const released = aFencedState().lease({ holder: '', releasedTerm: 1, releaseRequested: 1, release });
    expect(grantOf(released)).toMatchObject({
      to: { pod: 'db-2-a' },
      from: 'db-0-a',
      leaseDurationMs: LEASE_MS,
      move: { kind: 'Switchover', reason: 'Preempted', from: 'db-0-a', detectedWallMs: NOW.wallMs - 5 },
    });
    expect(grantOf(released.where(2, (pod) => pod.notReady()))).toMatchObject({ to: { pod: 'db-1-a' } });
  });

  it('goes to another when it was asked for by a switchover to any, though whoever released is the first of all again', () => {
    const switchover = {
      request: 'any',
      state: 'Pending',
      acceptedWallMs: NOW.wallMs - 5,
      deadlineWallMs: NOW.wallMs + 60_000,
      from: 'db-0-a_uid-db-0-a',
      to: undefined,
      reason: 'Accepted',
      message: 'a switchover to any was requested',
    } as const;
    const release = {
      term: 1,
      kind: 'Switchover',
      reason: 'Requested',
      message: switchover.message,
      to: 'db-1-a_uid-db-1-a',
      detectedWallMs: NOW.wallMs - 5,
    } as const;
    const released = aFencedState().lease({ holder: '', releasedTerm: 1, releaseRequested: 1, release, switchover });
    expect(grantOf(released)).toMatchObject({ to: { pod: 'db-1-a' } });
    const alone = released.where(1, (pod) => pod.notReady()).where(2, (pod) => pod.notReady());
    expect(grantOf(alone)).toMatchObject({ to: { pod: 'db-0-a' } });
  });

  it('comes back to whoever released by itself only when nobody else is left, and counts it as a failure', () => {
    const released = aFencedState().lease({ holder: '', releasedTerm: 1 });
    expect(grantOf(released)).toMatchObject({
      to: { pod: 'db-1-a' },
      move: { reason: 'AgentReleased', failures: [{ holder: 'db-0-a_uid-db-0-a' }] },
    });
    const alone = released.where(1, (pod) => pod.notReady()).where(2, (pod) => pod.notReady());
    expect(grantOf(alone)).toMatchObject({ to: { pod: 'db-0-a' } });
  });

  it('leaves an active whose agent is silent, however well it looks', () => {
    expect(grantOf(aFencedState({ seenMs: LEASE_MS }))).toMatchObject({
      to: { pod: 'db-1-a' },
      move: { reason: 'AgentSilent', failures: [{ holder: 'db-0-a_uid-db-0-a' }] },
    });
    expect(planOf(aFencedState({ seenMs: 1_000 })).recheckAtMs).toBe(NOW.monotonicMs + 9_000);
  });

  it('goes to nobody without an agent, once somebody with one was granted', () => {
    const members = crashed.lease({ holder: '', releasedTerm: 1 }).where(1, (pod) => pod.but({ agent: undefined }));
    expect(grantOf(members)).toMatchObject({ to: { pod: 'db-2-a' } });
  });

  it('away from somebody without an agent is made as in mode Routing', () => {
    const old = aFencedState()
      .where(0, (pod) => pod.crashed().but({ agent: undefined }))
      .lease({ leaseDurationMs: undefined, renewedTerm: undefined });
    expect(grantOf(old)).toMatchObject({ to: { pod: 'db-1-a' }, leaseDurationMs: LEASE_MS });
  });

  it('to somebody without an agent takes from the Lease what the agents went by', () => {
    const back = aSteadyState()
      .where(0, (pod) => pod.crashed())
      .lease({ leaseDurationMs: LEASE_MS });
    expect(grantOf(back)).toMatchObject({ leaseDurationMs: null });
    expect(grantOf(aSteadyState().where(0, (pod) => pod.crashed()))).not.toHaveProperty('leaseDurationMs');
  });
});

describe('what why tells in mode Agent', () => {
  const told = (builder: SnapshotBuilder) => explain(builder.build(), NOW).fencing;
  const sum =
    'fence deadline 5 s + stop grace 2 s + enforcement (Probe) 2 s + clock rate margin 0.5 s = 9.5 s, less than the ' +
    'lease duration of 10 s';

  it.each<[SnapshotBuilder, string]>([
    [
      aFencedState(),
      'the agent of db-0-a has taken up term 1; before another is granted it is asked to release the Lease',
    ],
    [aFencedState().lease({ renewedTerm: 0 }), 'the agent of db-0-a has not taken up term 1 yet'],
    [
      aFencedState().lease({ holder: '', releasedTerm: 1 }),
      'another may be granted (P1): the agent of pod db-0-a released the Lease',
    ],
    [
      aFencedState().lease({ releaseRequested: 1 }),
      'the agent of db-0-a was asked to release the Lease (?) and has not yet',
    ],
    [
      aFencedState().leaseHeldByNobody(1001),
      'who held the Lease before it was lost nobody can tell: it has to expire first',
    ],
  ])('is the sum of its times, and how it stands', (builder, sentence) => {
    expect(told(builder)).toEqual([sum, sentence]);
  });

  it('is nothing in mode Routing', () => {
    expect(explain(aSteadyState().build(), NOW)).not.toHaveProperty('fencing');
  });

  it('has the grant that follows when the Lease expires', () => {
    const { next, ifActiveFailed } = explain(aFencedState().build(), NOW);
    expect(next[0]?.holds).toEqual([]);
    expect(ifActiveFailed?.[0]).toMatchObject({ holds: [{ name: 'Fencing' }], recheckAfterMs: LEASE_MS });
    expect(ifActiveFailed?.at(-1)).toMatchObject({ afterMs: LEASE_MS, grant: { pod: 'db-1-a' } });
  });
});

describe('invariant I5 in mode Agent', () => {
  it('is broken by a grant without proof', () => {
    const snapshot = aFencedState().where(0, (pod) => pod.crashed());
    const granting = planOf(snapshot.lease({ holder: '', releasedTerm: 1 }));
    expect(violationsOf(granting, snapshot.build(), NOW)).toMatchObject([{ invariant: 'I5' }]);
    expect(violationsOf(granting, snapshot.where(0, (pod) => pod.stopped()).build(), NOW)).toEqual([]);
    expect(violationsOf(granting, snapshot.build(), at(LEASE_MS))).toEqual([]);
  });
});

describe('a member on a silent node', () => {
  it('that is the active is given up when its Lease has expired, so that a single one is replaced', () => {
    const single = (seenMs: number) => aFencedState({ members: 1, seenMs }).trouble(0, { silentMs: 60_000 });
    const creates = (builder: SnapshotBuilder) => planOf(builder).actions.some(({ kind }) => kind === 'createPod');
    expect(creates(single(LEASE_MS - 1))).toBe(false);
    expect(creates(single(LEASE_MS))).toBe(true);
  });
});
