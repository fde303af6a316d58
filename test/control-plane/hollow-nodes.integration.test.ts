import { describe, expect, test } from 'vitest';
import { countWrites } from './audit.ts';
import type { HollowNodes } from './hollow-nodes.ts';
import { conditionStatus } from './hollow-pod.ts';
import type { HollowPodObject } from './hollow-pod.ts';
import { needing } from './needs.ts';
import { RestError } from './rest-client.ts';
import type { ApiObject } from './rest-client.ts';
import { useSuite } from './use-suite.ts';
import { until } from './wait.ts';

interface Slice extends ApiObject {
  endpoints: { addresses: string[]; conditions: { ready?: boolean } }[] | null;
}

interface NodeObject extends ApiObject {
  spec: { taints?: { key: string }[] };
  status: { conditions: { type: string; status: string }[] };
}

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'main', image: 'none' }] },
});

const workload = (app: string, replicas: number, more: object = {}) => ({
  metadata: { name: app },
  spec: { replicas, selector: { matchLabels: { app } }, template: template(app), ...more },
});

describe('hollow nodes', () => {
  const suite = useSuite();
  const inNamespace = (group: string, plural: string) => `${group}/namespaces/${suite().namespace}/${plural}`;
  const podsPath = () => inNamespace('/api/v1', 'pods');
  const pods = async (app: string) =>
    (await suite().api.list<HollowPodObject>(podsPath(), { labelSelector: `app=${app}` })).items;
  const get = (name: string) => suite().api.get<HollowPodObject>(`${podsPath()}/${name}`);
  const isReady = (pod: HollowPodObject) => conditionStatus(pod, 'Ready') === 'True';
  const readyPods = (app: string, count: number) =>
    until(`${count} ready pods of ${app}`, async () => {
      const ready = (await pods(app)).filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined);
      return ready.length === count && ready;
    });
  const startPod = async (name: string): Promise<HollowPodObject> => {
    await suite().api.create(podsPath(), { ...template(name), metadata: { name, labels: { app: name } } });
    return until(`${name} to be ready`, async () => {
      const pod = await get(name);
      return isReady(pod) && pod;
    });
  };

  test('are Ready, without taints, in their zones', async () => {
    for (const name of suite().nodes.names) {
      const node = await suite().api.get<NodeObject>(`/api/v1/nodes/${name}`);
      expect(node.spec.taints).toBeUndefined();
      expect(node.status.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }));
      expect(node.metadata.labels?.['topology.kubernetes.io/zone']).toMatch(/^zone-[12]$/);
    }
  });

  test('run the pods of a Deployment, and the EndpointSlice of its Service lists them', async () => {
    const { api } = suite();
    await api.create(inNamespace('/api/v1', 'services'), {
      metadata: { name: 'web' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
    await api.create(inNamespace('/apis/apps/v1', 'deployments'), workload('web', 3));
    const running = await readyPods('web', 3);
    const addresses = running.map(({ status }) => status?.podIP ?? '').toSorted();
    expect(new Set(addresses).size).toBe(3);
    for (const { spec } of running) expect(suite().nodes.names).toContain(spec.nodeName);

    const version = suite().controlPlane.minorVersion < 21 ? 'v1beta1' : 'v1';
    const slices = inNamespace(`/apis/discovery.k8s.io/${version}`, 'endpointslices');
    await until('the slice to list the pods', async () => {
      const { items } = await api.list<Slice>(slices, { labelSelector: 'kubernetes.io/service-name=web' });
      const ready = items.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions.ready);
      return (
        ready
          .flatMap(({ addresses }) => addresses)
          .toSorted()
          .join() === addresses.join()
      );
    });
  });

  test('run the pods of a StatefulSet that starts them all at once', async () => {
    await suite().api.create(
      inNamespace('/apis/apps/v1', 'statefulsets'),
      workload('db', 3, { podManagementPolicy: 'Parallel', serviceName: 'db' }),
    );
    const running = await readyPods('db', 3);
    expect(running.map(({ metadata }) => metadata.name).toSorted()).toEqual(['db-0', 'db-1', 'db-2']);
  });

  test('report a crash with exit code 137, and a restart', async () => {
    const before = await startPod('crashing');
    const { nodes } = suite();
    const timing = await nodes.crash(before.metadata);
    expect(timing.answered.monotonicMs).toBeGreaterThan(timing.sent.monotonicMs);
    expect(timing.answered.monotonicMs).toBeLessThanOrEqual(performance.now());

    const crashed = await get('crashing');
    expect(isReady(crashed)).toBe(false);
    expect(crashed.status?.phase).toBe('Running');
    expect(crashed.status?.containerStatuses?.[0]?.state.terminated?.exitCode).toBe(137);

    await nodes.restart(before.metadata);
    const restarted = await get('crashing');
    expect(isReady(restarted)).toBe(true);
    expect(restarted.status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 1,
      ready: true,
      lastState: { terminated: { exitCode: 137 } },
    });
  });

  test('restart what crashed by themselves after the given time', async () => {
    const { metadata } = await startPod('restarting');
    await suite().nodes.crash(metadata, { restartAfterMs: 50 });
    const restarted = await until('the restart', async () => {
      const pod = await get('restarting');
      return isReady(pod) && pod;
    });
    expect(restarted.status?.containerStatuses?.[0]?.restartCount).toBe(1);
  });

  test('show a pod that hangs as running and not Ready', async () => {
    const { metadata } = await startPod('hanging');
    await suite().nodes.hang(metadata);
    const hung = await get('hanging');
    expect(isReady(hung)).toBe(false);
    expect(hung.status?.containerStatuses?.[0]?.state.running).toBeDefined();
    await suite().nodes.unhang(metadata);
    expect(isReady(await get('hanging'))).toBe(true);
  });

  test('show an evicted pod as Failed, and one that ends by itself as Succeeded', async () => {
    const { nodes } = suite();
    await nodes.fail((await startPod('evicted')).metadata);
    const evicted = await get('evicted');
    expect(evicted.status).toMatchObject({ phase: 'Failed', reason: 'Evicted' });
    expect(isReady(evicted)).toBe(false);
    await nodes.exit((await startPod('done')).metadata);
    expect((await get('done')).status?.phase).toBe('Succeeded');
  });

  test('remove a deleted pod, and at once one that vanishes', async () => {
    await startPod('deleted');
    await suite().api.delete(`${podsPath()}/deleted`);
    await until('deleted to be gone', () => isGone('deleted'));
    await suite().nodes.vanish((await startPod('vanishing')).metadata);
    await until('vanishing to be gone', () => isGone('vanishing'));
  });

  test('hold back the Ready of pods until the gate opens', async () => {
    const { nodes, api } = suite();
    const gate = Promise.withResolvers<void>();
    nodes.setReadyGate(({ metadata }) => (metadata.name === 'promised' ? gate.promise : metadata.name !== 'refused'));
    for (const name of ['promised', 'refused']) {
      await api.create(podsPath(), { ...template(name), metadata: { name } });
      await until(`${name} to run`, async () => (await get(name)).status?.phase === 'Running');
      expect(isReady(await get(name))).toBe(false);
    }
    gate.resolve();
    await until('the promised pod to be ready', async () => isReady(await get('promised')));
    await nodes.admit({ namespace: suite().namespace, name: 'refused' });
    expect(isReady(await get('refused'))).toBe(true);
    nodes.setReadyGate(undefined);
  });

  test('say again what somebody else has overwritten', async () => {
    await startPod('overwritten');
    const conditions = [{ type: 'Ready', status: 'False' }];
    await suite().api.patch(`${podsPath()}/overwritten/status`, { status: { conditions } }, 'strategic-merge');
    await until('Ready to be back', async () => isReady(await get('overwritten')));
  });

  test('say nothing of the pods of a lost node until it is back', async () => {
    const { nodes, api } = suite();
    const { spec, metadata } = await startPod('cut-off');
    const node = spec.nodeName ?? '';
    nodes.loseNode(node);
    await expect(nodes.hang(metadata)).rejects.toThrow('lost');
    await api.delete(`${podsPath()}/cut-off`);
    // A pod on another node has gone meanwhile: this one's deletion has been seen, and nobody has confirmed it.
    await startPodElsewhereAndDelete(nodes, node);
    expect((await get('cut-off')).metadata.deletionTimestamp).toBeDefined();
    await nodes.recoverNode(node);
    await until('the pod to be removed', () =>
      get('cut-off').then(
        () => false,
        () => true,
      ),
    );
  });

  test('say that they shut down, refuse pods that come then, and end those that are deleted, until they are back', async () => {
    const { nodes, api } = suite();
    const { spec } = await startPod('stays');
    const node = spec.nodeName ?? '';
    const ready = async () => {
      const { status } = await api.get<NodeObject>(`/api/v1/nodes/${node}`);
      return status.conditions.find(({ type }) => type === 'Ready');
    };
    const comes = (name: string) =>
      api.create(podsPath(), { metadata: { name }, spec: { ...template(name).spec, nodeName: node } });
    await nodes.shutDownNode(node);
    expect(await ready()).toMatchObject({ status: 'False', message: 'node is shutting down' });
    const conditions = [{ type: 'Ready', status: 'True' }];
    await api.patch(`/api/v1/nodes/${node}/status`, { status: { conditions } }, 'strategic-merge');
    await until('it to say so again', async () => (await ready())?.status === 'False');

    await comes('late');
    const late = await until('late to be refused', async () => {
      const pod = await get('late');
      return pod.status?.phase === 'Failed' && pod;
    });
    expect(late.status?.reason).toBe('NodeShutdown');
    await api.delete(`${podsPath()}/stays`);
    await until('the deleted pod to be gone', () => isGone('stays'));

    await nodes.recoverNode(node);
    expect(await ready()).toMatchObject({ status: 'True' });
    await comes('later');
    await until('later to run', async () => isReady(await get('later')));
  });

  const isGone = (name: string): Promise<boolean> =>
    get(name).then(
      () => false,
      (error: unknown) => error instanceof RestError && error.status === 404,
    );

  async function startPodElsewhereAndDelete(nodes: HollowNodes, lost: string): Promise<void> {
    const nodeName = nodes.names.find((name) => name !== lost);
    const { spec } = template('elsewhere');
    await suite().api.create(podsPath(), { metadata: { name: 'elsewhere' }, spec: { ...spec, nodeName } });
    await until('elsewhere to run', async () => isReady(await get('elsewhere')));
    await suite().api.delete(`${podsPath()}/elsewhere`);
    await until('elsewhere to be removed', () =>
      get('elsewhere').then(
        () => false,
        () => true,
      ),
    );
  }

  needing('audit log').test('run 300 pods that come at once with one write each', async () => {
    const { api, controlPlane } = suite();
    const namespace = await suite().createNamespace();
    const startedMs = performance.now();
    await api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, workload('many', 300));
    const running = async () => {
      const { items } = await api.list<HollowPodObject>(`/api/v1/namespaces/${namespace}/pods`);
      return items.length === 300 && items.every(isReady);
    };
    await until('300 ready pods', running, { timeoutMs: 60_000, intervalMs: 200 });
    console.log(`300 pods Ready after ${Math.round(performance.now() - startedMs)} ms`);
    const writes = await until('the audit log to have them', async () => {
      const { byKind } = await countWrites(controlPlane.auditLogPath, { user: 'admin', namespace });
      return (byKind['patch pods/status'] ?? 0) >= 300 && byKind;
    });
    expect(writes['patch pods/status']).toBe(300);
  });
});

describe('hollow nodes that take their time', () => {
  const suite = useSuite({ count: 1, startDelayMs: 300, stopDelayMs: 300 });

  test('start and stop pods after the given delays', async () => {
    const { api, namespace } = suite();
    const path = `/api/v1/namespaces/${namespace}/pods`;
    const createdMs = performance.now();
    await api.create(path, { ...template('slow'), metadata: { name: 'slow' } });
    await until(
      'slow to be ready',
      async () => conditionStatus(await api.get<HollowPodObject>(`${path}/slow`), 'Ready') === 'True',
    );
    expect(performance.now() - createdMs).toBeGreaterThanOrEqual(300);
    const deletedMs = performance.now();
    await api.delete(`${path}/slow`);
    await until('slow to be gone', () =>
      api.get(`${path}/slow`).then(
        () => false,
        () => true,
      ),
    );
    expect(performance.now() - deletedMs).toBeGreaterThanOrEqual(300);
  });
});
