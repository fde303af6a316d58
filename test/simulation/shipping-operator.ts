/** The shipping operator among simulated agents: one replica, which leads from its start. */
import type { KubernetesApi, Logger, LogFields } from '../../src/adapters/ports.ts';
import { SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import type { TimingInput } from '../../src/api/timing.ts';
import { agentPlatform } from '../../src/core/agent-pod.ts';
import { Operator } from '../../src/operator/operator.ts';
import type { GrantingOperator } from './agent-operator.ts';
import { budgetType } from './api-server/budgets.ts';
import type { Violation } from './checkers.ts';
import type { Cluster } from './cluster.ts';
import { FaultyWire } from './faulty-wire.ts';
import type { Network, WireWatcher } from './faulty-wire.ts';
import { NAMESPACE, SINGLETON, fencedManifest } from './manifest.ts';
import { SimulatedProcess } from './process.ts';
import { Chance } from './random.ts';
import { ENDPOINT_SLICES, noMetrics } from './replica.ts';
import type { Wire } from './wire.ts';

export interface ShippingOperatorOptions {
  readonly seed: number;
  readonly network: Network;
  readonly cluster: Cluster;
  readonly rate: number;
  /** Of its process and user. Default `operator`. */
  readonly name?: string;
  readonly connect: (wire: Wire, user: string) => KubernetesApi;
  readonly onArrival: WireWatcher['onArrival'];
  readonly onViolation: (violation: Violation) => void;
}

interface Running {
  readonly process: SimulatedProcess;
  readonly wire: FaultyWire;
  readonly operator: Operator;
}

const NAME = 'operator';
/** Its wall clock is set wrong by so much: nothing may follow from it. */
const WALL_OFFSET_MS = 120_000;

/** What a user writes whose times are these. */
export function manifestWith(
  { leaseDurationMs, renewIntervalMs, stopGraceMs, enforcement }: TimingInput,
  onApiLoss?: 'Hold',
) {
  const { spec, ...rest } = fencedManifest();
  const election = { leaseDurationSeconds: leaseDurationMs / 1_000, renewIntervalSeconds: renewIntervalMs / 1_000 };
  const hold = onApiLoss === undefined ? {} : { onApiLoss };
  const fencing = { mode: 'Agent', enforcement, stopGraceSeconds: stopGraceMs / 1_000, ...hold };
  const failover = { backoffMaxSeconds: 0, quarantine: { durationSeconds: 0 } };
  return { ...rest, spec: { ...spec, election, fencing, failover } };
}

export class ShippingOperator implements GrantingOperator {
  readonly #options: ShippingOperatorOptions;
  readonly #name: string;
  #running: Running | undefined;
  #starts = 0;

  constructor(options: ShippingOperatorOptions) {
    this.#options = options;
    this.#name = options.name ?? NAME;
  }

  get process(): SimulatedProcess | undefined {
    return this.#running?.process;
  }

  start(): void {
    const running = this.#running;
    if (running === undefined) return this.#launch();
    running.wire.recover();
    running.process.deliver(() => running.operator.reconnected());
  }

  crash(): void {
    this.#running?.process.kill();
    this.#running = undefined;
  }

  move(): void {
    const { cluster } = this.#options;
    const singleton = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    if (singleton === undefined) return;
    cluster.patch('user', SINGLETON_SERVICE, singleton, {
      metadata: { annotations: { [ANNOTATION.switchover]: 'any' } },
    });
  }

  /** A request is over by its deadline. */
  settle(): void {}

  /** It has watches of its own. */
  notice(): void {}

  #launch(): void {
    const { seed, network, rate, connect, onArrival } = this.#options;
    this.#starts += 1;
    const life = `${this.#name} ${this.#starts}`;
    const chance = new Chance(seed, life);
    const wallOffsetMs = chance.between(-WALL_OFFSET_MS, WALL_OFFSET_MS);
    const process = new SimulatedProcess(this.#name, network.engine, chance, { rate, wallOffsetMs });
    const wire = new FaultyWire(process, network, new Chance(seed, `wire of ${life}`), {
      onSent: () => ({ epoch: 0 }),
      onArrival,
    });
    const operator = new Operator({
      api: connect(wire, this.#name),
      clock: process.clock,
      random: new Chance(seed, `jitter of ${life}`).next,
      logger: this.#logger(),
      metrics: noMetrics,
      endpointSlices: ENDPOINT_SLICES,
      disruptionBudgets: budgetType('v1'),
      concurrency: 4,
      agent: agentPlatform('agent', 30),
    });
    this.#running = { process, wire, operator };
    process.deliver(() => {
      operator.start();
      operator.lead();
    });
  }

  /** It asserts I5 and the others before it carries a plan out. */
  #logger(): Logger {
    const nothing = (): void => undefined;
    // What a watch that lags behind shows is old: whether two are labelled is for others to say.
    const isOld = (message: string): boolean =>
      /an invariant is broken: I[23]: .*(selects|have the role)/.test(message);
    const error = (message: string, fields: LogFields = {}): void => {
      if (isOld(message)) return;
      const what = JSON.stringify(fields['cause'] ?? '');
      this.#options.onViolation({ checker: 'assertion', message: `${message} ${what}` });
    };
    return { debug: nothing, info: nothing, warn: nothing, error };
  }
}
