/** The same random requests, told to a real API server and to the simulated one. */
import { describe, expect, it } from 'vitest';
import { aRandomRequest, listenTo, Teller } from './random-requests.ts';
import { useRealWorld } from './real-world.ts';
import { simulatedWorld } from './simulated-world.ts';

const REQUESTS = 300;

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('random requests', () => {
  const real = useRealWorld();

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('are answered alike, and told alike to watches (seed %i)', async (seed) => {
    const random = randomFrom(seed);
    const worlds = [real(), await simulatedWorld('v1')];
    const listeners = await Promise.all(worlds.map(listenTo));
    const tellers = worlds.map((world) => new Teller(world));
    for (let count = 1; count <= REQUESTS; count += 1) {
      const request = aRandomRequest(random);
      const named = { ...request, name: `${request.name}-of-${seed}` };
      const [expected, answer] = await Promise.all(tellers.map((teller) => teller.tell(named)));
      expect(answer, `request ${count}: ${JSON.stringify(named)}`).toEqual(expected);
    }
    await real().eventually('the watches to have told everything', async () => {
      const [expected, heard] = listeners.map((listener) => listener.heard());
      expect(heard).toEqual(expected);
      return true;
    });
  });
});
