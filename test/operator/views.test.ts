import { describe, expect, it } from 'vitest';
import { ANNOTATION, LABEL, NO_FAILOVER } from '../../src/api/names.ts';
import type { ContainerStatus, EndpointSlice, Node, Pod } from '../../src/api/objects.ts';
import { leaseView, memberView, nodeView, readyUids, serviceView, strangerView } from '../../src/operator/views.ts';
import type { Member } from '../../src/core/snapshot.ts';
import { decide } from '../../src/core/decide.ts';
import { NOW, WALL_MS, aMove, aSteadyState } from '../builders.ts';
import { aLeaseObject, aNode, aPodObject, aSlice, meta, ownedBy } from './objects.ts';

const LABELS = { [LABEL.name]: 'db', [LABEL.slot]: '0', [LABEL.role]: 'standby' };

describe('a pod', () => {
  it('that runs and is Ready', () => {
    expect(memberView(aPodObject())).toEqual({
      pod: 'db-0-a',
      uid: 'uid-db-0-a',
      resourceVersion: '1',
      named: true,
      slot: 0,
      role: 'standby',
      term: undefined,
      guarded: false,
      revision: undefined,
      node: 'node-a',
      phase: 'Running',
      ready: true,
      readySinceWallMs: WALL_MS,
      createdWallMs: WALL_MS,
      terminating: false,
      evicting: false,
      crash: undefined,
      unschedulable: false,
      waiting: undefined,
      podReason: undefined,
      noFailover: false,
    });
  });

  it.each<[string, Record<string, string>, Partial<Member>]>([
    ['has its term as a number', { ...LABELS, [LABEL.term]: '7' }, { term: 7 }],
    ['has no term, when that is no number', { ...LABELS, [LABEL.term]: 'seven' }, { term: undefined }],
    ['has no term, when the Service would not match it', { ...LABELS, [LABEL.term]: '07' }, { term: undefined }],
    ['has no slot, when that is no number', { ...LABELS, [LABEL.slot]: '-1' }, { slot: undefined }],
    ['has no role but the two', { ...LABELS, [LABEL.role]: 'leader' }, { role: undefined }],
    ['is active', { ...LABELS, [LABEL.role]: 'active' }, { role: 'active' }],
    ['is guarded', { ...LABELS, [LABEL.guarded]: 'true' }, { guarded: true }],
    ['is not guarded, when the budget would not match it', { ...LABELS, [LABEL.guarded]: 'yes' }, { guarded: false }],
    ['lost its name label', { [LABEL.slot]: '0' }, { named: false }],
    ['has the name of another singleton', { ...LABELS, [LABEL.name]: 'other' }, { named: false }],
    ['is marked no-failover', { ...LABELS, [NO_FAILOVER]: 'true' }, { noFailover: true }],
    ['is marked with another value', { ...LABELS, [NO_FAILOVER]: 'false' }, { noFailover: false }],
  ])('%s, by its labels', (_what, labels, expected) => {
    expect(memberView(aPodObject({ labels }))).toMatchObject(expected);
  });

  it.each<[string, Pod, Partial<Member>]>([
    [
      'is marked no-failover by annotation',
      aPodObject({ annotations: { [NO_FAILOVER]: 'true' } }),
      { noFailover: true },
    ],
    ['is being deleted', aPodObject({ deletionTimestamp: '2026-01-01T00:00:09Z' }), { terminating: true }],
    [
      'has no status yet',
      { ...aPodObject(), status: {} },
      { phase: 'Pending', ready: false, readySinceWallMs: undefined },
    ],
    [
      'is not Ready',
      aPodObject({}, { conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z' }] }),
      { ready: false, readySinceWallMs: undefined },
    ],
    [
      'may be Ready or not: its node is lost',
      aPodObject({}, { conditions: [{ type: 'Ready', status: 'Unknown' }] }),
      { ready: false },
    ],
    [
      'is asked to go by the eviction API',
      aPodObject({}, { conditions: [{ type: 'DisruptionTarget', status: 'True' }] }),
      { evicting: true },
    ],
    ['was evicted', aPodObject({}, { phase: 'Failed', reason: 'Evicted' }), { phase: 'Failed', podReason: 'Evicted' }],
  ])('%s', (_what, pod, expected) => {
    expect(memberView(pod)).toMatchObject(expected);
  });

  it.each<[string, ContainerStatus[] | undefined, string | undefined]>([
    ['whose containers run', [{ name: 'app', ready: true, restartCount: 0, state: { running: {} } }], undefined],
    ['without container statuses', undefined, undefined],
    [
      'that is being started',
      [{ name: 'app', ready: false, restartCount: 0, state: { waiting: { reason: 'ContainerCreating' } } }],
      undefined,
    ],
    [
      'whose container ended',
      [{ name: 'app', ready: false, restartCount: 0, state: { terminated: { exitCode: 1, reason: 'Error' } } }],
      'app: exit code 1',
    ],
    [
      'out of memory',
      [{ name: 'app', ready: false, restartCount: 0, state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } }],
      'app: exit code 137 (OOMKilled)',
    ],
    [
      'in a crash loop',
      [
        {
          name: 'app',
          ready: false,
          restartCount: 4,
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          lastState: { terminated: { exitCode: 2 } },
        },
      ],
      'app: CrashLoopBackOff after exit code 2',
    ],
    [
      'restarted and running again',
      [
        {
          name: 'app',
          ready: false,
          restartCount: 4,
          state: { running: {} },
          lastState: { terminated: { exitCode: 2 } },
        },
      ],
      undefined,
    ],
    [
      'whose second container ended',
      [
        { name: 'app', ready: true, restartCount: 0, state: { running: {} } },
        { name: 'log', ready: false, restartCount: 0, state: { terminated: { exitCode: 0, reason: 'Completed' } } },
      ],
      'log: exit code 0 (Completed)',
    ],
  ])('%s has crashed or not', (_what, containerStatuses, crash) => {
    const pod = aPodObject({}, containerStatuses === undefined ? {} : { containerStatuses });
    const view = memberView(containerStatuses === undefined ? { ...pod, status: { phase: 'Pending' } } : pod);
    expect(view.crash).toBe(crash);
  });

  it('of somebody else is seen with its labels as they are', () => {
    const pod = aPodObject({
      labels: { ...LABELS, [LABEL.role]: 'boss', [LABEL.term]: '007', [LABEL.guarded]: 'no' },
      ownerReferences: [],
    });
    expect(strangerView(pod)).toMatchObject({ pod: 'db-0-a', role: 'boss', term: '007', guarded: 'no' });
  });
});

describe('a Lease', () => {
  const move = aMove({ to: 'db-0-a_uid-db-0-a', term: 3 });
  const withMove = (text: string) => aLeaseObject({}, { annotations: { [ANNOTATION.move]: text } });

  it('is read with holder, term and the move that led there', () => {
    const lease = aLeaseObject(
      { holderIdentity: 'db-0-a_uid-db-0-a', leaseTransitions: 3 },
      { annotations: { [ANNOTATION.move]: JSON.stringify(move) } },
    );
    expect(leaseView(lease, 'uid-db')).toMatchObject({
      ours: true,
      named: true,
      holder: 'db-0-a_uid-db-0-a',
      term: 3,
      move: JSON.parse(JSON.stringify(move)) as object,
    });
  });

  it('keeps what it tells of failures, as far as it is to be understood', () => {
    const failure = { holder: 'db-1-a_uid-db-1-a', atWallMs: 5, reignMs: 7 };
    const failures = [failure, null, { holder: 'db-1-a_uid-db-1-a' }, { ...failure, atWallMs: 1e300 }];
    expect(leaseView(withMove(JSON.stringify({ ...move, failures })), 'uid-db').move?.failures).toEqual([failure]);
    expect(leaseView(withMove(JSON.stringify({ ...move, failures: 'many' })), 'uid-db').move).toMatchObject({
      term: 3,
    });
  });

  it('without a spec is held by nobody with term 0', () => {
    expect(leaseView(aLeaseObject(), 'uid-db')).toMatchObject({ holder: '', term: 0, move: undefined });
    expect(leaseView(aLeaseObject({ holderIdentity: null }), 'uid-db').holder).toBe('');
  });

  it.each([
    ['of nobody', []],
    ['of another singleton', ownedBy('uid-other')],
    ['that we do not control', ownedBy().map((owner) => ({ ...owner, controller: false }))],
  ])('%s is not ours', (_what, ownerReferences) => {
    expect(leaseView(aLeaseObject({}, { ownerReferences }), 'uid-db').ours).toBe(false);
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['null', 'null'],
    ['a number', '7'],
    ['an empty object', '{}'],
    ['a term that is no number', JSON.stringify({ ...move, term: '3' })],
    ['a term that no Lease can hold', JSON.stringify({ ...move, term: 3_000_000_000 })],
    ['term 0', JSON.stringify({ ...move, term: 0 })],
    ['a routing term that is no number', JSON.stringify({ ...move, routingTerm: '3' })],
    ['a time that no date can tell', JSON.stringify({ ...move, grantedWallMs: 1e300 })],
    ['a kind that there is not', JSON.stringify({ ...move, kind: 'Coup' })],
    ['a name that is no text', JSON.stringify({ ...move, from: 7 })],
  ])('whose record is %s counts as one without a record', (_what, text) => {
    const view = leaseView(withMove(text), 'uid-db');
    expect(view.move).toBeUndefined();
    expect(() => decide(aSteadyState().lease({ move: view.move }).build(), NOW)).not.toThrow();
  });
});

describe('what became of a request, in a Lease,', () => {
  const record = {
    request: 'any',
    acceptedWallMs: 1,
    deadlineWallMs: 2,
    state: 'Granted',
    reason: 'Requested',
    message: 'm',
    from: 'db-0_u',
    to: 'db-1_v',
  };
  const seen = (text: string) => leaseView(aLeaseObject({}, { annotations: { [ANNOTATION.switchover]: text } }), 'u');

  it('is read as it was written, also before it was granted', () => {
    expect(seen(JSON.stringify(record)).switchover).toEqual(record);
    expect(seen(JSON.stringify({ ...record, to: undefined, state: 'Pending' })).switchover?.to).toBeUndefined();
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['of a state that there is not', JSON.stringify({ ...record, state: 'Odd' })],
    ['of a time that no date can tell', JSON.stringify({ ...record, acceptedWallMs: 1e300 })],
    ['of a name that is no text', JSON.stringify({ ...record, to: 7 })],
  ])('is nothing when it is %s', (_what, text) => {
    expect(seen(text).switchover).toBeUndefined();
  });
});

describe('a node', () => {
  it.each([
    ['topology.kubernetes.io/zone', 'a'],
    ['failure-domain.beta.kubernetes.io/zone', 'a'],
  ])('tells its zone by %s', (label, zone) => {
    expect(nodeView(aNode('n', { labels: { [label]: zone } }), []).zone).toBe(zone);
  });

  it.each([
    ['label', { labels: { [NO_FAILOVER]: 'true' } }, true],
    ['annotation', { annotations: { [NO_FAILOVER]: 'true' } }, true],
    ['nothing', {}, false],
  ])('is marked no-failover by %s', (_by, metadata, noFailover) => {
    expect(nodeView(aNode('n', metadata), []).noFailover).toBe(noFailover);
  });

  it.each<[string, NonNullable<Node['spec']>, string | undefined]>([
    ['is as usual', {}, undefined],
    ['is cordoned', { unschedulable: true }, 'cordoned'],
    [
      'is about to be removed by the cluster autoscaler',
      { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] },
      'ToBeDeletedByClusterAutoscaler',
    ],
    [
      'is disrupted by Karpenter',
      { taints: [{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }] },
      'karpenter.sh/disrupted',
    ],
    ['carries a taint that says nothing', { taints: [{ key: 'dedicated', effect: 'NoSchedule' }] }, undefined],
  ])('tells whether a node that %s is being drained', (_what, spec, draining) => {
    expect(nodeView({ ...aNode('n', {}), spec }, []).draining).toBe(draining);
  });
});

describe('a node whose machine shuts down', () => {
  const withReady = (status: 'True' | 'False', message: string): Node => ({
    ...aNode('n', {}),
    status: { conditions: [{ type: 'Ready', status, reason: 'KubeletNotReady', message }] },
  });

  it.each<[string, Node, string | undefined]>([
    ['says so itself', withReady('False', 'node is shutting down'), 'shutting down'],
    ['says so among other things', withReady('False', '[PLEG is not healthy, node is shutting down]'), 'shutting down'],
    ['is not Ready for another reason', withReady('False', 'PLEG is not healthy'), undefined],
    ['is Ready again', withReady('True', 'kubelet is posting ready status'), undefined],
  ])('is being drained as long as it %s', (_what, node, draining) => {
    expect(nodeView(node, []).draining).toBe(draining);
  });
});

describe('the labels of a node', () => {
  const node = aNode('n', { labels: { disk: 'ssd', rack: '7', zone: 'a' } });

  it.each<[string, Node, string[], Record<string, string>]>([
    ['are only those asked for', node, ['disk', 'zone'], { disk: 'ssd', zone: 'a' }],
    ['are none when none is asked for', node, [], {}],
    ['lack what the node lacks', node, ['disk', 'gpu', 'constructor'], { disk: 'ssd' }],
    ['are none on a node without labels', aNode('n'), ['disk'], {}],
  ])('%s', (_what, object, keys, labels) => {
    expect(nodeView(object, keys).labels).toEqual(labels);
  });
});

describe('a Service', () => {
  it('without labels, annotations and spec is seen as empty', () => {
    expect(serviceView({ metadata: meta('db') }, 'uid-db')).toEqual({
      ours: false,
      uid: 'uid-db',
      resourceVersion: '1',
      labels: {},
      annotations: {},
      spec: {},
    });
  });
});

describe('EndpointSlices', () => {
  it('name the pods that are ready', () => {
    expect(readyUids([aSlice(['a', 'b']), aSlice(['c'])])).toEqual(['a', 'b', 'c']);
  });

  it.each<[string, EndpointSlice['endpoints'], string[]]>([
    ['not one that is not ready', [{ addresses: [], conditions: { ready: false }, targetRef: { uid: 'a' } }], []],
    ['one of which nothing is said', [{ addresses: [], targetRef: { uid: 'a' } }], ['a']],
    ['one of which null is said', [{ addresses: [], conditions: { ready: null }, targetRef: { uid: 'a' } }], ['a']],
    ['not one without a pod', [{ addresses: [] }], []],
    ['none, when there are none', null, []],
  ])('name %s', (_what, endpoints, uids) => {
    expect(readyUids([{ metadata: meta('s'), ...(endpoints !== undefined && { endpoints }) }])).toEqual(uids);
  });
});
