/**
 * Specs that break a rule, templates that the API server refuses, and quotas: told, and what runs goes on.
 *
 * On a control plane of its own, whose CRD accepts any spec: so the operator meets objects that are older than the CRD's
 * present rules. And so that the CRD can be deleted under it.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CONDITION, LABEL, MAX_NAME_LENGTH } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import { startControlPlane } from '../control-plane/control-plane.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { enterSuite, share } from '../control-plane/suite.ts';
import type { Suite } from '../control-plane/suite.ts';
import { until } from '../control-plane/wait.ts';
import { CRD_PATH, installCrd, readCrd } from './crd.ts';
import type { Crd } from './crd.ts';
import { startOperator } from './operator.ts';
import type { TestOperator } from './operator.ts';
import { World, aSpec, aTemplate, conditionOf, isReady, nameOf, showLog } from './world.ts';
import type { Settled } from './world.ts';

let controlPlane: ControlPlane;
let suite: Suite;
let world: World;
let operator: TestOperator;

const start = (namespace: string): Promise<TestOperator> =>
  startOperator({ kubeconfigPath: controlPlane.kubeconfigPath, namespace });

beforeAll(async () => {
  controlPlane = await startControlPlane();
  suite = await enterSuite(share(controlPlane));
  await installCrd(suite.api, lenient(readCrd()));
  world = new World(suite);
  operator = await start(suite.namespace);
});
afterEach(({ task }) => {
  if (task.result?.state === 'fail') showLog(operator.log);
});
afterAll(async () => {
  await operator?.stop();
  world?.close();
  await suite?.leave();
  await controlPlane?.stop();
});

/** The CRD as it is, but any spec and any name will do. */
function lenient(crd: Crd): Crd {
  const [version] = crd.spec.versions;
  if (version === undefined) throw new Error('the CRD has no version');
  const schema = version.schema.openAPIV3Schema;
  const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const { status } = schema.properties ?? {};
  version.schema.openAPIV3Schema = { type: 'object', properties: { spec: anything, ...(status && { status }) } };
  return crd;
}

const replaceSpec = (name: string, spec: unknown) =>
  suite.api.patch(world.of(name).singleton, [{ op: 'replace', path: '/spec', value: spec }] as object, 'json');

const containers = (...list: unknown[]): object => ({ template: { spec: { containers: list } } });
const container = (fields: object = {}): object => ({
  name: 'app',
  image: 'app',
  ports: [{ containerPort: 1 }],
  ...fields,
});

/** What is wrong, the spec, and how the condition must name the place and the rule. */
const BROKEN: readonly (readonly [name: string, what: string, spec: unknown, told: string])[] = [
  [
    'portless',
    'a port is missing',
    aSpec(containers({ name: 'app', image: 'app' })),
    'spec.service.ports: is required: a Service needs a port, and no container of the template has ports',
  ],
  ['none', 'replicas is 0', aSpec({ replicas: 0 }), 'spec.replicas: must be between 1 and 32, is 0'],
  ['many', 'replicas is 33', aSpec({ replicas: 33 }), 'spec.replicas: must be between 1 and 32, is 33'],
  ['words', 'a word stands for true', aSpec({ paused: 'yes' }), 'spec.paused: must be true or false, is "yes"'],
  [
    'strategy',
    'the strategy is unknown',
    aSpec({ election: { strategy: 'Youngest' } }),
    'spec.election.strategy: must be Oldest, Priority or Ring, is "Youngest"',
  ],
  [
    'labelled',
    'the template sets a label of ours',
    aSpec({ template: { metadata: { labels: { [LABEL.role]: 'active' } }, spec: { containers: [container()] } } }),
    `spec.template.metadata.labels[${LABEL.role}]: must not be in the template`,
  ],
  ['empty', 'nothing says which pods', { replicas: 2 }, 'spec.template: is required'],
  [
    'nameless',
    'one of two ports has no name',
    aSpec({ service: { ports: [{ port: 1 }, { port: 2, name: 'two' }] } }),
    'spec.service.ports[0].name: is required',
  ],
  [
    'hasty',
    'the times of mode Agent leave no room',
    aSpec({ fencing: { mode: 'Agent' }, election: { leaseDurationSeconds: 5, renewIntervalSeconds: 2 } }),
    'spec.election.renewIntervalSeconds: ',
  ],
  [
    'textual',
    'containers is no list',
    aSpec({ template: { spec: { containers: 'app' } } }),
    'spec.template.spec.containers',
  ],
  [
    'a'.repeat(MAX_NAME_LENGTH + 1),
    'the name is too long',
    aSpec(),
    'metadata.name: must have at most 54 characters, has 55',
  ],
  ['1st', 'no Service can have the name', aSpec(), 'metadata.name: must begin with a lower-case letter'],
];

const rejections = async (name: string) => (await world.events(name)).filter(({ reason }) => reason === 'SpecRejected');

const toldOf = (name: string, reason: string, message: string) =>
  world.told(name, (status, { metadata }) => {
    const condition = conditionOf(status, CONDITION.specAccepted);
    expect(condition).toMatchObject({ status: 'False', reason });
    expect(condition?.message).toContain(message);
    expect(status.observedGeneration).toBe(metadata.generation);
  });

describe('a new singleton of which', () => {
  test.each(BROKEN)(
    '%s: %s is told where and why, in one event, and nothing is made for it',
    async (name, _what, spec, told) => {
      await world.create(name, spec);
      await toldOf(name, 'Invalid', told);
      expect(await world.pods(name)).toEqual([]);
      expect(await world.gone(world.of(name).lease)).toBe(true);
      expect(await rejections(name)).toMatchObject([{ type: 'Warning' }]);
      expect((await rejections(name))[0]?.message).toContain(told);
    },
  );

  test('the spec is put right is created', async () => {
    const curable = BROKEN.filter(([, , spec]) => !Object.is(spec, undefined))
      .map(([name]) => name)
      .filter((name) => /^[a-z]{1,54}$/.test(name));
    await Promise.all(curable.map((name) => replaceSpec(name, aSpec({ replicas: 1 }))));
    for (const name of curable) {
      const { status } = await world.settled(name);
      expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'True' });
      expect(await rejections(name)).toHaveLength(1);
    }
  });
});

describe('a running singleton whose new spec breaks a rule', () => {
  const healed = () => world.settled('db', ({ pods }) => expect(pods.every(isReady)).toBe(true));
  const uids = (pods: readonly Pod[]) =>
    pods.map(({ metadata }) => [metadata.name, metadata.uid, metadata.resourceVersion]);
  let before: Settled;

  const failsOver = async (from: Settled): Promise<void> => {
    await suite.nodes.crash(from.active.metadata);
    await until('the move', async () => {
      const { routed, lease, status } = await world.read('db');
      expect(lease.spec?.leaseTransitions).toBe(from.term + 1);
      expect(from.standbys.map(nameOf)).toContain(routed.join());
      expect(status.lastMove).toMatchObject({ term: from.term + 1, reason: 'ActiveCrashed' });
      return true;
    });
    await suite.nodes.restart(from.active.metadata);
  };

  test.each(BROKEN.filter(([, , spec]) => spec !== undefined).slice(0, 6))(
    '(%s: %s) goes on untouched, is told, and fails over meanwhile',
    async (_name, _what, spec, told) => {
      if (await world.gone(world.of('db').singleton)) await world.create('db', aSpec());
      before = await healed();
      const heard = (await rejections('db')).length;
      await replaceSpec('db', spec);
      await toldOf('db', 'Invalid', told);
      const { pods, service, status } = await world.read('db');
      expect(uids(pods)).toEqual(uids(before.pods));
      expect(service.metadata.resourceVersion).toBe(before.service.metadata.resourceVersion);
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True' });
      await failsOver(before);
      expect(await rejections('db')).toHaveLength(heard + 1);
      await replaceSpec('db', aSpec());
      const after = await healed();
      expect(conditionOf(after.status, CONDITION.specAccepted)).toMatchObject({ status: 'True' });
    },
  );

  test('fails over even under an operator that never saw a good spec of it', async () => {
    before = await healed();
    await replaceSpec('db', aSpec({ replicas: 0 }));
    await toldOf('db', 'Invalid', 'spec.replicas');
    const heard = (await rejections('db')).length;
    await operator.stop();
    operator = await start(suite.namespace);
    await failsOver(before);
    const { pods } = await world.read('db');
    expect(pods.map(nameOf)).toEqual(before.pods.map(nameOf));
    expect(await rejections('db')).toHaveLength(heard);
    await replaceSpec('db', aSpec());
    await healed();
  });
});

describe('a template that the API server refuses', () => {
  const REFUSED: readonly (readonly [name: string, what: string, container: object, told: RegExp])[] = [
    [
      'pull',
      'an unknown pull policy',
      { imagePullPolicy: 'Sometimes' },
      /imagePullPolicy: Unsupported value: "Sometimes"/,
    ],
    [
      'upper',
      'a name that no container can have',
      { name: 'No_Name' },
      /spec\.containers\[0\]\.name: Invalid value: "No_Name"/,
    ],
    [
      'amount',
      'a quantity that is none',
      { resources: { limits: { cpu: 'lots' } } },
      /quantities must match the regular expression/,
    ],
    ['typed', 'a list in place of a text', { image: ['app'] }, /cannot be handled as a Pod|cannot unmarshal/],
  ];
  const matches = (pattern: RegExp): string => expect.stringMatching(pattern) as string;

  test.each(REFUSED)('(%s: %s) is told with its own message for a new singleton', async (name, _what, fields, told) => {
    await world.create(name, aSpec(containers(container(fields))));
    await world.told(name, (status) =>
      expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'False', message: matches(told) }),
    );
    expect(await world.pods(name)).toEqual([]);
    expect(await rejections(name)).toMatchObject([{ message: matches(told) }]);
    await replaceSpec(name, aSpec({ replicas: 1 }));
    const { status } = await world.settled(name);
    expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'True' });
  });

  test.each(REFUSED)(
    '(%s: %s) is told for one that runs, which goes on and fails over',
    async (name, _what, fields, told) => {
      await replaceSpec(name, aSpec({ replicas: 2 }));
      const before = await world.settled(name, ({ pods }) => expect(pods.every(isReady)).toBe(true));
      await replaceSpec(name, aSpec({ replicas: 2, ...containers(container(fields)) }));
      await world.told(name, (status) =>
        expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'False', message: matches(told) }),
      );
      await suite.nodes.crash(before.active.metadata);
      await until('the move', async () => {
        const { routed, pods, service } = await world.read(name);
        // The refused template has another port, on which nobody who runs listens.
        expect(service.spec?.ports).toEqual(before.service.spec?.ports);
        expect(pods.map(nameOf)).toEqual(before.pods.map(nameOf));
        return routed.join() === before.standbys.map(nameOf).join();
      });
      expect(await rejections(name)).toHaveLength(2);
    },
  );
});

describe('a ResourceQuota', () => {
  test('that forbids pods is told, and what it allows is routed; with room again, the rest is made', async () => {
    const namespace = await suite.createNamespace();
    const tight = new World(suite, namespace);
    const theirs = await start(namespace);
    try {
      const quota = { metadata: { name: 'pods' }, spec: { hard: { pods: '1' } } };
      await suite.api.create(tight.paths.quotas, quota);
      await until('the quota to be in force', async () => {
        const { status } = await suite.api.get<{ status?: { hard?: object } }>(`${tight.paths.quotas}/pods`);
        return status?.hard !== undefined;
      });
      await tight.create('squeezed', aSpec({ replicas: 2 }));
      await tight.told('squeezed', (status) => {
        expect(conditionOf(status, 'Progressing')).toMatchObject({
          status: 'True',
          reason: 'Retrying',
          message: expect.stringContaining('exceeded quota: pods') as string,
        });
        expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True' });
        expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'True' });
      });
      await suite.api.patch(`${tight.paths.quotas}/pods`, { spec: { hard: { pods: '2' } } });
      await tight.settled('squeezed', ({ pods }) => expect(pods.every(isReady)).toBe(true), {
        timeoutMs: 60_000,
      });

      // The quota is used up, to the last pod: no room for a successor, and the only candidate does not go before it has one.
      await tight.change('squeezed', { template: aTemplate({ image: 'next' }), update: { minReadySeconds: 0 } });
      await tight.told('squeezed', (status) => {
        expect(conditionOf(status, CONDITION.specAccepted)).toMatchObject({ status: 'True' });
        const message = expect.stringContaining('exceeded quota: pods') as string;
        expect(conditionOf(status, 'Progressing')).toMatchObject({ reason: 'Retrying', message });
        expect(status).toMatchObject({ readyReplicas: 2, updatedReplicas: 0 });
      });
      await suite.api.patch(`${tight.paths.quotas}/pods`, { spec: { hard: { pods: '3' } } });
      await tight.settled('squeezed', ({ status }) => expect(status.updatedReplicas).toBe(2), { timeoutMs: 60_000 });

      // With one more there is somebody who could take over meanwhile: an older one makes room.
      await tight.change('squeezed', { replicas: 3 });
      await tight.settled('squeezed', ({ status }) => expect(status.ready).toBe('3/3'), { timeoutMs: 60_000 });
      await tight.change('squeezed', { template: aTemplate({ image: 'third' }) });
      await tight.told('squeezed', (status) => expect(status.updatedReplicas).toBeGreaterThan(0), {
        timeoutMs: 60_000,
      });
    } finally {
      showLog(theirs.log.filter(({ level }) => level === 'error'));
      await theirs.stop();
      tight.close();
    }
  });
});

describe('a CRD that is deleted with objects in it', () => {
  test('takes them along, and the operator lives, and works again when it is back', async () => {
    await world.create('survivor', aSpec());
    const before = await world.settled('survivor');
    await suite.api.delete(CRD_PATH);
    await until('the CRD to be gone', () => world.gone(CRD_PATH), { timeoutMs: 60_000 });
    await until('the operator to know', async () => {
      return !/singleton_term\{[^}]*name="survivor"/.test(await operator.metrics.registry.metrics());
    });
    await installCrd(suite.api);
    await world.create('survivor', aSpec());
    const after = await world.settled('survivor', () => {}, { timeoutMs: 90_000 });
    expect(after.singleton.metadata.uid).not.toBe(before.singleton.metadata.uid);
    await suite.nodes.crash(after.active.metadata);
    await world.settled('survivor', ({ term }) => expect(term).toBe(after.term + 1));
    await until('the pods of the first life to be collected', async () => {
      const names = (await world.pods('survivor')).map(nameOf);
      return before.pods.every((pod) => !names.includes(nameOf(pod)));
    });
    expect(operator.log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
