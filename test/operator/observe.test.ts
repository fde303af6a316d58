import { describe, expect, it } from 'vitest';
import { LABEL, NO_FAILOVER } from '../../src/api/names.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import { createCaches, keyOf, keysOfOwned, refOf } from '../../src/operator/caches.ts';
import type { Caches } from '../../src/operator/caches.ts';
import type { Recollection } from '../../src/operator/memory.ts';
import { observe } from '../../src/operator/observe.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { aSpec } from '../builders.ts';
import { aLeaseObject, aNode, aPodObject, aSingleton, aSlice, meta, ownedBy } from './objects.ts';

const NOTHING: Recollection = { memory: noMemory, accepted: undefined, deletedUids: new Set(), lostPods: new Set() };
const LABELS = { [LABEL.name]: 'db', [LABEL.slot]: '0', [LABEL.role]: 'standby' };

function seen(fill: (caches: Caches) => void, recollection: Partial<Recollection> = {}): Snapshot {
  const caches = createCaches(recordingLogger());
  caches.singletons.apply('ADDED', aSingleton());
  fill(caches);
  const observation = observe('default/db', caches, { ...NOTHING, ...recollection });
  if (observation === undefined) throw new Error('the singleton is not seen');
  return observation.snapshot;
}

describe('a snapshot', () => {
  it('is not made of a singleton that is not there', () => {
    expect(observe('default/other', createCaches(recordingLogger()), NOTHING)).toBeUndefined();
  });

  it('has the pods that the singleton owns as members, and others of its name as strangers', () => {
    const { members, strangers } = seen(({ pods }) => {
      pods.apply('ADDED', aPodObject());
      pods.apply('ADDED', aPodObject({ name: 'copy', labels: LABELS, ownerReferences: [] }));
      pods.apply(
        'ADDED',
        aPodObject({ name: 'old', labels: LABELS, ownerReferences: ownedBy('uid-of-the-one-before') }),
      );
      pods.apply('ADDED', aPodObject({ name: 'elsewhere', namespace: 'other' }));
    });
    expect(members.map(({ pod }) => pod)).toEqual(['db-0-a']);
    expect(strangers.map(({ pod }) => pod)).toEqual(['copy', 'old']);
  });

  it('has members that lost their name label, since their owner tells', () => {
    const { members } = seen(({ pods }) => pods.apply('ADDED', aPodObject({ labels: { [LABEL.slot]: '0' } })));
    expect(members).toMatchObject([{ pod: 'db-0-a', named: false }]);
  });

  it('has members that carry the name of another singleton, and that one sees them as strangers', () => {
    const pod = aPodObject({ labels: { ...LABELS, [LABEL.name]: 'other' } });
    expect(keysOfOwned(pod)).toEqual(['default/db', 'default/other']);
    expect(seen(({ pods }) => pods.apply('ADDED', pod)).members).toMatchObject([{ named: false }]);
  });

  it('has a pod that was deleted as terminating, before the watch says so', () => {
    const deletedUids = new Set(['uid-db-0-a']);
    const { members } = seen(({ pods }) => pods.apply('ADDED', aPodObject()), { deletedUids });
    expect(members).toMatchObject([{ terminating: true }]);
  });

  it('has the nodes on which members run', () => {
    const { nodes } = seen(({ pods, nodes }) => {
      pods.apply('ADDED', aPodObject());
      nodes.apply('ADDED', aNode('node-a', { namespace: '', labels: { [NO_FAILOVER]: 'true' } }));
      nodes.apply('ADDED', aNode('node-b', { namespace: '' }));
    });
    expect(nodes).toEqual({ 'node-a': { zone: undefined, noFailover: true, draining: undefined, labels: {} } });
  });

  it('has a node that shuts down as drained, and keeps of its conditions what tells that and whether it is known', () => {
    const says = (message: string) => [
      { type: 'MemoryPressure', status: 'False' as const, message: 'enough' },
      { type: 'Ready', status: 'False' as const, message, lastHeartbeatTime: '2026-01-01T00:00:00Z' },
    ];
    let kept: unknown;
    const look = (message: string) =>
      seen(({ pods, nodes }) => {
        pods.apply('ADDED', aPodObject());
        nodes.apply('ADDED', { ...aNode('node-a', { namespace: '' }), status: { conditions: says(message) } });
        kept = nodes.get(undefined, 'node-a')?.status;
      }).nodes['node-a']?.draining;
    expect(look('node is shutting down')).toBe('shutting down');
    expect(kept).toEqual({ conditions: [{ type: 'Ready', status: 'False', message: 'node is shutting down' }] });
    expect(look('PLEG is not healthy')).toBeUndefined();
    expect(kept).toEqual({ conditions: [{ type: 'Ready', status: 'False' }] });
  });

  it('has what is wrong with nodes of its members, and of the active that the status told, and of no others', () => {
    const trouble = { silentSinceMs: 5, outOfService: false, gone: false };
    const troubles = { isBraked: true, troubleOf: (node: string) => (node === 'node-b' ? undefined : trouble) };
    const caches = createCaches(recordingLogger());
    const active = { pod: 'db-1-a', uid: 'uid-db-1-a', node: 'node-c', term: 1 };
    caches.singletons.apply('ADDED', { ...aSingleton(), status: { active } });
    caches.leases.apply('ADDED', aLeaseObject({ holderIdentity: 'db-1-a_uid-db-1-a', leaseTransitions: 1 }));
    caches.pods.apply('ADDED', aPodObject());
    const seen = observe('default/db', caches, NOTHING, { troubles });
    expect(seen?.snapshot.nodeLoss).toEqual({ isBraked: true, nodes: { 'node-a': trouble, 'node-c': trouble } });
  });

  it('has of the labels of a node only those that the preferences of the spec in force name', () => {
    const matchExpressions = [{ key: 'disk', operator: 'In', values: ['ssd'] }];
    const election = { preferences: [{ weight: 1, preference: { matchExpressions } }] };
    const fill =
      (spec: object) =>
      ({ singletons, pods, nodes }: Caches): void => {
        singletons.apply('MODIFIED', aSingleton(spec, { resourceVersion: '2' }));
        pods.apply('ADDED', aPodObject());
        nodes.apply('ADDED', aNode('node-a', { namespace: '', labels: { disk: 'ssd', rack: '7' } }));
      };
    const labels = { disk: 'ssd' };
    expect(seen(fill({ election })).nodes['node-a']).toMatchObject({ labels });
    const accepted = aSpec({ election });
    expect(seen(fill({ replicas: 99 }), { accepted }).nodes['node-a']?.labels).toEqual(labels);
    expect(seen(fill({})).nodes['node-a']?.labels).toEqual({});
  });

  it('has who is routed from the slices of the Service, not from those of the headless one', () => {
    const { routedUids } = seen(({ slices }) => {
      slices.apply('ADDED', aSlice(['a']));
      slices.apply('ADDED', aSlice(['a', 'b'], 'db-members'));
    });
    expect(routedUids).toEqual(['a']);
  });

  it('knows the Lease and the Services of somebody else as such', () => {
    const { lease, service, headless } = seen(({ leases, services }) => {
      leases.apply('ADDED', aLeaseObject({}, { ownerReferences: [] }));
      services.apply('ADDED', { metadata: meta('db', { ownerReferences: ownedBy() }) });
      services.apply('ADDED', { metadata: meta('db-members', { ownerReferences: ownedBy('uid-other') }) });
    });
    expect([lease?.ours, service?.ours, headless?.ours]).toEqual([false, true, false]);
  });
});

describe('the spec in force', () => {
  const broken = (caches: Caches): void =>
    caches.singletons.apply('MODIFIED', aSingleton({ replicas: 99 }, { resourceVersion: '2' }));

  it('is what the object says', () => {
    expect(seen(() => undefined).singleton).toMatchObject({ spec: { replicas: 2 }, problems: [] });
  });

  it('is the last accepted one while the newest breaks a rule', () => {
    const { singleton } = seen(broken, { accepted: aSpec({ replicas: 3 }) });
    expect(singleton).toMatchObject({ spec: { replicas: 3 }, problems: [{ path: 'spec.replicas' }] });
  });

  it('is paused when the newest says so, whatever else is wrong with it', () => {
    const paused = (caches: Caches): void =>
      caches.singletons.apply('MODIFIED', aSingleton({ replicas: 99, paused: true }, { resourceVersion: '2' }));
    const { singleton } = seen(paused, { accepted: aSpec({ replicas: 3 }) });
    expect(singleton.spec).toMatchObject({ replicas: 3, paused: true });
  });

  it('is none when none was ever accepted', () => {
    expect(seen(broken).singleton.spec).toBeUndefined();
  });

  it('keeps every slot when nobody remembers the accepted one, and it has run before', () => {
    const { singleton } = seen((caches) => {
      broken(caches);
      caches.leases.apply('ADDED', aLeaseObject());
    });
    expect(singleton.spec?.replicas).toBe(32);
  });

  it('names what is not acted upon, and the request for a switchover', () => {
    const { singleton } = seen(({ singletons }) =>
      singletons.apply(
        'MODIFIED',
        aSingleton(
          { fencing: { onApiLoss: 'Hold' } },
          { resourceVersion: '2', annotations: { 'singleton-operator.io/switchover': 'any' } },
        ),
      ),
    );
    expect(singleton.notActedUpon).toEqual([]);
    expect(singleton.request).toBe('any');
  });
});

describe('the key of a singleton', () => {
  it('is namespace and name, and leads back to them', () => {
    expect(keyOf('a', 'b')).toBe('a/b');
    expect(refOf('a/b')).toEqual({ namespace: 'a', name: 'b' });
  });

  it('of a pod that nobody of ours owns is that of its name label, if it has one', () => {
    expect(keysOfOwned(aPodObject({ ownerReferences: [], labels: {} }))).toEqual([]);
    const replicaSet = [{ ...ownedBy()[0], apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'rs' }];
    expect(keysOfOwned(aPodObject({ ownerReferences: replicaSet, labels: LABELS }))).toEqual(['default/db']);
  });
});
