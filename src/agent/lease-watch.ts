/** Reads the Lease, watches it from there, and begins again whenever that ends. */
import type { Clock } from '../adapters/ports.ts';
import type { Lease } from '../api/objects.ts';
import { LeaseError } from './ports.ts';
import type { LeaseSource } from './ports.ts';

export interface LeaseWatchOptions {
  readonly source: LeaseSource;
  readonly clock: Clock;
  /** @param askedAtMs of a state that was read: before it was asked for */
  readonly onLease: (lease: Lease | undefined, askedAtMs?: number) => void;
  readonly onProblem: (error: unknown) => void;
  readonly signal: AbortSignal;
}

/** Between two attempts, doubled with each that fails: a grant must not wait long for an agent that looks again. */
const PAUSE_MS = { min: 200, max: 1_000 };

/** Resolves when `signal` is aborted. */
export async function watchLease(options: LeaseWatchOptions): Promise<void> {
  const { source, clock, onLease, onProblem, signal } = options;
  let version: string | undefined;
  let pauseMs = PAUSE_MS.min;
  const onWatched = (lease: Lease | undefined): void => {
    if (signal.aborted) return;
    pauseMs = PAUSE_MS.min;
    version = lease?.metadata.resourceVersion ?? version;
    onLease(lease);
  };
  while (!signal.aborted) {
    try {
      if (version === undefined) version = await read(options);
      const sinceMs = clock.monotonicMs();
      if (version !== undefined) {
        await source.watch(version, onWatched, signal);
        // One that lived its time is followed by the next at once.
        if (clock.monotonicMs() - sinceMs >= PAUSE_MS.max) continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      // Whatever went wrong, what was missed is found by reading, not by a version that the server may not have.
      version = undefined;
      onProblem(error);
    }
    if (signal.aborted) return;
    await pause(clock, pauseMs, signal);
    pauseMs = version === undefined ? Math.min(PAUSE_MS.max, pauseMs * 2) : PAUSE_MS.min;
  }
}

/** Undefined: there is no Lease. */
async function read({ source, clock, onLease, signal }: LeaseWatchOptions): Promise<string | undefined> {
  const askedAtMs = clock.monotonicMs();
  try {
    const lease = await source.read();
    if (!signal.aborted) onLease(lease, askedAtMs);
    return lease.metadata.resourceVersion;
  } catch (error) {
    if (!(error instanceof LeaseError) || error.status !== 404) throw error;
    if (!signal.aborted) onLease(undefined, askedAtMs);
    return undefined;
  }
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener('abort', end);
  });
}
