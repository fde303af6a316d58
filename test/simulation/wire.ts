/**
 * What lies between a client and the simulated API server. Everything that travels goes through one of these, so that
 * delay, loss and reordering are decided in one place, which is neither the server nor the client.
 */
import { TransportError } from '../../src/adapters/ports.ts';
import type { CallOptions } from '../../src/adapters/ports.ts';

export interface WireRequest {
  readonly user: string;
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'patch' | 'delete';
  /** The plural; the path for discovery. */
  readonly resource: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

export interface Wire {
  /**
   * Carries one request. `serve` runs when it arrives at the server (never, when lost); the promise settles when the
   * answer is back: with what `serve` returned or threw, or with a TransportError when request or answer was lost or the
   * signal or deadline ended it.
   */
  call<T>(request: WireRequest, serve: () => T, options?: CallOptions): Promise<T>;
  /**
   * Carries one watch stream. `open` runs when the request arrives; what it pushes arrives in order, later, maybe never.
   * Settles when the stream has ended at the client. `open` may push and end before it returns; what it returns closes
   * the stream at the server.
   */
  stream<T>(
    request: WireRequest,
    open: (push: (event: T) => void, end: (error?: unknown) => void) => () => void,
    onEvent: (event: T) => void,
    options?: { signal?: AbortSignal },
  ): Promise<void>;
}

const aborted = (signal: AbortSignal): TransportError =>
  new TransportError('aborted', 'the caller ended it', { cause: signal.reason });

/** Carries everything at once and faithfully: within the call, and each event within the write that it tells of. */
export function directWire(): Wire {
  return {
    async call(_request, serve, options) {
      if (options?.signal?.aborted === true) throw aborted(options.signal);
      return serve();
    },
    stream: directStream,
  };
}

const directStream: Wire['stream'] = (_request, open, onEvent, { signal } = {}) =>
  new Promise((resolve, reject) => {
    let isOver = false;
    let close: (() => void) | undefined;
    const finish = (error?: unknown): void => {
      if (isOver) return;
      isOver = true;
      signal?.removeEventListener('abort', abort);
      close?.();
      if (error === undefined) resolve();
      else reject(error);
    };
    const abort = (): void => finish(signal && aborted(signal));
    const push = (event: Parameters<typeof onEvent>[0]): void => {
      if (isOver) return;
      try {
        onEvent(event);
      } catch (error) {
        finish(error);
      }
    };
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    close = open(push, finish);
    if (isOver) close();
    return undefined;
  });
