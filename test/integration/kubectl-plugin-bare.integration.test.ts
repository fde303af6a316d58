/**
 * `kubectl singleton` where there is no operator: first without the CRD, then with a test that answers in its place, so that
 * a switchover can have each of its outcomes.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSystemClock } from '../../src/adapters/clock.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { startControlPlane } from '../control-plane/control-plane.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { needing } from '../control-plane/needs.ts';
import { restClient } from '../control-plane/rest-client.ts';
import type { RestClient } from '../control-plane/rest-client.ts';
import { share } from '../control-plane/suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd, readCrd } from './crd.ts';
import type { Crd } from './crd.ts';
import { Plugin } from './plugin.ts';
import type { Output, Running } from './plugin.ts';

const NAMESPACE = 'default';
const SINGLETONS = `/apis/singleton-operator.io/v1alpha1/namespaces/${NAMESPACE}/singletonservices`;
const TEMPLATE = { spec: { containers: [{ name: 'app', image: 'app', ports: [{ containerPort: 80 }] }] } };
/** The plugin waits this long and longer for people, who would wait; the test does not. */
const LONG_MS = 5_000;

/** The status takes any field, also those that a later version of the operator writes. */
function withOpenStatus(crd: Crd): Crd {
  const status = crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.['status'];
  Object.assign(status ?? {}, { 'x-kubernetes-preserve-unknown-fields': true });
  return crd;
}

needing('own processes').describe('without an operator', () => {
  let controlPlane: ControlPlane;
  let api: RestClient;
  let plugin: Plugin;
  let file: string;

  beforeAll(async () => {
    controlPlane = await startControlPlane();
    api = restClient({ ...controlPlane, token: controlPlane.tokens['admin'] ?? '' });
    plugin = new Plugin(share(controlPlane));
    file = plugin.kubeconfig();
  });
  afterAll(async () => {
    plugin?.remove();
    api?.close();
    await controlPlane?.stop();
  });

  const system = createSystemClock({ keepAlive: true });
  const impatient = {
    ...system,
    after: (ms: number, action: () => void) => system.after(ms >= LONG_MS ? 500 : ms, action),
  };
  const start = (line: string, clock = system): Running => plugin.start(line, file, clock);
  const run = (line: string, clock = system): Promise<Output> => start(line, clock).done;
  const create = (name: string) =>
    api.create<SingletonService>(SINGLETONS, {
      apiVersion: 'singleton-operator.io/v1alpha1',
      kind: 'SingletonService',
      metadata: { name },
      spec: { template: TEMPLATE, switchover: { deadlineSeconds: 30 } },
    });

  const requested = (name: string) =>
    until('the request', async () => {
      const { metadata } = await api.get<SingletonService>(`${SINGLETONS}/${name}`);
      return metadata.annotations?.[ANNOTATION.switchover];
    });

  /** As the operator does: it takes the request up, tells that it is at work, and then of the outcome. */
  async function answer(name: string, outcome: object): Promise<void> {
    const request = await requested(name);
    await api.patch(`${SINGLETONS}/${name}`, { metadata: { annotations: { [ANNOTATION.switchover]: null } } });
    for (const switchover of [
      { request, outcome: 'InProgress', reason: null, message: null },
      { request, ...outcome },
    ]) {
      const active = { pod: `${name}-1-a`, uid: 'u', term: 7 };
      await api.patch(`${SINGLETONS}/${name}/status`, { status: { active, switchover } });
    }
  }

  test.each(['status', 'status db', 'why db', 'history db', 'pause db', 'switchover db --wait', 'status --watch'])(
    'nor CRD: %s says so',
    async (line) => {
      const says = 'the API server does not know SingletonServices; apply crds/singletonservices.yaml';
      expect(await run(line)).toEqual({ code: 1, out: '', err: `kubectl singleton: ${says}\n` });
    },
  );

  test('switchover --wait follows it until it is done', async () => {
    await installCrd(api, withOpenStatus(readCrd()));
    await create('db');
    const waiting = start('switchover db --to slot:1 --wait');
    await answer('db', { outcome: 'Completed', reason: 'Requested', message: 'moved in 40 ms', at: 'now' });
    const line = 'default/db: db-1-a is active with term 7: Completed (Requested): moved in 40 ms\n';
    expect(await waiting.done).toEqual({ code: 0, out: line, err: '' });
  });

  test('switchover --wait does not take the outcome of the last one for this one’s', async () => {
    const waiting = start('switchover db --wait');
    expect(await requested('db')).toBe('any');
    await answer('db', {
      outcome: 'RolledBack',
      reason: 'NotReady',
      message: 'db-2-a did not become Ready',
      at: 'later',
    });
    const line = 'default/db: the switchover did not happen: RolledBack (NotReady): db-2-a did not become Ready';
    expect(await waiting.done).toEqual({ code: 1, out: '', err: `kubectl singleton: ${line}\n` });
  });

  test('switchover --wait does not take the outcome of one that was under way for its own, either', async () => {
    const tell = (outcome: string) =>
      api.patch(`${SINGLETONS}/db/status`, { status: { switchover: { request: 'any', outcome, at: outcome } } });
    await tell('InProgress');
    const waiting = start('switchover db --wait');
    expect(await requested('db')).toBe('any');
    await tell('Completed');
    await answer('db', {
      outcome: 'RolledBack',
      reason: 'NotReady',
      message: 'db-2-a did not become Ready',
      at: 'now',
    });
    expect((await waiting.done).err).toContain('did not happen: RolledBack');
  });

  test('switchover --wait says why it was refused', async () => {
    const waiting = start('switchover db --to nobody --wait');
    await answer('db', { outcome: 'Refused', reason: 'NoSuchMember', message: 'there is no pod nobody', at: 'again' });
    const line = 'default/db: the switchover did not happen: Refused (NoSuchMember): there is no pod nobody';
    expect(await waiting.done).toEqual({ code: 1, out: '', err: `kubectl singleton: ${line}\n` });
  });

  test('switchover --wait gives up after a while, and says what became of the request', async () => {
    const { code, err } = await run('switchover db --wait', impatient);
    expect(code).toBe(1);
    expect(err).toMatch(/^kubectl singleton: default\/db: the request was not taken up within 45 s, and stands; .*\n$/);
    expect(await requested('db')).toBe('any');
    await answer('db', { outcome: 'Completed', reason: null, message: null, at: 'finally' });
  });

  test('switchover --wait ends with the singleton, and with Ctrl-C', async () => {
    const interrupted = start('switchover db --wait');
    await requested('db');
    interrupted.interrupt();
    expect((await interrupted.done).err).toContain('not waited for any longer; the request stands');
    await answer('db', { outcome: 'Completed', at: 'late' });
    const waiting = start('switchover db --wait');
    await requested('db');
    await api.delete(`${SINGLETONS}/db`);
    expect(await waiting.done).toMatchObject({
      code: 1,
      err: 'kubectl singleton: default/db: it was deleted meanwhile\n',
    });
  });
});
