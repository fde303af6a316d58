/**
 * The work queue, after client-go's: a key is worked on by one worker at a time; a key that is added while it is being
 * worked on is worked on once more afterwards; keys that fail come back later and later.
 */
import type { Clock, Random } from '../adapters/ports.ts';

export interface QueueOptions {
  readonly concurrency: number;
  /** Must not reject: failures are its own to report. */
  readonly work: (key: string) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly onDepth?: (depth: number) => void;
}

export interface Backoff {
  /** The server asked for at least so much. */
  readonly minMs?: number;
  /** Default 30 s. */
  readonly maxMs?: number;
}

const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 30_000;

export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** The earliest time at which a key is due without being added by anyone. */
  readonly #timers = new Map<string, { dueAtMs: number; cancel: () => void }>();
  #stopped = false;
  #idle: (() => void) | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    if (this.#stopped) return;
    if (this.#running.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#pump();
  }

  /** Adds the key at `dueAtMs` (monotonic); of several times the earliest counts. */
  addAt(key: string, dueAtMs: number): void {
    if (this.#stopped) return;
    const timer = this.#timers.get(key);
    if (timer !== undefined && timer.dueAtMs <= dueAtMs) return;
    timer?.cancel();
    const cancel = this.#options.clock.after(Math.max(0, dueAtMs - this.#options.clock.monotonicMs()), () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { dueAtMs, cancel });
  }

  /** Adds the key after 20 ms, 40 ms, … `maxMs`, half of it by chance, so that keys that failed together part ways. */
  addAfterFailure(key: string, { minMs = 0, maxMs = MAX_BACKOFF_MS }: Backoff = {}): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const backoffMs = Math.min(maxMs, FIRST_BACKOFF_MS * 2 ** Math.min(failures, 20));
    const delayMs = Math.max(minMs, backoffMs * (0.5 + this.#options.random() / 2));
    this.addAt(key, this.#options.clock.monotonicMs() + delayMs);
  }

  /** The key's work succeeded: the next failure is its first. */
  succeeded(key: string): void {
    this.#failures.delete(key);
  }

  /** The key is gone for good. */
  forget(key: string): void {
    this.succeeded(key);
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }

  get depth(): number {
    return this.#waiting.size + this.#running.size;
  }

  /** Forgets everything but what is under way. */
  clear(): void {
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#waiting.clear();
    this.#again.clear();
    this.#failures.clear();
  }

  /** Takes no more work; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.clear();
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  #pump(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.concurrency) break;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#options.work(key).finally(() => this.#done(key));
    }
    this.#options.onDepth?.(this.depth);
  }

  #done(key: string): void {
    this.#running.delete(key);
    if (this.#again.delete(key)) this.#waiting.add(key);
    if (this.#running.size === 0) this.#idle?.();
    this.#pump();
  }
}
