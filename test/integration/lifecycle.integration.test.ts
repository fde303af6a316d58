/** From `kubectl apply` to nothing left: what is created, told, scaled, paused and removed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import type { Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { hasStatus } from '../control-plane/rest-client.ts';
import { until } from '../control-plane/wait.ts';
import { startOperator } from './operator.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { World, aSpec, aTemplate, conditionOf, isReady, nameOf, roleOf, slotOf, useWorld } from './world.ts';

const world = useWorld();
let recorder: Recorder;
let leftBefore: string[] = [];

beforeAll(async () => {
  recorder = await startRecorder(world().api, world().namespace);
  // Early, as the collection may take half a minute: see COLLECTION.
  await world().create('brief');
  await world().settled('brief');
  leftBefore = await leftOf('brief');
  await world().kubectl('delete', 'singletonservice', 'brief');
});
afterAll(() => recorder.stop());

/** Kubernetes' garbage collector looks for new kinds, such as a CRD just applied, only every 30 s. */
const COLLECTION = { timeoutMs: 90_000 };

/** Everything in the namespace that carries the singleton's name label, as `kind/name`. */
async function leftOf(name: string, { api, paths }: World = world()): Promise<string[]> {
  const query = { labelSelector: `${LABEL.name}=${name}` };
  const kinds = ['pods', 'services', 'leases', 'slices'] as const;
  const lists = await Promise.all(kinds.map((kind) => api.list(paths[kind], query)));
  return lists.flatMap(({ items }, index) => items.map(({ metadata }) => `${kinds[index]}/${metadata.name}`));
}

describe('a new singleton', () => {
  test('gets its pods, Lease and two Services, all owned by it', async () => {
    const spec = aSpec({ service: { ports: [{ name: 'web', port: 80, targetPort: 'http' }] } });
    const { metadata } = await world().create('shop', spec);
    const { pods, lease, service } = await world().settled('shop');
    const headless = await world().api.get<Service>(world().of('shop').headless);
    for (const object of [...pods, lease, service, headless]) {
      expect(object.metadata.ownerReferences).toEqual([
        {
          apiVersion: 'singleton-operator.io/v1alpha1',
          kind: 'SingletonService',
          name: 'shop',
          uid: metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ]);
    }
    expect(service.spec).toMatchObject({ type: 'ClusterIP', ports: [{ name: 'web', port: 80, targetPort: 'http' }] });
    expect(headless.spec).toMatchObject({ clusterIP: 'None', selector: { [LABEL.name]: 'shop' } });
  });

  test('is told by kubectl get: who is active, how many are Ready, which term, and that it is routed', async () => {
    const { active, term } = await world().settled('shop', ({ pods }) => expect(pods.every(isReady)).toBe(true));
    await world().told('shop', ({ ready }) => expect(ready).toBe('3/3'));
    const [, row = ''] = (await world().kubectl('get', 'sgs', 'shop')).split('\n');
    expect(row.split(/\s+/).slice(0, 4)).toEqual(['shop', nameOf(active), '3/3', String(term)]);
    expect(row).toContain('ActiveRouted');
  });

  test('is told by kubectl describe: who is active since when, why it moved last, and what the others are', async () => {
    const before = await world().settled('shop', ({ pods }) => expect(pods.every(isReady)).toBe(true));
    await world().suite.nodes.crash(before.active.metadata, { exitCode: 139 });
    const { status, active, standbys } = await world().settled('shop', ({ term, status }) => {
      expect(term).toBe(before.term + 1);
      expect(status.members?.find(({ pod }) => pod === nameOf(before.active))?.reason).toBe('Crashed');
    });
    const text = await until('kubectl describe to show the event', async () => {
      const described = await world().kubectl('describe', 'singletonservice', 'shop');
      return described.includes('FailoverCompleted') && described;
    });
    const flat = text.replaceAll(/\s+/g, ' ');
    const [, of = ''] = /Active: (.*?) Conditions:/.exec(flat) ?? [];
    expect(of).toContain(`Pod: ${nameOf(active)}`);
    expect(of).toContain(`Since: ${status.active?.since}`);
    expect(of).toContain(`Term: ${before.term + 1}`);
    const [, move = ''] = /Last Move: (.*?) Members:/.exec(flat) ?? [];
    expect(move).toContain(`From: ${nameOf(before.active)}`);
    expect(move).toContain(`Message: pod ${nameOf(before.active)} crashed (app: exit code 139)`);
    for (const { metadata } of standbys) expect(flat).toContain(`Pod: ${metadata.name} Ready:`);
    expect(flat).toContain('Reason: Crashed Role: standby');
    expect(flat).toContain('can take over at once');
    const [, events = ''] = text.split('Events:');
    expect(events).toMatch(/Normal +Granted .*pod shop-\S+ is active with term 1/);
    expect(events).toMatch(/Warning +FailoverCompleted .*moved from shop-\S+ to shop-\S+ with term 2, [\d.]+ ms after/);
    await world().suite.nodes.restart(before.active.metadata);
  });

  test('routes to its first Ready member while the others still start', async () => {
    world().suite.nodes.setReadyGate(({ metadata }) => metadata.labels?.[LABEL.slot] === '2');
    await world().create('early');
    const { active, status } = await world().settled('early');
    expect(slotOf(active)).toBe(2);
    expect(status).toMatchObject({ ready: '1/3', eligibleReplicas: 1 });
    expect(conditionOf(status, 'StandbyReady')).toMatchObject({ status: 'False', reason: 'NoCandidate' });
    world().suite.nodes.setReadyGate(undefined);
    await world().told('early', ({ ready }) => expect(ready).toBe('3/3'));
    await world().api.delete(world().of('early').singleton);
  });
});

describe('kubectl scale', () => {
  const scale = (name: string, replicas: number) =>
    world().kubectl('scale', `singletonservice/${name}`, `--replicas=${replicas}`);

  test('from 2 to 5 adds three members and moves nothing', async () => {
    await world().create('wide', aSpec({ replicas: 2 }));
    const before = await world().settled('wide', ({ pods }) => expect(pods.every(isReady)).toBe(true));
    await scale('wide', 5);
    const after = await world().settled('wide', ({ status }) => expect(status.ready).toBe('5/5'));
    expect(after.pods.map(nameOf)).toEqual(expect.arrayContaining(before.pods.map(nameOf)));
    expect([nameOf(after.active), after.term]).toEqual([nameOf(before.active), before.term]);
    const { status } = await world().api.get<{ status: object }>(`${world().of('wide').singleton}/scale`);
    expect(status).toEqual({ replicas: 5, selector: `${LABEL.name}=wide` });
  });

  test('from 5 to 1 moves an active whose slot goes to one that stays, and only then deletes it', async () => {
    let before = await world().settled('wide');
    while (slotOf(before.active) === 0) {
      const [active, term] = [before.active, before.term];
      await world().suite.nodes.crash(active.metadata);
      before = await world().settled('wide', (state) => expect(state.term).toBeGreaterThan(term));
      await world().suite.nodes.restart(active.metadata);
    }
    await world().told('wide', ({ ready }) => expect(ready).toBe('5/5'));
    const [first] = before.pods;
    await scale('wide', 1);
    const after = await world().settled('wide', ({ status }) => expect(status.ready).toBe('1/1'));
    expect(nameOf(after.active)).toBe(first && nameOf(first));
    expect(after.term).toBe(before.term + 1);
    expect(after.status.lastMove).toMatchObject({
      kind: 'Switchover',
      reason: 'ScaledDown',
      from: nameOf(before.active),
      to: nameOf(after.active),
    });
    expect(conditionOf(after.status, 'StandbyReady')).toMatchObject({ status: 'False', reason: 'SingleReplica' });
    expect((await world().events('wide')).map(({ reason }) => reason)).toContain('SwitchoverCompleted');
    const history = await recorder.history();
    const deleted = history.find(
      ({ object }) => nameOf(object) === nameOf(before.active) && object.metadata.deletionTimestamp !== undefined,
    );
    const flipped = history.find(
      ({ kind, object }) =>
        kind === 'service' && nameOf(object) === 'wide' && object.spec?.selector?.[LABEL.term] === String(after.term),
    );
    expect(flipped?.version).toBeLessThan(deleted?.version ?? 0);
  });

  test('to 0 is refused, and what runs goes on', async () => {
    const before = await world().settled('wide');
    await expect(scale('wide', 0)).rejects.toThrow('greater than or equal to 1');
    const after = await world().settled('wide');
    expect([nameOf(after.active), after.term]).toEqual([nameOf(before.active), before.term]);
  });
});

describe('spec.paused', () => {
  test('lets nothing move and no pod be made, and says which move waits', async () => {
    await world().create('held');
    const before = await world().settled('held', ({ pods }) => expect(pods.every(isReady)).toBe(true));
    await world().change('held', { paused: true });
    await world().told('held', (status) => expect(conditionOf(status, 'Paused')).toMatchObject({ status: 'True' }));
    await world().suite.nodes.vanish(before.active.metadata);
    await world().told('held', (status) => {
      expect(conditionOf(status, 'Blocked')).toMatchObject({
        status: 'True',
        reason: 'Paused',
        message: `pod ${nameOf(before.active)} is gone; spec.paused is true, so nothing moves: set it to false, and another member takes over`,
      });
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'ActiveGone' });
      expect(status.members).toHaveLength(2);
    });
    const { lease, pods } = await world().read('held');
    expect(lease.spec).toMatchObject({ leaseTransitions: before.term });
    expect(pods.map(nameOf)).toEqual(before.standbys.map(nameOf));
  });

  test('goes on with what waited when it is false again', async () => {
    const { status: before } = await world().read('held');
    await world().change('held', { paused: false });
    const { term } = await world().settled('held', ({ pods }) => expect(pods).toHaveLength(3));
    expect(term).toBe((before.term ?? 0) + 1);
    const reasons = (await world().events('held')).map(({ reason }) => reason);
    expect(reasons).toEqual(
      expect.arrayContaining(['Granted', 'Paused', 'MoveBlocked', 'Resumed', 'FailoverCompleted']),
    );
  });
});

describe('a change of the spec', () => {
  test('changes the Service in place: ports, annotations, type', async () => {
    await world().create('plain');
    const before = await world().settled('plain');
    const ports = [
      { name: 'a', port: 1, targetPort: 8080 },
      { name: 'b', port: 2, targetPort: 8080 },
    ];
    await world().change('plain', { service: { ports, annotations: { 'example.com/a': 'b' }, type: 'NodePort' } });
    const after = await world().settled('plain', ({ service }) => {
      expect(service.metadata.annotations).toMatchObject({ 'example.com/a': 'b' });
      expect(service.spec).toMatchObject({ type: 'NodePort', ports });
    });
    expect(after.service.metadata.uid).toBe(before.service.metadata.uid);
    expect(after.term).toBe(before.term);
    expect(after.service.spec?.clusterIP).toBe(before.service.spec?.clusterIP);
  });
});

describe('a new template', () => {
  // More than once: what is left to do after the change before must not be what tells of this one.
  test.each(['second', 'third', 'fourth'])(
    '(the %s) is accepted and told so, and every pod is replaced by one that is made from it',
    async (image) => {
      const before = await world().settled('plain');
      await world().change('plain', { template: aTemplate({ image }), update: { minReadySeconds: 0 } });
      const after = await world().settled('plain', ({ status, singleton, pods }) => {
        expect(singleton.metadata.generation).toBeGreaterThan(before.singleton.metadata.generation ?? 0);
        expect(status.updatedReplicas).toBe(pods.length);
      });
      expect(conditionOf(after.status, 'SpecAccepted')).toMatchObject({ status: 'True' });
      const names = before.pods.map(nameOf);
      expect(after.pods.filter((pod) => names.includes(nameOf(pod)))).toEqual([]);
    },
  );
});

describe('kubectl delete', () => {
  test('leaves nothing behind: pods, Services, Lease and EndpointSlices are collected', async () => {
    // Three pods, two Services, one Lease, and the slices of both Services.
    // At least: there may be more than one slice of a Service.
    expect(leftBefore.length).toBeGreaterThanOrEqual(8);
    await until('everything to be collected', async () => (await leftOf('brief')).length === 0, COLLECTION);
    const metrics = await world().operator.metrics.registry.metrics();
    expect(metrics).toContain('singleton_term{namespace=');
    expect(metrics).not.toMatch(/singleton_(active|term|members)\{[^}]*name="brief"/);
  });

  test('in the foreground waits for what it owns, and nothing is made anew meanwhile', async () => {
    await world().create('slow');
    const { pods } = await world().settled('slow');
    await world().kubectl('delete', 'singletonservice', 'slow', '--cascade=foreground');
    await until('everything to be collected', async () => (await leftOf('slow')).length === 0, COLLECTION);
    const made = (await recorder.history()).filter(
      ({ kind, object }) => kind === 'pod' && object.metadata.labels?.[LABEL.name] === 'slow',
    );
    expect(new Set(made.map(({ object }) => nameOf(object)))).toEqual(new Set(pods.map(nameOf)));
  });

  test('and the same name again at once makes a new singleton with terms of its own', async () => {
    const first = await world().create('phoenix');
    await world().settled('phoenix');
    await world().api.delete(world().of('phoenix').singleton);
    const second = await world().create('phoenix');
    expect(second.metadata.uid).not.toBe(first.metadata.uid);
    const { pods, lease } = await world().settled('phoenix', () => {}, { timeoutMs: 60_000 });
    const owners = [...pods, lease].map(({ metadata }) => metadata.ownerReferences?.[0]?.uid);
    expect(new Set(owners)).toEqual(new Set([second.metadata.uid]));
    expect(pods.filter((pod) => roleOf(pod) === 'active')).toHaveLength(1);
  });
});

describe('the record of all this', () => {
  test('shows no state of the API server in which I2 or I3 was broken, and no flip to nobody', async () => {
    const history = await recorder.history();
    // A name that is used again has a new Lease, whose terms begin anew.
    const ofOneLife = history.filter(({ object }) => !nameOf(object).startsWith('phoenix'));
    expect(brokenInvariants(ofOneLife)).toEqual([]);
    expect(flipsToNobody(ofOneLife)).toEqual([]);
  });

  test('shows no error in the log', () => {
    expect(world().operator.log.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });
});

describe('a namespace that is deleted', () => {
  test('goes with all that was in it, and the operator makes no new pods in it and goes on', async () => {
    const namespace = await world().suite.createNamespace();
    const doomed = new World(world().suite, namespace);
    const { kubeconfigPath } = world().suite.controlPlane;
    const operator = await startOperator({ kubeconfigPath, namespace });
    try {
      await doomed.create('a', aSpec({ replicas: 2 }));
      await doomed.create('b', aSpec({ replicas: 2, template: aTemplate({ image: 'other' }) }));
      await Promise.all(['a', 'b'].map((name) => doomed.settled(name)));
      await world().api.delete(`/api/v1/namespaces/${namespace}`);
      await until('the namespace to be gone', () => doomed.gone(`/api/v1/namespaces/${namespace}`), {
        timeoutMs: 90_000,
      });
      expect(operator.log.filter(({ level }) => level === 'error')).toEqual([]);
      await until('the operator to have forgotten them', async () => {
        const metrics = await operator.metrics.registry.metrics();
        return !/singleton_term\{[^}]*name="[ab]"/.test(metrics);
      });
      const lists = [doomed.paths.singletons, doomed.paths.pods, doomed.paths.leases];
      for (const path of lists) {
        const list = world()
          .api.list<Pod | SingletonService>(path)
          .catch((error: unknown) => {
            if (!hasStatus(error, 404)) throw error;
            return { items: [] };
          });
        expect((await list).items).toEqual([]);
      }
    } finally {
      await operator.stop();
      doomed.close();
    }
  });
});
