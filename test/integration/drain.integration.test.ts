/** A node is drained with kubectl, by the real eviction API: the active is moved first, and the drain does not wait for long. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { GUARDED, LABEL, ROLE } from '../../src/api/names.ts';
import type { Pod, PodDisruptionBudget } from '../../src/api/objects.ts';
import { until } from '../control-plane/wait.ts';
import { brokenInvariants, flipsToNobody, startRecorder, statesWithoutService } from './recorder.ts';
import type { Recorder } from './recorder.ts';
import { aSpec, apart, conditionOf, isReady, nameOf, roleOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

// Members take a while to start and to stop, as real ones do.
const world = useWorld({ startDelayMs: 300, stopDelayMs: 1_000 });
/** kubectl asks again after 5 s when an eviction was refused. */
const FEW_SECONDS_MS = 15_000;
let recorder: Recorder;

beforeAll(async () => {
  recorder = await startRecorder(world().api, world().namespace);
});
afterAll(() => recorder.stop());

const nodePath = (node: string): string => `/api/v1/nodes/${node}`;
const nodeOf = ({ spec }: Pod): string => spec?.nodeName ?? '';
const drain = (node: string, timeout = '60s', ...flags: string[]) =>
  world().kubectl('drain', node, '--ignore-daemonsets', `--timeout=${timeout}`, ...flags);
const uncordon = (node: string) => world().kubectl('uncordon', node);

const healed = (name: string, check: (state: Settled) => void = () => {}) =>
  world().settled(name, (state) => {
    expect(state.pods.every(isReady)).toBe(true);
    expect(state.status.ready).toBe(`${state.pods.length}/${state.pods.length}`);
    check(state);
  });

afterEach(async () => {
  for (const node of world().suite.nodes.names)
    await world().api.patch(nodePath(node), { spec: { unschedulable: null } });
});

describe('kubectl drain of the node of the active', () => {
  test('takes no longer than a few seconds, for each node in turn, and the Service has somebody all the time', async () => {
    await world().create('db', apart('db'));
    await healed('db');
    const tookMs: number[] = [];
    for (let round = 0; round < 6; round++) {
      const before = await healed('db');
      const node = nodeOf(before.active);
      const startedMs = performance.now();
      await drain(node);
      tookMs.push(performance.now() - startedMs);
      const after = await healed('db', ({ pods }) => expect(pods.map(nodeOf)).not.toContain(node));
      expect(after.status.lastMove).toMatchObject({
        kind: 'Switchover',
        reason: 'NodeDraining',
        from: nameOf(before.active),
      });
      expect(after.term).toBe(before.term + 1);
      await uncordon(node);
    }
    console.log(`kubectl drain of the active's node took ${tookMs.map((ms) => Math.round(ms)).join(', ')} ms`);
    expect(Math.max(...tookMs)).toBeLessThan(FEW_SECONDS_MS);
    const history = await recorder.history();
    expect(brokenInvariants(history)).toEqual([]);
    expect(flipsToNobody(history)).toEqual([]);
    expect(statesWithoutService(history)).toEqual([]);
  });

  test('promote before terminating: when the old active is asked to go, it is a standby, and another one is routed', async () => {
    const before = await healed('db');
    await drain(nodeOf(before.active));
    const after = await healed('db');
    const history = await recorder.history();
    const asked = history.findIndex(
      ({ kind, object }) =>
        kind === 'pod' && nameOf(object) === nameOf(before.active) && object.metadata.deletionTimestamp !== undefined,
    );
    expect(roleOf(history[asked]?.object as Pod)).toBe(ROLE.standby);
    const flipped = history.findIndex(
      ({ kind, object }) => kind === 'service' && object.spec?.selector?.[LABEL.term] === String(after.term),
    );
    const guardOf = ({ kind, object }: (typeof history)[number]): string | undefined =>
      kind === 'pod' && nameOf(object) === nameOf(before.active)
        ? (object.metadata.labels?.[LABEL.guarded] ?? 'no')
        : undefined;
    const guarded = history.findLastIndex((state) => guardOf(state) === GUARDED);
    const unguarded = history.findIndex((state, place) => place > guarded && guardOf(state) === 'no');
    expect(guarded).toBeGreaterThan(-1);
    expect(flipped).toBeGreaterThan(-1);
    expect(flipped).toBeLessThan(unguarded);
    expect(unguarded).toBeLessThan(asked);
  });

  test('moves nothing back when it is uncordoned', async () => {
    const before = await healed('db');
    const node = nodeOf(before.active);
    await drain(node);
    const moved = await healed('db');
    await uncordon(node);
    // The next move, of which the operator hears after the uncordon, begins where the drain has left it.
    await world().suite.nodes.crash(moved.active.metadata);
    const later = await world().settled('db', ({ term }) => expect(term).toBe(moved.term + 1));
    expect(later.status.lastMove).toMatchObject({ kind: 'Failover', from: nameOf(moved.active) });
    await world().suite.nodes.restart(moved.active.metadata);
  });

  test('of a node with standbys alone moves nothing', async () => {
    const { active, standbys, term } = await healed('db');
    const node = standbys.map(nodeOf).find((other) => other !== nodeOf(active));
    if (node === undefined) throw new Error('all members are on one node');
    await drain(node);
    const after = await healed('db', ({ pods }) => expect(pods.map(nodeOf)).not.toContain(node));
    expect([nameOf(after.active), after.term]).toEqual([nameOf(active), term]);
  });

  test('a budget on the active that blocks the drain: with one replica another member is started elsewhere, and it moves there', async () => {
    await world().create('single', aSpec({ replicas: 1 }));
    const { active, term } = await healed('single');
    await drain(nodeOf(active));
    const after = await healed('single', ({ pods }) => expect(pods.map(nodeOf)).not.toContain(nodeOf(active)));
    expect(after.term).toBe(term + 1);
    expect(after.status.lastMove).toMatchObject({ kind: 'Switchover', reason: 'NodeDraining', from: nameOf(active) });
  });

  test('a budget on the active that blocks the drain: with no other node it does, and people are told what to do', async () => {
    const { active } = await healed('single');
    // The active of the other singleton may be on this node, and has nowhere to go either.
    const drainOfIt = (timeout?: string) => drain(nodeOf(active), timeout, `--pod-selector=${LABEL.name}=single`);
    // Its own node last: a second member would be made on one that is still open, and the active would go there.
    const others = world().suite.nodes.names.filter((node) => node !== nodeOf(active));
    for (const node of [...others, nodeOf(active)]) await world().kubectl('cordon', node);
    await until('the budget to be counted', async () => {
      const budget = await world().api.get<PodDisruptionBudget & { status: { currentHealthy: number } }>(
        world().of('single').budget,
      );
      return budget.status.currentHealthy === 1;
    });
    await expect(drainOfIt('8s')).rejects.toThrow("Cannot evict pod as it would violate the pod's disruption budget");
    await world().told('single', (status) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({
        status: 'True',
        reason: 'NoCandidate',
        message: expect.stringContaining('no member on another node can take over, so the drain has to wait') as string,
      }),
    );
    const events = await world().events('single');
    expect(events.map(({ reason }) => reason)).toContain('MoveBlocked');
    await world().change('single', { disruptionBudget: false });
    await until('the budget to be gone', () => world().gone(world().of('single').budget));
    await drainOfIt();
    for (const node of others) await uncordon(node);
    await healed('single', ({ pods }) => expect(pods.map(nodeOf)).not.toContain(nodeOf(active)));
    await world().api.delete(world().of('single').singleton);
  });

  test('switchover not triggered on drain: an eviction without a cordon is refused, and nothing moves', async () => {
    const before = await healed('db');
    const { name, namespace } = before.active.metadata;
    const apiVersion = world().suite.controlPlane.minorVersion >= 22 ? 'policy/v1' : 'policy/v1beta1';
    const eviction = { apiVersion, kind: 'Eviction', metadata: { name, namespace } };
    const evict = (pod: string) =>
      world().api.create(`${world().paths.pods}/${pod}/eviction`, { ...eviction, metadata: { name: pod, namespace } });
    await expect(evict(name)).rejects.toMatchObject({ status: 429 });
    const [standby] = before.standbys;
    if (standby === undefined) throw new Error('there is no standby');
    await evict(nameOf(standby));
    const after = await healed('db', ({ pods }) => expect(pods.map(nameOf)).not.toContain(nameOf(standby)));
    expect([nameOf(after.active), after.term]).toEqual([name, before.term]);
  });

  test('is foreseen when the node says that it shuts down', async () => {
    const before = await healed('db');
    const node = nodeOf(before.active);
    await world().suite.nodes.shutDownNode(node);
    const after = await world().settled('db', ({ term }) => expect(term).toBe(before.term + 1));
    expect(after.status.lastMove).toMatchObject({
      kind: 'Switchover',
      reason: 'NodeDraining',
      message: expect.stringContaining('shutting down') as string,
    });
    await world().suite.nodes.recoverNode(node);
    await healed('db');
  });
});

describe('the PodDisruptionBudget', () => {
  const budget = () => world().of('protected').budget;
  const read = () => world().api.get<PodDisruptionBudget>(budget());
  const isRight = async () => {
    const { metadata, spec } = await read();
    expect(metadata.labels?.[LABEL.name]).toBe('protected');
    expect(spec?.minAvailable).toBe(2);
    expect(spec?.maxUnavailable).toBeUndefined();
    expect(spec?.selector).toEqual({ matchLabels: { [LABEL.name]: 'protected', [LABEL.guarded]: GUARDED } });
    return metadata;
  };

  test('is owned by the SingletonService', async () => {
    await world().create('protected', aSpec({ replicas: 2 }));
    const { singleton } = await healed('protected');
    const metadata = await until('the budget', isRight);
    expect(metadata.ownerReferences).toMatchObject([{ uid: singleton.metadata.uid, controller: true }]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['that asks for less', () => world().api.patch(budget(), { spec: { minAvailable: 0 } })],
    [
      'that asks for something else',
      () => world().api.patch(budget(), { spec: { minAvailable: null, maxUnavailable: 1 } }),
    ],
    ['with another selector', () => world().api.patch(budget(), { spec: { selector: { matchLabels: { app: 'x' } } } })],
    [
      'whose name label is taken away',
      () => world().api.patch(budget(), { metadata: { labels: { [LABEL.name]: null } } }),
    ],
    ['that is deleted', () => world().api.delete(budget())],
  ])('is put right, one %s', async (_what, harm) => {
    await harm();
    await until('the budget to be right', isRight);
  });

  test('goes when the spec does not want it any more, and comes back', async () => {
    await world().change('protected', { disruptionBudget: false });
    await until('the budget to be gone', () => world().gone(budget()));
    await world().change('protected', { disruptionBudget: true });
    await until('the budget to be back', isRight);
  });

  test('of somebody else is never touched, is told of, and no move waits for it; ours comes when it goes', async () => {
    await world().change('protected', { disruptionBudget: false });
    await until('the budget to be gone', () => world().gone(budget()));
    const { resourceVersion } = (
      await world().api.create(world().paths.budgets, {
        metadata: { name: 'protected' },
        spec: { maxUnavailable: 0, selector: { matchLabels: { app: 'theirs' } } },
      })
    ).metadata;
    await world().change('protected', { disruptionBudget: true });
    await world().told('protected', (status) =>
      expect(conditionOf(status, 'SpecAccepted')?.message).toContain('PodDisruptionBudget protected exists'),
    );
    const before = await healed('protected');
    await world().suite.nodes.crash(before.active.metadata);
    await world().settled('protected', ({ term }) => expect(term).toBe(before.term + 1));
    await world().suite.nodes.restart(before.active.metadata);
    await healed('protected');
    const theirs = await read();
    expect(theirs.spec).toMatchObject({ maxUnavailable: 0, selector: { matchLabels: { app: 'theirs' } } });
    expect(theirs.metadata.generation).toBe(1);
    expect(Number(theirs.metadata.resourceVersion)).toBeGreaterThanOrEqual(Number(resourceVersion));
    await world().api.delete(budget());
    await until('our own budget', isRight, { timeoutMs: 20_000 });
  });
});
