/** Agents with `onApiLoss: Hold`; many more seeds with `npm run simulate -- --mode hold --seeds 1..10000`. */
import { describe, expect, it } from 'vitest';
import { simulateAgents } from './agent-simulation.ts';

const FIXED = 150;
const AT_ONCE = 50;
const SHIPPING = 40;

async function violationsOf(seeds: readonly number[], isShipping = false): Promise<string[]> {
  const found: string[] = [];
  for (const seed of seeds) {
    const { violation } = await simulateAgents({ seed, mode: 'Hold' }, isShipping);
    // Whether the operator that ships comes to rest is asked without Hold.
    if (violation === undefined || (isShipping && ['I6', 'I8'].includes(violation.checker))) continue;
    const again = isShipping ? '' : ` (npm run simulate -- --mode hold --seed ${seed})`;
    found.push(`seed ${seed}: ${violation.checker}: ${violation.message}${again}`);
  }
  return found;
}

const from = (first: number, count: number): number[] => Array.from({ length: count }, (_, index) => first + index);
const blocks = from(0, FIXED / AT_ONCE).map((block) => ({ first: block * AT_ONCE + 1, last: (block + 1) * AT_ONCE }));

describe('the simulation of agents that hold', { timeout: 120_000 }, () => {
  it('repeats a seed to the letter', async () => {
    const [first, second] = await Promise.all([7, 7].map((seed) => simulateAgents({ seed, mode: 'Hold' })));
    expect(second?.hash).toBe(first?.hash);
  });

  it('has the active stay while the API server is away for three leases, and one act all the time', async () => {
    for (const seed of from(1, 10)) {
      const lines: string[] = [];
      const print = (line: string): void => void lines.push(line);
      const { violation } = await simulateAgents({ seed, mode: 'Hold', quiet: true, print });
      expect(violation).toBeUndefined();
      expect(lines.filter((line) => / trial .*the API server is away/.test(line))).toHaveLength(1);
      expect(lines.filter((line) => / act {5,}.* acts under/.test(line))).toHaveLength(1);
    }
  });

  it.each(blocks)('of the seeds $first to $last breaks nothing', async ({ first, last }) => {
    expect(await violationsOf(from(first, last - first + 1))).toEqual([]);
  });

  it(`with the operator that ships, of the seeds 1 to ${SHIPPING}, breaks nothing that keeps two from acting`, async () => {
    expect(await violationsOf(from(1, SHIPPING), true)).toEqual([]);
  });
});
