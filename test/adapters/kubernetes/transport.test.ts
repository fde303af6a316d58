import { once } from 'node:events';
import http2 from 'node:http2';
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Credentials, CredentialSource } from '../../../src/adapters/kubernetes/credentials.ts';
import { tlsKeyOf } from '../../../src/adapters/kubernetes/credentials.ts';
import { createTransport, type Transport, type TransportOptions } from '../../../src/adapters/kubernetes/transport.ts';
import type { TransportRequest } from '../../../src/adapters/kubernetes/connection.ts';
import { TransportError, type TransportFailure } from '../../../src/adapters/ports.ts';
import { startFaultProxy, type FaultProxy } from '../../control-plane/fault-proxy.ts';
import { makeCertificate } from './support/certificate.ts';
import {
  fixedCredentials,
  startFakeServer,
  type FakeServer,
  type FakeServerOptions,
  type Handler,
} from './support/fake-server.ts';

// Real connections and processes, on machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const SOON_MS = 60;
const LONG_MS = 20_000;
const get = (path = '/version'): TransportRequest => ({ method: 'GET', path, headers: {} });
const patch = (body: object): TransportRequest => ({
  method: 'PATCH',
  path: '/x',
  headers: {},
  body: JSON.stringify(body),
});

async function serve(handler: Handler, options?: FakeServerOptions): Promise<FakeServer> {
  const server = await startFakeServer(handler, options);
  cleanups.push(() => server.stop());
  return server;
}

function connect(options: TransportOptions): Transport {
  const transport = createTransport(options);
  cleanups.push(() => transport.close());
  return transport;
}

async function proxied(server: FakeServer): Promise<FaultProxy> {
  const proxy = await startFaultProxy(server.url);
  cleanups.push(() => proxy.stop());
  return proxy;
}

/** Accepts connections and never says a word. */
async function startSilentListener(): Promise<{ readonly url: string; readonly accepted: Socket[] }> {
  const accepted: Socket[] = [];
  const server: Server = net.createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    for (const socket of accepted) socket.destroy();
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, accepted };
}

async function failureOf(call: Promise<unknown>): Promise<TransportFailure> {
  const error: unknown = await call.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof TransportError)) throw error;
  return error.failure;
}

const ok: Handler = (request) => request.json({ ok: true });

describe('calls over HTTP/2', () => {
  it('share one connection, 200 in flight at once', async () => {
    const server = await serve(ok);
    const transport = connect(server.access);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => transport.call(get(`/${index}`), { deadlineMs: LONG_MS })),
    );
    expect(answers.map((answer) => answer.body.toString())).toEqual(Array(200).fill('{"ok":true}'));
    expect(server.connections).toBe(1);
  });

  it('that come one after another share one connection', async () => {
    const server = await serve(ok);
    const transport = connect(server.access);
    for (let index = 0; index < 50; index += 1) await transport.call(get(), { deadlineMs: LONG_MS });
    expect(server.connections).toBe(1);
  });

  it('never exceed the number of streams that the server allows', async () => {
    let open = 0;
    let most = 0;
    const server = await serve(
      (request) => {
        open += 1;
        most = Math.max(most, open);
        setImmediate(() => {
          open -= 1;
          request.json({});
        });
      },
      { settings: { maxConcurrentStreams: 3 } },
    );
    const transport = connect(server.access);
    await transport.call(get(), { deadlineMs: LONG_MS });
    await Promise.all(Array.from({ length: 40 }, () => transport.call(get(), { deadlineMs: LONG_MS })));
    expect(most).toBe(3);
    expect(server.connections).toBe(1);
  });

  it('that wait for a free stream keep their deadline and their abort', async () => {
    const server = await serve((request) => request.path === '/first' && request.json({}), {
      settings: { maxConcurrentStreams: 1 },
    });
    const transport = connect(server.access);
    await transport.call(get('/first'), { deadlineMs: LONG_MS });
    const holder = failureOf(transport.call(get('/held'), { deadlineMs: LONG_MS }));
    const abort = new AbortController();
    const waiting = failureOf(transport.call(get('/waiting'), { deadlineMs: LONG_MS, signal: abort.signal }));
    expect(await failureOf(transport.call(get('/waiting'), { deadlineMs: SOON_MS }))).toBe('deadline');
    abort.abort();
    expect(await waiting).toBe('aborted');
    expect(server.requests.map((request) => request.path)).toEqual(['/first', '/held']);
    transport.close();
    expect(await holder).toBe('aborted');
  });

  it('bring a large body whole, past the windows HTTP/2 begins with', async () => {
    const body = Buffer.alloc(12 * 1024 * 1024, 'x');
    const server = await serve((request) => {
      request.write(body);
      request.end();
    });
    const answer = await connect(server.access).call(get(), { deadlineMs: LONG_MS });
    expect(answer.body.equals(body)).toBe(true);
  });

  it('carry method, path, body and credentials', async () => {
    const server = await serve(ok);
    await connect({ ...server.access, server: `${server.url}/prefix/` }).call(patch({ a: 'ä' }), {
      deadlineMs: LONG_MS,
    });
    const [request] = server.requests;
    expect(request).toMatchObject({ method: 'PATCH', path: '/prefix/x', body: '{"a":"ä"}' });
    expect(request?.headers['authorization']).toBe('Bearer secret');
  });

  it('go on a connection of their own, so that a stream does not hold them up', async () => {
    const server = await serve((request) => (request.path === '/watch' ? request.write('{}\n') : request.json({})));
    const transport = connect(server.access);
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const abort = new AbortController();
    const watch = failureOf(transport.stream(get('/watch'), { ...limits, signal: abort.signal }, () => undefined));
    await server.received(1);
    await transport.call(get(), { deadlineMs: LONG_MS });
    expect(server.sessions.size).toBe(2);
    abort.abort();
    expect(await watch).toBe('aborted');
  });
});

describe('watches over HTTP/2', () => {
  it('that are more than the server allows on one connection get further ones, and those that run go on', async () => {
    const server = await serve((request) => request.write('{}\n'), { settings: { maxConcurrentStreams: 2 } });
    const transport = connect(server.access);
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const begun: string[] = [];
    const ended: string[] = [];
    /** One after another: the server has said by then how many it allows. */
    for (const path of ['/a', '/b', '/c', '/d', '/e']) {
      const heard = Promise.withResolvers<void>();
      const watch = transport.stream(get(path), limits, () => {
        begun.push(path);
        heard.resolve();
      });
      void watch.catch(() => void ended.push(path));
      await heard.promise;
    }
    expect(begun).toEqual(['/a', '/b', '/c', '/d', '/e']);
    expect(ended).toEqual([]);
    expect(server.connections).toBe(3);
  });
});

describe('a deadline', () => {
  it('holds while TLS is not answered', async () => {
    const listener = await startSilentListener();
    const transport = connect({ server: listener.url, credentials: fixedCredentials(undefined) });
    const startMs = performance.now();
    expect(await failureOf(transport.call(get(), { deadlineMs: SOON_MS }))).toBe('deadline');
    expect(performance.now() - startMs).toBeLessThan(SOON_MS + 1_000);
  });

  it('holds while credentials are awaited', async () => {
    const server = await serve(ok);
    const never: CredentialSource = { current: () => new Promise(() => undefined), invalidate: () => undefined };
    const transport = connect({ ...server.access, credentials: never });
    expect(await failureOf(transport.call(get(), { deadlineMs: SOON_MS }))).toBe('deadline');
  });

  it('holds while no answer comes', async () => {
    const server = await serve(() => undefined);
    expect(await failureOf(connect(server.access).call(get(), { deadlineMs: SOON_MS }))).toBe('deadline');
  });

  it('holds in the middle of a body, and leaves the connection to the others', async () => {
    const server = await serve((request) => (request.path === '/half' ? request.write('{"ha') : request.json({})));
    const transport = connect(server.access);
    expect(await failureOf(transport.call(get('/half'), { deadlineMs: SOON_MS }))).toBe('deadline');
    await transport.call(get(), { deadlineMs: LONG_MS });
    expect(server.connections).toBe(1);
  });

  it('says in its message what was being waited for', async () => {
    const listener = await startSilentListener();
    const transport = connect({ server: listener.url, credentials: fixedCredentials(undefined) });
    await expect(transport.call(get(), { deadlineMs: SOON_MS })).rejects.toThrow(
      `GET /version took longer than ${SOON_MS} ms (connecting)`,
    );
  });
});

describe('an abort', () => {
  it('ends a call at once while TLS is not answered', async () => {
    const listener = await startSilentListener();
    const transport = connect({ server: listener.url, credentials: fixedCredentials(undefined) });
    const abort = new AbortController();
    const call = failureOf(transport.call(get(), { deadlineMs: LONG_MS, signal: abort.signal }));
    abort.abort();
    expect(await call).toBe('aborted');
  });

  it('ends a call at once in the middle of a body, and the server is told', async () => {
    const server = await serve((request) => request.write('{"ha'));
    const transport = connect(server.access);
    const abort = new AbortController();
    const call = failureOf(transport.call(get(), { deadlineMs: LONG_MS, signal: abort.signal }));
    await server.received(1);
    abort.abort();
    expect(await call).toBe('aborted');
    const stream = server.requests[0]?.stream;
    if (stream?.closed === false) await once(stream, 'close');
    expect(stream?.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
  });

  it('that came before the call sends nothing', async () => {
    const server = await serve(ok);
    const call = connect(server.access).call(get(), { deadlineMs: LONG_MS, signal: AbortSignal.abort() });
    expect(await failureOf(call)).toBe('aborted');
    expect(server.connections).toBe(0);
  });
});

describe('connecting', () => {
  it('is done once for all calls that wait for it', async () => {
    const listener = await startSilentListener();
    const transport = connect({
      server: listener.url,
      credentials: fixedCredentials(undefined),
      connectTimeoutMs: SOON_MS,
    });
    const calls = Array.from({ length: 20 }, () => failureOf(transport.call(get(), { deadlineMs: LONG_MS })));
    expect(await Promise.all(calls)).toEqual(Array(20).fill('connect'));
    expect(listener.accepted).toHaveLength(1);
  });

  it('to nobody fails as "connect"', async () => {
    const listener = net.createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    listener.close();
    await once(listener, 'close');
    const transport = connect({ server: `https://127.0.0.1:${port}`, credentials: fixedCredentials(undefined) });
    expect(await failureOf(transport.call(get(), { deadlineMs: LONG_MS }))).toBe('connect');
  });

  it('to a server whose certificate is not trusted fails as "tls", and asks for fresh credentials', async () => {
    const server = await serve(ok);
    let invalidated = 0;
    const { ca } = (await fixedCredentials(makeCertificate('another').cert).current()).tls;
    const source = fixedCredentials(String(ca));
    const transport = connect({
      server: server.url,
      credentials: { current: () => source.current(), invalidate: () => void (invalidated += 1) },
    });
    expect(await failureOf(transport.call(get(), { deadlineMs: LONG_MS }))).toBe('tls');
    expect(invalidated).toBe(1);
  });

  it('with a key that cannot be read fails as "tls"', async () => {
    const server = await serve(ok);
    const tls = { ca: server.certificate.cert, cert: 'no PEM', key: 'no PEM' };
    const credentials: CredentialSource = {
      current: () => Promise.resolve({ headers: {}, tls, tlsKey: tlsKeyOf(tls) }),
      invalidate: () => undefined,
    };
    expect(await failureOf(connect({ server: server.url, credentials }).call(get(), { deadlineMs: LONG_MS }))).toBe(
      'tls',
    );
  });
});

describe('a frozen connection', () => {
  const heartbeat = { pingAfterMs: 30, pingWhenIdleMs: LONG_MS, pongWithinMs: 60 };

  it('is noticed by a ping that is not answered, and replaced', async () => {
    const server = await serve(ok);
    const proxy = await proxied(server);
    const transport = connect({ ...server.access, server: proxy.server, callHeartbeat: heartbeat });
    await transport.call(get(), { deadlineMs: LONG_MS });
    proxy.freeze();
    expect(await failureOf(transport.call(get(), { deadlineMs: LONG_MS }))).toBe('cut');
    proxy.thaw();
    await transport.call(get(), { deadlineMs: LONG_MS });
    expect(proxy.connectionsOpened).toBe(2);
  });

  it('is noticed although every call has ended at its own deadline', async () => {
    const server = await serve(ok);
    const proxy = await proxied(server);
    const connected: string[] = [];
    const transport = connect({
      ...server.access,
      server: proxy.server,
      callHeartbeat: heartbeat,
      onConnected: (name) => connected.push(name),
    });
    await transport.call(get(), { deadlineMs: LONG_MS });
    proxy.freeze('answers');
    // Each deadline is far shorter than what a ping needs.
    while (proxy.connectionsOpened === 1) await failureOf(transport.call(get(), { deadlineMs: 5 }));
    proxy.thaw();
    await transport.call(get(), { deadlineMs: LONG_MS });
    expect(connected.length).toBeGreaterThanOrEqual(2);
  });

  it('of a watch is noticed too', async () => {
    const server = await serve((request) => request.write('{}\n'));
    const proxy = await proxied(server);
    const transport = connect({ ...server.access, server: proxy.server, watchHeartbeat: heartbeat });
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const watch = failureOf(transport.stream(get(), limits, () => proxy.freeze()));
    expect(await watch).toBe('cut');
  });

  it('is not seen where a quiet server answers pings', async () => {
    let pings = 0;
    const server = await serve((request) => request.write('{}\n'));
    const transport = connect({ ...server.access, watchHeartbeat: { ...heartbeat, pongWithinMs: LONG_MS } });
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const abort = new AbortController();
    const watch = failureOf(transport.stream(get(), { ...limits, signal: abort.signal }, () => undefined));
    await server.received(1);
    const [session] = server.sessions;
    await new Promise<void>((resolve) => {
      session?.on('ping', () => {
        pings += 1;
        if (pings === 5) resolve();
      });
    });
    abort.abort();
    expect(await watch).toBe('aborted');
    expect(server.connections).toBe(1);
  });
});

describe('GOAWAY', () => {
  it('lets the requests in flight finish and sends the next ones on a new connection', async () => {
    const server = await serve((request) => request.path !== '/slow' && request.json({}));
    const transport = connect(server.access);
    const slow = transport.call(get('/slow'), { deadlineMs: LONG_MS });
    await server.received(1);
    const [session] = server.sessions;
    session?.goaway(http2.constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1);
    while (server.connections === 1) await transport.call(get('/next'), { deadlineMs: LONG_MS });
    server.requests[0]?.json({ slow: true });
    expect((await slow).body.toString()).toBe('{"slow":true}');
  });

  it('that refuses a request unread has it sent again on a new connection, a write too', async () => {
    let refused = false;
    const server = await serve((request) => {
      if (refused) return request.json({});
      refused = true;
      request.stream?.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    });
    const answer = await connect(server.access).call(patch({}), { deadlineMs: LONG_MS });
    expect(answer.status).toBe(200);
    expect(server.requests).toHaveLength(2);
  });

  it('with an error cuts what is in flight, and a write is not sent again', async () => {
    const server = await serve((request) => {
      request.stream?.session?.goaway(http2.constants.NGHTTP2_INTERNAL_ERROR);
    });
    expect(await failureOf(connect(server.access).call(patch({}), { deadlineMs: LONG_MS }))).toBe('cut');
    expect(server.requests).toHaveLength(1);
  });
});

describe.each(['h2', 'https/1.1', 'http/1.1'] as const)('over %s', (protocol) => {
  it('a call is answered, whatever the status', async () => {
    const server = await serve((request) => request.json({ seen: request.body }, 418, { 'x-tea': 'yes' }), {
      protocol,
    });
    const answer = await connect(server.access).call(patch({ a: 1 }), { deadlineMs: LONG_MS });
    expect(answer.status).toBe(418);
    expect(answer.headers['x-tea']).toBe('yes');
    expect(JSON.parse(answer.body.toString())).toEqual({ seen: '{"a":1}' });
  });

  it('connections are kept: 50 calls one after another need one', async () => {
    const server = await serve(ok, { protocol });
    const transport = connect(server.access);
    for (let index = 0; index < 50; index += 1) await transport.call(get(), { deadlineMs: LONG_MS });
    // With HTTP/1.1 over TLS the first connection only finds out the protocol.
    expect(server.connections).toBe(protocol === 'https/1.1' ? 2 : 1);
  });

  it('a body that is cut in the middle fails as "cut"', async () => {
    const server = await serve(
      (request) => {
        request.write('{"ha');
        setImmediate(() => request.cut());
      },
      { protocol },
    );
    expect(await failureOf(connect(server.access).call(get(), { deadlineMs: LONG_MS }))).toBe('cut');
  });

  it.each(['reset', 'close'] as const)('a %s of the connection in the middle of a body fails as "cut"', async (how) => {
    const server = await serve(
      (request) => {
        request.write('{"ha');
        setImmediate(() => server.dropConnections(how));
      },
      { protocol },
    );
    expect(await failureOf(connect(server.access).call(get(), { deadlineMs: LONG_MS }))).toBe('cut');
  });

  it('a body that ends in good order, but shorter than announced, fails as "cut"', async () => {
    const server = await serve(
      (request) => {
        request.write('{}', 200, { 'content-length': '500' });
        request.end();
      },
      { protocol },
    );
    expect(await failureOf(connect(server.access).call(get(), { deadlineMs: 200 }))).toBe(
      // Over HTTP/1.1 the connection is kept, and the rest may still come.
      protocol === 'h2' ? 'cut' : 'deadline',
    );
  });

  it('a connection that breaks before the answer fails as "cut", and a write is sent only once', async () => {
    const server = await serve(() => server.dropConnections(), { protocol });
    expect(await failureOf(connect(server.access).call(patch({}), { deadlineMs: LONG_MS }))).toBe('cut');
    expect(server.requests).toHaveLength(1);
  });

  it('nobody at the address fails as "connect"', async () => {
    const server = await serve(ok, { protocol });
    const transport = connect(server.access);
    await transport.call(get(), { deadlineMs: LONG_MS });
    await server.stop();
    await failureOf(transport.call(get(), { deadlineMs: LONG_MS })).catch(() => 'still there');
    expect(await failureOf(transport.call(get(), { deadlineMs: LONG_MS }))).toBe('connect');
  });

  it('after a broken connection the next call makes a new one', async () => {
    const server = await serve((request) => (request.path === '/bad' ? server.dropConnections() : request.json({})), {
      protocol,
    });
    const transport = connect(server.access);
    await failureOf(transport.call(get('/bad'), { deadlineMs: LONG_MS }));
    expect((await transport.call(get(), { deadlineMs: LONG_MS })).status).toBe(200);
  });

  it('a stream passes on what comes, and resolves at its end', async () => {
    const server = await serve(
      (request) => {
        request.write('one\n');
        request.write('two\n');
        request.end();
      },
      { protocol },
    );
    let text = '';
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const answer = await connect(server.access).stream(get(), limits, (chunk) => (text += chunk.toString()));
    expect(answer.status).toBe(200);
    expect(text).toBe('one\ntwo\n');
  });

  it(`a stream that is silent is ${protocol === 'h2' ? 'left to the pings' : 'cut after a while'}`, async () => {
    const server = await serve((request) => request.write('one\n'), { protocol });
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: 5 * SOON_MS, silenceMs: SOON_MS };
    const stream = connect(server.access).stream(get(), limits, () => undefined);
    expect(await failureOf(stream)).toBe(protocol === 'h2' ? 'deadline' : 'cut');
  });

  it('a stream has a deadline for its head, and one for its body', async () => {
    const server = await serve((request) => request.path === '/body' && request.write('one\n'), { protocol });
    const transport = connect(server.access);
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const head = transport.stream(get('/head'), { ...limits, headDeadlineMs: SOON_MS }, () => undefined);
    const body = transport.stream(get('/body'), { ...limits, bodyDeadlineMs: SOON_MS }, () => undefined);
    expect(await failureOf(head)).toBe('deadline');
    expect(await failureOf(body)).toBe('deadline');
  });

  it('what the receiver of a stream throws ends the stream and is thrown', async () => {
    const server = await serve((request) => request.write('one\n'), { protocol });
    const limits = { headDeadlineMs: LONG_MS, bodyDeadlineMs: LONG_MS, silenceMs: LONG_MS };
    const stream = connect(server.access).stream(get(), limits, () => {
      throw new RangeError('of the receiver');
    });
    await expect(stream).rejects.toThrow('of the receiver');
  });

  it('close() ends what is in flight as "aborted", and is final', async () => {
    const server = await serve(() => undefined, { protocol });
    const transport = connect(server.access);
    const call = failureOf(transport.call(get(), { deadlineMs: LONG_MS }));
    await server.received(1);
    transport.close();
    expect(await call).toBe('aborted');
    expect(await failureOf(transport.call(get(), { deadlineMs: LONG_MS }))).toBe('aborted');
  });
});

describe('credentials', () => {
  const rotating = (first: Credentials, second: Credentials): CredentialSource & { readonly invalidations: number } => {
    let invalidations = 0;
    return {
      current: () => Promise.resolve(invalidations === 0 ? first : second),
      invalidate: () => void (invalidations += 1),
      get invalidations() {
        return invalidations;
      },
    };
  };
  const bearer = (token: string, ca: string): Credentials => ({
    headers: { authorization: `Bearer ${token}` },
    tls: { ca },
    tlsKey: tlsKeyOf({ ca }),
  });

  it('that the server no longer knows (401) are read again, and the request is sent once more', async () => {
    const server = await serve((request) =>
      request.headers['authorization'] === 'Bearer new' ? request.json({}) : request.json({}, 401),
    );
    const { cert } = server.certificate;
    const source = rotating(bearer('old', cert), bearer('new', cert));
    const answer = await connect({ server: server.url, credentials: source }).call(patch({}), { deadlineMs: LONG_MS });
    expect(answer.status).toBe(200);
    expect(server.requests).toHaveLength(2);
    expect(server.connections).toBe(1);
  });

  it('that are still the same after a 401 are not tried again', async () => {
    const server = await serve((request) => request.json({}, 401));
    const answer = await connect(server.access).call(get(), { deadlineMs: LONG_MS });
    expect(answer.status).toBe(401);
    expect(server.requests).toHaveLength(1);
  });

  it('with another certificate authority or client certificate make a new connection; requests in flight finish', async () => {
    const server = await serve((request) => request.path !== '/slow' && request.json({}));
    const { cert } = server.certificate;
    let current = bearer('a', cert);
    const transport = connect({
      server: server.url,
      credentials: { current: () => Promise.resolve(current), invalidate: () => undefined },
    });
    const slow = transport.call(get('/slow'), { deadlineMs: LONG_MS });
    await server.received(1);
    current = bearer('a', `${makeCertificate('new authority').cert}\n${cert}`);
    await transport.call(get(), { deadlineMs: LONG_MS });
    expect(server.connections).toBe(2);
    const [old] = server.sessions;
    const closed = new Promise((resolve) => old?.on('close', resolve));
    server.requests[0]?.json({});
    expect((await slow).status).toBe(200);
    await closed;
  });
});
