import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import { countWrites, readAudit } from './audit.ts';
import { serviceAccountToken, startControlPlane } from './control-plane.ts';
import type { ControlPlane } from './control-plane.ts';
import { startHollowNodes } from './hollow-nodes.ts';
import type { NodeObject } from './hollow-node.ts';
import { conditionStatus } from './hollow-pod.ts';
import type { HollowPodObject } from './hollow-pod.ts';
import { needing } from './needs.ts';
import { restClientFromKubeconfig } from './rest-client.ts';
import { until } from './wait.ts';

const { test } = needing('own processes');
const run = promisify(execFile);
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

/** Of its own, as these tests break it. */
let controlPlane: ControlPlane;
beforeAll(async () => {
  controlPlane = await startControlPlane({
    users: [{ name: 'alice', groups: ['readers'] }],
    extraArgs: { controllerManager: ['--node-monitor-grace-period=4s', '--node-monitor-period=500ms'] },
  });
  console.log(`started in ${Math.round(controlPlane.startupMs)} ms`);
}, 120_000);
afterAll(() => controlPlane.stop(), 60_000);

test('answers kubectl', async () => {
  const { binaries, kubeconfigPath } = controlPlane;
  const { stdout } = await run(binaries.path.kubectl, [
    '--kubeconfig',
    kubeconfigPath,
    'get',
    'namespaces',
    '-o',
    'name',
  ]);
  expect(stdout.split('\n')).toContain('namespace/default');
});

test('says where its programs come from', () => {
  expect(controlPlane.binaries.source).toMatch(/^Kubernetes v1\.\d+/);
});

test('gives users the rights that RBAC gives their groups, and no others', async () => {
  const alice = restClientFromKubeconfig(controlPlane.kubeconfigFor('alice'));
  await expect(alice.list(CONFIG_MAPS)).rejects.toMatchObject({ status: 403 });
  const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default';
  await controlPlane.api.create(`${rbac}/roles`, {
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }],
  });
  await controlPlane.api.create(`${rbac}/rolebindings`, {
    metadata: { name: 'reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'readers' }],
  });
  await until('the right to arrive', () => alice.list(CONFIG_MAPS));
  await expect(alice.create(CONFIG_MAPS, { metadata: { name: 'x' } })).rejects.toMatchObject({ status: 403 });
  alice.close();
});

test('knows ServiceAccounts by their tokens', async () => {
  const token = await serviceAccountToken(controlPlane.api, 'default', 'robot');
  const robot = restClientFromKubeconfig(controlPlane.kubeconfigWith(token));
  await expect(robot.list(CONFIG_MAPS)).rejects.toThrow('system:serviceaccount:default:robot');
  robot.close();
});

test('counts writes by user, verb and resource, without dry runs and reads', async () => {
  const { api, auditLogPath } = controlPlane;
  const fromWallMs = Date.now();
  await api.create(`${CONFIG_MAPS}?dryRun=All`, { metadata: { name: 'counted' } });
  await api.create(CONFIG_MAPS, { metadata: { name: 'counted' } });
  await expect(api.create(CONFIG_MAPS, { metadata: { name: 'counted' } })).rejects.toMatchObject({ status: 409 });
  await api.patch(`${CONFIG_MAPS}/counted`, { data: { a: 'b' } });
  await api.get(`${CONFIG_MAPS}/counted`);
  await api.delete(`${CONFIG_MAPS}/counted`);

  const filter = { user: 'admin', namespace: 'default', fromWallMs };
  await until('the last line', async () => (await countWrites(auditLogPath, filter)).byKind['delete configmaps'] === 1);
  expect(await countWrites(auditLogPath, filter)).toEqual({
    total: 4,
    byKind: { 'create configmaps': 2, 'patch configmaps': 1, 'delete configmaps': 1 },
  });
  expect((await countWrites(auditLogPath, { ...filter, acceptedOnly: true })).total).toBe(3);
  expect((await countWrites(auditLogPath, { ...filter, toWallMs: fromWallMs })).total).toBe(0);
  expect((await countWrites(auditLogPath, { ...filter, user: 'nobody' })).total).toBe(0);
  const requests = await readAudit(auditLogPath, filter);
  expect(requests.map(({ verb }) => verb)).toEqual(['create', 'create', 'create', 'patch', 'get', 'delete']);
  expect(requests.map(({ dryRun }) => dryRun)).toEqual([true, false, false, false, false, false]);
  for (const { receivedWallMs, answeredWallMs } of requests) expect(answeredWallMs).toBeGreaterThan(receivedWallMs);
});

test('does not answer while its API server is frozen, and answers after the thaw', async () => {
  const { apiServer, api } = controlPlane;
  await apiServer.freeze();
  await until('the API server to be stopped', () => / T /.test(readFileSync(`/proc/${apiServer.pid}/stat`, 'utf8')));
  let answered = false;
  const answer = api.get('/readyz').finally(() => (answered = true));
  // kubectl gives up after a second, and by then the other request is still without an answer.
  const args = ['--kubeconfig', controlPlane.kubeconfigPath, '--request-timeout=1s', 'get', '--raw', '/readyz'];
  await expect(run(controlPlane.binaries.path.kubectl, args)).rejects.toThrow();
  expect(answered).toBe(false);
  await apiServer.thaw();
  expect(await answer).toBe('ok');
});

const PODS = '/api/v1/namespaces/default/pods';
const createPod = (name: string) =>
  controlPlane.api.create(PODS, { metadata: { name }, spec: { containers: [{ name: 'main', image: 'none' }] } });
const podBecomes = (name: string, ready: string) =>
  until(
    `${name} to be Ready=${ready}`,
    async () => conditionStatus(await controlPlane.api.get<HollowPodObject>(`${PODS}/${name}`), 'Ready') === ready,
    { timeoutMs: 60_000 },
  );

test('gives up on a lost node, and takes it back with its pods', async () => {
  const { api, kubeconfigPath } = controlPlane;
  const nodes = await startHollowNodes(kubeconfigPath, { names: ['lost', 'found'], leaseRenewMs: 1000 });
  const taintsOfLost = async () => (await api.get<NodeObject>('/api/v1/nodes/lost')).spec?.taints ?? [];
  await api.create(PODS, {
    metadata: { name: 'cut-off' },
    spec: { nodeName: 'lost', containers: [{ name: 'main', image: 'none' }] },
  });
  await podBecomes('cut-off', 'True');
  nodes.loseNode('lost');
  await until('the taint', async () => (await taintsOfLost()).some(({ key }) => key.endsWith('/unreachable')));
  await podBecomes('cut-off', 'False');
  expect((await api.get<NodeObject>('/api/v1/nodes/found')).spec?.taints).toBeUndefined();
  await nodes.recoverNode('lost');
  await podBecomes('cut-off', 'True');
  await until('the taints to go', async () => (await taintsOfLost()).length === 0);
  await nodes.remove();
});

test('is the same control plane after its API server was stopped and started, and hollow nodes go on', async () => {
  const { api, apiServer } = controlPlane;
  const nodes = await startHollowNodes(controlPlane.kubeconfigPath, { names: ['survivor'], leaseRenewMs: 1000 });
  await createPod('before');
  await podBecomes('before', 'True');
  await apiServer.stop();
  expect(apiServer.pid).toBeUndefined();
  await expect(api.get('/readyz')).rejects.toThrow();
  const hang = nodes.hang({ name: 'before' });
  await apiServer.start();
  await controlPlane.ready();
  const timing = await hang;
  expect(timing.answered.monotonicMs).toBeGreaterThan(timing.sent.monotonicMs);
  await podBecomes('before', 'False');
  await createPod('after');
  await podBecomes('after', 'True');
  await nodes.remove();
  expect((await api.list('/api/v1/nodes')).items).toEqual([]);
});

test('is ready again after etcd was stopped and started', async () => {
  await controlPlane.etcd.stop();
  await controlPlane.etcd.start();
  await controlPlane.ready();
  await until('a write to land', () => controlPlane.api.create(CONFIG_MAPS, { metadata: { name: 'after-etcd' } }));
});

test('names the program that failed and what it said, and leaves nothing running', async () => {
  const failing = startControlPlane({ extraArgs: { apiServer: ['--no-such-flag'] } });
  await expect(failing).rejects.toThrow(/kube-apiserver ended[^]*no-such-flag/);
});
