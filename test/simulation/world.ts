/** A cluster with replicas of the operator in it, and everybody else who lives there; nothing goes wrong in it by itself. */
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { LogFields } from '../../src/adapters/ports.ts';
import { NODE_LEASE_NAMESPACE, NO_FAILOVER } from '../../src/api/names.ts';
import type { KubeObject, Node } from '../../src/api/objects.ts';
import { SimulatedApiServer } from './api-server/server.ts';
import { Checkers } from './checkers.ts';
import type { Violation } from './checkers.ts';
import { clusterOf } from './cluster.ts';
import type { Cluster, Write } from './cluster.ts';
import { Controllers } from './controllers.ts';
import { Engine } from './engine.ts';
import { NO_FAULTS } from './faulty-wire.ts';
import type { Network, WireFaults } from './faulty-wire.ts';
import { Kubelets } from './kubelets.ts';
import { LEADER_LEASE, NAMESPACE, SINGLETON, adoptingManifest, fencedManifest, manifest } from './manifest.ts';
import { Nodes } from './nodes.ts';
import { Owner } from './owner.ts';
import { wallMsAt } from './process.ts';
import { Chance } from './random.ts';
import { Replica } from './replica.ts';
import { ScriptedAgents } from './scripted-agents.ts';
import { settledOn } from './settled.ts';
import type { Verdict } from './settled.ts';
import { createSimulatedApi } from './simulated-api.ts';
import { Successors } from './successors.ts';
import { Trace } from './trace.ts';
import type { WireRequest } from './wire.ts';

export interface WorldOptions {
  readonly seed: number;
  /** Of the operator. */
  readonly replicas: number;
  readonly faults?: WireFaults;
  /** The singleton's pods are somebody else's. */
  readonly isAdopting?: boolean;
  /** Fencing mode `Agent`. */
  readonly isFenced?: boolean;
  readonly print?: ((line: string) => void) | undefined;
  /** After each write of an operator but those of the leader Lease, before its answer leaves. */
  readonly onOperatorsWrite?: (write: Write) => void;
}

export type DatedViolation = Violation & { readonly atMs: number };

const NODES = ['node-a', 'node-b', 'node-c'];

export class World {
  readonly engine = new Engine();
  readonly trace: Trace;
  readonly server: SimulatedApiServer;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly replicas: readonly Replica[];
  readonly kubelets: Kubelets;
  readonly nodes: Nodes;
  /** Of the pods, when it is not the operator that makes them. */
  readonly owner: Owner | undefined;
  readonly agents: ScriptedAgents | undefined;
  readonly #options: WorldOptions;
  readonly #controllers: Controllers;
  readonly #checkers: Checkers;
  readonly #successors: Successors;
  #violation: DatedViolation | undefined;
  /** Nothing is to be done: whatever an operator writes now is too much (I8). */
  isAtRest = false;
  /** See settled.ts. */
  readonly unwell = new Set<string>();

  constructor(options: WorldOptions) {
    this.#options = options;
    const { seed, print, replicas, faults = NO_FAULTS } = options;
    const { engine } = this;
    this.trace = new Trace(engine, print);
    engine.onSpin = () => this.violated({ checker: 'error', message: 'time stands still: something spins' });
    this.server = new SimulatedApiServer({ wallMs: () => wallMsAt(engine), dropsEvents: true });
    this.cluster = clusterOf(this.server);
    this.network = { engine, trace: this.trace, faults, isServerDown: false, cutOff: new Set() };
    this.replicas = Array.from({ length: replicas }, (_, index) => this.#replica(index));
    const ground = { engine, cluster: this.cluster, trace: this.trace, chance: new Chance(seed, 'kubelets') };
    this.kubelets = new Kubelets(ground, kubeletTimes(new Chance(seed, 'kubelet times')));
    this.nodes = new Nodes({
      ...ground,
      chance: new Chance(seed, 'nodes'),
      kubelets: this.kubelets,
      isServerDown: () => this.network.isServerDown,
    });
    const { cluster } = this;
    this.owner =
      options.isAdopting === true ? new Owner({ engine, cluster, chance: new Chance(seed, 'owner') }) : undefined;
    this.agents =
      options.isFenced === true
        ? new ScriptedAgents({
            engine,
            cluster,
            chance: new Chance(seed, 'agents'),
            isLost: (node) => this.kubelets.lostNodes.has(node),
            onViolation: (violation) => this.violated(violation),
          })
        : undefined;
    this.#controllers = new Controllers({ engine, server: this.server, chance: new Chance(seed, 'controllers') });
    this.#checkers = new Checkers({
      engine,
      cluster: this.cluster,
      nodes: this.nodes,
      replicas: this.replicas,
      onViolation: (violation) => this.violated(violation),
    });
    this.#successors = new Successors({
      engine,
      cluster: this.cluster,
      isLost: (node) => this.kubelets.lostNodes.has(node) || this.#checkers.mayBeGivenUp(node),
      onViolation: (violation) => this.violated(violation),
    });
    this.server.onWrite((user, verb, before, after, type) => this.#onWrite({ user, verb, before, after, type }));
  }

  get violation(): DatedViolation | undefined {
    return this.#violation;
  }

  /** Nodes and operators; the singleton is the user's. */
  begin(): void {
    this.nodes.begin(NODES);
    this.owner?.start();
    this.agents?.start();
    for (const replica of this.replicas) replica.start();
    this.#housekeep();
  }

  get manifest(): ReturnType<typeof manifest> | ReturnType<typeof adoptingManifest> {
    if (this.agents !== undefined) return fencedManifest();
    return this.owner === undefined ? manifest() : adoptingManifest();
  }

  /** The end of all faults: what was broken is mended, and what somebody asked for is taken back. */
  heal(): void {
    this.trace.note('heal', 'no more faults');
    this.network.faults = NO_FAULTS;
    this.network.isServerDown = false;
    this.network.cutOff.clear();
    for (const replica of this.replicas) {
      replica.process?.forgetPlans();
      replica.process?.wake();
      replica.start();
      replica.recover();
    }
    this.kubelets.healAll();
    this.#successors.healed();
    for (const type of [NODE, POD]) {
      for (const object of this.cluster.list(type))
        if (object.metadata.labels?.[NO_FAILOVER] !== undefined)
          this.cluster.patch('user', type, object, { metadata: { labels: { [NO_FAILOVER]: null } } });
    }
    for (const node of this.cluster.list<Node>(NODE))
      if (node.spec?.taints !== undefined || node.spec?.unschedulable === true)
        this.cluster.patch('user', NODE, node, { spec: { taints: null, unschedulable: null } });
    this.owner?.heal();
    const healed = { paused: false, election: null, failover: null, disruptionBudget: true };
    // A version that nobody has tried, so that a rollout follows, in which nothing goes wrong.
    const spec = { ...(this.owner === undefined ? manifest('echo:healed') : this.manifest).spec, ...healed };
    const singleton = this.cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    if (singleton === undefined) this.cluster.create('user', SINGLETON_SERVICE, this.manifest);
    else this.cluster.patch('user', SINGLETON_SERVICE, singleton, { spec });
  }

  get verdict(): Verdict {
    const { cluster, replicas, unwell, server, owner } = this;
    const { endpointSlices, disruptionBudgets } = server;
    return settledOn({ cluster, replicas, unwell, owner, endpointSlices, disruptionBudgets });
  }

  run(forMs: number): Promise<void> {
    return this.engine.run(this.engine.nowMs + forMs);
  }

  /**
   * Runs until it is in order and every replica knows it, or breaks I6. Undefined: it broke something. (What a watch that
   * was behind tells later has to be worked on: nothing is at rest before.)
   */
  async settle(withinMs: number, lookEveryMs = 1_000): Promise<string | undefined> {
    const untilMs = this.engine.nowMs + withinMs;
    let verdict = this.#informedVerdict();
    while ('wrong' in verdict && this.engine.nowMs < untilMs && !this.engine.isStopped) {
      await this.run(lookEveryMs);
      verdict = this.#informedVerdict();
    }
    if (this.engine.isStopped) return undefined;
    if ('active' in verdict) return verdict.active;
    this.violated({ checker: 'I6', message: `it does not come to rest: ${verdict.wrong}` });
    return undefined;
  }

  #informedVerdict(): Verdict {
    for (const { name, lagging } of this.replicas)
      if (lagging.length > 0) return { wrong: `${name} does not know all ${lagging.join(', ')}` };
    return this.verdict;
  }

  /** Runs on without anything to do: the active stays, and nobody writes. */
  async rest(active: string, forMs: number): Promise<void> {
    this.trace.note('rest', `at rest, the active is ${active}`);
    // The counts in the status may be written a moment later.
    await this.run(2_000);
    this.isAtRest = true;
    await this.run(forMs);
    this.isAtRest = false;
    if (this.engine.isStopped) return;
    const { verdict } = this;
    if ('wrong' in verdict) this.violated({ checker: 'I6', message: `it did not stay at rest: ${verdict.wrong}` });
    else if (verdict.active !== active)
      this.violated({ checker: 'I6', message: `the active moved at rest, from ${active} to ${verdict.active}` });
  }

  violated(violation: Violation): void {
    if (this.#violation !== undefined) return;
    this.#violation = { ...violation, atMs: this.engine.nowMs };
    this.trace.note('VIOLATION', `${violation.checker}: ${violation.message}`);
    this.engine.stop();
  }

  state(): KubeObject[] {
    const { endpointSlices, disruptionBudgets } = this.server;
    const types = [SINGLETON_SERVICE, LEASE, SERVICE, POD, NODE, endpointSlices, disruptionBudgets];
    return types.flatMap((type) => [...this.server.objects(type)]);
  }

  #replica(index: number): Replica {
    return new Replica({
      seed: this.#options.seed,
      index,
      network: this.network,
      connect: (wire, user) => createSimulatedApi(this.server, wire, user),
      watcher: {
        onSent: (request) => {
          const { epoch = 0, isLeading = false } = this.replicas[index] ?? {};
          const isWrite = this.#checkers.onSent(request, isLeading);
          if (isWrite && this.isAtRest) this.#writesAtRest(request);
          return { epoch };
        },
        onArrival: (request, sent) => this.#checkers.onArrival(request, sent),
      },
      onLead: ({ name, epoch }) => {
        this.trace.note('lead', `${name} leads (its ${epoch}. time)`);
        this.#checkers.onLead();
      },
      onLost: ({ name }) => this.trace.note('lead', `${name} does not lead any more`),
      onLog: (replica, level, message, fields) => this.#onLog(replica, level, message, fields),
    });
  }

  /** What the API server does by the clock. */
  #housekeep(): void {
    this.server.endDueWatches();
    this.engine.after(5_000, () => this.#housekeep());
    if (Math.round(this.engine.nowMs / 5_000) % 12 === 11) this.server.sendBookmarks();
  }

  #onWrite(write: Write): void {
    const { user, verb, type, before, after } = write;
    const object = after ?? before;
    if (object === undefined || type.plural === 'events') return;
    const { name, namespace } = object.metadata;
    // Beats are many, and nobody's business here.
    if (namespace === LEADER_LEASE.namespace || namespace === NODE_LEASE_NAMESPACE) return;
    const isOperators = user.startsWith('operator-');
    this.trace.note(user, `${verb} ${type.plural} ${name} ${after === undefined ? 'gone' : `-> ${summary(after)}`}`);
    this.#checkers.onWrite(write);
    this.#successors.onWrite(write);
    this.kubelets.onWrite(write);
    this.owner?.onWrite(write);
    this.agents?.onWrite(write);
    this.#controllers.wake();
    if (isOperators) this.#options.onOperatorsWrite?.(write);
  }

  /** Asked for, even if it changes nothing. */
  #writesAtRest({ user, verb, resource, name = '' }: WireRequest): void {
    this.violated({ checker: 'I8', message: `${user} writes at rest: ${verb} ${resource} ${name}` });
  }

  #onLog({ name }: Replica, level: string, message: string, fields: LogFields): void {
    if (level === 'debug') return;
    this.trace.note(name, `${level}: ${message}`);
    if (level !== 'error') return;
    // Edited labels break I2 and I3, and are told of; whether an operator broke them is for the checkers to say.
    if (/an invariant is broken: I[23]: .*(selects|have the role)/.test(message)) return;
    const { plan, cause, error } = fields;
    const detail = error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(plan ?? cause ?? '');
    this.violated({ checker: message.includes('invariant') ? 'assertion' : 'error', message: `${message} ${detail}` });
  }
}

/** What of an object a reader of the trace wants to see. */
function summary(object: KubeObject): string {
  const { labels = {}, deletionTimestamp, resourceVersion } = object.metadata;
  const ours = Object.entries(labels)
    .filter(([key]) => key.startsWith('singleton-operator.io/') && !key.endsWith('/revision') && !key.endsWith('/name'))
    .map(([key, value]) => `${key.slice(22)}=${value}`);
  const { spec = {}, status = {} } = object as { spec?: Record<string, unknown>; status?: Record<string, unknown> };
  const ready = (status['conditions'] as { type: string; status: string }[] | undefined)?.find(
    ({ type }) => type === 'Ready',
  )?.status;
  return [
    `v${resourceVersion}`,
    ...ours,
    ...(['holderIdentity', 'leaseTransitions', 'selector'] as const)
      .filter((field) => spec[field] !== undefined)
      .map((field) => `${field}=${JSON.stringify(spec[field])}`),
    ...(ready === undefined ? [] : [`ready=${ready}`]),
    ...(deletionTimestamp === undefined ? [] : ['deleting']),
  ].join(' ');
}

const kubeletTimes = (chance: Chance) => ({
  lagMs: { min: 1, max: chance.logBetween(5, 500) },
  startMs: { min: 20, max: chance.logBetween(50, 3_000) },
  stopMs: { min: 5, max: chance.logBetween(20, 10_000) },
});
