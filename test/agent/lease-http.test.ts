import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LeaseHttp } from '../../src/agent/lease-http.ts';
import type { LeaseHttpOptions } from '../../src/agent/lease-http.ts';
import type { Lease } from '../../src/api/objects.ts';
import { startFakeServer } from '../adapters/kubernetes/support/fake-server.ts';
import type { FakeServer, Handler } from '../adapters/kubernetes/support/fake-server.ts';

const lease = (resourceVersion: string): Lease => ({
  metadata: { name: 'web-active', namespace: 'shop', uid: 'u', resourceVersion, creationTimestamp: '' },
  spec: { holderIdentity: 'web-0_a', leaseTransitions: 3 },
});
const PATH = '/apis/coordination.k8s.io/v1/namespaces/shop/leases';

let server: FakeServer;
let accountDir: string;
let source: LeaseHttp | undefined;
let nowMs = 0;

beforeEach(async () => {
  nowMs = 0;
  accountDir = mkdtempSync(join(tmpdir(), 'account-'));
  writeFileSync(join(accountDir, 'token'), 'first\n');
  server = await startFakeServer((request) => request.json(lease('7')), { protocol: 'https/1.1' });
});

afterEach(async () => {
  source?.close();
  await server.stop();
  rmSync(accountDir, { recursive: true });
});

function client(handler?: Handler, options: Partial<LeaseHttpOptions> = {}): LeaseHttp {
  if (handler !== undefined) server.handler = handler;
  const { hostname: host, port } = new URL(server.url);
  const times = { deadlineMs: 5_000, watchMs: 1_000, monotonicMs: () => nowMs };
  const names = { namespace: 'shop', name: 'web-active', accountDir, host, port: Number(port) };
  source = new LeaseHttp({ ...names, ...times, ...options }, server.certificate.cert);
  return source;
}

const watchAll = async (from: LeaseHttp, seen: (string | undefined)[]): Promise<void> =>
  from.watch('7', (object) => void seen.push(object?.metadata.resourceVersion), new AbortController().signal);

describe('the Lease over HTTP', () => {
  it('is read with the token of the service account', async () => {
    expect(await client().read()).toEqual(lease('7'));
    expect(server.requests[0]).toMatchObject({ method: 'GET', path: `${PATH}/web-active` });
    expect(server.requests[0]?.headers['authorization']).toBe('Bearer first');
  });

  it('is replaced as a whole, with its resourceVersion', async () => {
    await client().replace(lease('6'));
    const { method, body } = server.requests[0] ?? { method: '', body: '{}' };
    expect(method).toBe('PUT');
    expect(JSON.parse(body)).toEqual({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...lease('6') });
  });

  it('keeps one connection for one request after another', async () => {
    const one = client();
    for (const _ of [1, 2, 3]) await one.read();
    expect(server.connections).toBe(1);
  });

  it.each([409, 404, 500])('that is refused with %i says so, with the words of the server', async (status) => {
    const one = client((request) => request.json({ kind: 'Status', message: 'because' }, status));
    const words = `the API server answered ${status}: because`;
    await expect(one.replace(lease('6'))).rejects.toMatchObject({ status, message: words });
  });

  it('of a server that does not answer fails at its deadline', async () => {
    await expect(client(() => undefined, { deadlineMs: 50 }).read()).rejects.toMatchObject({ status: undefined });
  });

  it('of a server that stops in the middle of its answer fails at its deadline', async () => {
    const one = client((request) => request.write('{"metadata":'), { deadlineMs: 100 });
    await expect(one.read()).rejects.toMatchObject({ status: undefined });
  });

  it('of nobody who listens fails at once', async () => {
    await expect(client(undefined, { port: 1 }).read()).rejects.toThrow(/ECONNREFUSED/);
  });

  it('that is no JSON fails', async () => {
    const one = client((request) => {
      request.write('<html>');
      request.end();
    });
    await expect(one.read()).rejects.toMatchObject({ status: undefined });
  });

  it('is not read from a server with another certificate', async () => {
    const { hostname: host, port } = new URL(server.url);
    const options = {
      namespace: 'shop',
      name: 'x',
      accountDir,
      host,
      port: Number(port),
      deadlineMs: 5_000,
      watchMs: 1,
    };
    source = new LeaseHttp({ ...options, monotonicMs: () => 0 }, '');
    await expect(source.read()).rejects.toThrow(/self-signed/);
  });
});

describe('the token', () => {
  it('is read again after a minute', async () => {
    const one = client();
    await one.read();
    writeFileSync(join(accountDir, 'token'), 'second');
    await one.read();
    nowMs = 60_000;
    await one.read();
    expect(server.requests.map(({ headers }) => headers['authorization'])).toEqual([
      'Bearer first',
      'Bearer first',
      'Bearer second',
    ]);
  });

  it('is read again when it was refused', async () => {
    const one = client((request) => request.json({ message: 'Unauthorized' }, 401));
    await expect(one.read()).rejects.toMatchObject({ status: 401 });
    writeFileSync(join(accountDir, 'token'), 'second');
    await expect(one.read()).rejects.toMatchObject({ status: 401 });
    expect(server.requests[1]?.headers['authorization']).toBe('Bearer second');
  });

  it('that was there stays good while its file is not', async () => {
    const one = client();
    await one.read();
    rmSync(join(accountDir, 'token'));
    nowMs = 60_000;
    expect(await one.read()).toEqual(lease('7'));
  });
});

describe('a watch', () => {
  const event = (type: string, version: string): string => `${JSON.stringify({ type, object: lease(version) })}\n`;

  it('tells every state, wherever the bytes are parted, until the server ends it', async () => {
    const seen: (string | undefined)[] = [];
    const text = event('MODIFIED', '8') + event('DELETED', '9') + event('ADDED', '10');
    await watchAll(
      client((request) => {
        request.write(text.slice(0, 30), 200);
        request.write(text.slice(30));
        request.end();
      }),
      seen,
    );
    expect(seen).toEqual(['8', undefined, '10']);
    const query = new URL(server.requests[0]?.path ?? '', server.url).searchParams;
    expect(Object.fromEntries(query)).toEqual({
      watch: 'true',
      fieldSelector: 'metadata.name=web-active',
      resourceVersion: '7',
      timeoutSeconds: '1',
    });
  });

  it('from a version that the server has no more fails', async () => {
    const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old resource version' } };
    const one = client((request) => {
      request.write(`${JSON.stringify(gone)}\n`, 200);
      request.end();
    });
    await expect(watchAll(one, [])).rejects.toMatchObject({ status: 410 });
  });

  it('that breaks off fails', async () => {
    const one = client((request) => {
      request.write(event('ADDED', '8'), 200);
      request.cut();
    });
    await expect(watchAll(one, [])).rejects.toMatchObject({ status: undefined });
  });

  it('ends when nobody wants it any more', async () => {
    const abort = new AbortController();
    const one = client((request) => request.write(event('ADDED', '8'), 200));
    const watching = one.watch('7', () => abort.abort(), abort.signal);
    await expect(watching).rejects.toMatchObject({ status: undefined });
  });
});
