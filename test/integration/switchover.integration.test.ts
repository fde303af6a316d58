/** Planned moves that somebody wants: requests by annotation, and preemption. */
import { describe, expect, test } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import type { SwitchoverStatus } from '../../src/api/types.ts';
import { aSpec, apart, isReady, nameOf, slotOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

const world = useWorld();

const healed = (name: string) =>
  world().settled(name, ({ pods, status }) => {
    expect(pods.every(isReady)).toBe(true);
    expect(status).toMatchObject({ eligibleReplicas: pods.length });
  });

/** Asks, and waits for what became of it: by then the annotation is gone. */
async function ask(name: string, request: string): Promise<SwitchoverStatus> {
  const before = (await world().read(name)).status.switchover?.requestedAt;
  const annotations = { [ANNOTATION.switchover]: request };
  await world().api.patch(world().of(name).singleton, { metadata: { annotations } });
  const { switchover } = await world().told(name, (status, { metadata }) => {
    expect(status.switchover?.requestedAt).not.toBe(before);
    expect(status.switchover).toMatchObject({ request });
    expect(status.switchover?.outcome).not.toBe('Pending');
    expect(metadata.annotations?.[ANNOTATION.switchover]).toBeUndefined();
  });
  if (switchover === undefined) throw new Error('nobody told of it');
  return switchover;
}

const reasonsOf = async (name: string): Promise<string[]> =>
  (await world().events(name)).map(({ reason }) => reason).filter((reason) => reason.startsWith('Switchover'));

describe('a requested switchover', () => {
  test('is done ten times in a row, to any, to slots and to pods, each with its outcome and its events', async () => {
    await world().create('db');
    let before: Settled = await healed('db');
    for (let round = 0; round < 10; round++) {
      const target = before.standbys[round % before.standbys.length];
      if (target === undefined) throw new Error('there is no standby');
      const request = ['any', `slot:${slotOf(target)}`, nameOf(target)][round % 3] ?? 'any';
      const outcome = await ask('db', request);
      const after = await healed('db');
      expect(outcome).toMatchObject({ request, outcome: 'Completed', reason: 'Requested' });
      expect(outcome).toMatchObject({ from: nameOf(before.active), to: nameOf(after.active) });
      if (request !== 'any') expect(nameOf(after.active)).toBe(nameOf(target));
      expect(after.term).toBe(before.term + 1);
      expect(after.status.lastMove).toMatchObject({ kind: 'Switchover', reason: 'Requested', term: after.term });
      before = after;
    }
    const reasons = await reasonsOf('db');
    // The two of one switchover are sent side by side.
    for (const reason of ['SwitchoverStarted', 'SwitchoverCompleted'])
      expect(reasons.filter((each) => each === reason)).toHaveLength(10);
    expect(reasons).toHaveLength(20);
  });

  test.each([
    ['to a pod that does not exist', 'refused-9-nobody', 'NoSuchPod'],
    ['to a slot that does not exist', 'slot:7', 'NoSuchSlot'],
    ['in words that mean nothing', 'to:db-1', 'Malformed'],
  ])('%s is refused with the reason, and moves nothing', async (_how, request, reason) => {
    const name = `refused-${reason.toLowerCase()}`;
    await world().create(name, aSpec({ replicas: 2 }));
    const before = await healed(name);
    expect(await ask(name, request)).toMatchObject({ outcome: 'Refused', reason });
    const after = await healed(name);
    expect([after.term, nameOf(after.active)]).toEqual([before.term, nameOf(before.active)]);
    expect(await reasonsOf(name)).toEqual(['SwitchoverRefused']);
  });

  test('to a pod that is not Ready, or while it is paused, is refused, and done when it is asked for again', async () => {
    await world().create('later', aSpec({ replicas: 2 }));
    const { standbys, active } = await healed('later');
    const [standby] = standbys;
    if (standby === undefined) throw new Error('there is no standby');
    await world().suite.nodes.crash(standby.metadata);
    await world().settled('later', ({ status }) => expect(status.eligibleReplicas).toBe(1));
    expect(await ask('later', nameOf(standby))).toMatchObject({ outcome: 'Refused', reason: 'Crashed' });
    await world().suite.nodes.restart(standby.metadata);
    await healed('later');
    await world().change('later', { paused: true });
    expect(await ask('later', 'any')).toMatchObject({ outcome: 'Refused', reason: 'Paused' });
    await world().change('later', { paused: false });
    expect(nameOf((await healed('later')).active)).toBe(nameOf(active));
    expect(await ask('later', 'any')).toMatchObject({ outcome: 'Completed', to: nameOf(standby) });
  });
});

test('preemption hands over to the node that a label makes the preferred one, though no pod of it changed', async () => {
  const matchExpressions = [{ key: 'disk', operator: 'In', values: ['fast'] }];
  const preferences = [{ weight: 1, preference: { matchExpressions } }];
  const election = { preferences, preemption: 'AfterStable', stableSeconds: 1 };
  await world().create('db-preempted', apart('db-preempted', aSpec({ election })));
  const { pods, active, term } = await healed('db-preempted');
  const other = pods.find((pod) => pod.spec?.nodeName !== active.spec?.nodeName);
  if (other === undefined) throw new Error('all members are on one node');
  const node = `/api/v1/nodes/${other.spec?.nodeName ?? ''}`;
  await world().api.patch(node, { metadata: { labels: { disk: 'fast' } } });
  const after = await world().settled('db-preempted', (state) => expect(state.term).toBe(term + 1));
  expect(after.active.spec?.nodeName).toBe(other.spec?.nodeName);
  expect(after.status.lastMove).toMatchObject({ kind: 'Switchover', reason: 'Preempted' });
});
