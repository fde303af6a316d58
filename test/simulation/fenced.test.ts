/** The operator and the agent that ship, together: I4 in true time, and I5 asserted by the operator itself before each grant. */
import { describe, expect, it } from 'vitest';
import { simulateAgents } from './agent-simulation.ts';

const FIXED = 100;
const AT_ONCE = 50;

async function violationsOf(seeds: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const seed of seeds) {
    const { violation } = await simulateAgents({ seed }, true);
    if (violation !== undefined) found.push(`seed ${seed}: ${violation.checker}: ${violation.message}`);
  }
  return found;
}

const blocks = Array.from({ length: FIXED / AT_ONCE }, (_, block) => ({
  first: block * AT_ONCE + 1,
  last: (block + 1) * AT_ONCE,
}));

describe('the simulation of agents with the operator that ships', { timeout: 120_000 }, () => {
  it('repeats a seed to the letter', async () => {
    const [first, second] = await Promise.all([7, 7].map((seed) => simulateAgents({ seed }, true)));
    expect(second?.hash).toBe(first?.hash);
  });

  it('has one member act all the time when nothing goes wrong', async () => {
    const lines: string[] = [];
    const print = (line: string): void => void lines.push(line);
    const { violation } = await simulateAgents({ seed: 3, quiet: true, print }, true);
    expect(violation).toBeUndefined();
    expect(lines.filter((line) => / act {5,}.* acts under/.test(line))).toHaveLength(1);
  });

  it.each(blocks)('of the seeds $first to $last breaks nothing', async ({ first, last }) => {
    expect(await violationsOf(Array.from({ length: last - first + 1 }, (_, index) => first + index))).toEqual([]);
  });
});
