import type { Clock } from './ports.ts';

/** The longest delay a Node timer takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * The clock of this machine. Time passed comes from `performance.now()`, which no clock adjustment moves.
 *
 * Its timers do not keep the process alive: what must keep it alive are its connections and servers. A program that
 * only waits for a timer passes `keepAlive`.
 */
export const createSystemClock = (options: { readonly keepAlive?: boolean } = {}): Clock =>
  clockOf(() => performance.now(), options);

/** A clock whose timers go by `monotonicMs`, and never early. */
export function clockOf(monotonicMs: () => number, { keepAlive }: { readonly keepAlive?: boolean }): Clock {
  return {
    monotonicMs,
    wallMs: () => Date.now(),
    after(delayMs, action) {
      const dueMs = monotonicMs() + delayMs;
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        const leftMs = Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(dueMs - monotonicMs())));
        timer = setTimeout(fire, leftMs);
        if (keepAlive !== true) timer.unref();
      };
      // Node counts from the time at which its event loop last woke up, in whole milliseconds: it can be early.
      const fire = (): void => (monotonicMs() < dueMs ? arm() : action());
      arm();
      return () => clearTimeout(timer);
    },
  };
}
