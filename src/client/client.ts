/**
 * For workloads on Node in fencing mode `Agent`: runs a function while this pod is the active one.
 *
 *     import { onActive } from 'singleton-operator/client';
 *
 *     await onActive(async (term, signal) => {
 *       while (!signal.aborted) await work(term);
 *     });
 *
 * Promised: the function is called only from an acknowledged renewal of its term, and its signal is aborted before the
 * fence deadline, also when the agent does not answer or is gone. Not promised: that a frozen process looks at its signal
 * before it writes; against that there is the term, as a fencing token.
 *
 * The function must settle soon after its signal is aborted (within `fencing.stopGraceSeconds`), and nothing that it
 * started may go on acting: then this pod has stopped, by its own word, and another one is granted at once.
 */
import { randomUUID } from 'node:crypto';
import { watchState } from './watch.ts';
import type { State } from './watch.ts';

/** @param term the fencing token: storage that has seen a higher one must refuse this one */
export type WhileActive = (term: number, signal: AbortSignal) => Promise<void> | void;

export interface OnActiveOptions {
  /** Of the agent's state; default: `SINGLETON_STATE_URL`, which the operator sets. */
  readonly url?: string;
  /** Ends it: the function's signal is aborted, and when it has settled nothing is held any more. */
  readonly signal?: AbortSignal;
  /** So long before the fence deadline the signal is aborted. Default 100 ms. */
  readonly earlyMs?: number;
}

interface Running {
  readonly term: number;
  readonly abort: AbortController;
  readonly settled: Promise<void>;
}

const EARLY_MS = 100;

/**
 * Resolves when `options.signal` was aborted, and when the function returned although its signal was not: it has nothing
 * more to do here, and another pod takes over. Rejects with what the function throws.
 */
export function onActive(run: WhileActive, options: OnActiveOptions = {}): Promise<void> {
  return new Client(run, options).run();
}

class Client {
  readonly #run: WhileActive;
  readonly #options: OnActiveOptions;
  readonly #url: string;
  /** This workload's name for the agent. */
  readonly #name = randomUUID();
  readonly #over = new AbortController();
  #running: Running | undefined;
  #latest: State | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** Of the state whose deadline is over. */
  #overSequence: number | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(run: WhileActive, options: OnActiveOptions) {
    this.#run = run;
    this.#options = options;
    const url = options.url ?? process.env['SINGLETON_STATE_URL'];
    if (url === undefined) throw new Error('SINGLETON_STATE_URL is not set: is there an agent beside this container?');
    this.#url = url;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    const end = (): void => this.#over.abort();
    if (signal?.aborted === true) return;
    signal?.addEventListener('abort', end);
    try {
      const onState = (state: State | undefined): void => this.#hear(state);
      await watchState({ url: this.#url, name: this.#name, onState, settled: () => this.#stop() }, this.#over.signal);
    } finally {
      signal?.removeEventListener('abort', end);
      clearTimeout(this.#deadline);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Undefined: the connection is lost, and with it all that was heard. */
  #hear(state: State | undefined): void {
    if (state !== undefined && this.#latest !== undefined && state.sequence < this.#latest.sequence) return;
    this.#latest = state;
    clearTimeout(this.#deadline);
    const isOver = state?.active !== true || state.sequence === this.#overSequence;
    const leftMs = isOver ? 0 : state.leftMs() - (this.#options.earlyMs ?? EARLY_MS);
    if (state === undefined || leftMs <= 0) return void this.#stopAndTell(state);
    this.#deadline = setTimeout(() => {
      // A timer may be early by a millisecond: that must not look like time enough to begin again.
      this.#overSequence = state.sequence;
      void this.#stop();
    }, leftMs);
    if (this.#running === undefined) return this.#start(state.term);
    // What was aborted settles first; then it is looked at again what holds by then.
    if (this.#running.term !== state.term) void this.#stop();
    return undefined;
  }

  #start(term: number): void {
    const abort = new AbortController();
    const running: Running = { term, abort, settled: this.#settle(term, abort) };
    this.#running = running;
    void running.settled.then(() => {
      this.#running = undefined;
      if (!abort.signal.aborted || this.#failure !== undefined) this.#over.abort();
      else if (!this.#over.signal.aborted) this.#hear(this.#latest);
    });
  }

  async #settle(term: number, abort: AbortController): Promise<void> {
    try {
      await this.#run(term, abort.signal);
    } catch (error) {
      // What is thrown because of the signal is how many ways of waiting end.
      const isAbort = abort.signal.aborted && error instanceof Error && error.name === 'AbortError';
      if (!isAbort) this.#failure = { error };
    }
  }

  async #stop(): Promise<void> {
    this.#running?.abort.abort();
    await this.#running?.settled;
  }

  /** @param state that says that this pod is not active any more */
  async #stopAndTell(state: State | undefined): Promise<void> {
    await this.#stop();
    if (state !== undefined && !state.active) state.acknowledge();
  }
}
