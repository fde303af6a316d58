/** What no other implementation of the port has: the conformance suite asks for the rest. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EVENT, LEASE, POD, SINGLETON_SERVICE } from '../../../src/adapters/kubernetes/resources.ts';
import type { WatchEvent } from '../../../src/adapters/ports.ts';
import type { KubeObject, Lease, Pod } from '../../../src/api/objects.ts';
import { EndpointSliceController } from './endpoint-slice-controller.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { SimulatedApiServer } from './server.ts';

const NS = 'suite';
let wallMs = 0;
let server: SimulatedApiServer;
beforeEach(() => {
  wallMs = Date.UTC(2026, 0, 1);
  server = new SimulatedApiServer({ wallMs: () => wallMs });
});

const aLease = (name: string, metadata: object = {}): KubeObject =>
  server.create('tester', LEASE, NS, { metadata: { name, ...metadata }, spec: { leaseTransitions: 1 } });
const patch = (name: string, changes: object, user = 'tester'): KubeObject =>
  server.patch(user, LEASE, { namespace: NS, name }, changes);
const aPod = (name: string, spec: object = {}): KubeObject =>
  server.create('tester', POD, NS, { metadata: { name }, spec: { containers: [{ name: 'a', image: 'a' }], ...spec } });

interface Told {
  readonly events: WatchEvent<KubeObject>[];
  readonly ends: unknown[];
}

function watch(
  resourceVersion = String(server.version),
  onEvent = (_event: WatchEvent<KubeObject>): void => undefined,
) {
  const told: Told = { events: [], ends: [] };
  const push = (event: WatchEvent<KubeObject>): void => {
    told.events.push(event);
    onEvent(event);
  };
  const close = server.watch('reader', LEASE, { resourceVersion, timeoutSeconds: 60 }, push, (error) =>
    told.ends.push(error),
  );
  return { ...told, close };
}

const versions = ({ events }: Told): number[] =>
  events.map((event) =>
    Number(event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion),
  );

describe('what it gives out', () => {
  it('is frozen at every depth, whoever made it', () => {
    const lease = aLease('a', { labels: { x: 'y' } });
    for (const part of [lease, lease.metadata, lease.metadata.labels, (lease as Lease).spec]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
    const changed = patch('a', { metadata: { annotations: { z: '1' } }, spec: { holderIdentity: 'h' } });
    for (const part of [changed.metadata.annotations, (changed as Lease).spec])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('is not the body of the request, which may change later', () => {
    const labels = { x: 'y' };
    aLease('a', { labels });
    labels.x = 'z';
    expect(server.find(LEASE, { namespace: NS, name: 'a' })?.metadata.labels).toEqual({ x: 'y' });
  });

  it('shares what a write did not touch', () => {
    const before = aLease('a', { labels: { x: 'y' } });
    const after = patch('a', { spec: { leaseTransitions: 2 } });
    expect(after.metadata.labels).toBe(before.metadata.labels);
    expect(server.get(LEASE, { namespace: NS, name: 'a' })).toBe(after);
  });
});

describe('whoever listens to writes', () => {
  it('is told who did what, with the states before and after, of each state there was', () => {
    const told: unknown[] = [];
    server.onWrite((user, verb, before, after, { plural }) =>
      told.push([
        user,
        verb,
        plural,
        before?.metadata.deletionTimestamp,
        after?.metadata.deletionTimestamp,
        after === undefined,
      ]),
    );
    aPod('p', { nodeName: 'n' });
    server.patch('tester', POD, { namespace: NS, name: 'p' }, { metadata: { labels: { a: '1' } } });
    server.patch('tester', POD, { namespace: NS, name: 'p' }, { metadata: { labels: { a: '1' } } });
    server.delete('kubelet', POD, { namespace: NS, name: 'p' }, { gracePeriodSeconds: 0 });
    const now = '2026-01-01T00:00:00Z';
    expect(told).toEqual([
      ['tester', 'create', 'pods', undefined, undefined, false],
      ['tester', 'patch', 'pods', undefined, undefined, false],
      ['kubelet', 'delete', 'pods', undefined, now, false],
      ['kubelet', 'delete', 'pods', now, undefined, true],
    ]);
  });

  it('sees the server in the new state, and hears nothing of what is refused or without effect', () => {
    const seen: (string | undefined)[] = [];
    server.onWrite((_user, _verb, _before, after) =>
      seen.push(
        server.find(LEASE, { namespace: NS, name: 'a' })?.metadata.resourceVersion,
        after?.metadata.resourceVersion,
      ),
    );
    const { resourceVersion } = aLease('a').metadata;
    expect(() => aLease('a')).toThrow('already exists');
    server.create('tester', LEASE, NS, { metadata: { name: 'b' } }, { dryRun: true });
    expect(seen).toEqual([resourceVersion, resourceVersion]);
  });

  it('can stop to listen', () => {
    let writes = 0;
    const stop = server.onWrite(() => (writes += 1));
    aLease('a');
    stop();
    aLease('b');
    expect(writes).toBe(1);
  });
});

describe('watches', () => {
  it('are told in order, also when one of them writes at once because of what it is told', () => {
    aLease('a');
    const eager = watch(undefined, (event) => {
      if (event.type === 'MODIFIED' && (event.object as Lease).spec?.leaseTransitions === 2) {
        patch('a', { spec: { leaseTransitions: 3 } });
      }
    });
    const patient = watch();
    patch('a', { spec: { leaseTransitions: 2 } });
    expect(versions(eager)).toEqual([server.version - 1, server.version]);
    expect(versions(patient)).toEqual(versions(eager));
  });

  it('that are opened while others are still being told hear of nothing twice', () => {
    aLease('a');
    let late: Told | undefined;
    watch(undefined, () => {
      late ??= watch(String(server.version - 1));
    });
    patch('a', { spec: { leaseTransitions: 2 } });
    expect(late && versions(late)).toEqual([server.version]);
  });

  it('get bookmarks of the present version when they are sent', () => {
    const reader = watch();
    server.create('tester', EVENT, NS, { metadata: { name: 'e' }, involvedObject: { namespace: NS } });
    server.sendBookmarks();
    expect(reader.events).toEqual([{ type: 'BOOKMARK', resourceVersion: String(server.version) }]);
  });

  it('end when their time is up, not before, after one bookmark', () => {
    const reader = watch();
    wallMs += 57_000;
    server.endDueWatches();
    expect([reader.events.length, reader.ends.length]).toEqual([0, 0]);
    wallMs += 1_000;
    server.endDueWatches();
    server.endDueWatches();
    expect([reader.events.length, reader.ends.length]).toEqual([1, 0]);
    wallMs += 2_000;
    server.endDueWatches();
    expect([reader.events.length, reader.ends]).toEqual([1, [undefined]]);
    expect(server.watchingUsers).toEqual([]);
  });

  it('end when the server is restarted, with what it says to that', () => {
    const reader = watch();
    const error = new Error('gone');
    server.endWatches((user) => user === 'somebody else');
    expect(reader.ends).toEqual([]);
    server.endWatches(() => true, error);
    expect(reader.ends).toEqual([error]);
    aLease('a');
    expect(reader.events).toEqual([]);
  });

  it('that were closed are told nothing any more', () => {
    const reader = watch();
    reader.close();
    aLease('a');
    expect(reader).toMatchObject({ events: [], ends: [] });
  });

  it('that are open survive a compaction, and new ones from before it do not', () => {
    const { resourceVersion } = aLease('a').metadata;
    const open = watch();
    patch('a', { spec: { leaseTransitions: 2 } });
    server.compact();
    patch('a', { spec: { leaseTransitions: 3 } });
    expect(open.events).toHaveLength(2);
    expect(watch(resourceVersion).ends).toMatchObject([{ status: 410, reason: 'Expired' }]);
    expect(watch(String(server.version - 1)).events).toHaveLength(1);
  });
});

describe('resources come and go', () => {
  it('such as custom ones, whose watches end when their CRD is removed', () => {
    const ends: unknown[] = [];
    const query = { resourceVersion: String(server.version), timeoutSeconds: 60 };
    server.watch(
      'reader',
      SINGLETON_SERVICE,
      query,
      () => undefined,
      (error) => ends.push(error),
    );
    const kind = server.unserve(SINGLETON_SERVICE);
    expect(ends).toEqual([undefined]);
    expect(() => server.list(SINGLETON_SERVICE, {})).toThrow('could not find the requested resource');
    server.serve(kind);
    expect(server.list(SINGLETON_SERVICE, {}).items).toEqual([]);
  });

  it('such as events, which can be taken and not kept', () => {
    server = new SimulatedApiServer({ wallMs: () => wallMs, dropsEvents: true });
    const event = { metadata: { name: 'e' }, involvedObject: { namespace: NS } };
    for (let times = 0; times < 2; times += 1) server.create('tester', EVENT, NS, event);
    expect(server.objects(EVENT)).toEqual([]);
  });
});

describe('the scheduler', () => {
  it('puts a pod on a node once', () => {
    aPod('p');
    server.bindPod('scheduler', POD, { namespace: NS, name: 'p' }, 'n1');
    expect(server.find<Pod>(POD, { namespace: NS, name: 'p' })?.spec?.nodeName).toBe('n1');
    expect(() => server.bindPod('scheduler', POD, { namespace: NS, name: 'p' }, 'n2')).toThrow(
      'already assigned to node "n1"',
    );
  });
});

describe('controllers', () => {
  it('do nothing by themselves, and one thing a step', () => {
    const [garbage, slices] = [new GarbageCollector(server).work, new EndpointSliceController(server).work];
    const { uid } = aLease('owner').metadata;
    const ownerReferences = [{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: 'owner', uid }];
    aLease('a', { ownerReferences });
    aLease('b', { ownerReferences });
    server.delete('tester', LEASE, { namespace: NS, name: 'owner' });
    expect([garbage.isIdle, slices.isIdle]).toEqual([false, true]);
    const left = (): number => server.objects(LEASE).length;
    expect([left(), garbage.step(), left(), garbage.step(), left(), garbage.step()]).toEqual([
      2,
      true,
      1,
      true,
      0,
      false,
    ]);
  });
});
