/** `onApiLoss: Hold` on a real API server: agents as processes that ask each other while it is away; the tests grant in the operator's place. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ANNOTATION, leaseName } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { promiseMs } from '../../src/api/timing.ts';
import { peersText } from '../../src/core/hold-set.ts';
import { parseKubeconfig } from '../control-plane/credentials.ts';
import { startFaultProxy } from '../control-plane/fault-proxy.ts';
import type { FaultProxy } from '../control-plane/fault-proxy.ts';
import { freePorts } from '../control-plane/ports.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { AGENT_TIMES, admitAgents, endAgent, spawnAgent } from './agent-process.ts';
import type { AgentProcess } from './agent-process.ts';
import { bundleOperator } from './operator-process.ts';
import type { OperatorBundle } from './operator-process.ts';

/** Long: an active that gets no promise for half of it less a renewal stops, as it must, on a machine on which nothing runs for so long. */
const LEASE_MS = 8_000;
const TIMES = { ...AGENT_TIMES, leaseDurationMs: LEASE_MS };
const PROMISE_MS = promiseMs(TIMES);
/** Between two looks: whoever looks must not take the cores from what is looked at. */
const LOOK_MS = 10;
const PODS = ['one', 'two', 'three'] as const;
type Pod = (typeof PODS)[number];
/** One address each, for all listen on the same port. */
const ADDRESS: Readonly<Record<Pod, string>> = { one: '127.0.0.2', two: '127.0.0.3', three: '127.0.0.4' };

const suite = useSuite();
const keys = mkdtempSync(join(tmpdir(), 'keys-'));
let bundle: OperatorBundle;
/** Between the API server and the first pod, and the others. */
let proxies: readonly FaultProxy[] = [];
let token: string;
let ca: string;
let port = 0;
let agents: Partial<Record<Pod, AgentProcess>> = {};
let name = '';
let count = 0;

const uidOf = (pod: Pod): string => `uid-of-${pod}`;
const leases = (): string => `/apis/coordination.k8s.io/v1/namespaces/${suite().namespace}/leases`;
const lease = (): Promise<Lease> => suite().api.get<Lease>(`${leases()}/${leaseName(name)}`);
const change = (patch: object): Promise<Lease> => suite().api.patch<Lease>(`${leases()}/${leaseName(name)}`, patch);
const annotations = async (): Promise<Record<string, string>> => (await lease()).metadata.annotations ?? {};
const grant = (pod: Pod, term: number): Promise<Lease> =>
  change({ spec: { holderIdentity: agentOf(pod).holder, leaseTransitions: term } });

function agentOf(pod: Pod): AgentProcess {
  const agent = agents[pod];
  if (agent === undefined) throw new Error(`${pod} does not run`);
  return agent;
}

interface StartOptions {
  readonly key?: string;
  /** With the state file of a process before. */
  readonly dir?: string;
}

function start(pod: Pod, { key = 'the key of this singleton', dir }: StartOptions = {}): AgentProcess {
  const proxy = proxies[pod === 'one' ? 0 : 1];
  const keyFile = join(keys, `${name}-${pod}`);
  writeFileSync(keyFile, key);
  const agent = spawnAgent({
    bundle,
    server: proxy?.server ?? '',
    ca,
    token,
    namespace: suite().namespace,
    singleton: name,
    pod,
    ...(dir !== undefined && { dir }),
    times: TIMES,
    env: {
      SINGLETON_ON_API_LOSS: 'Hold',
      SINGLETON_POD_IP: ADDRESS[pod],
      SINGLETON_PEER_PORT: String(port),
      SINGLETON_KEY_FILE: keyFile,
    },
  });
  agents = { ...agents, [pod]: agent };
  return agent;
}

/** Who says to be active now. */
async function actives(): Promise<Pod[]> {
  const states = await Promise.all(
    PODS.map(async (pod) => ({ pod, active: (await agents[pod]?.state().catch(() => undefined))?.active === true })),
  );
  return states.flatMap(({ pod, active }) => (active ? [pod] : []));
}

/** Looks all the time, for so long. @returns the different answers, in order */
async function watched(forMs: number): Promise<string[]> {
  const seen: string[] = [];
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    const now = (await actives()).join(' ');
    if (seen.at(-1) !== now) seen.push(now);
    await sleep(LOOK_MS);
  }
  return seen;
}

/** The first is active, and its set is confirmed. */
async function heldByOne(): Promise<void> {
  await grant('one', 1);
  await agentOf('one').untilActive(true);
  const set = PODS.map(uidOf).toSorted().join(' ');
  await until('the hold set', async () => (await annotations())[ANNOTATION.holdSet] === set || undefined);
}

beforeAll(async () => {
  const { api, controlPlane, namespace } = suite();
  bundle = await bundleOperator();
  proxies = await Promise.all([startFaultProxy(controlPlane.server), startFaultProxy(controlPlane.server)]);
  ({ ca } = parseKubeconfig(readFileSync(controlPlane.kubeconfigPath, 'utf8')));
  token = await admitAgents(api, namespace);
});

afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  bundle?.remove();
  rmSync(keys, { recursive: true, force: true });
});

beforeEach(async () => {
  count += 1;
  name = `held-${count}`;
  [port = 0] = await freePorts(1);
  const members = peersText(PODS.map((pod) => ({ pod, uid: uidOf(pod), ip: ADDRESS[pod] })));
  await suite().api.create(leases(), {
    metadata: { name: leaseName(name), annotations: { [ANNOTATION.members]: members } },
    spec: { holderIdentity: '', leaseTransitions: 0, leaseDurationSeconds: LEASE_MS / 1_000 },
  });
});

afterEach(async () => {
  for (const proxy of proxies) proxy.thaw();
  await Promise.all(Object.values(agents).map(endAgent));
  agents = {};
});

describe('while the API server is away', () => {
  test('the active goes on for longer than its Lease lasts, and nothing moves afterwards', async () => {
    PODS.forEach((pod) => start(pod));
    await heldByOne();
    const before = await lease();
    for (const proxy of proxies) proxy.freeze();
    expect(await watched(2 * LEASE_MS)).toEqual(['one']);
    expect((await lease()).metadata.resourceVersion).toBe(before.metadata.resourceVersion);
    for (const proxy of proxies) proxy.thaw();
    await until('a renewal', async () => (await lease()).spec?.renewTime !== before.spec?.renewTime || undefined);
    expect(await watched(LEASE_MS)).toEqual(['one']);
    expect((await lease()).spec).toMatchObject({ leaseTransitions: 1, holderIdentity: agentOf('one').holder });
  });

  test('the active stops in time when the agent of a standby is killed', async () => {
    PODS.forEach((pod) => start(pod));
    await heldByOne();
    for (const proxy of proxies) proxy.freeze();
    expect(await watched(LEASE_MS)).toEqual(['one']);
    agentOf('two').kill('SIGKILL');
    const killedAtMs = performance.now();
    await agentOf('one').untilActive(false);
    expect(performance.now() - killedAtMs).toBeLessThan(LEASE_MS / 2 + 500);
  });

  test('a standby with another key gives no promise, and the active stops', async () => {
    start('one');
    start('two');
    const three = start('three', { key: 'the key of somebody else' });
    await heldByOne();
    for (const proxy of proxies) proxy.freeze();
    await agentOf('one').untilActive(false);
    expect(three.log.map(({ msg }) => msg)).toContain('a question that is not proven was refused');
  });

  test('a standby promises nothing to who has no key', async () => {
    start('one');
    await agentOf('one').untilActive(false);
    const question = {
      namespace: suite().namespace,
      singleton: name,
      holder: 'x_y',
      term: 9,
      forMs: 1,
      to: uidOf('one'),
    };
    const body = JSON.stringify({ said: { ...question, nonce: 'n' }, proof: '0'.repeat(64) });
    const answer = await fetch(`http://${ADDRESS.one}:${port}/v1/promise`, { method: 'POST', body });
    expect(answer.status).toBe(401);
    expect(readFileSync(join(agentOf('one').dir, 'state.json'), 'utf8')).not.toContain('promise');
  });
});

describe('while only the active is cut off', () => {
  test('it goes on until one that promised is granted, which begins when it has stopped', async () => {
    PODS.forEach((pod) => start(pod));
    await heldByOne();
    proxies[0]?.freeze();
    expect(await watched(LEASE_MS)).toEqual(['one']);
    await grant('two', 2);
    const seen = await watched(2 * PROMISE_MS);
    expect(seen).toEqual(['one', '', 'two']);
    expect(await annotations()).toMatchObject({ [ANNOTATION.renewedTerm]: '2' });
    proxies[0]?.thaw();
    expect(await watched(2_000)).toEqual(['two']);
  });

  test('a standby keeps its promise as a new process', async () => {
    PODS.forEach((pod) => start(pod));
    await heldByOne();
    proxies[0]?.freeze();
    expect(await watched(LEASE_MS)).toEqual(['one']);
    const two = agentOf('two');
    two.kill('SIGKILL');
    await two.exited;
    const promise = (): number =>
      (JSON.parse(readFileSync(join(two.dir, 'state.json'), 'utf8')) as { agent: { promise: { untilMs: number } } })
        .agent.promise.untilMs;
    const untilMs = promise();
    const again = start('two', { dir: two.dir });
    await grant('two', 2);
    await again.untilActive(true);
    expect(Number(process.hrtime.bigint()) / 1e6).toBeGreaterThanOrEqual(untilMs);
  });
});
