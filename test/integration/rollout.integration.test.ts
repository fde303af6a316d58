/** A changed template on a real API server: members are replaced one after another, and a version that is bad is not rolled out. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pod } from '../../src/api/objects.ts';
import { leaseName } from '../../src/api/names.ts';
import { slotInName } from '../../src/core/slots.ts';
import { aSpec, aTemplate, conditionOf, isReady, nameOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Change, Recorder } from './recorder.ts';

const world = useWorld();
let recorder: Recorder;

beforeAll(async () => {
  recorder = await startRecorder(world().api, world().namespace);
});

afterAll(async () => {
  const history = await recorder.history();
  recorder.stop();
  expect(brokenInvariants(history)).toEqual([]);
  expect(flipsToNobody(history)).toEqual([]);
});

const QUICK = { minReadySeconds: 1 };
const PATIENCE = { timeoutMs: 60_000 };
const imageOf = (pod: Pod): string =>
  (pod.spec as { containers: { image: string }[] } | undefined)?.containers[0]?.image ?? '';

const complete = (name: string, image: string): Promise<Settled> =>
  world().settled(
    name,
    ({ pods, status }) => {
      expect(pods.map(imageOf)).toEqual(pods.map(() => image));
      expect(pods.every(isReady)).toBe(true);
      expect(status.updatedReplicas).toBe(pods.length);
    },
    PATIENCE,
  );

/** Pods of the singleton that were Ready and not going, after each write. */
function readyCounts(history: readonly Change[], name: string): number[] {
  const pods = new Map<string, Pod>();
  const counts: number[] = [];
  for (const { kind, object, deleted } of history) {
    if (kind !== 'pod' || slotInName(name, object.metadata.name) === undefined) continue;
    if (deleted) pods.delete(object.metadata.name);
    else pods.set(object.metadata.name, object);
    counts.push([...pods.values()].filter((pod) => isReady(pod) && !isGoing(pod)).length);
  }
  return counts;
}

const isGoing = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;

const grants = (history: readonly Change[], name: string): string[] =>
  [
    ...new Map(
      history.flatMap(({ kind, object }) => {
        if (kind !== 'lease' || object.metadata.name !== leaseName(name)) return [];
        const { spec, metadata } = object;
        const move = Object.values(metadata.annotations ?? {}).find((text) => text.includes('"reason"')) ?? '{}';
        return [[spec?.leaseTransitions, (JSON.parse(move) as { reason?: string }).reason ?? 'none'] as const];
      }),
    ).values(),
  ].filter((reason) => reason !== 'none');

const since = async (version: string | undefined): Promise<readonly Change[]> =>
  (await recorder.history()).filter((change) => change.version > Number(version));

test('a new image replaces all members one after another, with one planned move, and never leaves fewer than there were', async () => {
  await world().create('db-image', aSpec({ update: QUICK }));
  const before = await complete('db-image', 'app');
  const { metadata } = await world().change('db-image', { template: aTemplate({ image: 'next' }) });
  const after = await complete('db-image', 'next');

  expect(after.term).toBe(before.term + 1);
  expect(after.status.lastMove).toMatchObject({ kind: 'Switchover', reason: 'Rollout', from: nameOf(before.active) });
  const history = await since(metadata.resourceVersion);
  expect(Math.min(...readyCountsFrom(history, before))).toBe(3);
  expect(Math.max(...readyCountsFrom(history, before))).toBe(4);
  expect(grants(history, 'db-image')).toEqual(['Rollout']);
});

/** With those that were there when the history began. */
function readyCountsFrom(history: readonly Change[], { pods, singleton }: Settled): number[] {
  const first = pods.map((object): Change => ({ kind: 'pod', version: 0, deleted: false, object }));
  return readyCounts([...first, ...history], singleton.metadata.name).slice(pods.length - 1);
}

test('with one replica the new member is there before the old one goes', async () => {
  await world().create('db-one', aSpec({ replicas: 1, update: QUICK }));
  const before = await complete('db-one', 'app');
  const { metadata } = await world().change('db-one', { template: aTemplate({ image: 'next' }) });
  const after = await complete('db-one', 'next');
  expect(after.term).toBe(before.term + 1);
  expect(Math.min(...readyCountsFrom(await since(metadata.resourceVersion), before))).toBe(1);
});

test('a version that never gets Ready replaces nobody; people are told, and a good one goes on from there', async () => {
  await world().create('db-stuck', aSpec({ update: { ...QUICK, progressDeadlineSeconds: 2 } }));
  const before = await complete('db-stuck', 'app');
  world().suite.nodes.setReadyGate((pod) => pod.spec.containers[0]?.image !== 'stuck');
  try {
    const { metadata } = await world().change('db-stuck', { template: aTemplate({ image: 'stuck' }) });
    const status = await world().told('db-stuck', ({ conditions }) =>
      expect(conditionOf({ conditions }, 'Progressing')).toMatchObject({
        status: 'False',
        reason: 'RolloutStalled',
        message: expect.stringMatching(/^0 of 3 members are updated; db-stuck-\d-\w+ does not become Ready/) as string,
      }),
    );
    expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True' });
    const history = await since(metadata.resourceVersion);
    expect(Math.min(...readyCountsFrom(history, before))).toBe(3);
    expect(grants(history, 'db-stuck')).toEqual([]);

    await world().change('db-stuck', { template: aTemplate({ image: 'mended' }) });
    await complete('db-stuck', 'mended');
    expect(Math.min(...readyCountsFrom(await since(metadata.resourceVersion), before))).toBe(3);
  } finally {
    world().suite.nodes.setReadyGate(undefined);
  }
});

test('a version that fails as the active: back to an old member, and the rollout stops until the template is another one', async () => {
  await world().create('db-bad', aSpec({ update: { minReadySeconds: 3 } }));
  const before = await complete('db-bad', 'app');
  await world().change('db-bad', { template: aTemplate({ image: 'bad' }) });
  const moved = await world().told(
    'db-bad',
    ({ lastMove }) => expect(lastMove).toMatchObject({ reason: 'Rollout' }),
    PATIENCE,
  );
  await world().suite.nodes.crash({ namespace: world().namespace, name: moved.active?.pod ?? '' });
  const status = await world().told('db-bad', ({ conditions }) =>
    expect(conditionOf({ conditions }, 'Progressing')).toMatchObject({ status: 'False', reason: 'RolloutFailed' }),
  );
  expect(status).toMatchObject({
    active: { pod: nameOf(before.active) },
    lastMove: { kind: 'Failover', reason: 'ActiveCrashed' },
    updatedReplicas: 2,
  });

  await world().change('db-bad', { template: aTemplate({ image: 'good' }), update: QUICK });
  const after = await complete('db-bad', 'good');
  expect(after.status.lastMove).toMatchObject({ reason: 'Rollout', from: nameOf(before.active) });
});

test('with update.switchover Manual the active stays until somebody else has to be it', async () => {
  await world().create('db-manual', aSpec({ replicas: 2, update: { ...QUICK, switchover: 'Manual' } }));
  const before = await complete('db-manual', 'app');
  await world().change('db-manual', { template: aTemplate({ image: 'next' }) });
  const waiting = await world().told(
    'db-manual',
    ({ conditions }) =>
      expect(conditionOf({ conditions }, 'Progressing')).toMatchObject({ reason: 'WaitingForSwitchover' }),
    PATIENCE,
  );
  expect(waiting).toMatchObject({ active: { pod: nameOf(before.active) }, updatedReplicas: 1 });
  await world().change('db-manual', { update: { switchover: 'Automatic' } });
  const after = await complete('db-manual', 'next');
  expect(after.term).toBe(before.term + 1);
});
