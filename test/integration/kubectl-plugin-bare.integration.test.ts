/**
 * `kubectl singleton` where there is no operator: first without the CRD, then with a test that answers in its place, so that
 * a switchover can have each of its outcomes.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSystemClock } from '../../src/adapters/clock.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import type { SingletonService, SwitchoverStatus } from '../../src/api/types.ts';
import { startControlPlane } from '../control-plane/control-plane.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { needing } from '../control-plane/needs.ts';
import { restClient } from '../control-plane/rest-client.ts';
import type { RestClient } from '../control-plane/rest-client.ts';
import { share } from '../control-plane/suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { Plugin } from './plugin.ts';
import type { Output, Running } from './plugin.ts';

const NAMESPACE = 'default';
const SINGLETONS = `/apis/singleton-operator.io/v1alpha1/namespaces/${NAMESPACE}/singletonservices`;
const TEMPLATE = { spec: { containers: [{ name: 'app', image: 'app', ports: [{ containerPort: 80 }] }] } };
/** The plugin waits this long and longer for people, who would wait; the test does not. */
const LONG_MS = 5_000;

const FIRST_AT = '2026-01-01T00:00:00.000Z';
type Outcome = Pick<SwitchoverStatus, 'outcome' | 'reason' | 'message'>;
const PENDING: Outcome = { outcome: 'Pending', reason: 'Accepted', message: 'it was requested' };
const COMPLETED: Outcome = { outcome: 'Completed', reason: 'Requested', message: 'pod db-1-a is the active' };
const ROLLED_BACK: Outcome = { outcome: 'RolledBack', reason: 'NotRouted', message: 'db-2-a was not routed' };

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

  let requests = 0;
  /** Each request with an instant of its own, as the operator has it. */
  const nextRequestedAt = () => new Date(Date.parse(FIRST_AT) + ++requests * 1_000).toISOString();
  const tell = (name: string, request: string, requestedAt: string, outcome: Outcome) => {
    const active = { pod: `${name}-1-a`, uid: 'u', term: 7 };
    const switchover: SwitchoverStatus = { request, ...outcome, requestedAt, at: requestedAt };
    return api.patch(`${SINGLETONS}/${name}/status`, { status: { active, switchover } });
  };

  /** As the operator does: it takes the request up, tells that it is at work, and then of the outcome. */
  async function answer(name: string, outcome: Outcome): Promise<void> {
    const request = await requested(name);
    const requestedAt = nextRequestedAt();
    await api.patch(`${SINGLETONS}/${name}`, { metadata: { annotations: { [ANNOTATION.switchover]: null } } });
    await tell(name, request, requestedAt, PENDING);
    await tell(name, request, requestedAt, outcome);
  }

  test.each(['status', 'status db', 'why db', 'history db', 'pause db', 'switchover db --wait', 'status --watch'])(
    'nor CRD: %s says so',
    async (line) => {
      const says = 'the API server does not know SingletonServices; apply crds/singletonservices.yaml';
      expect(await run(line)).toEqual({ code: 1, out: '', err: `kubectl singleton: ${says}\n` });
    },
  );

  test('switchover --wait follows it until it is done', async () => {
    await installCrd(api);
    await create('db');
    const waiting = start('switchover db --to slot:1 --wait');
    await answer('db', COMPLETED);
    const line = 'default/db: db-1-a is active with term 7: Completed (Requested): pod db-1-a is the active\n';
    expect(await waiting.done).toEqual({ code: 0, out: line, err: '' });
  });

  test('switchover --wait does not take the outcome of the last one for this one’s', async () => {
    const waiting = start('switchover db --wait');
    expect(await requested('db')).toBe('any');
    await answer('db', ROLLED_BACK);
    const line = 'default/db: the switchover did not happen: RolledBack (NotRouted): db-2-a was not routed';
    expect(await waiting.done).toEqual({ code: 1, out: '', err: `kubectl singleton: ${line}\n` });
  });

  test('switchover --wait does not take the outcome of one that was under way for its own, either', async () => {
    const requestedAt = nextRequestedAt();
    await tell('db', 'any', requestedAt, PENDING);
    const waiting = start('switchover db --wait');
    expect(await requested('db')).toBe('any');
    await tell('db', 'any', requestedAt, COMPLETED);
    await answer('db', ROLLED_BACK);
    expect((await waiting.done).err).toContain('did not happen: RolledBack');
  });

  test('switchover --wait has the outcome of one that waited for the same, which it is taken for', async () => {
    const requestedAt = nextRequestedAt();
    await tell('db', 'any', requestedAt, PENDING);
    const waiting = start('switchover db --wait');
    expect(await requested('db')).toBe('any');
    await api.patch(`${SINGLETONS}/db`, { metadata: { annotations: { [ANNOTATION.switchover]: null } } });
    await tell('db', 'any', requestedAt, COMPLETED);
    expect((await waiting.done).out).toContain('Completed (Requested)');
  });

  test('switchover --wait ends when a later request has taken the place of this one', async () => {
    const waiting = start('switchover db --wait');
    const request = await requested('db');
    await api.patch(`${SINGLETONS}/db`, { metadata: { annotations: { [ANNOTATION.switchover]: null } } });
    await tell('db', request, nextRequestedAt(), PENDING);
    await tell('db', 'slot:1', nextRequestedAt(), PENDING);
    const line = 'default/db: the request was replaced by a later one, to slot:1';
    expect(await waiting.done).toEqual({ code: 1, out: '', err: `kubectl singleton: ${line}\n` });
  });

  test('switchover --wait ends when somebody has written over it before it was taken up', async () => {
    const waiting = start('switchover db --wait');
    await requested('db');
    await api.patch(`${SINGLETONS}/db`, { metadata: { annotations: { [ANNOTATION.switchover]: 'slot:2' } } });
    await answer('db', COMPLETED);
    expect((await waiting.done).err).toContain('was replaced by a later one, to slot:2');
  });

  test('switchover --wait says why it was refused', async () => {
    const waiting = start('switchover db --to nobody --wait');
    await answer('db', { outcome: 'Refused', reason: 'NoSuchPod', message: 'db has no member nobody' });
    const line = 'default/db: the switchover did not happen: Refused (NoSuchPod): db has no member nobody';
    expect(await waiting.done).toEqual({ code: 1, out: '', err: `kubectl singleton: ${line}\n` });
  });

  test('switchover --wait gives up after a while, and says what became of the request', async () => {
    const { code, err } = await run('switchover db --wait', impatient);
    expect(code).toBe(1);
    expect(err).toMatch(/^kubectl singleton: default\/db: the request was not taken up within 45 s, and stands; .*\n$/);
    expect(await requested('db')).toBe('any');
    await answer('db', COMPLETED);
  });

  test('switchover --wait ends with the singleton, and with Ctrl-C', async () => {
    const interrupted = start('switchover db --wait');
    await requested('db');
    interrupted.interrupt();
    expect((await interrupted.done).err).toContain('not waited for any longer; the request stands');
    await answer('db', COMPLETED);
    const waiting = start('switchover db --wait');
    await requested('db');
    await api.delete(`${SINGLETONS}/db`);
    expect(await waiting.done).toMatchObject({
      code: 1,
      err: 'kubectl singleton: default/db: it was deleted meanwhile\n',
    });
  });
});
