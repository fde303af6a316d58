import type { Clock, LogFields, Logger } from '../ports.ts';

const FIRST_INTERVAL_MS = 60_000;
const MAX_INTERVAL_MS = 60 * 60_000;

/**
 * Logs a problem that lasts without a storm: at once, then after 1, 2, 4 … minutes (an hour at most) with the number of
 * times it was met since, and once when it is over.
 */
export class ProblemLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #problem: { readonly key: string; readonly sinceMs: number } | undefined;
  #times = 0;
  #intervalMs = 0;
  #nextMs = 0;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Something is to be told as healed: whoever asks first need not put the message together. */
  get isOpen(): boolean {
    return this.#problem !== undefined;
  }

  /** @param key what makes it the same problem as the last time */
  met(key: string, level: 'info' | 'warn' | 'error', message: string, fields: LogFields): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#problem?.key !== key) {
      this.#problem = { key, sinceMs: this.#problem?.sinceMs ?? nowMs };
      this.#intervalMs = 0;
      this.#nextMs = nowMs;
    }
    this.#times += 1;
    if (nowMs < this.#nextMs) return;
    this.#intervalMs = this.#intervalMs === 0 ? FIRST_INTERVAL_MS : Math.min(MAX_INTERVAL_MS, this.#intervalMs * 2);
    this.#nextMs = nowMs + this.#intervalMs;
    this.#logger[level](message, { ...fields, times: this.#times });
  }

  /** It works again; nothing is logged when there was no problem. */
  healed(message: string, fields: LogFields): void {
    if (this.#problem === undefined) return;
    const lastedMs = Math.round(this.#clock.monotonicMs() - this.#problem.sinceMs);
    this.#logger.info(message, { ...fields, lastedMs, times: this.#times });
    this.#problem = undefined;
    this.#times = 0;
  }
}
