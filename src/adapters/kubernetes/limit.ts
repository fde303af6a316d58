import { TransportError } from '../ports.ts';

/**
 * What ends a call before its time: its deadline, or its caller's abort. It holds from the first moment on, whatever the
 * call is waiting for: credentials, a connection, a free stream, the answer.
 */
export class Limit {
  readonly #what: string;
  readonly #signal: AbortSignal | undefined;
  readonly #listeners = new Set<(error: TransportError) => void>();
  #timer: NodeJS.Timeout | undefined;
  #ended: TransportError | undefined;
  /** For the message: what was being waited for. */
  phase = 'starting';

  /** @param what names the call in messages: `GET /api/v1/pods` */
  constructor(what: string, deadlineMs: number, signal: AbortSignal | undefined) {
    this.#what = what;
    this.#signal = signal;
    if (signal?.aborted === true) this.#onAbort();
    else {
      signal?.addEventListener('abort', this.#onAbort);
      this.restart(deadlineMs);
    }
  }

  /** Replaces the deadline by one that counts from now. */
  restart(deadlineMs: number): void {
    clearTimeout(this.#timer);
    if (this.#ended !== undefined) return;
    this.#timer = setTimeout(() => {
      this.end(new TransportError('deadline', `${this.#what} took longer than ${deadlineMs} ms (${this.phase})`));
    }, deadlineMs);
  }

  throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** Calls `listener` when the limit ends, at once when it has; the returned function takes it away again. */
  onEnd(listener: (error: TransportError) => void): () => void {
    if (this.#ended !== undefined) listener(this.#ended);
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `work`, or the limit's error if that comes first. What `work` brings later is dropped. */
  async race<T>(phase: string, work: Promise<T>): Promise<T> {
    this.phase = phase;
    let off: (() => void) | undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      off = this.onEnd(reject);
    });
    try {
      return await Promise.race([work, ended]);
    } finally {
      off?.();
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#listeners.clear();
  }

  readonly #onAbort = (): void => {
    this.end(
      new TransportError('aborted', `${this.#what} was aborted (${this.phase})`, { cause: this.#signal?.reason }),
    );
  };

  /** Ends it for another reason. */
  end(error: TransportError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    for (const listener of this.#listeners) listener(error);
    this.#listeners.clear();
  }
}
