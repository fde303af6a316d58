import { describe, expect, it } from 'vitest';
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { TransportError } from '../../src/adapters/ports.ts';
import { LABEL } from '../../src/api/names.ts';
import type { Lease, Node, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { describeAction } from '../../src/core/plan.ts';
import { createCaches } from '../../src/operator/caches.ts';
import { Reconciler } from '../../src/operator/reconcile.ts';
import { DISRUPTION_BUDGETS, objectsOf } from './resources.ts';
import { aNode } from './objects.ts';
import { KEY, failing, steady } from './stage.ts';
import type { Stage } from './stage.ts';

describe('a process whose watches lag behind a move that another one made', () => {
  /** Moves the active to the standby as an operator does; no watch tells of it. */
  function moved(stage: Stage): { readonly old: string; readonly active: string } {
    const { active: old, standby: active, cluster } = stage;
    const uid = cluster.find<Pod>(POD, active)?.metadata.uid ?? '';
    const labelled = (pod: string, labels: Record<string, string>): void =>
      cluster.edit<Pod>(POD, pod, (object) => ({
        ...object,
        metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...labels } },
      }));
    const [kind, reason, to] = ['Failover', 'ActiveCrashed', `${active}_${uid}`];
    const move = { kind, reason, message: 'm', from: old, to, term: 2, detectedWallMs: 1, grantedWallMs: 1 };
    labelled(old, { [LABEL.role]: 'standby' });
    cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
      ...lease,
      spec: { ...lease.spec, holderIdentity: to, leaseTransitions: 2 },
      metadata: { ...lease.metadata, annotations: { 'singleton-operator.io/move': JSON.stringify(move) } },
    }));
    labelled(active, { [LABEL.role]: 'active', [LABEL.term]: '2' });
    cluster.edit<Service>(SERVICE, 'db', (service) => ({
      ...service,
      spec: { ...service.spec, selector: { [LABEL.name]: 'db', [LABEL.term]: '2' } },
    }));
    return { old, active };
  }

  const tell = (stage: Stage, ...pods: string[]): void => {
    const { caches } = stage.cluster;
    for (const name of pods) {
      const pod = stage.cluster.find<Pod>(POD, name);
      if (pod !== undefined) caches.pods.apply('MODIFIED', pod);
    }
  };

  const roles = (stage: Stage): Record<string, string | undefined> =>
    Object.fromEntries(
      stage.cluster.all<Pod>(POD).map(({ metadata }) => [metadata.name, metadata.labels?.[LABEL.role]]),
    );

  /** A second member of the standby's slot, of which the status tells already, and the watch of pods does not. */
  function surged(stage: Stage, revision: string): void {
    const { cluster, standby } = stage;
    const pod = cluster.find<Pod>(POD, standby);
    const slot = Number(pod?.metadata.labels?.[LABEL.slot]);
    if (pod === undefined) throw new Error('there is no standby');
    const labels = { ...pod.metadata.labels, [LABEL.revision]: revision };
    cluster.put(POD, { ...pod, metadata: { ...pod.metadata, labels, name: `db-${slot}-surge`, uid: 'uid-surge' } });
    cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      status: {
        ...object.status,
        members: [{ pod: `db-${slot}-surge`, slot, role: 'standby', ready: true, eligible: true }],
      },
    }));
    cluster.caches.singletons.apply('MODIFIED', cluster.find<SingletonService>(SINGLETON_SERVICE, 'db') as never);
  }

  it('does not delete the double of a standby that is gone', async () => {
    const stage = await steady();
    const { cluster, standby } = stage;
    const pod = cluster.find<Pod>(POD, standby);
    if (pod === undefined) throw new Error('there is no standby');
    const double = { ...pod, metadata: { ...pod.metadata, name: 'db-1-double', uid: 'uid-double' } };
    cluster.put(POD, double);
    cluster.caches.pods.apply('ADDED', double);
    cluster.remove(POD, standby);
    stage.done.length = 0;
    await stage.look();
    await stage.look();
    expect(stage.done.filter(({ kind }) => kind === 'deletePod').map(describeAction)).toEqual([]);
  });

  const createdIn = (stage: Stage): string[] =>
    stage.done.filter(({ kind }) => kind === 'createPod').map(describeAction);

  it('does not make a second member for a rollout beside the one that it has not heard of', async () => {
    const stage = await steady();
    const present = stage.cluster.find<Pod>(POD, stage.standby)?.metadata.labels?.[LABEL.revision] ?? '';
    for (const { metadata } of stage.cluster.all<Pod>(POD))
      stage.cluster.edit<Pod>(POD, metadata.name, (pod) => ({
        ...pod,
        metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, [LABEL.revision]: 'older' } },
      }));
    tell(stage, stage.active, stage.standby);
    surged(stage, present);
    stage.done.length = 0;
    await stage.look();
    expect(createdIn(stage)).toEqual([]);
  });

  it('does not make a second member for a drain that is over', async () => {
    const stage = await steady({ replicas: 1 });
    const { cluster, clock } = stage;
    const { namespace: _none, ...metadata } = aNode('node-a').metadata;
    const node: Node = { apiVersion: 'v1', kind: 'Node', metadata };
    cluster.put(NODE, node);
    cluster.caches.nodes.replace([{ ...node, spec: { unschedulable: true } }], '1');
    const rights = { leases: true, nodes: true };
    const troubles = { isBraked: false, troubleOf: () => undefined };
    const made: string[] = [];
    const reconciler = new Reconciler({
      api: cluster,
      caches: cluster.caches,
      clock,
      logger: cluster.logger,
      disruptionBudgets: DISRUPTION_BUDGETS,
      nodes: { rights, troubles },
      onAction: (_key, action) => void made.push(action.kind),
    });
    await reconciler.reconcile(KEY);
    expect(made).not.toContain('createPod');
    // A drain that goes on is helped.
    cluster.put(NODE, { ...node, spec: { unschedulable: true } } as Node);
    cluster.caches.nodes.replace([{ ...node, spec: { unschedulable: true } }], '1');
    await reconciler.reconcile(KEY);
    expect(made).toContain('createPod');
  });

  it('does not bring the former active back by an old Lease', async () => {
    const stage = await steady();
    const { old, active } = moved(stage);
    tell(stage, old, active);
    const service = stage.cluster.find<Service>(SERVICE, 'db');
    if (service !== undefined) stage.cluster.caches.services.apply('MODIFIED', service);
    await stage.look();
    expect(stage.selector?.[LABEL.term]).toBe('2');
    expect(roles(stage)).toEqual({ [old]: 'standby', [active]: 'active' });
  });

  it('takes the role from a former active that it does not know as one, before it gives it to the next', async () => {
    const stage = await steady();
    const { active: old, standby: next, cluster } = stage;
    const { caches } = cluster;
    // The grant was the last thing that another one wrote; and the watch of pods stopped before the old one became active.
    const pods = cluster.all<Pod>(POD).map((pod) => ({
      ...pod,
      metadata: { ...pod.metadata, resourceVersion: pod.metadata.name === old ? '1' : pod.metadata.resourceVersion },
    }));
    const uid = cluster.find<Pod>(POD, next)?.metadata.uid ?? '';
    const [kind, reason, to] = ['Failover', 'ActiveCrashed', `${next}_${uid}`];
    const move = { kind, reason, message: 'm', from: old, to, term: 2, detectedWallMs: 1, grantedWallMs: 1 };
    cluster.edit<Lease>(LEASE, 'db-active', (lease) => ({
      ...lease,
      spec: { ...lease.spec, holderIdentity: to, leaseTransitions: 2 },
      metadata: { ...lease.metadata, annotations: { 'singleton-operator.io/move': JSON.stringify(move) } },
    }));
    cluster.deliver();
    const standby = { [LABEL.role]: 'standby' };
    caches.pods.replace(
      pods.map((pod) => ({
        ...pod,
        metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, ...standby } },
      })),
      '1',
    );
    const from = cluster.requests.length;
    await stage.look();
    const writes = stage.since(from).filter((text) => text.startsWith('patch pods'));
    expect(writes).toEqual([`patch pods/${old}`, `patch pods/${next}`]);
    expect(roles(stage)).toEqual({ [old]: 'standby', [next]: 'active' });
  });

  it('does not create a Service that selects the former active', async () => {
    const stage = await steady();
    const { old, active } = moved(stage);
    tell(stage, old, active);
    const service = stage.cluster.find<Service>(SERVICE, 'db');
    stage.cluster.remove(SERVICE, 'db');
    if (service !== undefined) stage.cluster.caches.services.forget(service);
    await stage.look();
    expect(stage.selector?.[LABEL.term]).toBe('0');
    await stage.look();
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });

  it('rebuilds a lost Lease around the active, not around the former one that it still knows', async () => {
    const stage = await steady();
    const { active } = moved(stage);
    const lease = stage.cluster.find<Lease>(LEASE, 'db-active');
    stage.cluster.remove(LEASE, 'db-active');
    if (lease !== undefined) stage.cluster.caches.leases.forget(lease);
    await stage.look();
    expect(stage.lease).toEqual({ holderIdentity: '', leaseTransitions: 0 });
    await stage.look();
    expect(stage.active).toBe(active);
    expect(stage.lease?.leaseTransitions).toBe(1002);
  });

  it('rebuilds it around the active of which only the status tells', async () => {
    const stage = await steady();
    const { active } = moved(stage);
    const [lease, pod] = [stage.cluster.find<Lease>(LEASE, 'db-active'), stage.cluster.find<Pod>(POD, active)];
    stage.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      status: { ...object.status, term: 2, active: { pod: active, uid: pod?.metadata.uid ?? '', term: 2 } },
    }));
    stage.cluster.remove(LEASE, 'db-active');
    if (lease !== undefined) stage.cluster.caches.leases.forget(lease);
    // As if it had been created while the watch of pods was silent.
    if (pod !== undefined)
      stage.cluster.caches.pods.replace(
        stage.cluster.all<Pod>(POD).filter((one) => one !== pod),
        '1',
      );
    await stage.look();
    await stage.look();
    expect(stage.active).toBe(active);
  });
});

describe('a leader that has read everything before, and whose watch of pods is silent since', () => {
  const labelled = (pod: Pod, labels: Record<string, string>): Pod => ({
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata.labels, ...labels } },
  });

  /** The active is a member of which neither cache nor status tells: only its labels, and the Service. */
  async function withAnActiveUnheardOf(): Promise<Stage> {
    const stage = await steady();
    const { cluster, active: old } = stage;
    const pod = cluster.find<Pod>(POD, old);
    if (pod === undefined) throw new Error('there is no active');
    cluster.edit<Pod>(POD, old, (object) => labelled(object, { [LABEL.role]: 'standby' }));
    const next = labelled(pod, { [LABEL.role]: 'active', [LABEL.term]: '2' });
    cluster.put(POD, { ...next, metadata: { ...next.metadata, name: 'db-1-new', uid: 'uid-new' } });
    cluster.edit<Service>(SERVICE, 'db', (service) => ({
      ...service,
      spec: { ...service.spec, selector: { [LABEL.name]: 'db', [LABEL.term]: '2' } },
    }));
    return stage;
  }

  it('rebuilds a lost Lease around the active that it has not heard of', async () => {
    const stage = await withAnActiveUnheardOf();
    const lease = stage.cluster.find<Lease>(LEASE, 'db-active');
    stage.cluster.remove(LEASE, 'db-active');
    if (lease !== undefined) stage.cluster.caches.leases.forget(lease);
    await stage.look();
    await stage.look();
    expect(stage.lease).toMatchObject({ holderIdentity: 'db-1-new_uid-new', leaseTransitions: 1002 });
  });

  it('does not take a Lease that was lost and made anew for that of a new singleton', async () => {
    const stage = await steady();
    const { cluster, active } = stage;
    // All that its caches tell is what there was before the first grant.
    const { pods, services, singletons } = cluster.caches;
    const standby = { [LABEL.role]: 'standby' };
    pods.replace(
      cluster.all<Pod>(POD).map((pod) => {
        const { [LABEL.term]: _term, ...labels } = pod.metadata.labels ?? {};
        return { ...pod, metadata: { ...pod.metadata, labels: { ...labels, ...standby } } };
      }),
      '1',
    );
    services.replace(
      cluster.all<Service>(SERVICE).map((service) => ({
        ...service,
        ...(service.metadata.name === 'db' && {
          spec: { ...service.spec, selector: { [LABEL.name]: 'db', [LABEL.term]: '0' } },
        }),
      })),
      '1',
    );
    singletons.replace(
      cluster.all<SingletonService>(SINGLETON_SERVICE).map(({ status: _status, ...object }) => object),
      '1',
    );
    cluster.edit<Lease>(LEASE, 'db-active', ({ metadata: { annotations: _move, ...metadata }, ...lease }) => ({
      ...lease,
      metadata,
      spec: { holderIdentity: '', leaseTransitions: 0 },
    }));
    cluster.caches.leases.replace(cluster.all<Lease>(LEASE), '1');
    await stage.look();
    expect(stage.done.filter(({ kind }) => kind === 'grantLease')).toHaveLength(1);
    await stage.look();
    expect({ active: stage.active, term: stage.lease?.leaseTransitions }).toEqual({ active, term: 1001 });
  });

  it('rebuilds around it a Lease that was set back, too', async () => {
    const stage = await withAnActiveUnheardOf();
    const { cluster } = stage;
    cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      status: { ...object.status, term: 2, active: undefined },
    }));
    cluster.caches.singletons.apply('MODIFIED', cluster.find<SingletonService>(SINGLETON_SERVICE, 'db') as never);
    await stage.look();
    expect(stage.lease).toMatchObject({ holderIdentity: 'db-1-new_uid-new', leaseTransitions: 1002 });
  });
});

describe('a new leader', () => {
  /** Watches of its own, which have brought the state before the move of its predecessor, and the strip of the old active. */
  async function withWatchesBehind(): Promise<{ stage: Stage; successor: Reconciler; old: string }> {
    const stage = await steady();
    const { cluster, clock, active: old } = stage;
    const caches = createCaches(cluster.logger);
    for (const { type, store } of objectsOf(caches)) store.replace(cluster.all(type), '0');
    stage.setReady(old, false);
    cluster.deliver();
    await stage.look();
    stage.setReady(old, true);
    caches.pods.apply('MODIFIED', cluster.find<Pod>(POD, old) as Pod);
    const options = { api: cluster, caches, clock, logger: cluster.logger, disruptionBudgets: DISRUPTION_BUDGETS };
    return { stage, old, successor: new Reconciler(options) };
  }

  const listings = (stage: Stage, from: number): number =>
    stage.since(from).filter((text) => text.startsWith('list pods')).length;

  it('that has seen the strip of the last move and not its grant labels nobody', async () => {
    const { stage, successor, old } = await withWatchesBehind();
    const from = stage.cluster.requests.length;
    await successor.reconcile(KEY);
    expect(listings(stage, from)).toBe(1);
    // Nothing is left of the move.
    expect(stage.since(from).filter((text) => text.startsWith('patch'))).toEqual([]);
    expect(stage.active).not.toBe(old);
    const roles = stage.cluster.all<Pod>(POD).map(({ metadata }) => metadata.labels?.[LABEL.role]);
    expect(roles.filter((role) => role === 'active')).toHaveLength(1);
  });

  it('reads everything before its first move of a singleton, and not before the next', async () => {
    const stage = await steady();
    stage.reconciler.leads();
    const listed: number[] = [];
    while (listed.length < 2) {
      const [from, old] = [stage.cluster.requests.length, stage.active];
      stage.setReady(old, false);
      stage.cluster.deliver();
      await stage.look();
      expect(stage.active).not.toBe(old);
      stage.setReady(old, true);
      await stage.settle();
      listed.push(listings(stage, from));
    }
    expect(listed).toEqual([1, 0]);
  });

  it('that loses the answer to a write reads everything again before it goes on', async () => {
    const stage = await steady();
    const next = stage.standby;
    stage.cluster.onRequest = failing(new RegExp(`patch pods/${next}`), new TransportError('deadline', 'no answer'));
    stage.setReady(stage.active, false);
    stage.cluster.deliver();
    const from = stage.cluster.requests.length;
    await stage.look();
    expect(listings(stage, from)).toBe(0);
    stage.cluster.onRequest = () => undefined;
    await stage.look();
    expect(listings(stage, from)).toBe(1);
    expect(stage.selector?.[LABEL.term]).toBe('2');
  });

  it('with nothing to do reads nothing', async () => {
    const stage = await steady();
    stage.reconciler.leads();
    const from = stage.cluster.requests.length;
    await stage.settle();
    expect(stage.cluster.requests.length).toBe(from);
  });
});
