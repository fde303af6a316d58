/**
 * A small API server on loopback, to be told what to answer. It speaks HTTP/2 over TLS, HTTP/1.1 over TLS, or plain
 * HTTP/1.1.
 */
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Credentials, CredentialSource } from '../../../../src/adapters/kubernetes/credentials.ts';
import { tlsKeyOf } from '../../../../src/adapters/kubernetes/credentials.ts';
import { makeCertificate, type TestCertificate } from './certificate.ts';

export interface FakeRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** The HTTP/2 stream; undefined with HTTP/1.1. */
  readonly stream: http2.ServerHttp2Stream | undefined;
  /** Sends a head (once) and a part of the body. */
  write(chunk: string | Buffer, status?: number, headers?: Record<string, string>): void;
  end(): void;
  /** Breaks off: RST_STREAM, or the socket's end with HTTP/1.1. */
  cut(): void;
  json(value: unknown, status?: number, headers?: Record<string, string>): void;
}

export type Handler = (request: FakeRequest) => void;

export interface FakeServer {
  readonly url: string;
  readonly certificate: TestCertificate;
  readonly requests: readonly FakeRequest[];
  /** HTTP/2 sessions that are open. */
  readonly sessions: ReadonlySet<http2.ServerHttp2Session>;
  /** TCP (with TLS: secured) connections ever made. */
  readonly connections: number;
  handler: Handler;
  /** For `createTransport` and `createKubernetesApi`. */
  readonly access: { readonly server: string; readonly credentials: CredentialSource };
  /** Resolves when `count` requests have come. */
  received(count: number): Promise<void>;
  /** Ends every connection at once. */
  dropConnections(how?: 'reset' | 'close'): void;
  stop(): Promise<void>;
}

export interface FakeServerOptions {
  readonly protocol?: 'h2' | 'https/1.1' | 'http/1.1';
  readonly settings?: http2.Settings;
  readonly certificate?: TestCertificate;
}

const certificate = makeCertificate();

export const fixedCredentials = (ca: string | undefined, token = 'secret'): CredentialSource => {
  const tls = ca === undefined ? {} : { ca };
  const value: Credentials = { headers: { authorization: `Bearer ${token}` }, tls, tlsKey: tlsKeyOf(tls) };
  return { current: () => Promise.resolve(value), invalidate: () => undefined };
};

export async function startFakeServer(handler: Handler, options: FakeServerOptions = {}): Promise<FakeServer> {
  const used = options.certificate ?? certificate;
  const protocol = options.protocol ?? 'h2';
  const sockets = new Set<Socket>();
  const sessions = new Set<http2.ServerHttp2Session>();
  const requests: FakeRequest[] = [];
  const waiting = new Set<() => void>();
  let connections = 0;

  const take = (request: FakeRequest): void => {
    requests.push(request);
    for (const look of waiting) look();
    fake.handler(request);
  };
  const server = listenerFor(protocol, used, options.settings, take, sessions);
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `${protocol === 'http/1.1' ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const fake: FakeServer = {
    url,
    certificate: used,
    requests,
    sessions,
    get connections() {
      return connections;
    },
    handler,
    access: { server: url, credentials: fixedCredentials(protocol === 'http/1.1' ? undefined : used.cert) },
    received: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (requests.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    dropConnections(how = 'reset') {
      for (const socket of sockets) {
        if (how === 'reset') socket.resetAndDestroy();
        else socket.destroy();
      }
    },
    async stop() {
      server.close();
      sockets.forEach((socket) => socket.destroy());
    },
  };
  return fake;
}

function listenerFor(
  protocol: 'h2' | 'https/1.1' | 'http/1.1',
  { cert, key }: TestCertificate,
  settings: http2.Settings | undefined,
  take: (request: FakeRequest) => void,
  sessions: Set<http2.ServerHttp2Session>,
): http.Server | https.Server | http2.Http2SecureServer {
  const plain: http.RequestListener = (request, response) => takeHttp1(request, response, take);
  if (protocol === 'http/1.1') return http.createServer(plain);
  if (protocol === 'https/1.1') return https.createServer({ cert, key }, plain);
  const server = http2.createSecureServer({ cert, key, ...(settings === undefined ? {} : { settings }) });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers) => takeHttp2(stream, headers, take));
  return server;
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function takeHttp2(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  take: (request: FakeRequest) => void,
): void {
  stream.on('error', () => undefined);
  const write: FakeRequest['write'] = (chunk, status = 200, extra = {}) => {
    if (stream.destroyed) return;
    if (!stream.headersSent) stream.respond({ ':status': status, 'content-type': 'application/json', ...extra });
    stream.write(chunk);
  };
  const end = (): void => {
    if (!stream.headersSent && !stream.destroyed) stream.respond({ ':status': 200 });
    stream.end();
  };
  void textOf(stream).then(
    (body) =>
      take({
        method: String(headers[':method']),
        path: String(headers[':path']),
        headers,
        body,
        stream,
        write,
        end,
        // Not `close`: Node ends the body in good order before it sends the code.
        cut: () => void stream.destroy(new Error('cut by the test')),
        json: (value, status, extra) => {
          write(JSON.stringify(value), status, extra);
          end();
        },
      }),
    () => undefined,
  );
}

function takeHttp1(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  take: (request: FakeRequest) => void,
): void {
  const write: FakeRequest['write'] = (chunk, status = 200, extra = {}) => {
    if (!response.headersSent) response.writeHead(status, { 'content-type': 'application/json', ...extra });
    response.write(chunk);
  };
  void textOf(request).then(
    (body) =>
      take({
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body,
        stream: undefined,
        write,
        end: () => void response.end(),
        cut: () => void request.socket.destroy(),
        json: (value, status, extra) => {
          write(JSON.stringify(value), status, extra);
          response.end();
        },
      }),
    () => undefined,
  );
}
