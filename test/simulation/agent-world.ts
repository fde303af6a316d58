/** Members with agents on machines whose clocks differ, an operator, one Lease, and all that goes wrong; one run. */
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { AGENT_CONTAINER, ANNOTATION, leaseName } from '../../src/api/names.ts';
import { holdSetOf } from '../../src/core/hold-set.ts';
import { expirySumBroken, renewalSumBroken, timingOf } from '../../src/api/timing.ts';
import type { TimingInput } from '../../src/api/timing.ts';
import { AgentCheckers } from './agent-checkers.ts';
import { Member } from './agent-member.ts';
import type { Machine } from './agent-member.ts';
import { ModelOperator } from './agent-operator.ts';
import type { GrantingOperator } from './agent-operator.ts';
import { PeerNetwork } from './agent-peers.ts';
import type { WorkloadKind } from './agent-workload.ts';
import { SimulatedApiServer } from './api-server/server.ts';
import type { Violation } from './checkers.ts';
import { clusterOf } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { Controllers } from './controllers.ts';
import { Engine } from './engine.ts';
import { NO_FAULTS } from './faulty-wire.ts';
import type { Network, WireFaults } from './faulty-wire.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import { wallMsAt } from './process.ts';
import { Chance } from './random.ts';
import { PairWorld, timingIn } from './pair-world.ts';
import { manifestWith } from './shipping-operator.ts';
import { createSimulatedApi } from './simulated-api.ts';
import { Trace } from './trace.ts';
import type { Wire } from './wire.ts';
import type { DatedViolation } from './world.ts';

export const MACHINES = ['node-a', 'node-b', 'node-c'];

/** So far apart that what the margin leaves is nearly used up: (1 + x) / (1 - x) < 1 / 0.95. */
export const CLOCK_RATE_ERROR = 0.0255;

export interface AgentWorldOptions {
  readonly seed: number;
  readonly faults: WireFaults;
  /** The operator that ships grants, and makes the pods; else a model of it. */
  readonly isShipping?: boolean;
  /** The members' agents know `onApiLoss: Hold`. */
  readonly isHold?: boolean;
  readonly print?: ((line: string) => void) | undefined;
}

export class AgentWorld {
  readonly engine = new Engine();
  readonly trace: Trace;
  readonly network: Network;
  readonly server: SimulatedApiServer;
  readonly cluster: Cluster;
  readonly machines: readonly Machine[];
  /** By UID: the operator may give a name again. */
  readonly members = new Map<string, Member>();
  readonly operator: GrantingOperator;
  /** With the operator that ships. */
  readonly pair: PairWorld | undefined;
  readonly checkers: AgentCheckers;
  readonly timing: TimingInput;
  readonly kind: WorkloadKind;
  /** Machines from which nothing reaches the API server, the kubelet's words neither. */
  readonly cutOff = new Set<string>();
  /** `onApiLoss: Hold`: what the agents ask each other over. */
  readonly peers: PeerNetwork | undefined;
  readonly #seed: number;
  /** It makes and deletes the pods, too. */
  readonly isShipping: boolean;
  readonly #chance: Chance;
  #born = 0;
  #violation: DatedViolation | undefined;
  /** No more faults, nor what was prepared of one. */
  isCalm = false;

  constructor({ seed, faults, isShipping = false, isHold = false, print }: AgentWorldOptions) {
    const { engine } = this;
    this.isShipping = isShipping;
    this.#seed = seed;
    this.#chance = new Chance(seed, 'agents');
    this.trace = new Trace(engine, print);
    engine.onSpin = () => this.violated({ checker: 'error', message: 'time stands still: something spins' });
    this.network = { engine, trace: this.trace, faults, isServerDown: false, cutOff: new Set() };
    this.server = new SimulatedApiServer({ wallMs: () => wallMsAt(engine), dropsEvents: true });
    this.cluster = clusterOf(this.server);
    const timing = tightTiming(this.#chance);
    this.timing = isShipping ? inSeconds(timing) : timing;
    this.kind = kindFor(this.timing, this.#chance);
    const machines = MACHINES.map((name) => machineOf(name, engine, rateOf(this.#chance, -1)));
    // A stream of its own: without it a seed is what it was.
    const holdChance = new Chance(seed, 'hold');
    this.machines = isHold ? MACHINES.map((name) => machineOf(name, engine, eitherRate(holdChance))) : machines;
    this.peers = isHold
      ? new PeerNetwork({
          engine,
          chance: holdChance,
          faults: () => this.network.faults,
          memberOf: (uid) => this.members.get(uid),
        })
      : undefined;
    this.checkers = new AgentCheckers(
      (violation) => this.violated(violation),
      (text) => this.trace.note('act', text),
    );
    const common = {
      seed,
      network: this.network,
      rate: rateOf(this.#chance, 1),
      connect: (wire: Wire, user: string) => createSimulatedApi(this.server, wire, user),
    };
    const onViolation = (violation: Violation): void => this.violated(violation);
    const fastestRate = 1 + CLOCK_RATE_ERROR;
    this.pair = isShipping
      ? new PairWorld(this, { ...common, cluster: this.cluster, fastestRate, onViolation })
      : undefined;
    this.operator =
      this.pair?.operator ?? new ModelOperator({ ...common, leaseDurationMs: this.timing.leaseDurationMs, isHold });
    // A switchover is verified by where traffic goes.
    const controllers = isShipping
      ? new Controllers({ engine, server: this.server, chance: new Chance(seed, 'controllers') })
      : undefined;
    this.server.onWrite((user, verb, before, after, type) => {
      if (type === LEASE || type === POD) this.operator.notice();
      controllers?.wake();
      if (isShipping && type === POD) {
        this.trace.note(
          user,
          `${verb} pod ${(after ?? before)?.metadata.name} ${JSON.stringify(after?.metadata.labels)}`,
        );
        this.#podWritten(before, after);
      }
      this.pair?.onWrite({ user, verb, before, after, type });
      if (type !== LEASE || (after ?? before)?.metadata.name !== leaseName(SINGLETON)) return;
      if (after === undefined) return this.trace.note(user, 'the Lease is gone');
      const lease = after as Lease;
      this.trace.note(user, `${verb} lease v${lease.metadata.resourceVersion} ${JSON.stringify(lease.spec)}`);
      // People may write what they like.
      if (user !== 'user') this.checkers.onLease(before, lease);
    });
  }

  get violation(): DatedViolation | undefined {
    return this.#violation;
  }

  begin(): void {
    const { leaseDurationMs } = this.timing;
    this.trace.note('begin', `${this.kind} ${JSON.stringify(this.timing)} ${JSON.stringify(timingOf(this.timing))}`);
    if (this.isShipping) {
      this.pair?.begin();
      this.cluster.create('user', SINGLETON_SERVICE, manifestWith(this.timing, this.peers && 'Hold'));
      return this.operator.start();
    }
    this.cluster.create('operator', LEASE, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: leaseName(SINGLETON), namespace: NAMESPACE },
      spec: { holderIdentity: '', leaseTransitions: 0, leaseDurationSeconds: Math.ceil(leaseDurationMs / 1_000) },
    });
    for (const machine of this.machines) this.bear(machine);
    return this.operator.start();
  }

  /** A new pod; its UID. */
  bear(machine: Machine): string {
    this.#born += 1;
    const pod = `${SINGLETON}-${this.#born}`;
    const metadata = { name: pod, namespace: NAMESPACE };
    const spec = { nodeName: machine.name, containers: [{ name: 'app', image: 'app' }] };
    this.cluster.create('operator', POD, { apiVersion: 'v1', kind: 'Pod', metadata, spec });
    const uid = this.#podOf(pod)?.metadata.uid ?? '';
    this.#run(pod, uid, machine);
    return uid;
  }

  /** `onApiLoss: Hold`: whether the Lease says that this one can be asked. */
  isTold(uid: string): boolean {
    const lease = this.cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
    return lease?.metadata.annotations?.[ANNOTATION.members]?.includes(uid) === true;
  }

  /** Scheduler and kubelet of pods that the operator makes and deletes. */
  #podWritten(before: Pod | undefined, after: Pod | undefined): void {
    const { name, uid } = (after ?? before)?.metadata ?? { name: '', uid: '' };
    const member = this.members.get(uid);
    if (member !== undefined) this.#reportSoon(member);
    if (before !== undefined) return;
    const place = (): void => {
      const pod = this.#podOf(name);
      if (pod?.metadata.uid !== uid) return;
      const machine = this.#chance.pick(this.machines.filter(({ isUp }) => isUp));
      if (machine === undefined) return void this.engine.after(1_000, place);
      this.cluster.bind('scheduler', pod, machine.name);
      this.#run(name, uid, machine);
    };
    this.engine.after(this.#chance.logBetween(20, 2_000), place);
  }

  #run(pod: string, uid: string, machine: Machine): void {
    const { network, server, kind } = this;
    const made = this.#podOf(pod);
    const timing = { ...this.timing, ...(made !== undefined && timingIn(made)) };
    const member: Member = new Member({
      seed: this.#seed,
      pod,
      uid,
      machine,
      network,
      server,
      timing,
      kind,
      peers: this.peers,
      watcher: {
        acts: (name, term) => this.checkers.acts(name, term),
        ceases: (name) => this.checkers.ceases(name, !machine.isFrozen),
      },
      onStatus: () => this.#reportSoon(member),
    });
    this.members.set(uid, member);
    member.start();
  }

  /** What the API server is told of it no more than a second after it is so, if it can be told. */
  #reportSoon(member: Member): void {
    this.engine.after(this.#chance.logBetween(1, 1_000), () => this.#report(member));
  }

  #report(member: Member): void {
    const { machine } = member.options;
    if (!machine.isUp) return;
    if (machine.isFrozen || this.cutOff.has(machine.name) || this.network.isServerDown) {
      this.engine.after(100, () => this.#report(member));
      return;
    }
    const pod = this.#objectOf(member);
    if (pod === undefined) {
      if (member.hasEnded) this.#replace(member);
      else member.delete();
      return;
    }
    if (pod.metadata.deletionTimestamp !== undefined) member.delete();
    const ready = member.isReady && !member.isTerminating;
    const status = {
      phase: member.hasEnded || this.pair?.isEvicted(member) === true ? 'Failed' : 'Running',
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: [{ name: 'app', ready, restartCount: member.restarts, ...this.#stateOf(member) }],
      ...(this.isShipping && {
        podIP: '10.0.0.1',
        initContainerStatuses: [{ name: AGENT_CONTAINER, ready, restartCount: 0, ...this.#stateOf(member) }],
      }),
    };
    this.cluster.patch('kubelet', POD, pod, { status }, 'status');
    if (member.hasEnded) this.engine.after(2_000, () => this.#replace(member));
  }

  #stateOf({ hasEnded }: Member): object {
    if (!this.isShipping) return {};
    return { state: hasEnded ? { terminated: { exitCode: 137, reason: 'Error' } } : { running: {} } };
  }

  /** Its replacement comes onto any machine that is up. */
  #replace(member: Member): void {
    if (!this.members.delete(member.options.uid)) return;
    const pod = this.#objectOf(member);
    const isGoing = pod?.metadata.deletionTimestamp !== undefined;
    if (pod !== undefined && (isGoing || !this.isShipping)) this.cluster.delete('kubelet', POD, pod, 0);
    if (this.isShipping) return;
    const machine = this.#chance.pick(this.machines.filter(({ isUp }) => isUp));
    if (machine !== undefined) this.bear(machine);
  }

  /** The object goes at once; what runs there goes on until its kubelet hears of it. */
  forceDelete(member: Member): void {
    const pod = this.#objectOf(member);
    if (pod !== undefined) this.cluster.delete('user', POD, pod, 0);
    this.#reportSoon(member);
  }

  lose(machine: Machine): void {
    machine.isUp = false;
    for (const member of this.on(machine)) member.lose();
  }

  /** Booted again: its kubelet finds that nothing runs. */
  boot(machine: Machine): void {
    if (machine.isUp) return;
    this.pair?.setOutOfService(machine.name, false);
    machine.isUp = true;
    for (const member of this.on(machine)) this.#reportSoon(member);
  }

  freeze(machine: Machine): void {
    for (const member of this.on(machine)) this.checkers.exempt(member.name);
    machine.isFrozen = true;
    for (const member of this.on(machine)) member.freeze();
  }

  wake(machine: Machine): void {
    if (!machine.isFrozen) return;
    // Whatever acts when it wakes up is not promised to have stopped.
    for (const member of this.on(machine)) member.wake();
    machine.isFrozen = false;
  }

  cut(machine: Machine, isCut: boolean): void {
    if (isCut && !this.isCalm) this.cutOff.add(machine.name);
    else this.cutOff.delete(machine.name);
    this.applyCuts();
  }

  applyCuts(): void {
    const { cutOff } = this.network;
    for (const member of this.members.values()) {
      const name = `agent-${member.name}`;
      if (this.cutOff.has(member.options.machine.name)) cutOff.add(name);
      else if (cutOff.delete(name)) member.recover();
    }
  }

  on(machine: Machine): Member[] {
    return [...this.members.values()].filter((member) => member.options.machine === machine);
  }

  heal(): void {
    this.trace.note('heal', 'no more faults');
    this.isCalm = true;
    this.network.faults = NO_FAULTS;
    this.network.isServerDown = false;
    this.network.cutOff.clear();
    this.peers?.calm();
    this.cutOff.clear();
    for (const machine of this.machines) {
      this.wake(machine);
      this.boot(machine);
    }
    this.operator.process?.forgetPlans();
    this.operator.process?.wake();
    this.pair?.heal();
    this.operator.settle();
    this.operator.start();
    for (const member of this.members.values()) {
      member.wake();
      member.recover();
    }
  }

  /**
   * An administrator sees that nobody acts, and that everybody is gone who may have promised something. Nobody can be granted by
   * expiry then, and the operator has nothing else to go by.
   */
  vouch(): void {
    const lease = this.cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
    if (this.peers === undefined || lease === undefined || this.checkers.acting.length > 0) return;
    const { holderIdentity: holder = '' } = lease.spec ?? {};
    const isThere = [...this.members.values()].some(
      (member) => member.holder !== holder && holdSetOf(lease).includes(member.options.uid),
    );
    if (isThere) return;
    this.trace.note('administrator', 'takes away the hold set, of which nobody is left');
    this.cluster.patch('administrator', LEASE, lease, { metadata: { annotations: { [ANNOTATION.holdSet]: null } } });
  }

  /** Undefined: exactly one acts, and it is the Lease's holder. */
  wrong(): string | undefined {
    const { acting } = this.checkers;
    const [only] = acting;
    if (only === undefined || acting.length > 1) return `acting: ${acting.join(', ') || 'nobody'}`;
    const lease = this.cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
    const members = [...this.members.values()].filter(({ name }) => name === only);
    const { leaseTransitions: term = 0 } = lease?.spec ?? {};
    if (lease?.metadata.annotations?.[ANNOTATION.releaseRequested] === String(term)) return 'a move is under way';
    const isHeld = members.some(({ holder }) => lease?.spec?.holderIdentity === holder);
    return isHeld ? this.pair?.wrong() : `${only} acts and does not hold the Lease`;
  }

  violated(violation: Violation): void {
    if (this.#violation !== undefined) return;
    this.#violation = { ...violation, atMs: this.engine.nowMs };
    this.trace.note('VIOLATION', `${violation.checker}: ${violation.message}`);
    this.engine.stop();
  }

  #objectOf({ name, options }: Member): Pod | undefined {
    const pod = this.#podOf(name);
    return pod?.metadata.uid === options.uid ? pod : undefined;
  }

  #podOf(name: string): Pod | undefined {
    return this.cluster.get<Pod>(POD, name, NAMESPACE);
  }
}

/** The longest grace that the rules allow, so that nothing is left over but what they demand. */
export function tightTiming(chance: Chance, given?: TimingInput['enforcement']): TimingInput {
  const enforcement = given ?? chance.pick(['Probe', 'Probe', 'Signal', 'Cooperative'] as const) ?? 'Probe';
  for (;;) {
    const leaseDurationMs = 1_000 * (5 + chance.below(16));
    const renewIntervalMs = 1_000 * (1 + chance.below(4));
    const most = { leaseDurationMs, renewIntervalMs, enforcement };
    // A kubelet leaves no container less than 2 s.
    const leastGraceMs = enforcement === 'Probe' ? 2_000 : 100;
    let stopGraceMs = leaseDurationMs;
    while (stopGraceMs > leastGraceMs && expirySumBroken({ ...most, stopGraceMs }) !== undefined) stopGraceMs -= 20;
    const timing = { ...most, stopGraceMs };
    if (expirySumBroken(timing) === undefined && renewalSumBroken(timing) === undefined) return timing;
  }
}

/** As a spec says them. What is left over grows by less than a second. */
export function inSeconds(timing: TimingInput): TimingInput {
  const least = timing.enforcement === 'Probe' ? 2_000 : 0;
  return { ...timing, stopGraceMs: Math.max(least, Math.floor(timing.stopGraceMs / 1_000) * 1_000) };
}

/** What does not stop by itself needs somebody who stops it. */
function kindFor({ enforcement }: TimingInput, chance: Chance): WorkloadKind {
  if (enforcement === 'Cooperative') return 'client';
  return chance.pick(['hook', 'client', 'stubborn', 'stubborn'] as const) ?? 'stubborn';
}

/** Most often as wrong as may be, in the direction that hurts: the operator's clock runs fast and the others slow. */
const rateOf = (chance: Chance, sign: number): number =>
  1 + CLOCK_RATE_ERROR * (chance.happens(0.7) ? sign : chance.between(-1, 1));

/** Who promises is hurt by a clock that runs fast, and who is promised by one that runs slow. */
const eitherRate = (chance: Chance): number => rateOf(chance, chance.happens(0.5) ? 1 : -1);

function machineOf(name: string, engine: Engine, rate: number): Machine {
  return { name, rate, isUp: true, isFrozen: false, monotonicMs: () => engine.nowMs * rate };
}
