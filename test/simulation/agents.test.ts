/** Agents of fencing mode `Agent`; many more seeds with `npm run simulate -- --mode agent --seeds 1..10000`. */
import { describe, expect, it } from 'vitest';
import { simulateAgents } from './agent-simulation.ts';

/** Seeds in which a bug was found once. */
const REGRESSIONS: readonly (readonly [number, string])[] = [
  [83, 'a new process of an agent took a workload for stopped that the one before was stopping, and released'],
  [324, 'a new process of a workload read an old state while its agent was frozen, and the Lease was released then'],
  [913, 'two probes that had waited for a frozen agent were taken for a container that was restarted in between'],
  [344, 'a call that begins was overtaken by one that ends, made at the same instant with the same sequence'],
  [1313, 'an acknowledgement of one stop was taken for that of the next under the same term'],
  [2269, 'a workload that had ended before it was asked to stop was waited for without end'],
];

const FIXED = 200;
const AT_ONCE = 50;
const FRESH = 20;
/** Any number: a fresh run tells it when it fails. */
const fresh = Array.from({ length: FRESH }, (_, index) => (Date.now() % 1e9) + index);

async function violationsOf(seeds: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const seed of seeds) {
    const { violation } = await simulateAgents({ seed });
    if (violation === undefined) continue;
    const again = `npm run simulate -- --mode agent --seed ${seed}`;
    found.push(`seed ${seed}: ${violation.checker}: ${violation.message} (${again})`);
  }
  return found;
}

const blocks = Array.from({ length: FIXED / AT_ONCE }, (_, block) => ({
  first: block * AT_ONCE + 1,
  last: (block + 1) * AT_ONCE,
}));

describe('the simulation of agents', { timeout: 120_000 }, () => {
  it('repeats a seed to the letter', async () => {
    const seeds = [7, 7, 8];
    const [first, second, other] = await Promise.all(seeds.map((seed) => simulateAgents({ seed })));
    expect(second?.hash).toBe(first?.hash);
    expect(other?.hash).not.toBe(first?.hash);
  });

  it('has somebody act nearly all the time when nothing goes wrong, and nobody ever moves', async () => {
    const lines: string[] = [];
    const { violation } = await simulateAgents({ seed: 3, quiet: true, print: (line) => lines.push(line) });
    expect(violation).toBeUndefined();
    expect(lines.filter((line) => / act {5,}.* acts under/.test(line))).toHaveLength(1);
  });

  it.each(REGRESSIONS)('of seed %i, where once %s, breaks nothing', async (seed) => {
    expect(await violationsOf([seed])).toEqual([]);
  });

  it.each(blocks)('of the seeds $first to $last breaks nothing', async ({ first, last }) => {
    expect(await violationsOf(Array.from({ length: last - first + 1 }, (_, index) => first + index))).toEqual([]);
  });

  it(`of fresh seeds (this time from ${fresh[0]}) breaks nothing`, async () => {
    expect(await violationsOf(fresh)).toEqual([]);
  });
});
