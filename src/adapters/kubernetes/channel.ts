/** One connection to the API server, made when it is needed and made anew when it broke. */
import net from 'node:net';
import tls from 'node:tls';
import { TransportError } from '../ports.ts';
import { asTransportError, failureOf, type Connection } from './connection.ts';
import type { Credentials, TlsMaterial } from './credentials.ts';
import type { HeartbeatTimes } from './heartbeat.ts';
import { Http1Connection } from './http1-connection.ts';
import { Http2Connection } from './http2-connection.ts';
import type { WhenFull } from './http2-connection.ts';

const TCP_KEEP_ALIVE_MS = 15_000;

export interface ChannelOptions {
  readonly origin: URL;
  readonly heartbeat: HeartbeatTimes;
  /** For TCP and TLS together. */
  readonly connectTimeoutMs: number;
  readonly whenFull?: WhenFull;
  readonly onConnected?: (protocol: Connection['protocol']) => void;
}

export class Channel {
  readonly #options: ChannelOptions;
  readonly #connections = new Set<Connection>();
  #current: { readonly connection: Connection; readonly tlsKey: string } | undefined;
  #connecting: Promise<Connection> | undefined;
  #closed = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  /**
   * A connection that takes requests. At most one is being made at a time, and everybody waits for that one. The caller
   * keeps its own deadline; the attempt goes on without it.
   *
   * @throws TransportError 'connect' or 'tls': nothing was sent
   */
  async connection(credentials: Credentials): Promise<Connection> {
    const current = this.#current;
    if (current?.connection.open === true && current.tlsKey === credentials.tlsKey) return current.connection;
    this.#connecting ??= this.#connect(credentials).finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  /** Final. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#connections) {
      connection.destroy(closedByUs());
    }
    this.#connections.clear();
  }

  async #connect(credentials: Credentials): Promise<Connection> {
    this.#throwIfClosed();
    const connection = await this.#open(credentials);
    if (this.#closed) connection.retire();
    this.#throwIfClosed();
    // The old one is retired only now: while the new one fails, it may still serve those that hold it.
    this.#current?.connection.retire();
    for (const old of this.#connections) if (!old.open && old.idle) this.#connections.delete(old);
    this.#connections.add(connection);
    this.#current = { connection, tlsKey: credentials.tlsKey };
    this.#options.onConnected?.(connection.protocol);
    return connection;
  }

  #throwIfClosed(): void {
    if (this.#closed) throw closedByUs();
  }

  async #open(credentials: Credentials): Promise<Connection> {
    const { origin, heartbeat: times, connectTimeoutMs, whenFull } = this.#options;
    if (origin.protocol === 'http:') return new Http1Connection(origin, origin.host, undefined);
    const options = tlsOptions(origin, credentials.tls);
    const socket = await connectTls(origin, options, connectTimeoutMs);
    if (socket.alpnProtocol === 'h2')
      return new Http2Connection(socket, origin.origin, { what: origin.host, times, whenFull });
    socket.destroy();
    return new Http1Connection(origin, origin.host, options);
  }
}

const closedByUs = (): TransportError =>
  new TransportError('aborted', 'the connection to the API server was closed by this program');

function tlsOptions(origin: URL, material: TlsMaterial): tls.ConnectionOptions {
  // An IPv6 address stands in brackets in a URL, and nowhere else.
  const host = origin.hostname.replace(/^\[|\]$/g, '');
  return {
    host,
    port: origin.port === '' ? 443 : Number(origin.port),
    ...(material.ca === undefined ? {} : { ca: material.ca }),
    ...(material.cert === undefined ? {} : { cert: material.cert }),
    ...(material.key === undefined ? {} : { key: material.key }),
    // An address may not be sent as a server name (RFC 6066).
    servername: material.servername ?? (net.isIP(host) === 0 ? host : ''),
    ...(material.skipVerify === true ? { rejectUnauthorized: false } : {}),
  };
}

function connectTls(origin: URL, options: tls.ConnectionOptions, timeoutMs: number): Promise<tls.TLSSocket> {
  const what = `cannot connect to ${origin.origin}`;
  return new Promise((resolve, reject) => {
    let socket: tls.TLSSocket;
    try {
      socket = tls.connect({ ...options, ALPNProtocols: ['h2', 'http/1.1'] });
    } catch (error) {
      // A certificate or key that OpenSSL cannot read.
      reject(asTransportError(error, 'tls', what));
      return;
    }
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new TransportError('connect', `${what} within ${timeoutMs} ms`));
    }, timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      const hint =
        failureOf(error, 'connect') === 'tls' ? ' (check the certificate authority and the server name)' : '';
      reject(asTransportError(error, 'connect', `${what}${hint}`));
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
      resolve(socket);
    });
  });
}
