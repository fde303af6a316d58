/** One life of a singleton in which an operator dies right after a write, and the next one finishes what it began. */
import { expect } from 'vitest';
import { SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { World } from '../simulation/world.ts';
import type { Scenario } from './scenarios.ts';

const SEED = 1;
const SETTLE_MS = 120_000;
const DOWN_MS = 50;

interface Life {
  /** Writes of the operator from when the scenario began. */
  readonly writes: readonly string[];
  readonly problem: string | undefined;
}

/** @param crashAfter the how-manieth write is the last of the first operator; undefined: it lives */
async function live(
  { happens, isNew, isAdopting = false, isFenced = false, takesMs = 10_000 }: Scenario,
  crashAfter?: number,
): Promise<Life> {
  const writes: string[] = [];
  let hasBegun = false;
  const world: World = new World({
    seed: SEED,
    replicas: 1,
    isAdopting,
    isFenced,
    onOperatorsWrite: ({ verb, type, after, before }) => {
      if (!hasBegun) return;
      writes.push(`${verb} ${type.plural} ${(after ?? before)?.metadata.name ?? ''}`);
      if (writes.length === crashAfter) restart(world);
    },
  });
  world.begin();
  if (isNew !== true) {
    world.cluster.create('user', SINGLETON_SERVICE, world.manifest);
    await world.settle(SETTLE_MS);
    await world.run(5_000);
  }
  hasBegun = true;
  happens(world);
  await world.run(100);
  await world.run(takesMs);
  const active = await world.settle(SETTLE_MS);
  if (active !== undefined) await world.rest(active, 20_000);
  const { violation } = world;
  return { writes, problem: violation && `${violation.checker}: ${violation.message}` };
}

function restart({ replicas, engine, trace }: World): void {
  const [replica] = replicas;
  trace.note('fault', 'the operator crashes');
  replica?.crash();
  engine.after(DOWN_MS, () => replica?.start());
}

/** After every single write that the scenario makes the operator do. */
export async function survives(scenario: Scenario): Promise<void> {
  const { writes, problem } = await live(scenario);
  expect(problem, 'without a crash').toBeUndefined();
  expect(writes.length).toBeGreaterThan(0);
  const problems: string[] = [];
  for (let write = 1; write <= writes.length; write += 1) {
    const life = await live(scenario, write);
    if (life.problem !== undefined) problems.push(`after write ${write} (${life.writes[write - 1]}): ${life.problem}`);
  }
  expect(problems).toEqual([]);
}
