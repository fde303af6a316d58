/** Several replicas of the operator, as processes: one leads, and however it goes, another one does soon after. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lease } from '../../src/api/objects.ts';
import { freePorts, LOOPBACK } from '../control-plane/ports.ts';
import { superviseProcesses } from '../control-plane/processes.ts';
import type { ProcessHandle, Processes } from '../control-plane/processes.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { bundleOperator } from './operator-process.ts';
import type { OperatorBundle } from './operator-process.ts';
import { startRecorder } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { aSpec, isReady, nameOf, World } from './world.ts';

const LEASE_MS = 3_000;
/** For a machine that is busy with other tests; the benchmark, not a test, says how fast it is. */
const SLACK_MS = 6_000;

interface Replica {
  readonly process: ProcessHandle;
  isLeading(): Promise<boolean>;
}

const suite = useSuite();
let world: World;
let processes: Processes;
let bundle: OperatorBundle;
let replicas: Replica[];
let recorder: Recorder;

async function startReplica(name: string): Promise<Replica> {
  const [metrics, health] = await freePorts(2);
  const { namespace, controlPlane } = suite();
  const flags = {
    kubeconfig: controlPlane.kubeconfigPath,
    namespace,
    'leader-lease-namespace': namespace,
    'leader-lease-duration': `${LEASE_MS}ms`,
    'metrics-address': `${LOOPBACK}:${metrics}`,
    'health-address': `${LOOPBACK}:${health}`,
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const handle = processes.define(process.execPath, [bundle.path, ...args], name);
  await handle.start();
  await until(`${name} to be ready`, async () => (await fetch(`http://${LOOPBACK}:${health}/readyz`)).ok);
  const isLeading = async (): Promise<boolean> => {
    const page = await fetch(`http://${LOOPBACK}:${metrics}/metrics`, { signal: AbortSignal.timeout(1_000) });
    return /^singleton_operator_leader 1$/m.test(await page.text());
  };
  return { process: handle, isLeading };
}

async function theLeader(): Promise<Replica> {
  return until('one leader', async () => {
    const running = replicas.filter((replica) => replica.process.pid !== undefined);
    const leading = await Promise.all(running.map((replica) => replica.isLeading()));
    expect(leading.filter(Boolean)).toHaveLength(1);
    return running[leading.indexOf(true)];
  });
}

const leaderLease = (): Promise<Lease> => world.api.get<Lease>(`${world.paths.leases}/singleton-operator`);

const heldByAnother = (old: Lease): Promise<Lease> =>
  until('another leader', async () => {
    const lease = await leaderLease();
    const holder = lease.spec?.holderIdentity ?? '';
    return holder !== '' && holder !== old.spec?.holderIdentity && lease;
  });

const healed = () => world.settled('db', ({ pods }) => expect(pods.every(isReady)).toBe(true));

/** Deletes the active and waits for the next: somebody works. */
async function failsOver(): Promise<void> {
  const before = await healed();
  await world.api.delete(`${world.paths.pods}/${nameOf(before.active)}`);
  await world.settled('db', ({ term }) => expect(term).toBe(before.term + 1));
}

beforeAll(async () => {
  await installCrd(suite().api);
  world = new World(suite());
  recorder = await startRecorder(suite().api, suite().namespace);
  processes = await superviseProcesses();
  bundle = await bundleOperator();
  replicas = await Promise.all(['operator-a', 'operator-b'].map(startReplica));
  await world.create('db', aSpec());
  await healed();
});

afterAll(async () => {
  await processes?.shutDown();
  recorder?.stop();
  bundle?.remove();
  world?.close();
});

describe('two operator replicas', () => {
  test('exactly one leads, and both are ready', async () => {
    await theLeader();
    await failsOver();
  });

  test('a leader that is killed is replaced when its lease has run out, and failovers go on', async () => {
    const leader = await theLeader();
    const before = await leaderLease();
    const killedAtMs = performance.now();
    await leader.process.stop('SIGKILL');
    const { spec } = await heldByAnother(before);
    expect(performance.now() - killedAtMs).toBeLessThan(LEASE_MS + SLACK_MS);
    expect(spec?.leaseTransitions).toBe((before.spec?.leaseTransitions ?? 0) + 1);
    await failsOver();
    await leader.process.start();
  });

  test('a leader that is stopped releases the lease, so that another leads before it would have run out', async () => {
    const leader = await theLeader();
    await until(
      'both to be there',
      async () => (await Promise.all(replicas.map((replica) => replica.isLeading()))).length === 2,
    );
    const before = await leaderLease();
    await leader.process.stop('SIGTERM');
    const { spec } = await heldByAnother(before);
    const released = (await recorder.history())
      .flatMap(({ kind, object }) => (kind === 'lease' && nameOf(object) === nameOf(before) ? [object] : []))
      .findLast((lease) => lease.spec?.holderIdentity === '');
    expect(released?.spec?.leaseTransitions).toBe(before.spec?.leaseTransitions);
    expect(Date.parse(spec?.acquireTime ?? '') - Date.parse(released?.spec?.renewTime ?? '')).toBeLessThan(LEASE_MS);
    await failsOver();
    await leader.process.start();
  });

  test('a leader that was frozen finds out that it leads no more, and moves nothing', async () => {
    const leader = await theLeader();
    const before = await leaderLease();
    await leader.process.freeze();
    await heldByAnother(before);
    await failsOver();
    const { term } = await healed();
    await leader.process.thaw();
    await until('the old leader to stand by', async () => !(await leader.isLeading()));
    await theLeader();
    await failsOver();
    expect((await healed()).term).toBe(term + 1);
  });
});
