/** Faults of the API server itself, on a control plane of its own. */
import { afterAll, beforeAll, expect } from 'vitest';
import { createSystemClock } from '../../../src/adapters/clock.ts';
import { loadKubeconfig } from '../../../src/adapters/kubernetes/kubeconfig.ts';
import { createKubernetesApi, type ClosableKubernetesApi } from '../../../src/adapters/kubernetes/kubernetes-api.ts';
import { Reflector, type RestartReason } from '../../../src/adapters/kubernetes/reflector.ts';
import { LEASE, SERVICE } from '../../../src/adapters/kubernetes/resources.ts';
import { Store } from '../../../src/adapters/kubernetes/store.ts';
import { isExpired, TransportError } from '../../../src/adapters/ports.ts';
import type { KubeObject, Lease } from '../../../src/api/objects.ts';
import { startControlPlane, type ControlPlane } from '../../control-plane/control-plane.ts';
import { needing } from '../../control-plane/needs.ts';
import { until } from '../../control-plane/wait.ts';
import { recordingLogger } from './support/recording-logger.ts';

const { test: it } = needing('own processes');

let controlPlane: ControlPlane;
let api: ClosableKubernetesApi;
const stops: (() => void)[] = [];
const changes: string[] = [];
const restarts: RestartReason[] = [];
const connections: string[] = [];
const logger = recordingLogger();
const leases = new Store<Lease>({ name: 'leases', logger });
const services = new Store<KubeObject>({ name: 'services', logger });

beforeAll(async () => {
  controlPlane = await startControlPlane({ extraArgs: { apiServer: ['--goaway-chance=0.02'] } });
  const access = loadKubeconfig({ path: controlPlane.kubeconfigPath, env: {} });
  const heartbeat = { pingAfterMs: 200, pongWithinMs: 1_000 };
  const reflectors: { retryNow(): void }[] = [];
  api = createKubernetesApi({
    ...access,
    callHeartbeat: heartbeat,
    watchHeartbeat: heartbeat,
    connectTimeoutMs: 1_000,
    onConnected: (channel) => {
      connections.push(channel);
      reflectors.forEach((reflector) => reflector.retryNow());
    },
  });
  for (const [type, store] of [
    [LEASE, leases],
    [SERVICE, services],
  ] as const) {
    const reflector = new Reflector<KubeObject>({
      api,
      type,
      store,
      clock: createSystemClock(),
      random: Math.random,
      logger,
      onRestart: (reason) => restarts.push(reason),
    });
    store.onChange((old, current) => changes.push(`${type.plural} ${(current ?? old)?.metadata.name}`));
    reflectors.push(reflector);
    reflector.start();
    stops.push(() => reflector.stop());
    await until(`${type.plural} to be listed`, () => reflector.hasSynced);
  }
});

afterAll(async () => {
  for (const stop of stops) stop();
  api.close();
  await controlPlane.stop();
});

const create = (name: string): Promise<Lease> =>
  api.create<Lease>(LEASE, 'default', { metadata: { name }, spec: { leaseTransitions: 1 } });
const seen = async (name: string): Promise<void> => {
  await until(`${name} to be seen`, () => leases.get('default', name) !== undefined);
};

it('a GOAWAY now and then, as many servers are set up to send, loses no request', async () => {
  const workers = Array.from({ length: 16 }, (_, index) => `goaway-${index}`);
  await Promise.all(
    workers.map(async (name) => {
      await create(name);
      for (let term = 1; term <= 40; term += 1) {
        const ref = { namespace: 'default', name };
        const patch = { spec: { leaseTransitions: term } };
        expect(await api.mergePatch<Lease>(LEASE, ref, patch)).toMatchObject(patch);
      }
    }),
  );
  await until('the last writes to be seen', () =>
    workers.every((name) => leases.get('default', name)?.spec?.leaseTransitions === 40),
  );
  expect(connections.filter((channel) => channel === 'calls').length).toBeGreaterThan(1);
});

it('a restart of the API server is survived without a phantom deletion', async () => {
  await create('before');
  await seen('before');
  const servicesBefore = changes.filter((change) => change.startsWith('services'));
  await controlPlane.apiServer.stop();
  const error: unknown = await create('meanwhile').catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TransportError);
  await controlPlane.apiServer.start();
  await controlPlane.ready();
  await create('after');
  await seen('after');
  expect(leases.get('default', 'before')).toBeDefined();
  // Quiet all the while: resumed or listed anew, nobody was told anything.
  expect(changes.filter((change) => change.startsWith('services'))).toEqual(servicesBefore);
});

it('a watch from a version that the server, since its restart, no longer knows is Expired', async () => {
  const watch = api.watch(LEASE, { resourceVersion: '1', timeoutSeconds: 5 }, () => undefined);
  expect(isExpired(await watch.catch((reason: unknown) => reason))).toBe(true);
});

it('a frozen API server is noticed within the time of a ping, and found again after the thaw', async () => {
  // Over a connection that stands: one that a slow machine has lost meanwhile would be told of as one that can't be made.
  await create('warm');
  await controlPlane.apiServer.freeze();
  const startMs = performance.now();
  const error: unknown = await create('frozen').catch((reason: unknown) => reason);
  expect(error).toMatchObject({ failure: 'cut' });
  expect(performance.now() - startMs).toBeLessThan(5_000);
  await controlPlane.apiServer.thaw();
  await controlPlane.ready();
  await until('the server to be found again', async () => {
    await api.get(LEASE, { namespace: 'default', name: 'before' });
    return true;
  });
  await create('thawed');
  await seen('thawed');
});
