/** Fencing mode `Agent` on a real API server, with the agent's own program beside pods that the operator made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import { until } from '../control-plane/wait.ts';
import { Agents, serveHooks } from './agents.ts';
import type { Hooks } from './agents.ts';
import { startOperator } from './operator.ts';
import type { TestOperator } from './operator.ts';
import { aSpec, conditionOf, isReady, nameOf, showLog, slotOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

const LEASE_MS = 5_000;
const world = useWorld();
let agents: Agents;
let hooks: Hooks;

const spec = (): object =>
  aSpec({
    election: { leaseDurationSeconds: LEASE_MS / 1_000, renewIntervalSeconds: 1 },
    fencing: {
      mode: 'Agent',
      enforcement: 'Cooperative',
      hooks: { onActivate: { path: '/on', port: hooks.port }, onDeactivate: { path: '/off', port: hooks.port } },
    },
    failover: { backoffMaxSeconds: 0, quarantine: { durationSeconds: 0 } },
  });

const settled = (check: (state: Settled) => void): Promise<Settled> =>
  world().settled('db', (state) => {
    expect(state.lease.metadata.annotations?.[ANNOTATION.renewedTerm]).toBe(String(state.term));
    check(state);
  });

const healed = (): Promise<Settled> => settled(({ pods }) => expect(pods.every(isReady)).toBe(true));

const movedFrom = ({ active, term }: Settled): Promise<Settled> =>
  settled((state) => {
    expect(state.term).toBeGreaterThan(term);
    expect(nameOf(state.active)).not.toBe(nameOf(active));
  });

beforeAll(async () => {
  hooks = await serveHooks();
  await world().create('db', spec());
  await until('the account of the agents', () =>
    world()
      .gone(accountPath())
      .then((gone) => !gone),
  );
  agents = await Agents.of(world(), 'db', world().suite.controlPlane.ca);
});

afterAll(async () => {
  await agents?.close();
  hooks?.close();
});

const accountPath = (): string => `/api/v1/namespaces/${world().namespace}/serviceaccounts/db-agent`;

describe('with agents', () => {
  test('a member is granted, its agent takes up the term, and then it is routed', async () => {
    const { active, term, lease } = await healed();
    expect(term).toBe(1);
    expect(lease.spec?.leaseDurationSeconds).toBe(LEASE_MS / 1_000);
    expect(hooks.calls).toEqual(['on']);
    expect(active.spec).toMatchObject({ serviceAccountName: 'db-agent' });
  });

  test('an agent may read and write its Lease and nothing else', async () => {
    const { suite, namespace } = world();
    const token = readFileSync(join(agents.accountDir, 'token'), 'utf8');
    const may = async (verb: string, resource: string, name: string): Promise<boolean> => {
      const group = resource === 'leases' ? 'coordination.k8s.io' : '';
      const resourceAttributes = { namespace, verb, group, resource, name };
      const user = `system:serviceaccount:${namespace}:db-agent`;
      const review = { spec: { user, resourceAttributes } };
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
      return (await suite.api.create<{ status: { allowed: boolean } }>(path, review)).status.allowed;
    };
    expect(token.length).toBeGreaterThan(100);
    for (const verb of ['get', 'watch', 'update']) expect(await may(verb, 'leases', 'db-active')).toBe(true);
    for (const verb of ['patch', 'delete', 'create']) expect(await may(verb, 'leases', 'db-active')).toBe(false);
    expect(await may('get', 'leases', 'other-active')).toBe(false);
    expect(await may('get', 'pods', 'db-0')).toBe(false);
  });

  test('a steady state writes nothing but the renewals', async () => {
    const before = await healed();
    const operator = world().operator;
    const fromWallMs = Date.now();
    const version = before.lease.metadata.resourceVersion;
    await until('some renewals', async () => {
      const { lease } = await world().read('db');
      return Number(lease.metadata.resourceVersion) > Number(version) && Date.now() > fromWallMs + 3_500;
    });
    expect(await world().writesOf(operator, fromWallMs)).toEqual([]);
  });

  test('a crash is followed by the release that the operator asks for', async () => {
    const before = await healed();
    const calls = hooks.calls.length;
    await world().suite.nodes.crash(before.active.metadata, { containers: ['app'] });
    const after = await movedFrom(before);
    expect(after.lease.metadata.annotations).toMatchObject({
      [ANNOTATION.releasedTerm]: String(before.term),
      [ANNOTATION.releaseRequested]: String(before.term),
    });
    expect(after.status.lastMove).toMatchObject({
      kind: 'Failover',
      reason: 'ActiveCrashed',
      from: nameOf(before.active),
    });
    // Stopped first, then started.
    expect(hooks.calls.slice(calls)).toEqual(['off', 'on']);
    await world().suite.nodes.restart(before.active.metadata);
  });

  test('a requested switchover stops the old active first, and goes where it was asked to', async () => {
    const before = await healed();
    const target = before.standbys[0];
    const calls = hooks.calls.length;
    const request = `slot:${target === undefined ? '?' : slotOf(target)}`;
    await world().kubectl('annotate', 'singletonservice/db', `${ANNOTATION.switchover}=${request}`);
    const status = await world().told('db', ({ switchover }) =>
      expect(switchover).toMatchObject({ request, outcome: 'Completed' }),
    );
    expect(status.active?.pod).toBe(target?.metadata.name);
    expect(hooks.calls.slice(calls)).toEqual(['off', 'on']);
  });

  test('an agent that is silent is waited out, and its pod that was deleted by force is no proof before', async () => {
    const before = await healed();
    const { active } = before;
    await agents.kill(nameOf(active));
    const fromMs = performance.now();
    await world().suite.api.delete(`${world().paths.pods}/${nameOf(active)}`, { gracePeriodSeconds: 0 });
    const waiting = await world().told('db', (status) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: 'Fencing' }),
    );
    expect(conditionOf(waiting, 'Blocked')?.message).toContain('waiting for its agent to release the Lease');
    const after = await movedFrom(before);
    // The last renewal was within an interval and a request before that.
    expect(performance.now() - fromMs).toBeGreaterThan(LEASE_MS - 2_000);
    expect(after.term).toBe(before.term + 1);
  });

  test('a new operator makes the move that an old one had asked for', async () => {
    const before = await healed();
    await world().operator.stop();
    await world().suite.nodes.crash(before.active.metadata, { containers: ['app'] });
    const { kubeconfigPath } = world().suite.controlPlane;
    const next: TestOperator = await startOperator({ kubeconfigPath, namespace: world().namespace });
    try {
      const after = await movedFrom(before);
      expect(after.status.lastMove).toMatchObject({ reason: 'ActiveCrashed', from: nameOf(before.active) });
      await world().suite.nodes.restart(before.active.metadata);
      await healed();
    } catch (error) {
      showLog(next.log);
      throw error;
    } finally {
      await next.stop();
    }
  });
});
