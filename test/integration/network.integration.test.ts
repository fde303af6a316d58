/**
 * A bad network, and a control plane that stops, restarts and freezes: nothing moves that need not, and afterwards
 * failovers work. On a control plane of its own.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { readAudit } from '../control-plane/audit.ts';
import { startControlPlane } from '../control-plane/control-plane.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { startFaultProxy } from '../control-plane/fault-proxy.ts';
import type { FaultProxy } from '../control-plane/fault-proxy.ts';
import { needing } from '../control-plane/needs.ts';
import { enterSuite, share } from '../control-plane/suite.ts';
import type { Suite } from '../control-plane/suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { startOperator } from './operator.ts';
import type { TestOperator } from './operator.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { FAILS_OFTEN, World, aSpec, isReady, nameOf, showLog } from './world.ts';
import type { Settled } from './world.ts';

const { describe, test } = needing('own processes');
const NAMES = ['one', 'two', 'three', 'four', 'five'];
/** The network alone is to slow failovers down. */
const SPEC = aSpec({ replicas: 2, failover: FAILS_OFTEN });

let controlPlane: ControlPlane;
let suite: Suite;
let world: World;
let proxy: FaultProxy;
let operator: TestOperator;
let recorder: Recorder;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  suite = await enterSuite(share(controlPlane));
  await installCrd(suite.api);
  world = new World(suite);
  recorder = await startRecorder(suite.api, suite.namespace);
  proxy = await startFaultProxy(controlPlane.server);
  const kubeconfigPath = suite.kubeconfigWith(controlPlane.tokens['admin'] ?? '', proxy.server);
  operator = await startOperator({ kubeconfigPath, namespace: suite.namespace, leaderLease: 'operator' });
  await Promise.all(NAMES.map((name) => world.create(name, SPEC)));
  await settledAll();
});
afterEach(({ task }) => {
  if (task.result?.state === 'fail') showLog(operator.log);
});
afterAll(async () => {
  await operator?.stop();
  recorder?.stop();
  await proxy?.stop();
  world?.close();
  await suite?.leave();
  await controlPlane?.stop();
});

const settledAll = (): Promise<Settled[]> =>
  Promise.all(
    NAMES.map((name) =>
      world.settled(name, ({ pods, status }) => {
        expect(pods.every(isReady)).toBe(true);
        expect(status.ready).toBe('2/2');
      }),
    ),
  );

const whoIsActive = (states: readonly Settled[]) => states.map(({ active, term }) => [nameOf(active), term]);

/** The other member takes over, one term later; then the old one recovers. */
async function failOver(before: readonly Settled[]): Promise<void> {
  await Promise.all(before.map(({ active }) => suite.nodes.crash(active.metadata)));
  await moved(before);
}

async function moved(before: readonly Settled[]): Promise<void> {
  for (const { singleton, term, active } of before) {
    await world.settled(nameOf(singleton), (after) => {
      expect(after.term).toBe(term + 1);
      expect(nameOf(after.active)).not.toBe(nameOf(active));
    });
  }
  await Promise.all(before.map(({ active }) => suite.nodes.restart(active.metadata)));
}

/** What a fault must not do, and what must work after it. */
async function survives(fault: () => Promise<void>): Promise<void> {
  const before = await settledAll();
  await fault();
  const after = await settledAll();
  expect(whoIsActive(after)).toEqual(whoIsActive(before));
  await failOver(after);
}

/** Requests of the operator that reached the server. */
const requestsSince = async (fromWallMs: number): Promise<number> =>
  (await readAudit(controlPlane.auditLogPath, { fromWallMs })).filter(
    ({ userAgent }) => userAgent === operator.userAgent,
  ).length;

const restarts = async (reason: string): Promise<number> => {
  const { values } = await operator.metrics.watchRestarts.get();
  return values.filter(({ labels }) => labels.reason === reason).reduce((sum, { value }) => sum + value, 0);
};

describe('a connection to the API server', () => {
  test('that is cut again and again moves nothing', async () => {
    await survives(async () => {
      for (let cut = 0; cut < 5; cut++) {
        const opened = proxy.connectionsOpened;
        proxy.cut();
        await until('a new connection', () => proxy.connectionsOpened > opened);
      }
    });
  });

  test('that is cut at the moment of a failover costs no second one', async () => {
    for (let round = 0; round < 3; round++) {
      const before = await settledAll();
      await Promise.all(before.map(({ active }) => suite.nodes.crash(active.metadata)));
      proxy.cut();
      await moved(before);
    }
  });

  test('that freezes is noticed and replaced, and what happened meanwhile is dealt with', async () => {
    const before = await settledAll();
    const opened = proxy.connectionsOpened;
    proxy.freeze();
    await Promise.all(before.map(({ active }) => suite.nodes.crash(active.metadata)));
    await until('the operator to try a new connection', () => proxy.connectionsOpened > opened, { timeoutMs: 60_000 });
    proxy.thaw();
    await moved(before);
  });

  test('whose answers are lost in the middle of a move lets the move end as it was begun', async () => {
    for (let round = 0; round < 2; round++) {
      const before = await settledAll();
      await Promise.all(before.map(({ active }) => suite.nodes.crash(active.metadata)));
      await until(
        'the first grant',
        async () => {
          const leases = await Promise.all(NAMES.map((name) => world.read(name)));
          return leases.some(({ lease }, index) => (lease.spec?.leaseTransitions ?? 0) > (before[index]?.term ?? 0));
        },
        { intervalMs: 1 },
      );
      proxy.freeze('answers');
      // Long enough for writes to land whose answers nobody hears, too short for the connection to be given up.
      await sleep(200);
      proxy.cut();
      proxy.thaw();
      await moved(before);
    }
  });

  test('leaves a record in which I1, I2 and I3 hold in every state', async () => {
    const history = await recorder.history();
    expect(brokenInvariants(history)).toEqual([]);
    expect(flipsToNobody(history)).toEqual([]);
    recorder.stop();
  });
});

describe('the API server', () => {
  test('that is killed and stays away for a while is not stormed, nothing moves, and failovers work soon after', async () => {
    const AWAY_MS = 8_000;
    /** For a machine that is busy with other tests: a second or two is usual. */
    const FOUND_WITHIN_MS = 10_000;
    const before = await settledAll();
    await controlPlane.apiServer.stop();
    const opened = proxy.connectionsOpened;
    await sleep(AWAY_MS);
    // Calls and watches share two connections, each with a growing pause between attempts.
    expect(proxy.connectionsOpened - opened).toBeLessThan(60);
    await controlPlane.apiServer.start();
    await controlPlane.ready();
    const backWallMs = Date.now();
    const after = await settledAll();
    expect(whoIsActive(after)).toEqual(whoIsActive(before));
    await failOver(after);
    // No watch waits until its pause, which has grown to many seconds by now, is over.
    const granted = operator.log.filter(({ msg, time }) => msg === 'granted' && Date.parse(time) > backWallMs);
    expect(granted).toHaveLength(NAMES.length);
    expect(Date.parse(granted.at(-1)?.time ?? '') - backWallMs).toBeLessThan(FOUND_WITHIN_MS);
  });

  test('that is frozen for 20 s and thawed moves nothing', { timeout: 120_000 }, async () => {
    await survives(async () => {
      await controlPlane.apiServer.freeze();
      await sleep(20_000);
      await controlPlane.apiServer.thaw();
      await controlPlane.ready();
    });
  });

  test('that no longer knows the versions of our watches is listed anew: 410 after a compaction', async () => {
    const before = await settledAll();
    const expired = await restarts('expired');
    await proxy.refuse();
    proxy.cut();
    // The watch cache forgets with the restart, etcd with the compaction.
    await Promise.all(before.map(({ active }) => world.api.delete(`${world.paths.pods}/${nameOf(active)}`)));
    const { metadata } = await world.api.list(world.paths.pods);
    await compact(metadata.resourceVersion);
    await controlPlane.apiServer.stop();
    await controlPlane.apiServer.start();
    await controlPlane.ready();
    await proxy.accept();
    for (const { singleton, term } of before) {
      await world.settled(nameOf(singleton), (after) => expect(after.term).toBe(term + 1));
    }
    expect(await restarts('expired')).toBeGreaterThan(expired);
  });
});

/** By the gRPC gateway of etcd, whose port only its command line tells. */
async function compact(revision: string): Promise<void> {
  const commandLine = readFileSync(`/proc/${controlPlane.etcd.pid}/cmdline`, 'utf8').split('\0');
  const url = commandLine.find((arg) => arg.startsWith('--advertise-client-urls='))?.split('=')[1];
  const body = JSON.stringify({ revision, physical: true });
  const answer = await fetch(`${url}/v3/kv/compaction`, { method: 'POST', body });
  if (!answer.ok) throw new Error(`etcd answered ${answer.status}: ${await answer.text()}`);
}

describe('etcd', () => {
  const AWAY_MS = 6_000;
  const MOST_REQUESTS = 400;

  const STOPPED =
    'that stops in the middle of failovers is not stormed, they end when it is back, and nothing else moves';

  test(STOPPED, { timeout: 120_000 }, async () => {
    const before = await settledAll();
    const [struck, spared] = [before.slice(0, 3), before.slice(3)];
    await Promise.all(struck.map(({ active }) => suite.nodes.crash(active.metadata)));
    const fromWallMs = Date.now();
    await controlPlane.etcd.stop();
    await sleep(AWAY_MS);
    await controlPlane.etcd.start();
    await controlPlane.ready();
    expect(await requestsSince(fromWallMs)).toBeLessThan(MOST_REQUESTS);
    await moved(struck);
    const after = (await settledAll()).slice(3);
    expect(whoIsActive(after)).toEqual(whoIsActive(spared));
    await failOver(after);
  });
});

test('nothing of all this is an error of ours', () => {
  expect(operator.log.filter(({ level }) => level === 'error')).toEqual([]);
});
