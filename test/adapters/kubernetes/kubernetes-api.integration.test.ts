import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSystemClock } from '../../../src/adapters/clock.ts';
import { loadKubeconfig } from '../../../src/adapters/kubernetes/kubeconfig.ts';
import {
  createKubernetesApi,
  type ClosableKubernetesApi,
  type KubernetesApiOptions,
} from '../../../src/adapters/kubernetes/kubernetes-api.ts';
import { Reflector, type RestartReason } from '../../../src/adapters/kubernetes/reflector.ts';
import { discoverEndpointSlices, LEASE, POD, SERVICE } from '../../../src/adapters/kubernetes/resources.ts';
import { Store } from '../../../src/adapters/kubernetes/store.ts';
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  type ResourceType,
  type WatchEvent,
} from '../../../src/adapters/ports.ts';
import type { KubeObject, Lease, Service } from '../../../src/api/objects.ts';
import { startFaultProxy, type FaultProxy } from '../../control-plane/fault-proxy.ts';
import { useSuite } from '../../control-plane/use-suite.ts';
import { until } from '../../control-plane/wait.ts';
import { recordingLogger, type RecordingLogger } from './support/recording-logger.ts';

const suite = useSuite({ count: 1 });

/** Far shorter than in production, so that a freeze is noticed while somebody waits for the test. */
const QUICK = { pingAfterMs: 100, pingWhenIdleMs: 1_000, pongWithinMs: 300 };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function connect(server?: string, options: Partial<KubernetesApiOptions> = {}): ClosableKubernetesApi {
  const { controlPlane } = suite();
  const path = suite().kubeconfigWith(controlPlane.tokens['admin'] ?? '', server);
  const api = createKubernetesApi({ ...loadKubeconfig({ path, env: {} }), ...options });
  cleanups.push(() => api.close());
  return api;
}

const uniqueName = (): string => `test-${randomBytes(4).toString('hex')}`;

let api: ClosableKubernetesApi;
let namespace: string;
beforeEach(() => {
  api = connect();
  namespace = suite().namespace;
});

const createLease = async (name = uniqueName()): Promise<Lease> =>
  await api.create<Lease>(LEASE, namespace, { metadata: { name }, spec: { leaseTransitions: 1 } });
const refOf = ({ metadata: { name, namespace = '' } }: KubeObject) => ({ name, namespace });
const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('writes', () => {
  it('create, read, patch and delete an object', async () => {
    const lease = await createLease();
    expect(await api.get<Lease>(LEASE, refOf(lease))).toMatchObject({ kind: 'Lease', spec: { leaseTransitions: 1 } });
    const patched = await api.mergePatch<Lease>(LEASE, refOf(lease), {
      metadata: { labels: { x: 'y' } },
      spec: { holderIdentity: 'me' },
    });
    expect(patched).toMatchObject({
      metadata: { labels: { x: 'y' } },
      spec: { holderIdentity: 'me', leaseTransitions: 1 },
    });
    const emptied = await api.mergePatch<Lease>(LEASE, refOf(lease), { spec: { holderIdentity: null } });
    expect(emptied.spec).toEqual({ leaseTransitions: 1 });
    await api.delete(LEASE, refOf(lease));
    expect(isNotFound(await errorOf(api.get(LEASE, refOf(lease))))).toBe(true);
    expect(isNotFound(await errorOf(api.delete(LEASE, refOf(lease))))).toBe(true);
  });

  it('of which only one can win, when several patch the same version', async () => {
    const lease = await createLease();
    const { resourceVersion } = lease.metadata;
    const attempts = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        errorOf(
          api.mergePatch(LEASE, refOf(lease), {
            metadata: { resourceVersion },
            spec: { holderIdentity: `candidate-${index}`, leaseTransitions: 2 },
          }),
        ),
      ),
    );
    expect(attempts.filter((error) => error === undefined)).toHaveLength(1);
    expect(attempts.filter(isConflict)).toHaveLength(9);
  });

  it('to an object that was deleted and created again are a conflict, by the UID in the patch', async () => {
    const lease = await createLease();
    await api.delete(LEASE, refOf(lease));
    await createLease(lease.metadata.name);
    const patch = { metadata: { uid: lease.metadata.uid, labels: { x: 'y' } } };
    expect(isConflict(await errorOf(api.mergePatch(LEASE, refOf(lease), patch)))).toBe(true);
  });

  it('delete only the object and the version that is meant', async () => {
    const lease = await createLease();
    const { uid, resourceVersion } = lease.metadata;
    expect(isConflict(await errorOf(api.delete(LEASE, refOf(lease), { uid: 'another' })))).toBe(true);
    await api.mergePatch(LEASE, refOf(lease), { spec: { leaseTransitions: 2 } });
    expect(isConflict(await errorOf(api.delete(LEASE, refOf(lease), { uid, resourceVersion })))).toBe(true);
    await api.delete(LEASE, refOf(lease), { uid });
    expect(isNotFound(await errorOf(api.get(LEASE, refOf(lease))))).toBe(true);
  });

  it('of a name that is taken fail as AlreadyExists', async () => {
    const lease = await createLease();
    expect(isAlreadyExists(await errorOf(createLease(lease.metadata.name)))).toBe(true);
  });

  it('without effect are checked and not done', async () => {
    const name = uniqueName();
    const service = { metadata: { name }, spec: { ports: [{ port: 80 }] } };
    const answer = await api.create<Service>(SERVICE, namespace, service, { dryRun: true });
    expect(answer.metadata.uid).not.toBe('');
    expect(isNotFound(await errorOf(api.get(SERVICE, { namespace, name })))).toBe(true);
    const wrong = { metadata: { name }, spec: { ports: [{ port: 99_999 }] } };
    expect(await errorOf(api.create(SERVICE, namespace, wrong, { dryRun: true }))).toMatchObject({
      status: 422,
      reason: 'Invalid',
      message: expect.stringContaining('99999'),
    });
  });
});

describe('reads', () => {
  it('list in pages whose items carry their kind, by label', async () => {
    const label = uniqueName();
    for (let index = 0; index < 5; index += 1) {
      await api.create(LEASE, namespace, { metadata: { name: `${label}-${index}`, labels: { of: label } } });
    }
    const query = { namespace, labelSelector: `of=${label}`, limit: 2 };
    const names: string[] = [];
    let token: string | undefined;
    let pages = 0;
    do {
      const page = await api.list<Lease>(LEASE, { ...query, ...(token === undefined ? {} : { continueToken: token }) });
      names.push(...page.items.map((item) => `${item.apiVersion} ${item.kind} ${item.metadata.name}`));
      token = page.continueToken;
      pages += 1;
    } while (token !== undefined);
    expect(pages).toBe(3);
    expect(names).toEqual([0, 1, 2, 3, 4].map((index) => `coordination.k8s.io/v1 Lease ${label}-${index}`));
  });

  it('find out what the server has', async () => {
    const slices = await discoverEndpointSlices(api);
    expect(slices?.version).toBe(suite().controlPlane.minorVersion >= 21 ? 'v1' : 'v1beta1');
    expect(await api.list(slices as ResourceType, { namespace })).toMatchObject({ items: [] });
  });

  it('of a resource that is not served are NotFound', async () => {
    const type: ResourceType = { group: 'no.such', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
    expect(isNotFound(await errorOf(api.list(type, {})))).toBe(true);
  });

  it('with a token that nobody knows are 401', async () => {
    const path = suite().kubeconfigWith('unknown');
    const stranger = createKubernetesApi(loadKubeconfig({ path, env: {} }));
    cleanups.push(() => stranger.close());
    expect(await errorOf(stranger.list(POD, {}))).toMatchObject({ status: 401, reason: 'Unauthorized' });
  });
});

describe('a watch', () => {
  it('tells what happens after its version, and ends in good order after its time', async () => {
    const before = await createLease();
    const events: WatchEvent<Lease>[] = [];
    const query = { namespace, resourceVersion: before.metadata.resourceVersion, timeoutSeconds: 2 };
    const watch = api.watch<Lease>(LEASE, query, (event) => events.push(event));
    const lease = await createLease();
    await api.mergePatch(LEASE, refOf(lease), { spec: { leaseTransitions: 2 } });
    await api.delete(LEASE, refOf(lease));
    await watch;
    const seen = events.filter((event) => event.type !== 'BOOKMARK');
    expect(seen.map((event) => event.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    const versions = seen.map((event) => Number(event.object.metadata.resourceVersion));
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    // The version of a DELETED is that of the deletion: a store orders late events by it.
    expect(versions[2]).toBeGreaterThan(versions[1] ?? 0);
  });

  it('with a selector says DELETED of an object that stops to match, with the version of that change', async () => {
    const lease = await createLease();
    const labelled = await api.mergePatch<Lease>(LEASE, refOf(lease), { metadata: { labels: { of: 'watch' } } });
    const events: WatchEvent<Lease>[] = [];
    const abort = new AbortController();
    const { resourceVersion } = labelled.metadata;
    const query = { namespace, labelSelector: 'of=watch', resourceVersion, timeoutSeconds: 60 };
    const watch = errorOf(api.watch<Lease>(LEASE, query, (event) => events.push(event), { signal: abort.signal }));
    const left = await api.mergePatch<Lease>(LEASE, refOf(lease), { metadata: { labels: { of: null } } });
    await until('the event', () => events.length > 0);
    abort.abort();
    expect(await watch).toMatchObject({ failure: 'aborted' });
    expect(events[0]).toMatchObject({
      type: 'DELETED',
      object: { metadata: { uid: lease.metadata.uid, resourceVersion: left.metadata.resourceVersion } },
    });
  });
});

describe('behind a bad network', () => {
  let proxy: FaultProxy;
  let shaky: ClosableKubernetesApi;
  let logger: RecordingLogger;
  let restarts: RestartReason[];
  let store: Store<Lease>;
  beforeEach(async () => {
    proxy = await startFaultProxy(suite().controlPlane.server);
    cleanups.push(() => proxy.stop());
    shaky = connect(proxy.server, { callHeartbeat: QUICK, watchHeartbeat: QUICK, connectTimeoutMs: 500 });
    logger = recordingLogger();
    restarts = [];
    store = new Store<Lease>({ name: 'leases', logger });
    const reflector = new Reflector<Lease>({
      api: shaky,
      type: LEASE,
      store,
      clock: createSystemClock(),
      random: Math.random,
      logger,
      query: { namespace },
      onRestart: (reason) => restarts.push(reason),
    });
    reflector.start();
    cleanups.push(() => reflector.stop());
    await until('the first list', () => reflector.hasSynced);
  });

  const seenByReflector = async (name: string): Promise<void> => {
    await until(`${name} to be seen`, () => store.get(namespace, name) !== undefined);
  };

  it('a watch that was frozen is noticed, and goes on where it was', async () => {
    await seenByReflector((await createLease()).metadata.name);
    proxy.freeze();
    const during = await createLease();
    await until('the freeze to be noticed', () => restarts.length > 0);
    expect(store.get(namespace, during.metadata.name)).toBeUndefined();
    proxy.thaw();
    await seenByReflector(during.metadata.name);
    await seenByReflector((await createLease()).metadata.name);
  });

  it('a connection that was cut costs nothing but the requests on it', async () => {
    await shaky.get(LEASE, refOf(await createLease()));
    await seenByReflector((await createLease()).metadata.name);
    proxy.cut();
    const during = await createLease();
    await seenByReflector(during.metadata.name);
    expect(await shaky.get(LEASE, refOf(during))).toMatchObject({ metadata: { name: during.metadata.name } });
  });

  it('a write whose answer is lost ends in "cut" or "deadline", and has landed', async () => {
    const lease = await createLease();
    await shaky.get(LEASE, refOf(lease));
    proxy.freeze('answers');
    const patch = { spec: { leaseTransitions: 77 } };
    const error = await errorOf(shaky.mergePatch(LEASE, refOf(lease), patch, { deadlineMs: 5_000 }));
    expect(error).toMatchObject({ name: 'TransportError', failure: 'cut' });
    expect(await api.get<Lease>(LEASE, refOf(lease))).toMatchObject(patch);
    proxy.thaw();
  });

  it('a server that is away for a while is found again, with little said', async () => {
    await proxy.refuse();
    proxy.cut();
    const during = await createLease();
    await until('some attempts', () => restarts.length >= 2);
    await proxy.accept();
    await seenByReflector(during.metadata.name);
    expect(logger.lines.filter((line) => line.level === 'warn').length).toBeLessThanOrEqual(2);
  });
});
