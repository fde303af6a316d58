/** The agent's process on a real API server, with the rights that it has in a cluster; the tests grant in the operator's place. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ANNOTATION, leaseName } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { parseKubeconfig } from '../control-plane/credentials.ts';
import { readFileSync } from 'node:fs';
import { serviceAccountToken } from '../control-plane/control-plane.ts';
import { startFaultProxy } from '../control-plane/fault-proxy.ts';
import type { FaultProxy } from '../control-plane/fault-proxy.ts';
import { until } from '../control-plane/wait.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { admitAgents, endAgent, spawnAgent } from './agent-process.ts';
import type { AgentProcess, AgentProcessOptions } from './agent-process.ts';
import { bundleOperator } from './operator-process.ts';
import type { OperatorBundle } from './operator-process.ts';

const suite = useSuite();

let bundle: OperatorBundle;
let proxy: FaultProxy;
let token: string;
let ca: string;
let agents: AgentProcess[] = [];
let name = '';
let count = 0;

const leases = (): string => `/apis/coordination.k8s.io/v1/namespaces/${suite().namespace}/leases`;
const lease = (): Promise<Lease> => suite().api.get<Lease>(`${leases()}/${leaseName(name)}`);
const change = (patch: object): Promise<Lease> => suite().api.patch<Lease>(`${leases()}/${leaseName(name)}`, patch);
const grant = (agent: AgentProcess, term: number): Promise<Lease> =>
  change({ spec: { holderIdentity: agent.holder, leaseTransitions: term } });
const annotation = async (key: string): Promise<string | undefined> => (await lease()).metadata.annotations?.[key];
/** By the state as it is now. */
const stopped = async (agent: AgentProcess): Promise<void> => {
  const { sequence } = await agent.state();
  await fetch(await agent.url(`/v1/stopped?term=1&sequence=${sequence}`), { method: 'POST' });
};

beforeAll(async () => {
  const { api, controlPlane, namespace } = suite();
  bundle = await bundleOperator();
  proxy = await startFaultProxy(controlPlane.server);
  ({ ca } = parseKubeconfig(readFileSync(controlPlane.kubeconfigPath, 'utf8')));
  token = await admitAgents(api, namespace);
});

afterAll(async () => {
  await proxy?.stop();
  bundle?.remove();
});

beforeEach(async () => {
  count += 1;
  name = `web-${count}`;
  const spec = { holderIdentity: '', leaseTransitions: 0, leaseDurationSeconds: 5 };
  await suite().api.create(leases(), { metadata: { name: leaseName(name) }, spec });
});

afterEach(async () => {
  proxy.thaw();
  await proxy.accept();
  await Promise.all(agents.map(endAgent));
  agents = [];
});

function agent(pod: string, options: Partial<AgentProcessOptions> = {}): AgentProcess {
  const { namespace } = suite();
  const one = spawnAgent({ bundle, server: proxy.server, ca, token, namespace, singleton: name, pod, ...options });
  agents.push(one);
  return one;
}

describe('the agent', () => {
  test('renews the term that it was granted and is active, and a standby writes nothing', async () => {
    const [one, two] = [agent('one'), agent('two')];
    await Promise.all([one.untilActive(false), two.untilActive(false)]);
    await grant(one, 1);
    expect(await one.untilActive(true)).toMatchObject({ term: 1 });
    expect(await annotation(ANNOTATION.renewedTerm)).toBe('1');
    const first = (await lease()).spec?.renewTime;
    await until('the next renewal', async () => (await lease()).spec?.renewTime !== first || undefined);
    expect((await lease()).spec?.holderIdentity).toBe(one.holder);
    expect(await two.state()).toMatchObject({ active: false, term: 0 });
  });

  test('stops at its fence deadline when the API server does not answer, and goes on under its term afterwards', async () => {
    const one = agent('one');
    await grant(one, 1);
    await one.untilActive(true);
    const frozenAtMs = performance.now();
    proxy.freeze();
    await one.untilActive(false);
    const afterMs = performance.now() - frozenAtMs;
    // The deadline counts from the last renewal, at most an interval and a request before.
    expect(afterMs).toBeGreaterThan(1_000);
    expect(afterMs).toBeLessThan(3_000);
    proxy.thaw();
    await stopped(one);
    expect(await one.untilActive(true)).toMatchObject({ term: 1 });
  });

  test('stops also when its connections are refused', async () => {
    const one = agent('one');
    await grant(one, 1);
    await one.untilActive(true);
    await proxy.refuse();
    proxy.cut();
    await one.untilActive(false);
    await proxy.accept();
  });

  test('releases when it is asked to and the workload has stopped', async () => {
    const one = agent('one');
    await grant(one, 1);
    await one.untilActive(true);
    await change({ metadata: { annotations: { [ANNOTATION.releaseRequested]: '1' } } });
    await one.untilActive(false);
    expect((await lease()).spec?.holderIdentity).toBe(one.holder);
    await stopped(one);
    await until('the release', async () => (await lease()).spec?.holderIdentity === '' || undefined);
    expect(await annotation(ANNOTATION.releasedTerm)).toBe('1');
  });

  test('refuses a term below the highest that it has seen, also as a new process', async () => {
    const one = agent('one');
    await grant(one, 7);
    await one.untilActive(true);
    one.kill('SIGKILL');
    await one.exited;
    await change({ spec: { holderIdentity: 'somebody_else', leaseTransitions: 8 } });
    const { dir } = one;
    const again = agent('one', { dir });
    await again.untilActive(false);
    await grant(again, 6);
    const refusal = 'the Lease names this pod with a term that it must refuse';
    await until('the refusal', () => again.log.some(({ msg }) => msg === refusal) || undefined);
    expect(await again.state()).toMatchObject({ active: false });
    expect((await lease()).metadata.annotations?.[ANNOTATION.renewedTerm]).toBe('7');
  });

  test('lets go of the Lease on SIGTERM, when the workload has stopped, and ends', async () => {
    const one = agent('one');
    await grant(one, 1);
    await one.untilActive(true);
    one.kill('SIGTERM');
    await one.untilActive(false);
    await stopped(one);
    expect(await one.exited).toBe(0);
    expect((await lease()).spec?.holderIdentity).toBe('');
  });

  test('that is a standby ends on SIGTERM and writes nothing', async () => {
    const one = agent('one');
    await one.untilActive(false);
    one.kill('SIGTERM');
    expect(await one.exited).toBe(0);
    expect((await lease()).metadata.annotations).toBeUndefined();
  });

  test('goes on under its term when its process is killed and made anew', async () => {
    const one = agent('one');
    await grant(one, 1);
    await one.untilActive(true);
    one.kill('SIGKILL');
    await one.exited;
    const again = agent('one', { dir: one.dir });
    expect(await again.state()).toMatchObject({ active: true, term: 1 });
  });

  test('without its rights says so, and is never active', async () => {
    const one = agent('one', { token: await serviceAccountToken(suite().api, suite().namespace, 'nobody') });
    await grant(one, 1);
    await until('the refusal to be told', () => one.log.some(({ error }) => /403/.test(String(error))) || undefined);
    expect(await one.state()).toMatchObject({ active: false });
  });
});
