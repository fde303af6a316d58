/** Pods that a Deployment or a StatefulSet owns: they are elected and routed to, and never made or deleted. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABEL, ROLE, holderIdentity } from '../../src/api/names.ts';
import type { KubeObject, Pod } from '../../src/api/objects.ts';
import { until } from '../control-plane/wait.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { conditionOf, isReady, nameOf, roleOf, termOf, useWorld } from './world.ts';
import type { State } from './world.ts';

/** Pods take a moment to go, as they do: what is seen is that they are going. */
const world = useWorld({ stopDelayMs: 300 });
let recorder: Recorder;

beforeAll(async () => {
  recorder = await startRecorder(world().api, world().namespace);
});
afterAll(() => recorder.stop());

const PORTS = { ports: [{ name: 'http', port: 80 }] };
const selecting = (labels: object, fields: object = {}): object => ({
  selector: { matchLabels: labels },
  service: PORTS,
  ...fields,
});

/** Of a Deployment or StatefulSet whose pods are labelled `app: name` and `more`. */
const workload = (name: string, replicas: number, fields: object = {}, more: object = {}): object => ({
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name, ...more } },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image: 'app' }] },
    },
    ...fields,
  },
});

const deployments = (): string => `/apis/apps/v1/namespaces/${world().namespace}/deployments`;
const statefulSets = (): string => `/apis/apps/v1/namespaces/${world().namespace}/statefulsets`;

async function deploy(name: string, replicas = 3, more: object = {}): Promise<void> {
  await world().api.create(deployments(), workload(name, replicas, {}, more));
}

interface Order extends State {
  readonly active: Pod;
  readonly standbys: readonly Pod[];
  readonly term: number;
}

/** One of `count` pods is the active, labelled, selected and in the EndpointSlices; the others are standbys; all are told. */
const inOrder = (name: string, count: number, check: (order: Order) => void = () => undefined): Promise<Order> =>
  until(`${name} to be in order`, async () => {
    const state = await world().read(name);
    const { pods, lease, service, status, routed, singleton } = state;
    const active = pods.find(
      ({ metadata }) => holderIdentity(metadata.name, metadata.uid) === lease.spec?.holderIdentity,
    );
    if (active === undefined) throw new Error(`nobody is the holder ${lease.spec?.holderIdentity ?? ''}`);
    const standbys = pods.filter((pod) => pod !== active);
    expect(pods.filter(({ metadata }) => metadata.deletionTimestamp !== undefined)).toEqual([]);
    expect(pods).toHaveLength(count);
    expect(pods.every(isReady)).toBe(true);
    expect(roleOf(active)).toBe(ROLE.active);
    expect(standbys.map(roleOf)).toEqual(standbys.map(() => ROLE.standby));
    expect(service.spec?.selector).toEqual({ [LABEL.name]: name, [LABEL.term]: termOf(active) });
    expect(routed).toEqual([nameOf(active)]);
    expect(status).toMatchObject({ active: { pod: nameOf(active) }, ready: `${count}/${count}` });
    expect(status.observedGeneration).toBe(singleton.metadata.generation);
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True', reason: 'ActiveRouted' });
    expect(conditionOf(status, 'Progressing')).toMatchObject({ status: 'False' });
    const order = { ...state, active, standbys, term: lease.spec?.leaseTransitions ?? 0 };
    check(order);
    return order;
  });

const podOf = (name: string): Promise<Pod> => world().api.get<Pod>(`${world().paths.pods}/${name}`);
const labelled = async (app: string): Promise<Pod[]> =>
  (await world().api.list<Pod>(world().paths.pods, { labelSelector: `app=${app}` })).items;

/** Labels of ours. */
const oursOn = ({ metadata }: KubeObject): string[] =>
  Object.keys(metadata.labels ?? {}).filter((key) => key.startsWith('singleton-operator.io/'));

describe('the pods of a Deployment', () => {
  test('are elected and routed to, whatever spec.replicas says', async () => {
    await deploy('web');
    await world().create('web-one', selecting({ app: 'web' }));
    const { pods, status } = await inOrder('web-one', 3);
    for (const { metadata } of pods) {
      expect(metadata.ownerReferences).toMatchObject([{ kind: 'ReplicaSet' }]);
      expect(metadata.labels).not.toHaveProperty([LABEL.slot]);
    }
    expect(conditionOf(status, 'SpecAccepted')).toMatchObject({ status: 'True', reason: 'Accepted' });
  });

  test('take over when the active crashes', async () => {
    const before = await inOrder('web-one', 3);
    await world().suite.nodes.crash(before.active.metadata);
    await world().told('web-one', ({ term, lastMove }) => {
      expect(term).toBe(before.term + 1);
      expect(lastMove).toMatchObject({ kind: 'Failover', reason: 'ActiveCrashed', from: nameOf(before.active) });
    });
    await world().suite.nodes.restart(before.active.metadata);
    const after = await inOrder('web-one', 3);
    expect(after.term).toBe(before.term + 1);
  });

  test('take over when the active is deleted, and the pod that the ReplicaSet makes instead is a standby', async () => {
    const before = await inOrder('web-one', 3);
    await world().kubectl('delete', 'pod', nameOf(before.active), '--wait=false');
    const after = await inOrder('web-one', 3, ({ term }) => expect(term).toBe(before.term + 1));
    expect(after.pods.map(nameOf)).not.toContain(nameOf(before.active));
    expect(after.status.lastMove).toMatchObject({ reason: 'ActiveDeleted' });
  });

  test('are rolled out by the Deployment, with an active in every moment', async () => {
    const before = await inOrder('web-one', 3);
    const patch = { spec: { template: { metadata: { annotations: { restarted: 'now' } } } } };
    await world().api.patch(`${deployments()}/web`, patch);
    const old = new Set(before.pods.map(nameOf));
    const after = await inOrder('web-one', 3, ({ pods }) => {
      expect(pods.filter((pod) => old.has(nameOf(pod)))).toEqual([]);
    });
    expect(after.term).toBeGreaterThan(before.term);
  });

  test('that lose the label are let go of: a planned move, and our labels are gone', async () => {
    const before = await inOrder('web-one', 3);
    await world().kubectl('label', 'pod', nameOf(before.active), 'app=debug', '--overwrite');
    const after = await inOrder('web-one', 3, ({ term }) => expect(term).toBe(before.term + 1));
    expect(after.status.lastMove).toMatchObject({ kind: 'Switchover', reason: 'ActiveNotSelected' });
    await until('its labels to be gone', async () => oursOn(await podOf(nameOf(before.active))).length === 0);
  });
});

test('the sample that adopts a Deployment comes to one active', async () => {
  const file = fileURLToPath(new URL('../../deploy/samples/adopt.yaml', import.meta.url));
  await world().kubectl('apply', '--filename', file);
  const { pods } = await inOrder('adopted', 3);
  for (const { metadata } of pods) expect(metadata.labels?.['app.kubernetes.io/name']).toBe('adopted-app');
});

describe('the pods of a StatefulSet', () => {
  test('have their ordinals for slots, and the one that comes back under its name is a standby', async () => {
    const fields = { podManagementPolicy: 'Parallel', serviceName: 'store' };
    await world().api.create(statefulSets(), workload('store', 3, fields));
    await world().create('store-one', selecting({ app: 'store' }, { election: { strategy: 'Ring' } }));
    const before = await inOrder('store-one', 3, ({ status }) =>
      expect(status.members?.map(({ pod, slot }) => [pod, slot])).toEqual(
        [0, 1, 2].map((slot) => [`store-${slot}`, slot]),
      ),
    );
    const slot = before.status.active?.slot ?? 0;
    await world().kubectl('delete', 'pod', nameOf(before.active), '--wait=false');
    const after = await inOrder('store-one', 3, ({ term }) => expect(term).toBe(before.term + 1));
    expect(after.status.active?.slot).toBe((slot + 1) % 3);
    const back = await podOf(nameOf(before.active));
    expect(back.metadata.uid).not.toBe(before.active.metadata.uid);
    expect(roleOf(back)).toBe(ROLE.standby);
    expect(termOf(back)).toBeUndefined();
  });
});

describe('two singletons that select the same pod', () => {
  test('are told: the younger one is refused until they do not any more', async () => {
    await deploy('shared', 2, { tier: 'front' });
    await world().create('first', selecting({ app: 'shared' }));
    await inOrder('first', 2);
    // Creation times are whole seconds.
    await until('the next second', async () => {
      const { metadata } = (await world().read('first')).singleton;
      return Date.now() - Date.parse(metadata.creationTimestamp) > 1_500;
    });
    await world().create('second', selecting({ tier: 'front' }));
    const [pod] = (await labelled('shared')).map(nameOf).sort();
    await world().told('second', (status) =>
      expect(conditionOf(status, 'SpecAccepted')).toMatchObject({
        status: 'False',
        reason: 'SelectorOverlap',
        message: `spec.selector: selects pod ${pod}, which SingletonService first (the older one) selects too. What runs is left as it is`,
      }),
    );
    await inOrder('first', 2);
    expect(await world().gone(world().of('second').service)).toBe(true);
    await deploy('apart', 2);
    await world().change('first', { selector: { matchLabels: { app: 'apart' } } });
    await inOrder('first', 2);
    const { status } = await inOrder('second', 2);
    expect(conditionOf(status, 'SpecAccepted')).toMatchObject({ status: 'True' });
  });
});

describe('a selector that changes', () => {
  test('moves the active to a pod that it selects, and those that it does not select give our labels back', async () => {
    await deploy('blue', 2);
    await deploy('green', 2);
    await world().create('colour', selecting({ app: 'blue' }));
    const before = await inOrder('colour', 2);
    await until('the other pods to be Ready', async () => (await labelled('green')).every(isReady));
    await world().change('colour', { selector: { matchLabels: { app: 'green' } } });
    const after = await inOrder('colour', 2, ({ pods }) =>
      expect(pods.every(({ metadata }) => metadata.labels?.['app'] === 'green')).toBe(true),
    );
    expect(after.term).toBe(before.term + 1);
    await until('the labels to be gone', async () => (await labelled('blue')).every((pod) => oursOn(pod).length === 0));
  });
});

describe('a singleton with a selector that is deleted', () => {
  test('leaves the pods running as they are; one that comes after it goes on with higher terms', async () => {
    const before = await inOrder('colour', 2);
    await world().kubectl('delete', 'singletonservice', 'colour');
    await until('Lease and Service to be collected', () => world().gone(world().of('colour').service), {
      timeoutMs: 90_000,
    });
    await until('the Lease to be collected', () => world().gone(world().of('colour').lease), { timeoutMs: 90_000 });
    expect((await labelled('green')).map(({ metadata }) => metadata.uid).sort()).toEqual(
      before.pods.map(({ metadata }) => metadata.uid).sort(),
    );
    await world().create('colour', selecting({ app: 'green' }));
    const after = await inOrder('colour', 2);
    expect(after.term).toBeGreaterThan(before.term);
    expect(nameOf(after.active)).toBe(nameOf(before.active));
  });
});

describe('in all of this', () => {
  test('the operator has created and deleted no pod', async () => {
    const writes = (await world().writesOf(world().operator)).filter(({ resource }) => resource === 'pods');
    expect(writes.length).toBeGreaterThan(0);
    expect(writes.filter(({ verb }) => verb !== 'patch')).toEqual([]);
  });

  test('no invariant was broken, and no move went to nobody', async () => {
    const history = await recorder.history();
    expect(brokenInvariants(history)).toEqual([]);
    expect(flipsToNobody(history)).toEqual([]);
  });
});
