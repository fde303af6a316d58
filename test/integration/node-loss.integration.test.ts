/** Nodes whose kubelets fall silent: seen by their own Leases, long before Kubernetes itself gives them up. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { OUT_OF_SERVICE } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { until } from '../control-plane/wait.ts';
import { startOperator } from './operator.ts';
import type { TestOperator } from './operator.ts';
import { World, aSpec, apart, conditionOf, isReady, nameOf, roleOf, showLog, slotOf, useWorld } from './world.ts';
import type { Settled, State } from './world.ts';

const BEAT_MS = 1_000;
const AFTER_MS = 4_000;
/** What a busy machine may add. */
const SLACK_MS = 6_000;
/** Of the wall clock, by which both ends are told, against the monotonic one, by which the operator waits. */
const SLEW_MS = 20;
const world = useWorld({ leaseRenewMs: BEAT_MS });

const spec = (policy: 'Wait' | 'PromoteAfter') =>
  aSpec({ failover: { nodeLoss: { policy, afterSeconds: AFTER_MS / 1_000 } } });

const NODE_LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
const nodeOf = (pod: Pod): string => pod.spec?.nodeName ?? '';
const isGoing = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;

const healed = (name: string, where: World = world()): Promise<Settled> =>
  where.settled(name, ({ pods, status }) => {
    expect(pods.every(isReady)).toBe(true);
    expect(status).toMatchObject({ ready: '3/3', eligibleReplicas: 3 });
  });

/** Waits for a state in which not all is in order. */
const seen = (name: string, check: (state: State) => void): Promise<State> =>
  until(`${name} to be seen so`, async () => {
    const state = await world().read(name);
    check(state);
    return state;
  });

/** Everybody who was on the node has a successor elsewhere, while what is left of them can't go. */
function expectReplaced({ pods, routed }: State, node: string): void {
  const [stuck, alive] = [pods.filter((pod) => nodeOf(pod) === node), pods.filter((pod) => nodeOf(pod) !== node)];
  expect(stuck.length).toBeGreaterThan(0);
  expect(stuck.every(isGoing)).toBe(true);
  expect(stuck.map(roleOf)).toEqual(stuck.map(() => 'standby'));
  expect(alive.filter((pod) => !isGoing(pod)).map(slotOf)).toEqual([0, 1, 2]);
  expect(alive.every(isReady)).toBe(true);
  expect(alive.map(nameOf)).toEqual(expect.arrayContaining([...routed]));
}

describe('policy PromoteAfter', () => {
  test('moves the active afterSeconds after the last beat of its node, and replaces what is stuck Terminating there', async () => {
    await world().create('db', apart('db', spec('PromoteAfter')));
    const before = await healed('db');
    const node = nodeOf(before.active);
    world().suite.nodes.loseNode(node);
    const after = await seen('db', (state) => {
      expect(state.status.lastMove).toMatchObject({
        kind: 'Failover',
        reason: 'NodeLost',
        from: nameOf(before.active),
      });
      expectReplaced(state, node);
    });
    const { grantedAt = '', to = '' } = after.status.lastMove ?? {};
    const { spec: beat } = await world().api.get<Lease>(`${NODE_LEASES}/${node}`);
    const tookMs = Date.parse(grantedAt) - Date.parse(beat?.renewTime ?? '');
    console.log(`moved ${tookMs} ms after the last beat of the node`);
    expect(tookMs).toBeGreaterThan(AFTER_MS - SLEW_MS);
    expect(tookMs).toBeLessThan(AFTER_MS + SLACK_MS);

    await world().suite.nodes.recoverNode(node);
    const later = await healed('db');
    expect([nameOf(later.active), later.term]).toEqual([to, before.term + 1]);
    expect(later.pods.map(nameOf)).not.toContain(nameOf(before.active));
  });

  test('leaves an active where it is whose node beats again in time', async () => {
    // So long that no busy machine comes too late.
    await world().change('db', { failover: { nodeLoss: { afterSeconds: 600 } } });
    const before = await healed('db');
    const node = nodeOf(before.active);
    world().suite.nodes.loseNode(node);
    await world().told('db', (status) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: 'NodeLossGrace' }),
    );
    await world().suite.nodes.recoverNode(node);
    const after = await world().settled('db', ({ status }) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'False' }),
    );
    expect([nameOf(after.active), after.term]).toEqual([nameOf(before.active), before.term]);
    expect(after.pods.map(nameOf)).toEqual(before.pods.map(nameOf));
    await world().change('db', { failover: { nodeLoss: { afterSeconds: AFTER_MS / 1_000 } } });
  });

  test('replaces a standby as well, and nothing moves', async () => {
    const before = await healed('db');
    const node = before.standbys.map(nodeOf).find((name) => name !== nodeOf(before.active)) ?? '';
    world().suite.nodes.loseNode(node);
    const after = await seen('db', (state) => expectReplaced(state, node));
    expect([after.status.active?.pod, after.status.term]).toEqual([nameOf(before.active), before.term]);
    await world().suite.nodes.recoverNode(node);
    await healed('db');
    await world().api.delete(world().of('db').singleton);
  });
});

describe('policy Wait', () => {
  test('moves nothing until an administrator says that the node is out of service, and says so', async () => {
    await world().create('careful', apart('careful', spec('Wait')));
    const before = await healed('careful');
    const node = nodeOf(before.active);
    world().suite.nodes.loseNode(node);
    await world().told('careful', (status) => {
      const blocked = conditionOf(status, 'Blocked');
      expect(blocked).toMatchObject({ status: 'True', reason: 'NodeLossWait' });
      expect(blocked?.message).toContain(OUT_OF_SERVICE);
    });
    // As Kubernetes does after its grace period, and somebody who has lost patience.
    const path = `${world().paths.pods}/${nameOf(before.active)}`;
    const conditions = [{ type: 'Ready', status: 'False' }];
    await world().api.patch(`${path}/status`, { status: { conditions } }, 'strategic-merge');
    await world().api.delete(path);
    await world().told('careful', (status) => {
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False' });
      expect(status).toMatchObject({ active: { pod: nameOf(before.active) }, term: before.term });
    });
    expect((await world().events('careful')).map(({ reason }) => reason)).toContain('MoveBlocked');

    const taints = [{ key: OUT_OF_SERVICE, value: 'nodeshutdown', effect: 'NoExecute' }];
    await world().api.patch(`/api/v1/nodes/${node}`, { spec: { taints } });
    await seen('careful', (state) => {
      expect(state.status.lastMove).toMatchObject({ reason: 'NodeLost', from: nameOf(before.active) });
      expectReplaced(state, node);
    });
    await world().api.patch(`/api/v1/nodes/${node}`, { spec: { taints: null } });
    await world().suite.nodes.recoverNode(node);
    await healed('careful');
    await world().api.delete(world().of('careful').singleton);
  });
});

describe('--node-loss-brake', () => {
  let operator: TestOperator;
  let braked: World;

  beforeAll(async () => {
    const { suite } = world();
    const namespace = await suite.createNamespace();
    const { kubeconfigPath } = suite.controlPlane;
    // Other files' nodes are counted, too: two of whatever there are must be too many.
    operator = await startOperator({ kubeconfigPath, namespace, nodeLossBrake: 0.02 });
    braked = new World(suite, namespace);
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') showLog(operator.log);
  });
  afterAll(async () => {
    await operator.stop();
    braked.close();
  });

  test('holds everything while more nodes are silent at once, and lets go when one of them is back', async () => {
    await braked.create('many', apart('many', spec('PromoteAfter')));
    const before = await healed('many', braked);
    const [other = ''] = before.standbys.map(nodeOf).filter((name) => name !== nodeOf(before.active));
    const { nodes } = world().suite;
    nodes.loseNode(other);
    nodes.loseNode(nodeOf(before.active));
    await braked.told('many', (status) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: 'NodeLossBrake' }),
    );
    const held = await braked.read('many');
    expect(held.pods.map(nameOf)).toEqual(before.pods.map(nameOf));
    expect(held.status.term).toBe(before.term);
    await nodes.recoverNode(other);
    await braked.told('many', ({ lastMove }) => expect(lastMove).toMatchObject({ reason: 'NodeLost' }));
    await nodes.recoverNode(nodeOf(before.active));
    await healed('many', braked);
  });
});
