import type { Random } from '../ports.ts';

/** client-go's reflector: 800 ms, doubling up to 30 s, with a jitter of up to the same again. */
const FIRST_MS = 800;
const MAX_MS = 30_000;

export class Backoff {
  readonly #random: Random;
  #nextMs = FIRST_MS;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How long to wait before the next attempt, never more than `maxMs`. */
  next(maxMs: number = MAX_MS): number {
    const delayMs = this.#nextMs * (1 + this.#random());
    this.#nextMs = Math.min(MAX_MS, this.#nextMs * 2);
    return Math.min(delayMs, maxMs, MAX_MS);
  }

  reset(): void {
    this.#nextMs = FIRST_MS;
  }
}
