import { describe, expect, it } from 'vitest';
import { candidates, eligibility } from '../../src/core/candidates.ts';
import { decide } from '../../src/core/decide.ts';
import { describeAction } from '../../src/core/plan.ts';
import type { Plan } from '../../src/core/plan.ts';
import { isLost } from '../../src/core/node-loss.ts';
import { NOW, aPod, aSpec, aSteadyState, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const WAIT = { policy: 'Wait', afterSeconds: 30 };
const PROMOTE = { policy: 'PromoteAfter', afterSeconds: 30 };
const GONE = { gone: true };
const OUT = { outOfService: true };

/** Slot 0 is the active; what is wrong is wrong with its node, unless said otherwise. */
const withPolicy = (nodeLoss: object): SnapshotBuilder => {
  const failover = { ...aSpec().failover, ...aSpec({ failover: { nodeLoss } }).failover };
  return aSteadyState().changingSpec({ failover });
};

const planOf = (builder: SnapshotBuilder, nowMs = 0): Plan => decide(builder.build(), at(nowMs));
const done = ({ actions }: Plan): string[] => actions.map(describeAction);
const moves = (plan: Plan): boolean => plan.actions.some(({ kind }) => kind === 'grantLease');
const heldBy = ({ holds }: Plan): string | undefined => holds[0]?.name;

describe('the active on a node in trouble', () => {
  it.each<[string, object, Parameters<SnapshotBuilder['trouble']>[1], string]>([
    ['PromoteAfter, silent for less than its time', PROMOTE, { silentMs: 29_999 }, 'NodeLossGrace'],
    ['PromoteAfter, silent for its time', PROMOTE, { silentMs: 30_000 }, 'moves'],
    ['PromoteAfter, out of service', PROMOTE, OUT, 'moves'],
    ['PromoteAfter, silent for a moment and out of service', PROMOTE, { silentMs: 20_000, ...OUT }, 'moves'],
    ['PromoteAfter, without a Node object', PROMOTE, GONE, 'moves'],
    ['Wait, silent for less than its time', WAIT, { silentMs: 20_000 }, 'NodeLossWait'],
    ['Wait, silent for a day', WAIT, { silentMs: 86_400_000 }, 'NodeLossWait'],
    ['Wait, out of service', WAIT, { silentMs: 20_000, ...OUT }, 'moves'],
    ['Wait, without a Node object', WAIT, { silentMs: 20_000, ...GONE }, 'moves'],
  ])('under %s: %s', (_case, policy, trouble, outcome) => {
    const plan = planOf(withPolicy(policy).trouble(0, trouble));
    expect(moves(plan) ? 'moves' : heldBy(plan)).toBe(outcome);
  });

  it.each<[string, object, string]>([
    ['that Kubernetes calls not Ready, waits for its time', PROMOTE, 'NodeLossGrace'],
    ['that Kubernetes calls not Ready, waits for proof', WAIT, 'NodeLossWait'],
  ])('%s', (_case, policy, hold) => {
    const plan = planOf(
      withPolicy(policy)
        .trouble(0, { silentMs: 20_000 })
        .where(0, (pod) => pod.notReady()),
    );
    expect([moves(plan), heldBy(plan)]).toEqual([false, hold]);
  });

  it.each<[string, object, string]>([
    ['waits for its time', PROMOTE, 'NodeLossGrace'],
    ['waits for proof', WAIT, 'NodeLossWait'],
  ])('and being deleted, %s: its kubelet does not hear of that', (_case, policy, hold) => {
    const plan = planOf(
      withPolicy(policy)
        .trouble(0, { silentMs: 20_000 })
        .where(0, (pod) => pod.terminating()),
    );
    expect([moves(plan), heldBy(plan)]).toEqual([false, hold]);
  });

  it('whose pod was deleted by force waits for proof of its node: that it is deleted is none', () => {
    const before = withPolicy(WAIT).build();
    const active = { pod: 'db-0-a', uid: 'uid-db-0-a', node: 'node-0', term: 1 };
    const status = { ...before.singleton.status, active };
    const vanished = withPolicy(WAIT).butSingleton({ status }).trouble(0, { silentMs: 60_000 }).withoutMember(0);
    const held = planOf(vanished);
    expect([moves(held), heldBy(held)]).toEqual([false, 'NodeLossWait']);
    // The status goes on telling of it, so that whoever looks next knows on which node it was.
    const writes = held.actions.filter((action) => action.kind === 'writeStatus');
    for (const { status: told } of writes) expect(told.active?.node).toBe('node-0');
    expect(moves(planOf(vanished.trouble(0, { silentMs: 60_000, ...OUT })))).toBe(true);
    expect(moves(planOf(vanished.but({ nodeLoss: { isBraked: false, nodes: {} } })))).toBe(true);
  });

  it('whose pod was deleted by force, of which no status tells yet, waits, too: the Lease tells where it was', () => {
    const { lease } = withPolicy(WAIT).build();
    if (lease?.move === undefined) throw new Error('there was no move');
    const move = { ...lease.move, to: lease.holder, node: 'node-0' };
    const vanished = withPolicy(WAIT)
      .lease({ ...lease, move })
      .withoutMember(0);
    const held = planOf(vanished.trouble(0, { silentMs: 60_000 }));
    expect([moves(held), heldBy(held)]).toEqual([false, 'NodeLossWait']);
    expect(moves(planOf(vanished.trouble(0, { silentMs: 60_000, ...OUT })))).toBe(true);
  });

  it.each<[string, (builder: SnapshotBuilder) => SnapshotBuilder]>([
    ['has failed', (builder) => builder.where(0, (pod) => pod.failed())],
    ['has finished', (builder) => builder.where(0, (pod) => pod.finished())],
  ])('and which %s by its kubelet, moves at once under Wait: that is proof', (_how, change) => {
    expect(moves(planOf(change(withPolicy(WAIT).trouble(0, { silentMs: 60_000 }))))).toBe(true);
  });

  it('moves at once when it hangs and its node beats', () => {
    expect(moves(planOf(withPolicy(WAIT).where(0, (pod) => pod.notReady())))).toBe(true);
  });

  it('is looked at again when its time is over', () => {
    const plan = planOf(withPolicy(PROMOTE).trouble(0, { silentMs: 20_000 }));
    expect(plan.recheckAtMs).toBe(NOW.monotonicMs + 10_000);
  });

  it('is looked at no more under Wait, until something happens', () => {
    const told = decide(withPolicy(WAIT).trouble(0, { silentMs: 60_000 }).build(), NOW);
    expect(told.actions.filter(({ kind }) => kind !== 'emitEvent' && kind !== 'writeStatus')).toEqual([]);
    expect(told.recheckAtMs).toBeUndefined();
  });

  it.each<[string, object, RegExp]>([
    ['Wait', WAIT, /^node node-0 of pod db-0-a is not heard of any more; .* is Wait: nothing moves until the node is/],
    ['PromoteAfter', PROMOTE, /; it is given 30 s from its last beat \(failover\.nodeLoss\.afterSeconds\)$/],
  ])('says under %s what it waits for, in the same words at any time', (_policy, policy, words) => {
    const builder = withPolicy(policy).trouble(0, { silentMs: 20_000 });
    const [first, second] = [planOf(builder), planOf(builder, 5_000)];
    expect(first.holds[0]?.message).toMatch(words);
    expect(second.holds[0]?.message).toBe(first.holds[0]?.message);
  });

  it('stays what it is when nobody else can take over, and is not told to be Ready', () => {
    const alone = withPolicy(PROMOTE)
      .trouble(0, { silentMs: 30_000 })
      .where(1, (pod) => pod.notReady())
      .where(2, (pod) => pod.notReady());
    const plan = planOf(alone);
    expect([moves(plan), heldBy(plan)]).toEqual([false, 'NoCandidate']);
    expect(done(plan)).toEqual([expect.stringMatching(/^createPod db-0-/), 'emitEvent MemberReplaced']);
  });
});

describe('the brake', () => {
  const braked = (trouble: Parameters<SnapshotBuilder['trouble']>[1], policy: object = PROMOTE): SnapshotBuilder =>
    withPolicy(policy).trouble(0, trouble).trouble(1, trouble).braked();

  it.each([PROMOTE, WAIT])('holds every move away from a silent node, under %o', (policy) => {
    const plan = planOf(braked({ silentMs: 600_000 }, policy));
    expect([moves(plan), heldBy(plan)]).toEqual([false, 'NodeLossBrake']);
    expect(plan.holds[0]?.message).toContain('--node-loss-brake');
  });

  it('replaces nobody', () => {
    const plan = planOf(braked({ silentMs: 600_000 }));
    expect(plan.actions.filter(({ kind }) => kind === 'createPod' || kind === 'deletePod')).toEqual([]);
  });

  it.each([OUT, GONE])('is no matter for a node with %o: an administrator vouches for it', (trouble) => {
    expect(moves(planOf(braked({ silentMs: 600_000, ...trouble })))).toBe(true);
  });

  it('is no matter for an active that hangs on a node that beats', () => {
    const hangs = withPolicy(PROMOTE)
      .trouble(1, { silentMs: 60_000 })
      .braked()
      .where(0, (pod) => pod.notReady());
    expect(moves(planOf(hangs))).toBe(true);
  });
});

describe('a member on a node in trouble', () => {
  const standby = (trouble: Parameters<SnapshotBuilder['trouble']>[1], policy: object = PROMOTE): SnapshotBuilder =>
    withPolicy(policy).trouble(1, trouble);

  it.each<[string, SnapshotBuilder, boolean]>([
    ['is not given up before its time', standby({ silentMs: 29_999 }), false],
    ['is given up after it', standby({ silentMs: 30_000 }), true],
    ['is given up under Wait, too, being no active', standby({ silentMs: 30_000 }, WAIT), true],
    ['is given up at once with proof', standby(OUT, WAIT), true],
    ['is not given up under the brake', standby({ silentMs: 30_000 }).braked(), false],
    [
      'is given up under Wait only with proof while nobody knows the active',
      standby({ silentMs: 30_000 }, WAIT).withoutLease(),
      false,
    ],
  ])('%s', (_case, builder, lost) => {
    const snapshot = builder.build();
    const [, member] = snapshot.members;
    expect(member && isLost(member, snapshot, NOW)).toBe(lost);
    expect(member && eligibility(member, snapshot, NOW).reason).toBe(lost ? 'NodeLost' : 'Ready');
  });

  it('is replaced in its slot at once, away from that node, and its pod is deleted', () => {
    const plan = planOf(standby({ silentMs: 30_000 }));
    expect(done(plan)).toEqual([
      expect.stringMatching(/^createPod db-1-/),
      'deletePod db-1-a (node node-1 is lost)',
      'emitEvent MemberReplaced',
    ]);
    const [creation] = plan.actions.filter((action) => action.kind === 'createPod');
    expect(creation?.body).toMatchObject({
      spec: {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { preference: { matchExpressions: [{ operator: 'NotIn', values: ['node-1'] }] } },
            ],
          },
        },
      },
    });
  });

  it('that is stuck Terminating there keeps no slot and no role, and comes back as nothing', () => {
    const stuck = standby({ silentMs: 600_000 })
      .where(1, (pod) => pod.terminating())
      .with(aPod().slot(1).named('db-1-b').onNode('node-9'));
    expect(done(planOf(stuck)).filter((action) => /Pod|strip/.test(action))).toEqual([]);
    const back = stuck.but({ nodeLoss: { isBraked: false, nodes: {} } });
    expect(done(planOf(back)).filter((action) => /Pod|strip/.test(action))).toEqual([]);
  });

  it('is no good choice while there is another, whatever speaks for it', () => {
    const snapshot = standby({ silentMs: 20_000 })
      .where(1, (pod) => pod.ready(-60_000))
      .build();
    expect(candidates(snapshot, aSpec(), NOW).map(({ pod }) => pod)).toEqual(['db-2-a', 'db-1-a']);
  });

  it('is looked at again when it will be given up', () => {
    expect(planOf(standby({ silentMs: 20_000 })).recheckAtMs).toBe(NOW.monotonicMs + 10_000);
  });

  it('on a node named as a property of every object is nothing special', () => {
    const snapshot = aSteadyState()
      .where(1, (pod) => pod.onNode('constructor'))
      .build();
    expect(snapshot.members.some((member) => isLost(member, snapshot, NOW))).toBe(false);
  });
});
