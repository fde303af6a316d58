import type { Clock } from './ports.ts';

/** The longest delay a Node timer takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * The clock of this machine. Time passed comes from `performance.now()`, which no clock adjustment moves.
 *
 * Its timers do not keep the process alive: what must keep it alive are its connections and servers. A program that
 * only waits for a timer passes `keepAlive`.
 */
export const createSystemClock = (options: { readonly keepAlive?: boolean } = {}): Clock => ({
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, action) => {
    // Node cuts a delay to whole milliseconds, so that a timer may fire before its time: rounded up here.
    const timer = setTimeout(action, Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(delayMs))));
    if (options.keepAlive !== true) timer.unref();
    return () => clearTimeout(timer);
  },
});
