import { expect } from 'vitest';

/**
 * @param terms of what the store took, in the order in which it did
 * @param higher that came second: the race was none if nothing had landed before it
 */
export function expectOrder(terms: readonly number[], higher: number): void {
  const first = terms.indexOf(higher);
  expect(first).toBeGreaterThan(0);
  expect(terms.slice(0, first).every((term) => term < higher)).toBe(true);
  expect(terms.slice(first).filter((term) => term !== higher)).toEqual([]);
}

/** More than a race takes, and an end for one that nobody wins. */
const MAX_ROUNDS = 40;

/** So many at once, each again and again until it has been refused: nobody stops before a higher term is there. */
export async function raceUntilRefused(writers: number, write: () => Promise<number>): Promise<void> {
  const again = async (): Promise<void> => {
    for (let round = 0; round < MAX_ROUNDS; round += 1) if ((await write()) > 0) return;
    throw new Error(`none of ${MAX_ROUNDS} rounds was refused`);
  };
  await Promise.all(Array.from({ length: writers }, again));
}
