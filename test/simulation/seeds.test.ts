/** A fixed set of seeds, and a few fresh ones; many more with `npm run simulate -- --seeds 1..10000`. */
import { describe, expect, it } from 'vitest';
import { simulate } from './simulation.ts';

/** Seeds in which a bug was found once. What they do changes with the code; each has a small test of its own as well. */
const REGRESSIONS: readonly (readonly [number, string])[] = [
  [11, 'a new leader with an old Lease in its cache brought a former active back'],
  [26, 'a grant after spec.paused was set, which the watch had not told yet'],
  [17, 'a member deleted by a leader that froze before it sent that, and had become the active meanwhile'],
  [52, 'a new leader with old pods in its cache left two members with the role active'],
  [111, 'a former active deleted without its name, so that no watch told and the status went on naming it'],
  [5608, 'a deleted Service made by a leader that froze before it sent that, routing to who was the active then'],
  [5572, 'a lost Lease rebuilt around nobody, since the watch of pods was silent and the status did not tell yet'],
  [
    982,
    'a second member made for a drain beside the one that only the status told of, since the watch of pods was silent',
  ],
  [952, 'a second member made for a drain that was over, since the watch of nodes was silent'],
  [1245, 'a rollout stopped for good, since the clock of the leader before was ahead when an active failed'],
  [7676, 'an active moved away from without proof, as its pod was deleted by force before any status told of its node'],
  [4585, 'a drain that waited a minute, since members that ended by their eviction counted as failures of their slots'],
];

const FIXED = 200;
const AT_ONCE = 25;
const FRESH = 8;
/** Any number: a fresh run tells it when it fails. */
const fresh = Array.from({ length: FRESH }, (_, index) => (Date.now() % 1e9) + index);

async function violationOf(seed: number): Promise<string | undefined> {
  const { violation } = await simulate({ seed });
  return violation && `seed ${seed}: ${violation.checker}: ${violation.message} (npm run simulate -- --seed ${seed})`;
}

async function violationsOf(seeds: readonly number[]): Promise<string[]> {
  const found: string[] = [];
  for (const seed of seeds) found.push(...[await violationOf(seed)].filter((violation) => violation !== undefined));
  return found;
}

const blocks = Array.from({ length: FIXED / AT_ONCE }, (_, block) => ({
  first: block * AT_ONCE + 1,
  last: (block + 1) * AT_ONCE,
}));

describe('the simulation', { timeout: 120_000 }, () => {
  it('repeats a seed to the letter', async () => {
    const [first, second, other] = [
      await simulate({ seed: 7 }),
      await simulate({ seed: 7 }),
      await simulate({ seed: 8 }),
    ];
    expect(second.hash).toBe(first.hash);
    expect(other.hash).not.toBe(first.hash);
  });

  it.each(REGRESSIONS)('of seed %i, where once there was %s, breaks nothing', async (seed) => {
    expect(await violationOf(seed)).toBeUndefined();
  });

  it.each(blocks)('of the seeds $first to $last breaks nothing', async ({ first, last }) => {
    expect(await violationsOf(Array.from({ length: last - first + 1 }, (_, index) => first + index))).toEqual([]);
  });

  it(`of fresh seeds (this time from ${fresh[0]}) breaks nothing`, async () => {
    expect(await violationsOf(fresh)).toEqual([]);
  });
});
