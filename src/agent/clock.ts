import { clockOf } from '../adapters/clock.ts';
import type { Clock } from '../adapters/ports.ts';

const NS_PER_MS = 1e6;

/**
 * The machine's own monotonic clock (Linux: CLOCK_MONOTONIC), which goes on from one process to the next: a deadline that
 * the process before wrote down means the same to this one, until the machine is booted again.
 */
export const createMachineClock = (): Clock =>
  clockOf(() => Number(process.hrtime.bigint()) / NS_PER_MS, { keepAlive: true });
