/** A Reconciler on a cluster in memory, for tests that look at single requests. */
import { expect } from 'vitest';
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import type { Action } from '../../src/core/plan.ts';
import { Reconciler } from '../../src/operator/reconcile.ts';
import type { Next } from '../../src/operator/reconcile.ts';
import { AN_AGENT } from '../builders.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { DISRUPTION_BUDGETS } from './resources.ts';
import { FakeCluster } from './fake-cluster.ts';
import type { Request } from './fake-cluster.ts';
import { MIDNIGHT, aSingleton } from './objects.ts';

export const KEY = 'default/db';
const MAX_ROUNDS = 20;

/** The singleton `db`, its cluster, and a Reconciler that looks when it is told to. */
export class Stage {
  readonly cluster = new FakeCluster();
  readonly clock = new ManualClock();
  readonly done: Action[] = [];
  readonly errors: string[] = [];
  reconciler = this.#newReconciler();

  #newReconciler(): Reconciler {
    return new Reconciler({
      api: this.cluster,
      caches: this.cluster.caches,
      clock: this.clock,
      disruptionBudgets: DISRUPTION_BUDGETS,
      agent: AN_AGENT,
      logger: this.cluster.logger,
      onAction: (_key, action) => void this.done.push(action),
      onError: (reason) => void this.errors.push(reason),
    });
  }

  /** Another process takes over. */
  restart(): void {
    this.reconciler = this.#newReconciler();
  }

  /** A replica that watches until `takeOver`. */
  standBy(): { takeOver(): void } {
    const standby = this.#newReconciler();
    return { takeOver: () => void (this.reconciler = standby) };
  }

  look(): Promise<Next> {
    return this.reconciler.reconcile(KEY);
  }

  /** Looks until it has nothing to do, with watches that bring everything at once. */
  async settle(): Promise<Next> {
    let next: Next = { kind: 'again' };
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.cluster.fillSlices();
      this.cluster.deliver();
      const before = this.cluster.requests.length;
      next = await this.look();
      if (next.kind === 'settled' && this.cluster.requests.length === before) return next;
    }
    return next;
  }

  /** The kubelets start what there is. */
  runPods(): void {
    for (const { metadata } of this.cluster.all<Pod>(POD)) this.setReady(metadata.name, true);
  }

  setReady(pod: string, isReady: boolean): void {
    this.cluster.edit<Pod>(POD, pod, (object) => ({
      ...object,
      spec: { ...object.spec, nodeName: 'node-a' },
      status: {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False', lastTransitionTime: MIDNIGHT }],
      },
    }));
  }

  get lease(): Lease['spec'] {
    return this.cluster.find<Lease>(LEASE, 'db-active')?.spec;
  }

  get selector(): Record<string, string> | undefined {
    return this.cluster.find<Service>(SERVICE, 'db')?.spec?.selector;
  }

  get status(): SingletonService['status'] {
    return this.cluster.find<SingletonService>(SINGLETON_SERVICE, 'db')?.status;
  }

  condition(type: string) {
    return this.status?.conditions?.find((condition) => condition.type === type);
  }

  get active(): string {
    return this.lease?.holderIdentity?.split('_')[0] ?? '';
  }

  get standby(): string {
    const found = this.cluster.all<Pod>(POD).find(({ metadata }) => metadata.name !== this.active);
    return found?.metadata.name ?? '';
  }

  /** The requests since `from`, without those that tell people. */
  since(from: number): string[] {
    return this.cluster.requests.slice(from).filter((text) => !/events|singletonservices/.test(text));
  }
}

/** With members that are Ready, one of them active. */
export async function steady(spec: object = {}): Promise<Stage> {
  const stage = new Stage();
  stage.cluster.put(SINGLETON_SERVICE, aSingleton(spec));
  await stage.settle();
  stage.runPods();
  await stage.settle();
  expect(stage.condition('Ready')?.status).toBe('True');
  return stage;
}

/** Fails each request that matches, as the server would. */
export const failing =
  (pattern: RegExp, error: Error) =>
  ({ verb, plural, name }: Request): void => {
    if (pattern.test(`${verb} ${plural}/${name}`)) throw error;
  };
