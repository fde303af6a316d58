import type { Clock } from './ports.ts';

/** The longest delay a Node timer takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * The clock of this machine. Time passed comes from `performance.now()`, which no clock adjustment moves.
 *
 * Its timers do not keep the process alive: what must keep it alive are its connections and servers. A program that
 * only waits for a timer passes `keepAlive`.
 */
export function createSystemClock(options: { readonly keepAlive?: boolean } = {}): Clock {
  const monotonicMs = (): number => performance.now();
  return {
    monotonicMs,
    wallMs: () => Date.now(),
    after(delayMs, action) {
      const dueMs = monotonicMs() + delayMs;
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        const leftMs = Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(dueMs - monotonicMs())));
        timer = setTimeout(fire, leftMs);
        if (options.keepAlive !== true) timer.unref();
      };
      // Node counts from the time at which its event loop last woke up, in whole milliseconds: it can be early.
      const fire = (): void => (monotonicMs() < dueMs ? arm() : action());
      arm();
      return () => clearTimeout(timer);
    },
  };
}
