import type { Clock } from '../../src/adapters/ports.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

/** Lets everything happen that needs no time: promises that are settled, and what follows from them. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  readonly #startWallMs: number;
  #nowMs = 0;
  #order = 0;

  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#startWallMs = startWallMs;
  }

  /** How many timers are waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  /** When the next timer is due, in ms from now. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.atMs - this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#startWallMs + this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: (this.#order += 1), action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /**
   * Moves on by `ms`. Timers that become due run in order, each at its own time; after each of them, and before the first,
   * promises are let settle, so that what one of them starts can still be due within the same `advance`.
   */
  async advance(ms: number): Promise<void> {
    await settle();
    const untilMs = this.#nowMs + ms;
    for (let timer = this.#next(); timer !== undefined && timer.atMs <= untilMs; timer = this.#next()) {
      this.#timers.delete(timer);
      this.#nowMs = timer.atMs;
      timer.action();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      const earlier =
        next === undefined || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order);
      if (earlier) next = timer;
    }
    return next;
  }
}
