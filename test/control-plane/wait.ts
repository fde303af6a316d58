import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** Default 30 s. */
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/**
 * Polls until `look` gives something other than undefined or false, and returns that. What `look` throws counts as "not
 * yet". For the state of the world that nobody can be told about.
 *
 * @throws after `timeoutMs`, with `what` and the last thing that `look` threw.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = 30_000, intervalMs = 50 }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let failure: unknown;
  do {
    try {
      const seen = await look();
      if (seen !== undefined && seen !== false) return seen;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    await sleep(intervalMs);
  } while (performance.now() < deadline);
  // In the message, too: reports and summaries show no more of an error than its first line.
  const why = failure instanceof Error ? `: ${failure.message.split('\n', 1)[0]}` : '';
  throw new Error(`waited ${timeoutMs} ms for ${what}${why}`, failure === undefined ? undefined : { cause: failure });
}
