import { describe, expect, it } from 'vitest';
import { POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type { KubeObject, Pod } from '../../src/api/objects.ts';
import type { Action, Plan } from '../../src/core/plan.ts';
import { execute } from '../../src/operator/execute.ts';
import type { Outcome } from '../../src/operator/execute.ts';
import { observe } from '../../src/operator/observe.ts';
import { Recollections } from '../../src/operator/memory.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { DISRUPTION_BUDGETS } from './resources.ts';
import { FakeCluster } from './fake-cluster.ts';
import { aSingleton } from './objects.ts';

function aCluster(): FakeCluster {
  const cluster = new FakeCluster();
  cluster.put(SINGLETON_SERVICE, aSingleton({}));
  cluster.deliver();
  return cluster;
}

function run(cluster: FakeCluster, actions: readonly Action[], done: Action[] = []): Promise<Outcome> {
  const plan: Plan = { actions, reason: 'because', holds: [], recheckAtMs: undefined };
  const seen = observe('default/db', cluster.caches, new Recollections().get('default/db'));
  if (seen === undefined) throw new Error('there is no singleton');
  const onDone = (action: Action): void => void done.push(action);
  return execute(plan, seen.snapshot.singleton, {
    api: cluster,
    caches: cluster.caches,
    clock: new ManualClock(),
    disruptionBudgets: DISRUPTION_BUDGETS,
    onDone,
  });
}

const create = (pod: string): Action => ({ kind: 'createPod', pod, slot: 0, body: { metadata: { name: pod } } });

function stripOf(pod: Pod | undefined): Action {
  const { name = '', uid = '', resourceVersion = '' } = pod?.metadata ?? {};
  return { kind: 'stripRole', pod: name, expect: { uid, resourceVersion }, labels: {} };
}

describe('a refused write', () => {
  it('is stale, and no failure, when the watch was quicker than the refusal', async () => {
    const cluster = aCluster();
    await run(cluster, [create('db-0')]);
    const strip = stripOf(cluster.find<Pod>(POD, 'db-0'));
    cluster.edit<Pod>(POD, 'db-0', (pod) => ({ ...pod, status: { phase: 'Running' } }));
    cluster.deliver();
    expect((await run(cluster, [strip])).kind).toBe('stale');
  });

  it('is stale when what it was meant for has gone, and the watch has said so already', async () => {
    const cluster = aCluster();
    await run(cluster, [create('db-0')]);
    const strip = stripOf(cluster.find<Pod>(POD, 'db-0'));
    cluster.remove(POD, 'db-0');
    cluster.deliver();
    expect((await run(cluster, [strip])).kind).toBe('stale');
  });

  it('is a failure when the server has what the decision saw: it would be refused again', async () => {
    const cluster = aCluster();
    await run(cluster, [create('db-0')]);
    const strip = stripOf(cluster.find<Pod>(POD, 'db-0'));
    cluster.onRequest = ({ verb }) => {
      if (verb === 'patch') throw new ApiError(409, 'Conflict', 'because of something else');
    };
    expect((await run(cluster, [strip])).kind).toBe('failed');
  });
});

describe('a request for a switchover', () => {
  const ask = (cluster: FakeCluster, request: string): void => {
    cluster.edit<KubeObject>(SINGLETON_SERVICE, 'db', ({ metadata, ...rest }) => ({
      ...rest,
      metadata: { ...metadata, annotations: { 'singleton-operator.io/switchover': request, note: 'theirs' } },
    }));
  };
  const removalOf = (cluster: FakeCluster): Action => {
    const { uid = '', resourceVersion = '' } = cluster.find<KubeObject>(SINGLETON_SERVICE, 'db')?.metadata ?? {};
    return { kind: 'removeRequest', singleton: 'db', expect: { uid, resourceVersion } };
  };
  const annotationsIn = (cluster: FakeCluster) =>
    cluster.find<KubeObject>(SINGLETON_SERVICE, 'db')?.metadata.annotations;

  it('is removed, and nobody else’s annotation', async () => {
    const cluster = aCluster();
    ask(cluster, 'any');
    expect((await run(cluster, [removalOf(cluster)])).kind).toBe('done');
    expect(annotationsIn(cluster)).toEqual({ note: 'theirs' });
  });

  it('is not removed when somebody has changed it since', async () => {
    const cluster = aCluster();
    ask(cluster, 'any');
    const removal = removalOf(cluster);
    ask(cluster, 'slot:1');
    expect((await run(cluster, [removal])).kind).toBe('stale');
    expect(annotationsIn(cluster)).toMatchObject({ 'singleton-operator.io/switchover': 'slot:1' });
  });
});

describe('a stage', () => {
  it('is brought to its end though one of its actions fails, and the next is not begun', async () => {
    const cluster = aCluster();
    cluster.onRequest = ({ name }) => {
      if (name === 'db-0') throw new ApiError(403, 'Forbidden', 'exceeded quota');
    };
    const done: Action[] = [];
    const event: Action = {
      kind: 'emitEvent',
      event: { identity: 'i', reason: 'MemberCreated', type: 'Normal', message: 'm' },
    };
    const outcome = await run(cluster, [create('db-0'), create('db-1'), event], done);
    expect(outcome).toMatchObject({ kind: 'failed', action: { pod: 'db-0' } });
    expect(done).toMatchObject([{ kind: 'createPod', pod: 'db-1' }]);
  });

  it('whose actions were overtaken and failed has failed: to decide again at once would not help', async () => {
    const cluster = aCluster();
    cluster.onRequest = ({ verb, name }) => {
      if (verb === 'create' && name === 'db-0') throw new ApiError(409, 'AlreadyExists', 'it exists');
      if (verb === 'create') throw new ApiError(403, 'Forbidden', 'exceeded quota');
    };
    cluster.put(POD, { metadata: { name: 'db-0', uid: 'u', resourceVersion: '7', creationTimestamp: '' } });
    expect((await run(cluster, [create('db-0'), create('db-1')])).kind).toBe('failed');
  });
});
