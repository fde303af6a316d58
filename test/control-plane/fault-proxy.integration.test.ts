import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startFaultProxy } from './fault-proxy.ts';
import type { FaultProxy } from './fault-proxy.ts';
import { restClient } from './rest-client.ts';
import { useSuite } from './use-suite.ts';
import { until } from './wait.ts';

describe('a fault proxy', () => {
  const accepted: Socket[] = [];
  const received: string[] = [];
  const serverErrors: string[] = [];
  // Says back what it hears.
  const echo = createServer((socket) => {
    accepted.push(socket);
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk.toString());
      socket.write(chunk);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => serverErrors.push(error.code ?? error.message));
  });
  let proxy: FaultProxy;

  beforeAll(async () => {
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
  });
  beforeEach(async () => {
    accepted.length = 0;
    received.length = 0;
    serverErrors.length = 0;
    proxy = await startFaultProxy(`https://127.0.0.1:${(echo.address() as AddressInfo).port}`);
    return () => proxy.stop();
  });
  afterAll(() => void echo.close());

  /** A client that remembers what it heard and how it ended. */
  async function dial() {
    const socket = connect(Number(new URL(proxy.server).port), '127.0.0.1');
    const heard: string[] = [];
    const errors: string[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
    await new Promise((resolve) => void socket.once('connect', resolve).once('close', resolve));
    return { socket, heard, errors };
  }

  test('forwards both ways, counts connections, and passes on their end', async () => {
    const client = await dial();
    client.socket.write('hello');
    await until('the echo', () => client.heard.join('') === 'hello');
    await dial();
    expect(proxy.connectionsOpened).toBe(2);
    expect(proxy.connectionsOpen).toBe(2);
    client.socket.end();
    await until('one to be closed', () => proxy.connectionsOpen === 1);
    expect(accepted[0]?.readableEnded).toBe(true);
    expect(proxy.connectionsOpened).toBe(2);
  });

  test('cuts connections with a reset on both sides, and takes new ones', async () => {
    const client = await dial();
    client.socket.write('hello');
    await until('the echo', () => client.heard.length === 1);
    proxy.cut();
    await until('the reset', () => client.errors.includes('ECONNRESET'));
    await until('the reset of the server side', () => serverErrors.includes('ECONNRESET'));
    const next = await dial();
    next.socket.write('again');
    await until('the echo', () => next.heard.length === 1);
  });

  test('forwards nothing while frozen, also on new connections, and everything after the thaw', async () => {
    const client = await dial();
    proxy.freeze();
    client.socket.write('early');
    const late = await dial();
    late.socket.write('late');
    // A third party's connection past the proxy shows that time went by and the server would have answered.
    const past = connect((echo.address() as AddressInfo).port, '127.0.0.1').end('past');
    await until('the server to hear the other one', () => received.includes('past'));
    past.destroy();
    expect(received).toEqual(['past']);
    expect(client.errors).toEqual([]);
    proxy.thaw();
    await until('both echoes', () => client.heard.join('') === 'early' && late.heard.join('') === 'late');
  });

  test('lets requests through and keeps their answers when only answers are frozen', async () => {
    const client = await dial();
    proxy.freeze('answers');
    client.socket.write('write');
    await until('the request to arrive', () => received.includes('write'));
    expect(client.heard).toEqual([]);
    proxy.cut();
    await until('the reset', () => client.errors.includes('ECONNRESET'));
    expect(client.heard).toEqual([]);
  });

  test('refuses new connections and keeps the open ones, until it accepts again', async () => {
    const client = await dial();
    await proxy.refuse();
    expect((await dial()).errors).toEqual(['ECONNREFUSED']);
    client.socket.write('still');
    await until('the echo', () => client.heard.join('') === 'still');
    await proxy.accept();
    expect((await dial()).errors).toEqual([]);
  });

  test('delays every byte, each way, and keeps their order', async () => {
    const client = await dial();
    proxy.delay(100);
    const sentMs = performance.now();
    client.socket.write('a');
    await until('the request to arrive', () => received.length === 1, { intervalMs: 1 });
    client.socket.write('b');
    await until('the echoes', () => client.heard.join('') === 'ab', { intervalMs: 1 });
    expect(performance.now() - sentMs).toBeGreaterThanOrEqual(200);
  });
});

describe('a fault proxy in front of the API server', () => {
  const suite = useSuite({ count: 1 });

  test('carries TLS, and the end of a watch when it is cut', async () => {
    const { controlPlane } = suite();
    const proxy = await startFaultProxy(controlPlane.server);
    const api = restClient({ ...controlPlane, server: proxy.server, token: controlPlane.tokens['admin'] ?? '' });
    await expect(api.get('/readyz')).resolves.toBe('ok');
    const watch = api.watch('/api/v1/namespaces', { allowWatchBookmarks: 'true' }, () => {});
    const ended = expect(watch).rejects.toMatchObject({ code: 'ECONNRESET' });
    await until('both connections', () => proxy.connectionsOpen === 2);
    proxy.cut();
    await ended;
    api.close();
    await proxy.stop();
  });
});
