/**
 * For servers and proxies without HTTP/2, and for `http://` (kubectl proxy). Each exchange in flight has a socket of its
 * own; sockets are kept and used again.
 */
import http from 'node:http';
import https from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import { TransportError } from '../ports.ts';
import { asTransportError, type Connection, type ExchangeEvents, type TransportRequest } from './connection.ts';

/** TCP's own probes are all that finds a dead peer here, besides deadlines. */
const TCP_KEEP_ALIVE_MS = 5_000;

export class Http1Connection implements Connection {
  readonly protocol = 'http/1.1';
  readonly #origin: URL;
  readonly #what: string;
  readonly #agent: http.Agent;
  readonly #cancels = new Set<(error: TransportError) => void>();
  #retired = false;

  /** @param tls undefined for `http://` */
  constructor(origin: URL, what: string, tls: ConnectionOptions | undefined) {
    this.#origin = origin;
    this.#what = what;
    const keep = { keepAlive: true, keepAliveMsecs: TCP_KEEP_ALIVE_MS };
    this.#agent =
      tls === undefined ? new http.Agent(keep) : new https.Agent({ ...keep, ...tls, ALPNProtocols: ['http/1.1'] });
  }

  get open(): boolean {
    return !this.#retired;
  }

  get idle(): boolean {
    return this.#cancels.size === 0;
  }

  start(request: TransportRequest, events: ExchangeEvents): () => void {
    const module = this.#origin.protocol === 'https:' ? https : http;
    let over = false;
    const call = module.request(this.#origin, {
      agent: this.#agent,
      method: request.method,
      path: request.path,
      headers: withLength(request),
    });
    const finish = (): boolean => {
      if (over) return false;
      over = true;
      this.#cancels.delete(cancel);
      if (this.#retired && this.#cancels.size === 0) this.#agent.destroy();
      return true;
    };
    const fail = (error: TransportError): void => {
      if (finish()) events.onFailure(error, false);
    };
    const cancel = (error: TransportError): void => {
      call.destroy();
      fail(error);
    };
    this.#cancels.add(cancel);
    let connected = false;
    call.on('socket', (socket) => {
      connected = !socket.connecting;
      if (connected) return; // a kept one
      socket.once(this.#origin.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
      });
    });
    call.on('error', (error) => fail(asTransportError(error, connected ? 'cut' : 'connect', this.#what)));
    call.on('response', (response) => {
      listen(
        response,
        {
          onHead: (status, headers) => !over && events.onHead(status, headers),
          onData: (chunk) => !over && events.onData(chunk),
          onEnd: () => finish() && events.onEnd(),
          onFailure: fail,
        },
        this.#what,
      );
    });
    call.end(request.body);
    return () => {
      if (finish()) call.destroy();
    };
  }

  retire(): void {
    this.#retired = true;
    if (this.#cancels.size === 0) this.#agent.destroy();
  }

  destroy(error: TransportError): void {
    this.#retired = true;
    for (const cancel of this.#cancels) cancel(error);
    this.#agent.destroy();
  }
}

interface Listener {
  onHead(status: number, headers: http.IncomingHttpHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onFailure(error: TransportError): void;
}

function listen(response: http.IncomingMessage, events: Listener, what: string): void {
  events.onHead(response.statusCode ?? 0, response.headers);
  response.on('data', (chunk: Buffer) => events.onData(chunk));
  response.on('error', () => undefined); // 'close' follows
  response.on('close', () => {
    if (response.complete) events.onEnd();
    else events.onFailure(new TransportError('cut', `${what} cut the answer short`));
  });
}

function withLength(request: TransportRequest): http.OutgoingHttpHeaders {
  if (request.body === undefined) return { ...request.headers };
  return { ...request.headers, 'content-length': Buffer.byteLength(request.body) };
}
