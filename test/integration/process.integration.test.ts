/** The operator as users run it: killed and started again, stopped, wrongly called, and asked how it is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Lease } from '../../src/api/objects.ts';
import { makeCertificate } from '../adapters/kubernetes/support/certificate.ts';
import { serviceAccountToken } from '../control-plane/control-plane.ts';
import { kubeconfig } from '../control-plane/credentials.ts';
import { startFaultProxy } from '../control-plane/fault-proxy.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { bundleOperator, isReady as isWorking, spawnOperator } from './operator-process.ts';
import type { OperatorBundle, OperatorProcess } from './operator-process.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { FAILS_OFTEN, World, aSpec, isReady, nameOf, showLog, slotOf } from './world.ts';
import type { Settled } from './world.ts';

const suite = useSuite();
const directory = mkdtempSync(join(tmpdir(), 'operator-process-'));
let world: World;
let bundle: OperatorBundle;
let recorder: Recorder;
const running = new Set<OperatorProcess>();
let starts = 0;

function spawn(args: readonly string[], env: Record<string, string> = {}): OperatorProcess {
  const child = spawnOperator(bundle, { args, env });
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}

/**
 * An operator of this suite's namespace. Each has an election of its own, so that it need not wait until the lease of
 * the one before it, which was killed and released nothing, has run out: the replicas' test is about that.
 */
const flags = (kubeconfigPath: string): string[] => [
  `--kubeconfig=${kubeconfigPath}`,
  `--namespace=${suite().namespace}`,
  `--leader-lease-namespace=${suite().namespace}`,
  `--leader-lease-name=operator-${++starts}`,
  '--log-level=debug',
];
const spawnWorker = (kubeconfigPath = suite().controlPlane.kubeconfigPath) => spawn(flags(kubeconfigPath));

beforeAll(async () => {
  await installCrd(suite().api);
  world = new World(suite());
  recorder = await startRecorder(suite().api, suite().namespace);
  bundle = await bundleOperator();
});
/** Each has an election of its own: one that a failed test left behind would work side by side with the next test's. */
async function endAll(): Promise<void> {
  const left = [...running];
  for (const child of left) child.kill('SIGKILL');
  await Promise.all(left.map(({ exited }) => exited));
}
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') for (const { log } of running) showLog(log);
  await endAll();
});
afterAll(async () => {
  await endAll();
  recorder?.stop();
  world?.close();
  bundle?.remove();
  rmSync(directory, { recursive: true, force: true });
});

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('an operator that is killed at any moment and started again', () => {
  const KILLS = 32;
  const NAMES = ['first', 'second'];
  /** From the crash to the kill, at most: about twice what a move takes. */
  const LATEST_KILL_MS = 60;
  const SPEC = aSpec({ failover: FAILS_OFTEN });
  const SEED = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 1e9));

  const healed = (name: string) =>
    world.settled(name, ({ pods, status }) => {
      expect(pods.every(isReady)).toBe(true);
      expect(status.ready).toBe('3/3');
    });
  const movedOnce = (before: Settled) =>
    world.settled(before.singleton.metadata.name, ({ term, active, status }) => {
      expect(term).toBe(before.term + 1);
      expect(nameOf(active)).not.toBe(nameOf(before.active));
      expect(status.lastMove).toMatchObject({ term, from: nameOf(before.active), to: nameOf(active) });
    });

  test(`finishes what was under way, ${KILLS} times (KILL_SEED=${SEED})`, { timeout: 300_000 }, async () => {
    const random = randomFrom(SEED);
    let operator = spawnWorker();
    await Promise.all(NAMES.map((name) => world.create(name, SPEC)));
    for (let kill = 0; kill < KILLS; kill++) {
      const before = await Promise.all(NAMES.map(healed));
      await until('the operator to lead', () => operator.log.some(({ msg }) => msg === 'working'));
      // Now and then something is being created, too.
      const isCreating = kill % 4 === 0;
      if (isCreating) await world.create(`new-${kill}`, aSpec({ replicas: 2 }));
      const strikes = before.map(({ active }) => suite().nodes.crash(active.metadata));
      await Promise.all(strikes);
      await sleep(random() * LATEST_KILL_MS);
      operator.kill('SIGKILL');
      await operator.exited;
      operator = spawnWorker();
      await Promise.all(before.map(movedOnce));
      if (isCreating) {
        const { term, pods } = await world.settled(`new-${kill}`);
        expect([term, pods.map(slotOf)]).toEqual([1, [0, 1]]);
        await world.api.delete(world.of(`new-${kill}`).singleton);
      }
      await Promise.all(before.map(({ active }) => suite().nodes.restart(active.metadata)));
    }
    operator.kill('SIGTERM');
    expect(await operator.exited).toMatchObject({ code: 0 });
  });

  test('leaves a record in which I1, I2 and I3 hold in every state', async () => {
    const history = await recorder.history();
    expect(brokenInvariants(history)).toEqual([]);
    expect(flipsToNobody(history)).toEqual([]);
  });
});

describe('an operator that is told to stop', () => {
  const STOP_MS = 5_000;

  async function stops(operator: OperatorProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const sentMs = performance.now();
    operator.kill(signal);
    expect(await operator.exited).toMatchObject({ code: 0, signal: null });
    expect(performance.now() - sentMs).toBeLessThan(STOP_MS);
    expect(operator.errors).toEqual([]);
  }

  test('ends with 0 and releases its Lease, on SIGTERM and on SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const operator = spawnWorker();
      const path = `${world.paths.leases}/operator-${starts}`;
      await until('it to lead', async () => {
        return ((await world.api.get<Lease>(path)).spec?.holderIdentity ?? '') !== '';
      });
      await stops(operator, signal);
      expect((await world.api.get<Lease>(path)).spec?.holderIdentity).toBe('');
    }
  });

  test('ends with 0 in the middle of work', async () => {
    const operator = spawnWorker();
    await isWorking(operator);
    await Promise.all(Array.from({ length: 5 }, (_, index) => world.create(`busy-${index}`)));
    await stops(operator);
    await Promise.all(Array.from({ length: 5 }, (_, index) => world.api.delete(world.of(`busy-${index}`).singleton)));
  });

  test('ends with 0 in time although the API server does not answer', async () => {
    const proxy = await startFaultProxy(suite().controlPlane.server);
    try {
      const token = suite().controlPlane.tokens['admin'] ?? '';
      const operator = spawnWorker(suite().kubeconfigWith(token, proxy.server));
      await isWorking(operator);
      const before = await world.settled('first');
      proxy.freeze('answers');
      // There are now writes in flight whose answers never come.
      await suite().nodes.crash(before.active.metadata);
      await stops(operator);
    } finally {
      await proxy.stop();
    }
  });

  test('ends with 0 while it still waits for an API server', async () => {
    const operator = spawn(['--kubeconfig', unreachable()]);
    await until('it to wait', () => operator.log.some(({ msg }) => msg.includes('trying again')));
    await stops(operator);
  });
});

const writeFile = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

/** Port 1 of loopback: nobody listens there. */
const unreachable = (): string => {
  const { ca } = suite().controlPlane;
  return writeFile('unreachable', kubeconfig({ server: 'https://127.0.0.1:1', ca, token: 'any' }));
};

describe('an operator that cannot work', () => {
  /** Ends soon, with one line for people that says what is wrong. */
  async function says(operator: OperatorProcess, code: number, pattern: RegExp): Promise<void> {
    const exit = await operator.exited;
    expect(operator.errors).toHaveLength(1);
    expect(operator.errors[0]).toMatch(pattern);
    expect(operator.errors[0]).toMatch(/^singleton-operator: /);
    expect(operator.errors[0]).not.toMatch(/ at .*:\d+:\d+|node:internal/);
    expect(exit.code).toBe(code);
  }

  test.each<[string, string[], Record<string, string>, RegExp]>([
    ['an unknown flag', ['--frobnicate'], {}, /--frobnicate/],
    ['a flag without its value', ['--namespace'], {}, /--namespace/],
    ['a word too many', ['start'], {}, /start/],
    [
      'a duration that is none',
      ['--leader-lease-duration', 'soon'],
      {},
      /--leader-lease-duration=soon: must be a duration/,
    ],
    ['a number out of range', ['--concurrency', '0'], {}, /--concurrency=0: /],
    ['a log format that there is not', ['--log-format', 'xml'], {}, /--log-format=xml: .*json/],
    ['an address that is none', ['--metrics-address', 'here'], {}, /--metrics-address=here: must be an address/],
    ['a bad environment variable', [], { SINGLETON_LOG_LEVEL: 'loud' }, /SINGLETON_LOG_LEVEL=loud: /],
  ])('ends with 2 and one line for %s', async (_what, args, env, pattern) => {
    await says(spawn(args, env), 2, pattern);
  });

  test('ends with one line for a kubeconfig that is missing, unparsable or empty', async () => {
    const path = writeFile('garbage', ': : :\n\t- {');
    await Promise.all([
      says(spawn(['--kubeconfig', '/does/not/exist']), 2, /\/does\/not\/exist/),
      says(spawn([], { KUBECONFIG: '/does/not/exist' }), 2, /\/does\/not\/exist/),
      says(spawn(['--kubeconfig', path]), 2, /garbage/),
      says(spawn(['--kubeconfig', writeFile('empty', '')]), 2, /empty/),
      says(spawn(['--kubeconfig', directory]), 2, /operator-process-/),
      says(spawn([], { HOME: directory }), 2, /kubeconfig/),
    ]);
  });

  test('ends with one line for a CA that does not fit, and for a token that nobody knows', async () => {
    const { server, ca, tokens } = suite().controlPlane;
    const strange = writeFile(
      'strange-ca',
      kubeconfig({ server, ca: makeCertificate().cert, token: tokens['admin'] ?? '' }),
    );
    const unknown = writeFile('unknown-token', kubeconfig({ server, ca, token: 'nobody' }));
    await Promise.all([
      says(spawn(['--kubeconfig', strange]), 1, /certificate/),
      says(spawn(['--kubeconfig', unknown]), 1, /does not accept our credentials.*401/),
    ]);
  });

  test('ends with one line that names the right which is missing', async () => {
    const token = await serviceAccountToken(suite().api, suite().namespace, 'powerless');
    await says(spawn(flags(suite().kubeconfigWith(token))), 1, /no right to list singletonservices.*forbidden/);
  });

  test('ends with one line for an address that somebody else listens on', async () => {
    const other = spawnWorker();
    await isWorking(other);
    const port = other.log.find(({ msg }) => msg === 'starting')?.['health'] as number;
    const args = ['--health-address', `127.0.0.1:${port}`];
    await says(spawn([...flags(suite().controlPlane.kubeconfigPath), ...args]), 1, /cannot listen on .*EADDRINUSE/);
    other.kill('SIGTERM');
    await other.exited;
  });

  test('waits for an API server that cannot be reached, says so, is alive and not ready, and works when it can', async () => {
    const proxy = await startFaultProxy(suite().controlPlane.server);
    await proxy.refuse();
    const token = suite().controlPlane.tokens['admin'] ?? '';
    const operator = spawnWorker(suite().kubeconfigWith(token, proxy.server));
    await until('two attempts', () => operator.log.filter(({ msg }) => msg.includes('trying again')).length >= 2);
    expect(operator.log.find(({ msg }) => msg.includes('trying again'))).toMatchObject({ level: 'warn' });
    expect((await operator.health('/livez')).status).toBe(200);
    expect((await operator.health('/readyz')).status).toBe(503);
    await proxy.accept();
    await isWorking(operator);
    expect(operator.errors).toEqual([]);
    operator.kill('SIGTERM');
    await operator.exited;
    await proxy.stop();
  });
});

describe('an operator at work', () => {
  test('says how it is, and exposes every metric by its name', async () => {
    const operator = spawnWorker();
    await isWorking(operator);
    expect((await operator.health('/livez')).status).toBe(200);
    expect((await operator.health('/else')).status).toBe(404);
    await world.create('measured');
    const before = await world.settled('measured');
    await suite().nodes.crash(before.active.metadata);
    await world.settled('measured', ({ term }) => expect(term).toBe(2));
    const of = `namespace="${suite().namespace}",name="measured"`;
    const samples = [
      `singleton_active{${of}} 1`,
      `singleton_term{${of}} 2`,
      `singleton_members{${of},state="ready"} 2`,
      `singleton_moves_total{${of},kind="Initial",reason="FirstGrant"} 1`,
      `singleton_moves_total{${of},kind="Failover",reason="ActiveCrashed"} 1`,
      'singleton_operator_leader 1',
      'singleton_queue_depth 0',
    ];
    // The answer to the last write may still be on its way to the operator.
    const page = await until('every sample', async () => {
      const page = await operator.metrics();
      expect(samples.filter((sample) => !page.includes(`${sample}\n`))).toEqual([]);
      return page;
    });
    for (const phase of ['detect', 'grant', 'label', 'route']) {
      expect(page).toMatch(
        new RegExp(`singleton_move_duration_seconds_count\\{kind="Failover",phase="${phase}"\\} [1-9]`),
      );
    }
    for (const [name, type] of [
      ['singleton_reconcile_duration_seconds', 'histogram'],
      ['singleton_reconcile_errors_total', 'counter'],
      ['singleton_api_requests_total', 'counter'],
      ['singleton_watch_restarts_total', 'counter'],
      ['singleton_invariant_violations_total', 'counter'],
      ['process_resident_memory_bytes', 'gauge'],
      ['nodejs_eventloop_lag_seconds', 'gauge'],
    ]) {
      expect(page).toContain(`# TYPE ${name} ${type}\n`);
    }
    expect(page).toMatch(/singleton_api_requests_total\{verb="patch",resource="leases",code="200"\} \d+/);
    expect(page).not.toMatch(/singleton_invariant_violations_total\{[^}]*\} [1-9]/);
    operator.kill('SIGTERM');
    expect(await operator.exited).toMatchObject({ code: 0 });
  });
});
