/** What is read live before a node counts as lost. */
import { describe, expect, it } from 'vitest';
import { LEASE, NODE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type { Lease, Node, Pod } from '../../src/api/objects.ts';
import { NodeBeats } from '../../src/operator/node-beats.ts';
import { Reconciler } from '../../src/operator/reconcile.ts';
import { meta } from './objects.ts';
import { DISRUPTION_BUDGETS } from './resources.ts';
import { KEY, failing, steady } from './stage.ts';
import type { Stage } from './stage.ts';

const leaseOf = (name: string, beat: string): Lease => ({
  metadata: meta(name, { namespace: 'kube-node-lease', resourceVersion: beat }),
  spec: { renewTime: beat, leaseDurationSeconds: 40 },
});

interface Scene {
  readonly stage: Stage;
  readonly active: string;
  readonly look: () => ReturnType<Reconciler['reconcile']>;
}

/** The active is on node-a, of which no watch has told for 31 s; the standby on node-b, which is heard. */
async function silent(spec: object = {}): Promise<Scene> {
  const stage = await steady(spec);
  const { cluster, clock, active, standby } = stage;
  const { caches, logger } = cluster;
  for (const name of ['node-a', 'node-b']) {
    cluster.put(LEASE, leaseOf(name, '1'));
    cluster.put(NODE, { metadata: { ...meta(name), namespace: '' }, status: { conditions: [] } } as Node);
  }
  cluster.edit<Pod>(POD, standby, (pod) => ({ ...pod, spec: { nodeName: 'node-b' } }));
  cluster.deliver();
  const { nodes, nodeLeases: leases } = caches;
  const troubles = new NodeBeats({ leases, nodes, clock, logger, brake: 0.55, onChange: () => undefined });
  troubles.start();
  leases.apply('ADDED', leaseOf('node-a', '1'));
  for (let beat = 1; beat <= 4; beat += 1) {
    leases.apply('MODIFIED', leaseOf('node-b', String(beat)));
    await clock.advance(beat < 4 ? 10_000 : 1_000);
  }
  const rights = { leases: true, nodes: true };
  const reconciler = new Reconciler({
    api: cluster,
    caches,
    disruptionBudgets: DISRUPTION_BUDGETS,
    clock,
    logger,
    nodes: { troubles, rights },
  });
  return { stage, active, look: () => reconciler.reconcile(KEY) };
}

describe('a node of which the watch has told nothing for its time', () => {
  it('is read live, and lost when it has not beaten', async () => {
    const { stage, active, look } = await silent();
    const from = stage.cluster.requests.length;
    await look();
    expect(stage.active).not.toBe(active);
    expect(stage.since(from)).toContain('get leases/node-a');
  });

  it('is well when it has beaten after all: the watch is silent, not the node', async () => {
    const { stage, active, look } = await silent();
    stage.cluster.edit<Lease>(LEASE, 'node-a', (lease) => ({ ...lease, spec: { ...lease.spec, renewTime: 'later' } }));
    for (let looks = 0; looks < 3; looks += 1) await look();
    expect(stage.active).toBe(active);
    expect(stage.cluster.all<Pod>(POD)).toHaveLength(2);
  });

  it('is lost by what the watch told when its Lease may not be read', async () => {
    const { stage, active, look } = await silent();
    stage.cluster.onRequest = failing(/get leases\/node-a/, new ApiError(403, 'Forbidden', 'no'));
    await look();
    expect(stage.active).not.toBe(active);
  });

  it('is not lost while nobody can tell: the API server does not answer', async () => {
    const { stage, active, look } = await silent();
    stage.cluster.onRequest = failing(/get leases\/node-a/, new ApiError(503, 'ServiceUnavailable', 'no'));
    await expect(look()).rejects.toThrow('no');
    expect(stage.active).toBe(active);
  });
});

describe('policy Wait', () => {
  it('reads the node of an active that is not Ready: it may be Kubernetes that says so of a lost one', async () => {
    const { stage, active, look } = await silent({ failover: { nodeLoss: { policy: 'Wait' } } });
    const { cluster } = stage;
    // As after a restart: this process has heard of the node a moment ago, and not that Kubernetes has given it up.
    cluster.caches.nodeLeases.apply('MODIFIED', leaseOf('node-a', '5'));
    cluster.edit<Lease>(LEASE, 'node-a', () => leaseOf('node-a', '5'));
    cluster.edit<Node>(NODE, 'node-a', (node) => ({
      ...node,
      status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
    }));
    stage.setReady(active, false);
    const pod = cluster.find<Pod>(POD, active);
    if (pod !== undefined) cluster.caches.pods.apply('MODIFIED', pod);
    for (let looks = 0; looks < 3; looks += 1) await look();
    expect(stage.active).toBe(active);
    expect(stage.condition('Blocked')).toMatchObject({ status: 'True', reason: 'NodeLossWait' });
  });
});
