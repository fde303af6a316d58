/** One HTTP/2 session over a TLS socket that is already connected. */
import http2 from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { TransportError } from '../ports.ts';
import { asTransportError, type Connection, type ExchangeEvents, type TransportRequest } from './connection.ts';
import { Heartbeat, type HeartbeatTimes } from './heartbeat.ts';

const { HTTP2_HEADER_STATUS, NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

/** Room for a large list on one stream, and for several at once on the connection; the default is 64 KiB for both. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const SESSION_WINDOW_BYTES = 32 * 1024 * 1024;
/** Node refuses new streams above this; its default of 10 is less than one large list in flight. */
const SESSION_MEMORY_MB = 128;
/** Until the server's SETTINGS came: what RFC 9113 recommends as the least a server should allow. */
const STREAMS_BEFORE_SETTINGS = 100;

interface Exchange {
  readonly request: TransportRequest;
  readonly events: ExchangeEvents;
  stream: http2.ClientHttp2Stream | undefined;
  heard: boolean;
}

/**
 * When the server allows no more streams at once (100 or 250 of a Kubernetes API server): calls wait, since one ends soon.
 * Watches last for minutes: those that there are go on, and another connection takes the next ones.
 */
export type WhenFull = 'wait' | 'retire';

interface Http2Options {
  readonly what: string;
  readonly times: HeartbeatTimes;
  readonly whenFull?: WhenFull | undefined;
}

export class Http2Connection implements Connection {
  readonly protocol = 'h2';
  readonly #session: http2.ClientHttp2Session;
  readonly #heartbeat: Heartbeat;
  readonly #what: string;
  readonly #whenFull: WhenFull;
  readonly #active = new Set<Exchange>();
  /** More than the server allows at once; in order. */
  readonly #waiting = new Set<Exchange>();
  #maxStreams = STREAMS_BEFORE_SETTINGS;
  #retired = false;
  #failure: TransportError | undefined;

  /** @param what names the peer in messages. */
  constructor(socket: TLSSocket, origin: string, { what, times, whenFull = 'wait' }: Http2Options) {
    this.#what = what;
    this.#whenFull = whenFull;
    this.#session = http2.connect(origin, {
      createConnection: () => socket,
      maxSessionMemory: SESSION_MEMORY_MB,
      peerMaxConcurrentStreams: STREAMS_BEFORE_SETTINGS,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
    });
    this.#session.on('connect', () => this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES));
    this.#session.on('remoteSettings', (settings) => {
      this.#maxStreams = Math.max(1, settings.maxConcurrentStreams ?? STREAMS_BEFORE_SETTINGS);
      this.#startWaiting();
    });
    this.#session.on('goaway', () => this.retire());
    this.#session.on('error', (error) =>
      this.destroy(asTransportError(error, 'cut', `the connection to ${what} broke`)),
    );
    this.#session.on('close', () => this.destroy(new TransportError('cut', `the connection to ${what} was closed`)));
    this.#heartbeat = new Heartbeat(times, {
      ping: (onPong) => this.#ping(onPong),
      bytesRead: () => socket.bytesRead,
      busy: () => !this.idle,
      onDead: (silentMs) =>
        this.destroy(
          new TransportError('cut', `${what} has been silent for ${Math.round(silentMs)} ms and answers no ping`),
        ),
    });
  }

  get open(): boolean {
    return !this.#retired && this.#failure === undefined && !this.#session.closed && !this.#session.destroyed;
  }

  get idle(): boolean {
    return this.#active.size + this.#waiting.size === 0;
  }

  start(request: TransportRequest, events: ExchangeEvents): () => void {
    const exchange: Exchange = { request, events, stream: undefined, heard: false };
    const wasIdle = this.idle;
    this.#waiting.add(exchange);
    this.#startWaiting();
    if (wasIdle) this.#heartbeat.expectAnswer();
    return () => this.#cancel(exchange);
  }

  retire(): void {
    this.#retired = true;
    // Those that wait for a free stream were not sent: a new connection takes them.
    const error = new TransportError('connect', `${this.#what} is closing this connection`);
    for (const exchange of this.#waiting) this.#failLater(exchange, error, true);
    this.#waiting.clear();
    if (this.#active.size === 0) this.#close();
  }

  destroy(error: TransportError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#heartbeat.stop();
    this.#session.destroy();
    for (const exchange of this.#waiting) exchange.events.onFailure(error, true);
    this.#waiting.clear();
    for (const exchange of this.#active) exchange.events.onFailure(error, false);
    this.#active.clear();
  }

  #close(): void {
    if (!this.#session.closed) this.#session.close();
  }

  #ping(onPong: () => void): boolean {
    if (this.#session.closed || this.#session.destroyed) return false;
    return this.#session.ping((error) => {
      if (error === null) onPong();
    });
  }

  #startWaiting(): void {
    for (const exchange of this.#waiting) {
      if (this.#active.size >= this.#maxStreams) {
        if (this.#whenFull === 'retire') this.retire();
        return;
      }
      this.#waiting.delete(exchange);
      this.#open(exchange);
    }
  }

  #open(exchange: Exchange): void {
    const { request } = exchange;
    let stream: http2.ClientHttp2Stream;
    try {
      const headers = { ...request.headers, ':method': request.method, ':path': request.path };
      stream = this.#session.request(headers, { endStream: request.body === undefined });
    } catch (error) {
      // Closed a moment ago: nothing was sent.
      this.#failLater(exchange, asTransportError(error, 'connect', `cannot send to ${this.#what}`), true);
      return;
    }
    exchange.stream = stream;
    this.#active.add(exchange);
    this.#listen(exchange, stream);
    if (request.body !== undefined) stream.end(request.body);
  }

  #listen(exchange: Exchange, stream: http2.ClientHttp2Stream): void {
    const { events } = exchange;
    stream.on('response', (headers) => {
      exchange.heard = true;
      if (!this.#active.has(exchange)) return;
      events.onHead(Number(headers[HTTP2_HEADER_STATUS]), headers);
      // Not earlier: Node announces the head a tick late, and a body in the same packet would come before it.
      stream.on('data', (chunk: Buffer) => {
        if (this.#active.has(exchange)) events.onData(chunk);
      });
      stream.on('end', () => {
        // A stream that was cut ends too; only one that the server ended has no code and was not aborted.
        if (stream.aborted || stream.rstCode !== NGHTTP2_NO_ERROR) return;
        if (this.#finish(exchange)) events.onEnd();
      });
    });
    stream.on('error', () => undefined); // 'close' follows and tells the code
    stream.on('close', () => this.#onClose(exchange, stream));
  }

  #onClose(exchange: Exchange, stream: http2.ClientHttp2Stream): void {
    const code = stream.rstCode ?? NGHTTP2_NO_ERROR;
    const unprocessed = code === NGHTTP2_REFUSED_STREAM && !exchange.heard;
    const cut = (): void => {
      if (!this.#finish(exchange)) return;
      const error = new TransportError('cut', `${this.#what} cut the answer short (HTTP/2 code ${code})`);
      exchange.events.onFailure(error, unprocessed);
    };
    // When the whole connection broke, its own error says more than the stream's code: it comes in the same turn.
    setImmediate(cut);
  }

  #cancel(exchange: Exchange): void {
    if (this.#waiting.delete(exchange)) return;
    if (!this.#finish(exchange)) return;
    exchange.stream?.close(NGHTTP2_CANCEL);
    if (!exchange.heard) this.#heartbeat.suspect();
  }

  /** True the first time. */
  #finish(exchange: Exchange): boolean {
    if (!this.#active.delete(exchange)) return false;
    this.#startWaiting();
    if (this.#retired && this.#active.size === 0) this.#close();
    return true;
  }

  #failLater(exchange: Exchange, error: TransportError, unprocessed: boolean): void {
    queueMicrotask(() => exchange.events.onFailure(error, unprocessed));
  }
}
