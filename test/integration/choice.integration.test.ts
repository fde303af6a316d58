/** Who takes over when the active fails: what the spec asks for, whoever is Ready for longest. */
import { expect, test } from 'vitest';
import type { Node } from '../../src/api/objects.ts';
import { aSpec, aTemplate, conditionOf, isReady, nameOf, slotOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

const ZONE = 'topology.kubernetes.io/zone';
const world = useWorld();

/** All members are Ready, and the status says so: nothing is left of the last move. */
const healed = (name: string) =>
  world().settled(name, ({ pods, status }) => {
    expect(pods.every(isReady)).toBe(true);
    expect(status).toMatchObject({ ready: '3/3', eligibleReplicas: 3 });
  });

/** The active crashes and is routed no more; then it comes back, as a standby, and stays one. */
async function failOver(name: string): Promise<Settled> {
  const before = await healed(name);
  await world().suite.nodes.crash(before.active.metadata);
  const after = await world().settled(name, ({ term }) => expect(term).toBe(before.term + 1));
  await world().suite.nodes.restart(before.active.metadata);
  const later = await healed(name);
  expect([later.term, nameOf(later.active)]).toEqual([after.term, nameOf(after.active)]);
  return later;
}

test('strategy Priority takes the highest of those that are left, and nobody says that it is not acted upon', async () => {
  const election = { strategy: 'Priority', priorities: [10, 30, 20] };
  await world().create('db-priority', aSpec({ election }));
  const { active, status } = await healed('db-priority');
  expect(conditionOf(status, 'SpecAccepted')?.message).not.toContain('election');
  const next: Readonly<Record<number, number>> = { 0: 1, 1: 2, 2: 1 };
  const first = await failOver('db-priority');
  expect(slotOf(first.active)).toBe(next[slotOf(active)]);
  expect(slotOf((await failOver('db-priority')).active)).toBe(next[slotOf(first.active)]);
});

test('strategy Ring goes round', async () => {
  await world().create('db-ring', aSpec({ election: { strategy: 'Ring' } }));
  let slot = slotOf((await healed('db-ring')).active);
  for (let round = 0; round < 4; round++) {
    slot = (slot + 1) % 3;
    expect(slotOf((await failOver('db-ring')).active)).toBe(slot);
  }
});

test('a preference for a zone decides before the strategy, also when the zone is another later', async () => {
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' };
  const matchLabels = { app: 'db-preferred' };
  const { spec } = aTemplate() as { spec: object };
  const template = {
    metadata: { labels: matchLabels },
    spec: { ...spec, topologySpreadConstraints: [{ ...spread, labelSelector: { matchLabels } }] },
  };
  const matchExpressions = [{ key: ZONE, operator: 'In', values: ['preferred'] }];
  const election = { strategy: 'Ring', preferences: [{ weight: 1, preference: { matchExpressions } }] };
  await world().create('db-preferred', aSpec({ template, election }));

  const { pods, active } = await healed('db-preferred');
  expect(new Set(pods.map((pod) => pod.spec?.nodeName)).size).toBe(3);
  /** The status tells that the operator knows. */
  const move = async (slot: number, zone: string): Promise<void> => {
    const node = `/api/v1/nodes/${pods[slot]?.spec?.nodeName ?? ''}`;
    await world().api.patch<Node>(node, { metadata: { labels: { [ZONE]: zone } } });
    await world().told('db-preferred', ({ members }) => expect(members?.[slot]?.zone).toBe(zone));
  };
  // Not the ring's next, but the one after that; and from there the same once more.
  const [one, two] = [1, 2].map((steps) => (slotOf(active) + steps) % 3) as [number, number];
  await move(two, 'preferred');
  expect(slotOf((await failOver('db-preferred')).active)).toBe(two);
  await move(two, 'other');
  await move(one, 'preferred');
  expect(slotOf((await failOver('db-preferred')).active)).toBe(one);
});
