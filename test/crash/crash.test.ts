/**
 * The operator dies right after a write of its landed, before the answer came, and another one takes over: after every
 * single write of every scenario. What it leaves behind must break no invariant, and must be finished.
 */
import { describe, expect, it } from 'vitest';
import { SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { World } from '../simulation/world.ts';
import { SCENARIOS } from './scenarios.ts';
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
async function live({ happens, isNew, isAdopting = false }: Scenario, crashAfter?: number): Promise<Life> {
  const writes: string[] = [];
  let hasBegun = false;
  const world: World = new World({
    seed: SEED,
    replicas: 1,
    isAdopting,
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
  await world.run(10_000);
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

describe('whichever write is the last of an operator, another one finishes what it began', { timeout: 60_000 }, () => {
  it.each(SCENARIOS)('when $name', async (scenario) => {
    const { writes, problem } = await live(scenario);
    expect(problem, 'without a crash').toBeUndefined();
    expect(writes.length).toBeGreaterThan(0);
    const problems: string[] = [];
    for (let write = 1; write <= writes.length; write += 1) {
      const life = await live(scenario, write);
      if (life.problem !== undefined)
        problems.push(`after write ${write} (${life.writes[write - 1]}): ${life.problem}`);
    }
    expect(problems).toEqual([]);
  });
});
