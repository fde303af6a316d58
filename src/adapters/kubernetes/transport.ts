/**
 * Requests to the API server over two connections, one for calls and one for watches, so that neither a long list nor a
 * thousand events delay the renewal of a lease.
 *
 * Every call has a deadline and can be aborted, whatever it is waiting for. Nothing that may have reached the server is
 * sent twice: a second attempt is made only where the server provably did not act on the first (a stream it refused, a
 * connection that closed before the request was written, an answer 401).
 */
import { TransportError } from '../ports.ts';
import { Channel } from './channel.ts';
import type { Connection, ResponseHeaders, TransportRequest } from './connection.ts';
import type { Credentials, CredentialSource } from './credentials.ts';
import type { HeartbeatTimes } from './heartbeat.ts';
import { Limit } from './limit.ts';

export interface TransportOptions {
  /** `https://host:port`; a path is put before every request's. */
  readonly server: string;
  readonly credentials: CredentialSource;
  readonly callHeartbeat?: Partial<HeartbeatTimes>;
  readonly watchHeartbeat?: Partial<HeartbeatTimes>;
  /** For TCP and TLS together; default 5 s. */
  readonly connectTimeoutMs?: number;
  /** After each new connection; the first included. */
  readonly onConnected?: (channel: 'calls' | 'watches', protocol: Connection['protocol']) => void;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: Buffer;
}

export interface CallLimits {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface StreamLimits {
  /** Until the head of the answer came. */
  readonly headDeadlineMs: number;
  /** From the head to the end. */
  readonly bodyDeadlineMs: number;
  /** Without a byte of the body, over HTTP/1.1: HTTP/2 has its pings, and a watch may be quiet for as long as it lasts. */
  readonly silenceMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Transport {
  /** Resolves with any whole answer, whatever its status. @throws TransportError */
  call(request: TransportRequest, limits: CallLimits): Promise<TransportResponse>;
  /**
   * Passes the body of a 200 on as it comes and resolves at its end, with an empty body; any other answer is as in
   * `call`. What `onData` throws ends the stream and is thrown.
   *
   * @throws TransportError
   */
  stream(request: TransportRequest, limits: StreamLimits, onData: (chunk: Buffer) => void): Promise<TransportResponse>;
  /** Final; what is in flight fails as 'aborted'. */
  close(): void;
}

const CALL_HEARTBEAT: HeartbeatTimes = { pingAfterMs: 1_000, pingWhenIdleMs: 15_000, pongWithinMs: 3_000 };
const WATCH_HEARTBEAT: HeartbeatTimes = { pingAfterMs: 5_000, pingWhenIdleMs: 15_000, pongWithinMs: 3_000 };
const CONNECT_TIMEOUT_MS = 5_000;
/** Attempts at a request that the server refused unread; more than one at a time is rare. */
const MAX_ATTEMPTS = 4;

/** Never leaves this file. */
class Unprocessed extends Error {
  readonly failure: TransportError;
  constructor(failure: TransportError) {
    super(failure.message);
    this.failure = failure;
  }
}

interface Sink {
  onHead(status: number, connection: Connection): void;
  onData(chunk: Buffer, status: number): void;
}

export function createTransport(options: TransportOptions): Transport {
  const origin = new URL(options.server);
  const prefix = origin.pathname.replace(/\/+$/, '');
  const channel = (name: 'calls' | 'watches', heartbeat: HeartbeatTimes): Channel =>
    new Channel({
      origin,
      heartbeat,
      connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      whenFull: name === 'watches' ? 'retire' : 'wait',
      onConnected: (protocol) => options.onConnected?.(name, protocol),
    });
  const calls = channel('calls', { ...CALL_HEARTBEAT, ...options.callHeartbeat });
  const watches = channel('watches', { ...WATCH_HEARTBEAT, ...options.watchHeartbeat });
  const send = (on: Channel, request: TransportRequest, limit: Limit, sink: Sink): Promise<TransportResponse> =>
    authorized(options.credentials, on, { ...request, path: `${prefix}${request.path}` }, limit, sink);

  return {
    async call(request, limits) {
      const limit = new Limit(`${request.method} ${request.path}`, limits.deadlineMs, limits.signal);
      const chunks: Buffer[] = [];
      const sink: Sink = {
        onHead: () => {
          chunks.length = 0;
        },
        onData: (chunk) => void chunks.push(chunk),
      };
      try {
        const answer = await send(calls, request, limit, sink);
        return { ...answer, body: Buffer.concat(chunks) };
      } finally {
        limit.dispose();
      }
    },
    stream: (request, limits, onData) =>
      stream(request, limits, onData, (limit, sink) => send(watches, request, limit, sink)),
    close() {
      calls.close();
      watches.close();
    },
  };
}

async function stream(
  request: TransportRequest,
  limits: StreamLimits,
  onData: (chunk: Buffer) => void,
  send: (limit: Limit, sink: Sink) => Promise<TransportResponse>,
): Promise<TransportResponse> {
  const what = `${request.method} ${request.path}`;
  // Two limits: the whole stream, and how long it may be silent.
  const whole = new Limit(what, limits.headDeadlineMs, limits.signal);
  const chunks: Buffer[] = [];
  let lastChunkMs = 0;
  let silence: NodeJS.Timeout | undefined;
  const sink: Sink = {
    onHead(status, connection) {
      chunks.length = 0;
      whole.phase = 'reading the stream';
      if (status !== 200) return;
      whole.restart(limits.bodyDeadlineMs);
      if (connection.protocol === 'h2') return;
      lastChunkMs = performance.now();
      silence = watchSilence(
        limits.silenceMs,
        () => lastChunkMs,
        (silentMs) => {
          whole.end(new TransportError('cut', `${what}: nothing came for ${Math.round(silentMs)} ms`));
        },
      );
    },
    onData(chunk, status) {
      lastChunkMs = performance.now();
      if (status === 200) onData(chunk);
      else chunks.push(chunk);
    },
  };
  try {
    const answer = await send(whole, sink);
    return { ...answer, body: Buffer.concat(chunks) };
  } finally {
    clearInterval(silence);
    whole.dispose();
  }
}

/** Looks now and then rather than setting a timer for each chunk. */
function watchSilence(silenceMs: number, lastMs: () => number, onSilence: (silentMs: number) => void): NodeJS.Timeout {
  return setInterval(
    () => {
      const silentMs = performance.now() - lastMs();
      if (silentMs >= silenceMs) onSilence(silentMs);
    },
    Math.max(1, silenceMs / 4),
  ).unref();
}

/** Sends with the present credentials; once more with fresh ones when the server knows the present ones no longer. */
async function authorized(
  source: CredentialSource,
  channel: Channel,
  request: TransportRequest,
  limit: Limit,
  sink: Sink,
): Promise<TransportResponse> {
  const used = await limit.race('waiting for credentials', source.current());
  try {
    const answer = await attempts(channel, request, used, limit, sink);
    if (answer.status !== 401) return answer;
    // 401 comes before any handling: sending it again cannot do it twice.
    source.invalidate();
    const fresh = await limit.race('waiting for fresh credentials', source.current());
    if (sameCredentials(used, fresh)) return answer;
    return await attempts(channel, request, fresh, limit, sink);
  } catch (error) {
    if (error instanceof TransportError && error.failure === 'tls') source.invalidate();
    throw error;
  }
}

const sameCredentials = (a: Credentials, b: Credentials): boolean =>
  a.tlsKey === b.tlsKey && JSON.stringify(a.headers) === JSON.stringify(b.headers);

async function attempts(
  channel: Channel,
  request: TransportRequest,
  credentials: Credentials,
  limit: Limit,
  sink: Sink,
): Promise<TransportResponse> {
  const withCredentials = { ...request, headers: { ...request.headers, ...credentials.headers } };
  for (let attempt = 1; ; attempt += 1) {
    const connection = await limit.race('connecting', channel.connection(credentials));
    try {
      return await exchange(connection, withCredentials, limit, sink);
    } catch (error) {
      if (!(error instanceof Unprocessed)) throw error;
      if (attempt === MAX_ATTEMPTS) throw error.failure;
    }
  }
}

function exchange(
  connection: Connection,
  request: TransportRequest,
  limit: Limit,
  sink: Sink,
): Promise<TransportResponse> {
  limit.throwIfEnded();
  limit.phase = 'waiting for the answer';
  return new Promise((resolve, reject) => {
    let status = 0;
    let headers: ResponseHeaders = {};
    const end = (settle: () => void): void => {
      off();
      settle();
    };
    const guard = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        cancel();
        end(() => reject(error));
      }
    };
    const cancel = connection.start(request, {
      onHead(code, fields) {
        status = code;
        headers = fields;
        limit.phase = 'reading the answer';
        guard(() => sink.onHead(code, connection));
      },
      onData(chunk) {
        guard(() => sink.onData(chunk, status));
      },
      onEnd() {
        end(() => resolve({ status, headers, body: Buffer.alloc(0) }));
      },
      onFailure(error, unprocessed) {
        end(() => reject(unprocessed ? new Unprocessed(error) : error));
      },
    });
    const off = limit.onEnd((error) => {
      cancel();
      reject(error);
    });
  });
}
