import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  createKubernetesApi,
  type ClosableKubernetesApi,
  type KubernetesApiOptions,
  type RequestRecord,
} from '../../../src/adapters/kubernetes/kubernetes-api.ts';
import {
  discoverDisruptionBudgets,
  discoverEndpointSlices,
  isServed,
  LEASE,
  NODE,
  POD,
  SINGLETON_SERVICE,
} from '../../../src/adapters/kubernetes/resources.ts';
import {
  ApiError,
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  TransportError,
  type WatchEvent,
} from '../../../src/adapters/ports.ts';
import type { KubeObject, Lease, Pod } from '../../../src/api/objects.ts';
import { startFakeServer, type FakeServer, type FakeServerOptions, type Handler } from './support/fake-server.ts';

// Real connections and processes, on machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface World {
  readonly server: FakeServer;
  readonly api: ClosableKubernetesApi;
  readonly records: RequestRecord[];
}

async function serve(
  handler: Handler,
  options: Partial<KubernetesApiOptions> = {},
  serverOptions?: FakeServerOptions,
): Promise<World> {
  const server = await startFakeServer(handler, serverOptions);
  const records: RequestRecord[] = [];
  const api = createKubernetesApi({ ...server.access, onRequest: (record) => records.push(record), ...options });
  cleanups.push(
    () => server.stop(),
    () => api.close(),
  );
  return { server, api, records };
}

const status = (code: number, reason: string, message = 'no', details: object = {}): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message,
  details,
});

async function errorOf(call: Promise<unknown>): Promise<unknown> {
  return await call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function apiErrorOf(call: Promise<unknown>): Promise<ApiError> {
  const error = await errorOf(call);
  if (!(error instanceof ApiError)) throw error ?? new Error('it did not fail');
  return error;
}

async function failureOf(call: Promise<unknown>): Promise<string> {
  const error = await errorOf(call);
  if (!(error instanceof TransportError)) throw error ?? new Error('it did not fail');
  return error.failure;
}

const thing = { namespace: 'ns', name: 'a' };
const echo: Handler = (request) => request.json({ metadata: { resourceVersion: '7' } });

describe('requests', () => {
  it.each<[string, (api: ClosableKubernetesApi) => Promise<unknown>, object]>([
    ['get', (api) => api.get(POD, thing), { method: 'GET', path: '/api/v1/namespaces/ns/pods/a', body: '' }],
    ['get, cluster-scoped', (api) => api.get(NODE, { name: 'n' }), { path: '/api/v1/nodes/n' }],
    [
      'get, of a group',
      (api) => api.get(LEASE, thing),
      { path: '/apis/coordination.k8s.io/v1/namespaces/ns/leases/a' },
    ],
    ['list everywhere', (api) => api.list(POD, {}), { path: '/api/v1/pods' }],
    [
      'list',
      (api) =>
        api.list(POD, {
          namespace: 'ns',
          labelSelector: 'a=b,c',
          fieldSelector: 'x!=y',
          limit: 500,
          continueToken: 'a+b=',
        }),
      { path: '/api/v1/namespaces/ns/pods?labelSelector=a%3Db%2Cc&fieldSelector=x%21%3Dy&limit=500&continue=a%2Bb%3D' },
    ],
    [
      'create',
      (api) => api.create(POD, 'ns', { spec: {} }),
      { method: 'POST', path: '/api/v1/namespaces/ns/pods', body: '{"spec":{}}' },
    ],
    [
      'create without effect',
      (api) => api.create(POD, 'ns', {}, { dryRun: true }),
      { path: '/api/v1/namespaces/ns/pods?dryRun=All' },
    ],
    [
      'patch',
      (api) => api.mergePatch(LEASE, thing, { metadata: { resourceVersion: '5' }, spec: { holderIdentity: null } }),
      {
        method: 'PATCH',
        path: '/apis/coordination.k8s.io/v1/namespaces/ns/leases/a',
        body: '{"metadata":{"resourceVersion":"5"},"spec":{"holderIdentity":null}}',
      },
    ],
    [
      'patch of the status',
      (api) => api.mergePatch(SINGLETON_SERVICE, thing, {}, { subresource: 'status' }),
      { path: '/apis/singleton-operator.io/v1alpha1/namespaces/ns/singletonservices/a/status' },
    ],
    [
      'delete',
      (api) => api.delete(POD, thing),
      { method: 'DELETE', path: '/api/v1/namespaces/ns/pods/a', body: '{"apiVersion":"v1","kind":"DeleteOptions"}' },
    ],
    [
      'delete with preconditions',
      (api) => api.delete(POD, thing, { uid: 'u', resourceVersion: '5', gracePeriodSeconds: 0 }),
      {
        body: '{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u","resourceVersion":"5"},"gracePeriodSeconds":0}',
      },
    ],
    ['any path', (api) => api.getPath('/apis/discovery.k8s.io'), { method: 'GET', path: '/apis/discovery.k8s.io' }],
  ])('%s', async (_name, call, expected) => {
    const { server, api } = await serve(echo);
    await call(api);
    expect(server.requests[0]).toMatchObject(expected);
  });

  it('name their content type: a patch is a JSON merge patch', async () => {
    const { server, api } = await serve(echo);
    await api.mergePatch(POD, thing, {});
    await api.create(POD, 'ns', {});
    expect(server.requests.map((request) => request.headers['content-type'])).toEqual([
      'application/merge-patch+json',
      'application/json',
    ]);
  });

  it('say who sends them', async () => {
    const { server, api } = await serve(echo, { userAgent: 'singleton-operator/1.2.3' });
    await api.get(POD, thing);
    expect(server.requests[0]?.headers).toMatchObject({
      'user-agent': 'singleton-operator/1.2.3',
      accept: 'application/json',
    });
  });

  it('of a namespaced object without its namespace are refused, and names cannot leave their place', async () => {
    const { server, api } = await serve(echo);
    await expect(api.get(POD, { name: 'a' })).rejects.toThrow('a Pod is addressed with its namespace');
    await expect(api.get(POD, { namespace: 'ns', name: '' })).rejects.toThrow('its name');
    await api.get(POD, { namespace: 'ns', name: '../../nodes/n?x' });
    expect(server.requests[0]?.path).toBe('/api/v1/namespaces/ns/pods/..%2F..%2Fnodes%2Fn%3Fx');
  });

  it('are reported with verb, resource, code and duration', async () => {
    const { api, records } = await serve((request) => {
      if (request.method === 'DELETE') request.json(status(404, 'NotFound'), 404);
      else if (request.method === 'POST') request.cut();
      else request.json({ metadata: { resourceVersion: '7' } }, 200);
    });
    await api.get(POD, thing);
    await api.list(LEASE, {});
    await api.mergePatch(SINGLETON_SERVICE, thing, {}, { subresource: 'status' });
    await errorOf(api.delete(POD, thing));
    await errorOf(api.create(POD, 'ns', {}));
    await api.watch(POD, { resourceVersion: '1', timeoutSeconds: 300 }, () => undefined).catch(() => undefined);
    expect(records.map(({ verb, resource, code }) => [verb, resource, code])).toEqual([
      ['get', 'pods', 200],
      ['list', 'leases', 200],
      ['patch', 'singletonservices/status', 200],
      ['delete', 'pods', 404],
      ['create', 'pods', 'cut'],
      ['watch', 'pods', 'cut'],
    ]);
    expect(records.every((record) => record.durationMs > 0)).toBe(true);
  });
});

describe('answers', () => {
  it('of a list give every item its kind, and the token of the next page', async () => {
    const { api } = await serve((request) =>
      request.json({
        kind: 'PodList',
        metadata: { resourceVersion: '42', continue: 'more' },
        items: [{ metadata: { name: 'a' } }],
      }),
    );
    expect(await api.list<Pod>(POD, {})).toEqual({
      items: [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } }],
      resourceVersion: '42',
      continueToken: 'more',
    });
  });

  it('of an empty list may have null for items and an empty token', async () => {
    const { api } = await serve((request) =>
      request.json({ metadata: { resourceVersion: '42', continue: '' }, items: null }),
    );
    expect(await api.list<Pod>(POD, {})).toEqual({ items: [], resourceVersion: '42' });
  });

  it.each<[number, string, (error: unknown) => boolean]>([
    [409, 'Conflict', isConflict],
    [409, 'AlreadyExists', isAlreadyExists],
    [404, 'NotFound', isNotFound],
    [410, 'Expired', isExpired],
    [410, 'Gone', isExpired],
    [500, 'InternalError', (error) => error instanceof ApiError],
    [422, 'Invalid', (error) => error instanceof ApiError],
  ])('%d %s is an ApiError with the server’s reason and message', async (code, reason, matches) => {
    const { api } = await serve((request) => request.json(status(code, reason, 'the message'), code));
    const error = await apiErrorOf(api.mergePatch(LEASE, thing, {}));
    expect(error).toMatchObject({
      status: code,
      reason: reason === 'Gone' ? 'Expired' : reason,
      message: 'the message',
      retryAfterMs: undefined,
    });
    expect(matches(error)).toBe(true);
  });

  it('to a patch of an object with another UID are a conflict, as the port promises', async () => {
    const message = 'Service "a" is invalid: metadata.uid: Invalid value: "x": field is immutable';
    const { api } = await serve((request) => request.json(status(422, 'Invalid', message), 422));
    expect(isConflict(await errorOf(api.mergePatch(POD, thing, { metadata: { uid: 'x' } })))).toBe(true);
  });

  it('of a proxy in HTML are an ApiError with a short text', async () => {
    const page = `<html><head><style>body { color: red }</style></head><body><h1>502 Bad\n Gateway</h1>${'x'.repeat(9_999)}</body></html>`;
    const { api } = await serve((request) => {
      request.write(page, 502, { 'content-type': 'text/html' });
      request.end();
    });
    const error = await apiErrorOf(api.get(POD, thing));
    expect(error).toMatchObject({ status: 502, reason: 'Unknown' });
    expect(error.message).toMatch(/^GET \/api\/v1\/namespaces\/ns\/pods\/a was answered 502: 502 Bad Gateway x+$/);
    expect(error.message.length).toBeLessThan(300);
  });

  it('404 in plain text, as for a resource that is not served, are NotFound', async () => {
    const { api } = await serve((request) => {
      request.write('404 page not found\n', 404, { 'content-type': 'text/plain' });
      request.end();
    });
    expect(isNotFound(await errorOf(api.list(SINGLETON_SERVICE, {})))).toBe(true);
  });

  it('200 with JSON that breaks off are "malformed"', async () => {
    const { api } = await serve((request) => {
      request.write('{"metadata":{"na');
      request.end();
    });
    expect(await failureOf(api.get(POD, thing))).toBe('malformed');
  });

  it('200 with fewer bytes than announced are "cut"', async () => {
    const { api } = await serve(
      (request) => {
        request.write('{"a":1}', 200, { 'content-length': '500' });
        setImmediate(() => request.cut());
      },
      {},
      { protocol: 'http/1.1' },
    );
    expect(await failureOf(api.get(POD, thing))).toBe('cut');
  });

  it('of a list without a version are "malformed"', async () => {
    const { api } = await serve((request) => request.json({ items: [] }));
    expect(await failureOf(api.list(POD, {}))).toBe('malformed');
  });
});

describe('a server that asks to come again', () => {
  it('is obeyed by a read, within its deadline', async () => {
    const { server, api } = await serve((request) => {
      if (server.requests.length === 1) request.json(status(429, 'TooManyRequests'), 429, { 'retry-after': '0' });
      else if (server.requests.length === 2)
        request.json(status(503, 'ServiceUnavailable'), 503, { 'retry-after': '0' });
      else request.json({ metadata: { name: 'a' } });
    });
    expect(await api.get(POD, thing)).toEqual({ metadata: { name: 'a' } });
    expect(server.requests).toHaveLength(3);
  });

  it('for longer than the deadline of a read is reported at once', async () => {
    const { server, api } = await serve((request) =>
      request.json(status(429, 'TooManyRequests', 'later', { retryAfterSeconds: 60 }), 429),
    );
    expect((await apiErrorOf(api.get(POD, thing))).retryAfterMs).toBe(60_000);
    expect(server.requests).toHaveLength(1);
  });

  it('for ever is not asked for ever', async () => {
    const { server, api } = await serve((request) => request.json({}, 429, { 'retry-after': '0' }));
    expect((await apiErrorOf(api.get(POD, thing))).status).toBe(429);
    expect(server.requests.length).toBeLessThan(10);
  });

  it('is reported to the one who writes', async () => {
    const { server, api } = await serve((request) =>
      request.json(status(429, 'TooManyRequests'), 429, { 'retry-after': '3' }),
    );
    expect(await apiErrorOf(api.mergePatch(LEASE, thing, {}))).toMatchObject({
      status: 429,
      reason: 'TooManyRequests',
      retryAfterMs: 3_000,
    });
    expect(server.requests).toHaveLength(1);
  });

  it('at a date is understood', async () => {
    const at = new Date(Date.now() + 60_000).toUTCString();
    const { api } = await serve((request) => request.json({}, 503, { 'retry-after': at }));
    const error = await apiErrorOf(api.delete(POD, thing));
    expect(error.retryAfterMs).toBeGreaterThan(55_000);
    expect(error.retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  it('503 without a time is not asked again', async () => {
    const { server, api } = await serve((request) => request.json({}, 503));
    expect((await apiErrorOf(api.get(POD, thing))).reason).toBe('ServiceUnavailable');
    expect(server.requests).toHaveLength(1);
  });
});

describe('deadlines', () => {
  it('are those of the adapter when a call has none', async () => {
    const { api } = await serve(() => undefined, { deadlineMs: 30 });
    expect(await failureOf(api.get(POD, thing))).toBe('deadline');
  });

  it('of a call go before those of the adapter', async () => {
    const { api } = await serve(() => undefined);
    expect(await failureOf(api.get(POD, thing, { deadlineMs: 30 }))).toBe('deadline');
  });

  it('and aborts end a wait for Retry-After', async () => {
    const { server, api } = await serve((request) => request.json({}, 429, { 'retry-after': '5' }));
    const abort = new AbortController();
    const call = failureOf(api.get(POD, thing, { signal: abort.signal }));
    await server.received(1);
    abort.abort();
    expect(await call).toBe('aborted');
  });
});

describe('--kube-api-qps', () => {
  it('lets a burst of twice as many through, then spaces requests', async () => {
    const { server, api } = await serve(echo, { qps: 50 });
    const startMs = performance.now();
    await Promise.all(Array.from({ length: 105 }, () => api.get(POD, thing)));
    // 100 at once, then five more, one each 20 ms.
    expect(performance.now() - startMs).toBeGreaterThan(80);
    expect(server.requests).toHaveLength(105);
  });

  it('fails a call whose turn comes after its deadline without sending it', async () => {
    const { server, api } = await serve(echo, { qps: 1 });
    const calls = Array.from({ length: 4 }, () =>
      failureOf(api.get(POD, thing, { deadlineMs: 500 })).catch(() => 'answered'),
    );
    expect(await Promise.all(calls)).toEqual(['answered', 'answered', 'deadline', 'deadline']);
    expect(server.requests).toHaveLength(2);
  });
});

describe('a call that --kube-api-qps failed', () => {
  it('does not put off those after it', async () => {
    const { api } = await serve(echo, { qps: 2 });
    const hasty = Array.from({ length: 100 }, () => errorOf(api.get(POD, thing, { deadlineMs: 20 })));
    expect((await Promise.all(hasty)).filter((error) => error instanceof TransportError).length).toBeGreaterThan(90);
    expect(await api.get(POD, thing, { deadlineMs: 5_000 })).toBeDefined();
  });
});

describe('a watch', () => {
  const query = { resourceVersion: '10', timeoutSeconds: 345 };
  const lease = (name: string, padding = ''): KubeObject & { padding: string } => ({
    metadata: { name, namespace: 'ns', uid: name, resourceVersion: '11', creationTimestamp: '' },
    padding,
  });
  const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;
  const watchAll = async (
    handler: Handler,
    options: Partial<KubernetesApiOptions> = {},
  ): Promise<[WatchEvent<Lease>[], unknown]> => {
    const { api } = await serve(handler, options);
    const events: WatchEvent<Lease>[] = [];
    const error = await errorOf(api.watch<Lease>(LEASE, query, (event) => events.push(event)));
    return [events, error];
  };
  const types = (events: readonly WatchEvent<Lease>[]): string[] => events.map((event) => event.type);

  it('asks for bookmarks, from a version, for a time', async () => {
    const { server, api } = await serve((request) => request.end());
    await api.watch(LEASE, { ...query, namespace: 'ns', labelSelector: 'a=b' }, () => undefined);
    expect(server.requests[0]?.path).toBe(
      '/apis/coordination.k8s.io/v1/namespaces/ns/leases?watch=true&allowWatchBookmarks=true&labelSelector=a%3Db&resourceVersion=10&timeoutSeconds=345',
    );
  });

  it('passes on every event and bookmark, and resolves when the server ends it', async () => {
    const [events, error] = await watchAll((request) => {
      request.write(line('ADDED', lease('a')) + line('MODIFIED', lease('a')));
      request.write(line('DELETED', lease('a')));
      request.write(line('BOOKMARK', { kind: 'Lease', metadata: { resourceVersion: '99', creationTimestamp: null } }));
      request.end();
    });
    expect(error).toBeUndefined();
    expect(types(events)).toEqual(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);
    expect(events[3]).toEqual({ type: 'BOOKMARK', resourceVersion: '99' });
  });

  it('puts lines together again, however they are cut: between bytes of a character, and over 64 KB', async () => {
    const text = Buffer.from(
      line('ADDED', lease('a', 'ä€😀'.repeat(3))) + line('ADDED', lease('b', '€'.repeat(100_000))),
    );
    const [events, error] = await watchAll((request) => {
      // Byte by byte at first, so that every character is cut.
      for (let index = 0; index < 300; index += 1) request.write(text.subarray(index, index + 1));
      for (let index = 300; index < text.length; index += 4_097) request.write(text.subarray(index, index + 4_097));
      request.end();
    });
    expect(error).toBeUndefined();
    expect(events.map((event) => 'object' in event && 'padding' in event.object && event.object.padding)).toEqual([
      'ä€😀'.repeat(3),
      '€'.repeat(100_000),
    ]);
  });

  it('that ends in the middle of a line is "cut"', async () => {
    const [events, error] = await watchAll((request) => {
      request.write(`${line('ADDED', lease('a'))}{"type":"ADD`);
      request.end();
    });
    expect(types(events)).toEqual(['ADDED']);
    expect(error).toMatchObject({ failure: 'cut' });
  });

  it('that breaks is "cut", after everything that came', async () => {
    const [events, error] = await watchAll((request) => {
      request.write(line('ADDED', lease('a')));
      setImmediate(() => request.cut());
    });
    expect(types(events)).toEqual(['ADDED']);
    expect(error).toMatchObject({ failure: 'cut' });
  });

  it('with an ERROR event rejects with its ApiError; 410 is Expired', async () => {
    const [, gone] = await watchAll((request) =>
      request.write(line('ERROR', status(410, 'Gone', 'too old resource version: 1 (5)'))),
    );
    expect(gone).toMatchObject({ name: 'ApiError', status: 410, reason: 'Expired' });
    expect(isExpired(gone)).toBe(true);
    const details = { retryAfterSeconds: 3 };
    const [, later] = await watchAll((request) =>
      request.write(line('ERROR', status(429, 'TooManyRequests', 'later', details))),
    );
    expect(later).toMatchObject({ status: 429, retryAfterMs: 3_000 });
  });

  it('that is refused rejects with the ApiError of the answer', async () => {
    const [, error] = await watchAll((request) => request.json(status(403, 'Forbidden', 'no'), 403));
    expect(error).toMatchObject({ name: 'ApiError', status: 403, reason: 'Forbidden' });
  });

  it.each(['not JSON', '[]', '"text"', '{"type":"ODD","object":{}}', '{"type":"ADDED"}', '{}', 'null'])(
    'with %s for a line is "malformed"',
    async (text) => {
      const [, error] = await watchAll((request) => request.write(`${text}\n`));
      expect(error).toMatchObject({ failure: 'malformed' });
    },
  );

  it('that is silent for too long over HTTP/1.1, where nothing can be asked, is "cut"', async () => {
    const handler: Handler = (request) => request.write(line('ADDED', lease('a')));
    const { api } = await serve(handler, { watchSilenceMs: 50 }, { protocol: 'http/1.1' });
    expect(await failureOf(api.watch(LEASE, query, () => undefined))).toBe('cut');
  });

  it('whose head does not come has a deadline', async () => {
    const [, error] = await watchAll(() => undefined, { deadlineMs: 30 });
    expect(error).toMatchObject({ failure: 'deadline' });
  });

  it('ends at once when it is aborted', async () => {
    const { server, api } = await serve((request) => request.write(line('ADDED', lease('a'))));
    const abort = new AbortController();
    const error = errorOf(api.watch(LEASE, query, () => abort.abort(), { signal: abort.signal }));
    expect(await error).toMatchObject({ failure: 'aborted' });
    expect(server.requests).toHaveLength(1);
  });

  it('does not begin when its abort came first', async () => {
    const { server, api } = await serve(() => undefined);
    const error = errorOf(api.watch(LEASE, query, () => undefined, { signal: AbortSignal.abort() }));
    expect(await error).toMatchObject({ failure: 'aborted' });
    expect(server.requests).toHaveLength(0);
  });

  it('brings 20,000 events quickly', async () => {
    const text = line('MODIFIED', lease('a', 'x'.repeat(1_000))).repeat(20_000);
    const startMs = performance.now();
    const [events] = await watchAll((request) => {
      request.write(text);
      request.end();
    });
    expect(events).toHaveLength(20_000);
    expect(performance.now() - startMs).toBeLessThan(4_000);
  });
});

describe('discovery', () => {
  const groups =
    (...versions: string[]): Handler =>
    (request) =>
      request.json({ kind: 'APIGroup', name: 'discovery.k8s.io', versions: versions.map((version) => ({ version })) });

  it.each([
    [['v1', 'v1beta1'], 'v1'],
    [['v1beta1'], 'v1beta1'],
    [['v2alpha1'], undefined],
  ])('of EndpointSlices picks, of %s, %s', async (versions, picked) => {
    const { api } = await serve(groups(...versions));
    expect((await discoverEndpointSlices(api))?.version).toBe(picked);
  });

  it.each([
    [['v1', 'v1beta1'], 'v1'],
    [['v1beta1'], 'v1beta1'],
    [['v2'], undefined],
  ])('of PodDisruptionBudgets picks, of %s, %s', async (versions, picked) => {
    const { api, server } = await serve(groups(...versions));
    expect((await discoverDisruptionBudgets(api))?.version).toBe(picked);
    expect(server.requests.map((request) => request.path)).toEqual(['/apis/policy']);
  });

  it('of a group that is not there finds nothing, and of a server that fails throws', async () => {
    const missing = await serve((request) => request.json(status(404, 'NotFound'), 404));
    expect(await discoverEndpointSlices(missing.api)).toBeUndefined();
    const broken = await serve((request) => request.json(status(500, 'InternalError'), 500));
    await expect(discoverEndpointSlices(broken.api)).rejects.toThrow(ApiError);
  });

  it('tells whether a resource is served', async () => {
    const { server, api } = await serve((request) => request.json({ resources: [{ name: 'singletonservices' }] }));
    expect(await isServed(api, SINGLETON_SERVICE)).toBe(true);
    expect(await isServed(api, POD)).toBe(false);
    expect(server.requests.map((request) => request.path)).toEqual(['/apis/singleton-operator.io/v1alpha1', '/api/v1']);
  });
});
