/** The operator that ships, on the simulated API server: the least that a simulator must be able to do. */
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/adapters/metrics.ts';
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { API_VERSION, KIND, LABEL, leaseName } from '../../src/api/names.ts';
import type { EndpointSlice, Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { lookAt } from '../../src/cli/look.ts';
import { explain } from '../../src/core/explain.ts';
import { Operator } from '../../src/operator/operator.ts';
import { waitForCluster } from '../../src/operator/startup.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { EndpointSliceController } from './api-server/endpoint-slice-controller.ts';
import { GarbageCollector } from './api-server/garbage-collector.ts';
import { SimulatedApiServer } from './api-server/server.ts';
import { createSimulatedApi } from './simulated-api.ts';
import { directWire } from './wire.ts';

const NS = 'apps';
const refOf = ({ metadata: { name, namespace = '' } }: Pod) => ({ name, namespace });

class World {
  readonly clock = new ManualClock();
  readonly server = new SimulatedApiServer({ wallMs: () => this.clock.wallMs() });
  readonly logger = recordingLogger();
  readonly #controllers = [new GarbageCollector(this.server), new EndpointSliceController(this.server)];
  #addresses = 0;

  async startOperator(): Promise<Operator> {
    const { clock, logger, server } = this;
    const api = createSimulatedApi(server, directWire(), 'operator');
    const { signal } = new AbortController();
    const cluster = await waitForCluster({ api, clock, logger, signal, namespace: undefined });
    if (cluster === undefined) throw new Error('nobody aborted it');
    const common = { ...cluster, api, clock, logger, metrics: createMetrics() };
    const operator = new Operator({ ...common, random: () => 0.5, concurrency: 4 });
    operator.start();
    operator.lead();
    return operator;
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      for (const controller of this.#controllers) controller.work.run();
      for (const pod of this.pods) this.#runPod(pod);
      await this.clock.advance(100);
    }
  }

  get pods(): readonly Pod[] {
    return this.server.objects<Pod>(POD);
  }

  get routed(): string[] {
    return this.server
      .objects<EndpointSlice>(this.server.endpointSlices)
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === 'db')
      .flatMap(({ endpoints }) => endpoints ?? [])
      .flatMap(({ targetRef }) => targetRef?.name ?? []);
  }

  get(name = 'db') {
    const ref = { namespace: NS, name };
    return {
      singleton: this.server.find<SingletonService>(SINGLETON_SERVICE, ref),
      service: this.server.find<Service>(SERVICE, ref),
      lease: this.server.find<Lease>(LEASE, { namespace: NS, name: leaseName(name) }),
    };
  }

  crash(name: string): void {
    const state = { terminated: { exitCode: 1 } };
    this.#setReady(name, 'False', [{ name: 'app', ready: false, restartCount: 0, state }]);
  }

  restart(name: string): void {
    this.#setReady(name, 'True', [{ name: 'app', ready: true, restartCount: 1, state: { running: {} } }]);
  }

  #setReady(name: string, status: 'True' | 'False', containerStatuses: readonly object[]): void {
    const lastTransitionTime = new Date(this.clock.wallMs()).toISOString();
    const conditions = [{ type: 'Ready', status, lastTransitionTime }];
    this.server.patch('kubelet', POD, { namespace: NS, name }, { status: { conditions, containerStatuses } }, 'status');
  }

  /** Scheduler and kubelet. */
  #runPod(pod: Pod): void {
    const { server } = this;
    if (pod.metadata.deletionTimestamp !== undefined) {
      server.delete('kubelet', POD, refOf(pod), { gracePeriodSeconds: 0 });
    } else if (pod.spec?.nodeName === undefined) server.bindPod('scheduler', POD, refOf(pod), 'node-1');
    else if (pod.status?.podIP === undefined) {
      const lastTransitionTime = new Date(this.clock.wallMs()).toISOString();
      const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime }];
      const status = { phase: 'Running', podIP: `10.64.0.${++this.#addresses}`, conditions };
      server.patch('kubelet', POD, refOf(pod), { status }, 'status');
    }
  }
}

const SPEC = {
  replicas: 3,
  template: { spec: { containers: [{ name: 'app', image: 'app', ports: [{ containerPort: 80 }] }] } },
};

describe('the operator on the simulated API server', () => {
  it('settles, then writes nothing, moves when the active is deleted, and leaves nothing behind', async () => {
    const world = new World();
    const { server } = world;
    const body = { apiVersion: API_VERSION, kind: KIND, metadata: { name: 'db' }, spec: SPEC };
    server.create('user', NODE, '', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } });
    server.create('user', SINGLETON_SERVICE, NS, body);
    const operator = await world.startOperator();
    await world.pass(5_000);
    const first = world.get();
    expect(first.lease?.spec?.leaseTransitions).toBe(1);
    expect(first.service?.spec?.selector).toEqual({ [LABEL.name]: 'db', [LABEL.term]: '1' });
    expect(world.routed).toHaveLength(1);
    expect(first.singleton?.status).toMatchObject({ term: 1, ready: '3/3', active: { pod: world.routed[0] } });

    const { version } = server;
    await world.pass(60_000);
    expect(server.version).toBe(version);

    const [active = ''] = world.routed;
    server.delete('user', POD, { namespace: NS, name: active });
    await world.pass(5_000);
    expect(world.routed).toHaveLength(1);
    expect(world.routed).not.toEqual([active]);
    expect(world.get().singleton?.status).toMatchObject({ term: 2, ready: '3/3' });

    server.delete('user', SINGLETON_SERVICE, { namespace: NS, name: 'db' });
    await world.pass(5_000);
    expect(world.pods).toEqual([]);
    expect(world.get()).toEqual({ singleton: undefined, service: undefined, lease: undefined });
    expect(world.logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
    await operator.stop();
  });

  it('moves to whom `kubectl singleton why` has announced, one crash after another', async () => {
    const world = new World();
    const { clock, server } = world;
    const spec = { ...SPEC, election: { strategy: 'Ring' } };
    const body = { apiVersion: API_VERSION, kind: KIND, metadata: { name: 'db' }, spec };
    server.create('user', NODE, '', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } });
    server.create('user', SINGLETON_SERVICE, NS, body);
    const operator = await world.startOperator();
    await world.pass(5_000);
    const api = createSimulatedApi(server, directWire(), 'user');
    const actives = new Set(world.routed);
    for (let crash = 0; crash < 3; crash++) {
      const { snapshot, now, unread } = await lookAt(api, clock, { namespace: NS, name: 'db' });
      const { next, ifActiveFailed, unknown, broken } = explain(snapshot, now);
      expect([next.map(({ reason }) => reason), unread, unknown, broken]).toEqual([['in order'], [], [], []]);
      const [active = ''] = world.routed;
      const { version } = server;
      await lookAt(api, clock, { namespace: NS, name: 'db' });
      expect(server.version).toBe(version);
      world.crash(active);
      await world.pass(5_000);
      expect(world.routed).toEqual([ifActiveFailed?.[0]?.grant?.pod]);
      expect(world.get().singleton?.status?.term).toBe(ifActiveFailed?.[0]?.grant?.term);
      actives.add(world.routed[0] ?? '');
      world.restart(active);
      await world.pass(5_000);
    }
    expect(actives.size).toBe(3);
    await operator.stop();
  });
});
