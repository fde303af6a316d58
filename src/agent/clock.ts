import type { Clock } from '../adapters/ports.ts';

const NS_PER_MS = 1e6;
/** The longest delay a Node timer takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * The machine's own monotonic clock (Linux: CLOCK_MONOTONIC), which goes on from one process to the next: a deadline that
 * the process before wrote down means the same to this one, until the machine is booted again.
 */
export function createMachineClock(): Clock {
  const monotonicMs = (): number => Number(process.hrtime.bigint()) / NS_PER_MS;
  return {
    monotonicMs,
    wallMs: () => Date.now(),
    after(delayMs, action) {
      const dueMs = monotonicMs() + delayMs;
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        timer = setTimeout(fire, Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(dueMs - monotonicMs()))));
      };
      // Node counts from the time at which its event loop last woke up, in whole milliseconds: it can be early.
      const fire = (): void => (monotonicMs() < dueMs ? arm() : action());
      arm();
      return () => clearTimeout(timer);
    },
  };
}
