/** One replica of the operator, as the program puts it together: the shipping classes in a simulated process. */
import type { Metrics } from '../../src/adapters/metrics.ts';
import type { KubernetesApi, Logger, LogFields, ResourceType } from '../../src/adapters/ports.ts';
import { agentPlatform } from '../../src/core/agent-pod.ts';
import { electionTimes } from '../../src/core/leadership.ts';
import { Election } from '../../src/operator/election.ts';
import { Operator } from '../../src/operator/operator.ts';
import { budgetType } from './api-server/budgets.ts';
import { FaultyWire } from './faulty-wire.ts';
import type { Network, WireWatcher } from './faulty-wire.ts';
import { LEADER_LEASE } from './manifest.ts';
import { SimulatedProcess } from './process.ts';
import { Chance } from './random.ts';
import type { Wire } from './wire.ts';

export const LEADER_LEASE_MS = 3_000;

/** For singletons in fencing mode `Agent`. */
const AGENT = agentPlatform('agent', 30);

export const ENDPOINT_SLICES: ResourceType = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};

export interface ReplicaOptions {
  readonly seed: number;
  readonly index: number;
  readonly network: Network;
  readonly connect: (wire: Wire, user: string) => KubernetesApi;
  readonly watcher: WireWatcher;
  readonly onLead: (replica: Replica) => void;
  readonly onLost: (replica: Replica) => void;
  readonly onLog: (replica: Replica, level: 'debug' | 'warn' | 'error', message: string, fields: LogFields) => void;
}

/** A process and what runs in it; a restart is another one of the same replica. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #chance: Chance;
  #incarnation = 0;
  #running: Running | undefined;
  /** How often it has begun to lead. */
  epoch = 0;
  isLeading = false;
  startedAtMs = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#chance = new Chance(options.seed, `replica ${options.index}`);
  }

  get process(): SimulatedProcess | undefined {
    return this.#running?.process;
  }

  /** Of the process that runs now: another one with every start. Also the identity in the leader Lease. */
  get name(): string {
    return `operator-${this.#options.index}.${this.#incarnation}`;
  }

  get isSynced(): boolean {
    return this.#running?.operator.isSynced ?? false;
  }

  /** What its caches do not know all of, while it runs. */
  get lagging(): readonly string[] {
    if (this.#running === undefined) return [];
    return this.isSynced ? this.#running.wire.lagging : ['everything'];
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#incarnation += 1;
    this.startedAtMs = this.#options.network.engine.nowMs;
    this.#running = this.#launch();
  }

  /** From one moment to the next, with requests in flight. */
  crash(): void {
    this.#running?.process.kill();
    this.#running = undefined;
    this.#lost();
  }

  /** As on SIGTERM. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    await running.operator.stop();
    await running.election.stop();
    if (this.#running === running) this.crash();
  }

  /** The connection is there again. */
  reconnected(): void {
    const running = this.#running;
    running?.process.deliver(() => {
      running.operator.reconnected();
      running.election.reconnected();
    });
  }

  disturb(): void {
    this.#running?.wire.disturb();
  }

  /** Its watches of these resources bring nothing any more, and it does not know that yet. */
  silence(resources: readonly string[]): void {
    this.#running?.wire.silence(resources);
  }

  recover(): void {
    this.#running?.wire.recover();
    this.reconnected();
  }

  #launch(): Running {
    const { seed, network, connect, watcher } = this.#options;
    const { name } = this;
    const rate = 1 + this.#chance.between(-0.01, 0.01);
    const wallOffsetMs = Math.round(this.#chance.between(-60_000, 60_000));
    const process = new SimulatedProcess(name, network.engine, this.#chance, { rate, wallOffsetMs });
    const wire = new FaultyWire(process, network, new Chance(seed, `wire ${name}`), watcher);
    const api = connect(wire, name);
    const random = new Chance(seed, `jitter ${name}`).next;
    const parts = { api, random, clock: process.clock, logger: this.#logger() };
    const versioned = { endpointSlices: ENDPOINT_SLICES, disruptionBudgets: budgetType('v1') };
    const operator = new Operator({ ...parts, ...versioned, metrics: noMetrics, concurrency: 16, agent: AGENT });
    const election = new Election({
      ...parts,
      ...LEADER_LEASE,
      identity: name,
      times: electionTimes(LEADER_LEASE_MS),
      onLead: () => {
        this.epoch += 1;
        this.isLeading = true;
        this.#options.onLead(this);
        operator.lead();
      },
      onLost: () => {
        this.#lost();
        operator.standDown();
      },
    });
    process.deliver(() => {
      operator.start();
      election.start();
    });
    return { process, wire, operator, election };
  }

  #lost(): void {
    if (!this.isLeading) return;
    this.isLeading = false;
    this.#options.onLost(this);
  }

  #logger(): Logger {
    const { onLog } = this.#options;
    const { name } = this;
    const at =
      (level: 'debug' | 'warn' | 'error') =>
      (message: string, fields: LogFields = {}): void => {
        if (this.name === name) onLog(this, level, message, fields);
      };
    return { debug: at('debug'), info: at('debug'), warn: at('warn'), error: at('error') };
  }
}

interface Running {
  readonly process: SimulatedProcess;
  readonly wire: FaultyWire;
  readonly operator: Operator;
  readonly election: Election;
}

const nothing = (): void => undefined;

/** Counting is the one thing that the simulation leaves out. */
export const noMetrics: Metrics = {
  queueDepth: { set: nothing },
  isLeader: { set: nothing },
  watchRestarts: { inc: nothing },
  reconcileErrors: { inc: nothing },
  reconcileDuration: { observe: nothing },
  invariantViolations: { inc: nothing },
  apiRequests: { inc: nothing },
  nodes: nothing,
  seen: nothing,
  gone: nothing,
  moved: nothing,
} as unknown as Metrics;
