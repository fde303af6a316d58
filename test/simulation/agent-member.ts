/** A pod with an agent: the shipping agent in a simulated process, its workload, and the kubelet that probes and kills. */
import { Agent } from '../../src/agent/agent.ts';
import { LeaseError } from '../../src/agent/ports.ts';
import type { HookCall, LeaseSource, NoPromise, Question, WorkloadPort } from '../../src/agent/ports.ts';
import { LEASE } from '../../src/adapters/kubernetes/resources.ts';
import { ApiError } from '../../src/adapters/ports.ts';
import type { Clock, KubernetesApi, Logger } from '../../src/adapters/ports.ts';
import { holderIdentity, leaseName } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { timingOf } from '../../src/api/timing.ts';
import type { TimingInput } from '../../src/api/timing.ts';
import type { Remembered } from '../../src/core/fence-types.ts';
import { fenceRules } from '../../src/core/fence.ts';
import type { PeerNetwork } from './agent-peers.ts';
import { Workload } from './agent-workload.ts';
import type { ActWatcher, WorkloadKind } from './agent-workload.ts';
import type { SimulatedApiServer } from './api-server/server.ts';
import { FaultyWire } from './faulty-wire.ts';
import type { Network } from './faulty-wire.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import { SimulatedProcess } from './process.ts';
import { Chance } from './random.ts';
import { createSimulatedApi } from './simulated-api.ts';
import type { WireRequest } from './wire.ts';

const PROBE_PERIOD_MS = 1_000;
const PROBE_TIMEOUT_MS = 1_000;
const HOOK_DEADLINE_MS = 1_000;
const CONTAINER = 'app';

/** A machine: one clock for all that runs on it. */
export interface Machine {
  readonly name: string;
  readonly rate: number;
  readonly monotonicMs: () => number;
  isUp: boolean;
  isFrozen: boolean;
}

export interface MemberOptions {
  readonly seed: number;
  readonly pod: string;
  readonly uid: string;
  readonly machine: Machine;
  readonly network: Network;
  readonly server: SimulatedApiServer;
  readonly timing: TimingInput;
  readonly kind: WorkloadKind;
  readonly watcher: ActWatcher;
  /** `onApiLoss: Hold`: by which it reaches the others. */
  readonly peers?: PeerNetwork | undefined;
  /** Its kubelet has something new to tell. */
  readonly onStatus: () => void;
}

export class Member {
  readonly options: MemberOptions;
  readonly holder: string;
  restarts = 0;
  /** Everything in it has ended, for good. */
  hasEnded = false;
  isTerminating = false;
  #chance: Chance;
  #workload: Workload | undefined;
  #agent: { readonly agent: Agent; readonly process: SimulatedProcess; readonly wire: FaultyWire } | undefined;
  #remembered: Remembered | undefined;
  #toldSequence = 0;
  #starts = 0;
  readonly #onWrite: (() => void)[] = [];
  readonly #onAsk: (() => void)[] = [];
  /** The kubelet kills it, and does not probe it again before it is another one. */
  #isOnHold = false;
  #isProbing = false;

  constructor(options: MemberOptions) {
    this.options = options;
    this.holder = holderIdentity(options.pod, options.uid);
    this.#chance = new Chance(options.seed, `member ${options.uid}`);
  }

  get name(): string {
    return this.options.pod;
  }

  get workload(): Workload | undefined {
    return this.#workload;
  }

  get agentProcess(): SimulatedProcess | undefined {
    return this.#agent?.process;
  }

  /** Its workload has to stop, and has not yet. */
  get isStopping(): boolean {
    return this.#remembered?.mayAct === true && !this.#remembered.report.active;
  }

  /** Frozen or dead, it stops nothing. */
  get isAgentAway(): boolean {
    return this.#agent === undefined || this.#agent.process.isFrozen;
  }

  /** When its agent's next renewal or release leaves. */
  onNextWrite(then: () => void): void {
    this.#onWrite.push(then);
  }

  /** When its agent next asks others for a promise. */
  onNextAsk(then: () => void): void {
    this.#onAsk.push(then);
  }

  /** The kubelet's opinion. */
  get isReady(): boolean {
    return !this.hasEnded && this.options.machine.isUp && this.#workload?.process.isAlive === true;
  }

  start(): void {
    this.#startWorkload();
    this.#startAgent();
    this.#engine.after(this.#chance.between(0, PROBE_PERIOD_MS), () => this.#probe());
  }

  crashAgent(): void {
    this.#loseAgent();
    // In `Signal` nobody else kills: what is promised needs an agent that is back within the grace.
    const { enforcement, stopGraceMs } = this.options.timing;
    const longMs = enforcement === 'Signal' ? Math.min(stopGraceMs * 0.9, 3_000) : 20_000;
    this.#after(this.#chance.logBetween(Math.min(50, longMs / 2), longMs), () => this.#startAgent());
  }

  /** Its machine is booted again, and its pod stays: all containers begin anew, and what was only in memory is lost. */
  reboot(): void {
    this.#loseAgent();
    this.#remembered = undefined;
    this.#workload?.kill();
    this.#after(this.#chance.logBetween(50, 5_000), () => this.#startAgent());
  }

  /** Another's question, which gets here. */
  ask(question: Question, answer: (said: NoPromise | undefined) => void): void {
    const agent = this.#agent;
    agent?.process.deliver(() => answer(agent.agent.asked(question)));
  }

  crashWorkload(): void {
    this.#workload?.kill();
  }

  freezeAgent(forMs: number): void {
    const process = this.#agent?.process;
    process?.freeze();
    this.#engine.after(forMs, () => {
      if (!this.options.machine.isFrozen) process?.wake();
    });
  }

  freezeWorkload(forMs: number): void {
    const workload = this.#workload;
    workload?.freeze();
    this.#engine.after(forMs, () => {
      if (!this.options.machine.isFrozen) workload?.wake();
    });
  }

  freeze(): void {
    this.#agent?.process.freeze();
    this.#workload?.freeze();
  }

  /** In either order. */
  wake(): void {
    const wakes = [() => this.#agent?.process.wake(), () => this.#workload?.wake()];
    for (const wake of this.#chance.happens(0.5) ? wakes : wakes.toReversed()) wake();
  }

  /** The machine is off: nothing runs any more, and nobody says so. */
  lose(): void {
    this.hasEnded = true;
    this.#workload?.kill();
    this.#loseAgent();
  }

  /** Deleted: told to stop, killed after the grace, and the kubelet says when it has ended. It probes no more meanwhile. */
  delete(): void {
    if (this.isTerminating || this.hasEnded) return;
    this.isTerminating = true;
    const { timing } = this.options;
    const graceMs = timing.stopGraceMs + timingOf(timing).enforcementDelayMs;
    this.#workload?.terminate();
    const agent = this.#agent;
    agent?.process.deliver(() => agent.agent.hear({ kind: 'terminate' }));
    this.#after(graceMs, () => {
      if (this.hasEnded) return;
      this.lose();
      this.options.onStatus();
    });
  }

  /** What was broken on the way to the API server is found out. */
  recover(): void {
    this.#agent?.wire.recover();
  }

  get #engine(): Network['engine'] {
    return this.options.network.engine;
  }

  /** By the machine's clock, as long as it runs and is not frozen. */
  #after(delayMs: number, run: () => void): void {
    const { machine } = this.options;
    this.#engine.after(delayMs / machine.rate, () => {
      if (!machine.isUp || this.hasEnded) return;
      if (machine.isFrozen) this.#after(50, run);
      else run();
    });
  }

  #startWorkload(): void {
    const { machine, kind, timing, watcher } = this.options;
    this.#isOnHold = false;
    const workload = new Workload({
      member: this.name,
      kind,
      engine: this.#engine,
      chance: this.#chance,
      rate: machine.rate,
      monotonicMs: machine.monotonicMs,
      watcher,
      // Beyond its grace only where somebody kills it.
      stopMs: timing.stopGraceMs * (timing.enforcement === 'Cooperative' || this.#chance.happens(0.7) ? 0.99 : 3),
      onExit: () => this.#workloadEnded(workload),
    });
    this.#workload = workload;
    this.options.onStatus();
    // A process that is new asks how things stand.
    if (kind === 'client') this.#connectClient();
    else this.#answerState(workload);
  }

  /** What it hears first comes from the agent itself, after that has noticed the end of the connection before. */
  #connectClient(): void {
    const agent = this.#agent;
    this.#loopback(() =>
      agent?.process.deliver(() => {
        this.#toldSequence = agent.agent.nextSequence();
        this.#tellClient();
      }),
    );
  }

  #answerState(workload: Workload): void {
    const agent = this.#agent;
    this.#loopback(() =>
      agent?.process.deliver(() => {
        const { active, term, untilMs } = agent.agent.report;
        const sequence = agent.agent.nextSequence();
        if (!active) return;
        this.#loopback(() =>
          workload.process.deliver(() => {
            if (this.options.machine.monotonicMs() < untilMs)
              workload.called({ hook: 'activate', term, sequence }, nothing);
          }),
        );
      }),
    );
  }

  #workloadEnded(workload: Workload): void {
    if (this.#workload !== workload || this.hasEnded) return;
    const { kind, timing, network } = this.options;
    network.trace.note('kubelet', `the workload of ${this.name} has ended`);
    this.options.onStatus();
    // A client keeps its connection; whoever shares the processes' namespace sees them.
    if (kind === 'client' || timing.enforcement === 'Signal') this.#tellAgent((agent) => agent.hear({ kind: 'gone' }));
    if (this.isTerminating) return;
    this.#after(this.#chance.logBetween(50, 3_000), () => {
      if (this.#workload !== workload || this.isTerminating) return;
      this.restarts += 1;
      this.#startWorkload();
    });
  }

  #loseAgent(): void {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.#agent = undefined;
    agent.process.kill();
    // Its connections end with it.
    if (this.options.kind === 'client') this.#workload?.process.deliver(() => this.#workload?.end());
  }

  #startAgent(): void {
    if (this.#agent !== undefined || this.hasEnded) return;
    const { seed, machine, network, server, timing, kind, uid } = this.options;
    this.#starts += 1;
    const process = new SimulatedProcess(`agent-${this.name}`, network.engine, this.#chance, {
      rate: machine.rate,
      wallOffsetMs: 0,
    });
    const onSent = ({ verb }: WireRequest): { epoch: number } => {
      if (verb === 'patch') this.#onWrite.splice(0).forEach((then) => then());
      return { epoch: 0 };
    };
    const watcher = { onSent, onArrival: () => undefined };
    const wire = new FaultyWire(process, network, new Chance(seed, `agent wire ${uid} ${this.#starts}`), watcher);
    const rules = fenceRules({
      ...timing,
      holder: this.holder,
      hooks: { activate: kind !== 'client', deactivate: kind === 'hook' },
      containers: [CONTAINER],
      holdAs: this.options.peers === undefined ? undefined : uid,
    });
    const agent: Agent = new Agent({
      rules,
      clock: { ...process.clock, monotonicMs: machine.monotonicMs } satisfies Clock,
      source: leaseSource(createSimulatedApi(server, wire, process.name), rules.fenceDeadlineMs),
      workload: this.#workloadPort(process),
      peers: this.options.peers?.portOf(process, machine, () => this.#onAsk.splice(0).forEach((then) => then())),
      logger: quietLogger,
      remembered: this.#remembered,
      onExit: () => agent.close(),
    });
    this.#agent = { agent, process, wire };
    process.deliver(() => agent.start());
  }

  #workloadPort(process: SimulatedProcess): WorkloadPort {
    return {
      publish: (told) => {
        if (this.#agent?.process !== process && this.#agent !== undefined) return false;
        this.#remembered = told;
        this.#toldSequence = this.#agent?.agent.nextSequence() ?? 0;
        if (this.options.kind === 'client') process.send(() => this.#tellClient());
        return true;
      },
      callHook: (call, signal) => this.#callHook(process, call, signal),
      kill: () => {
        // Nothing is there to be killed, which is what the agent wants to know.
        if (this.#workload?.process.isAlive !== true) this.#tellAgent((agent) => agent.hear({ kind: 'gone' }));
        else this.#workload.kill();
      },
    };
  }

  #callHook(process: SimulatedProcess, call: HookCall, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error('not answered'));
      signal.addEventListener('abort', fail);
      process.clock.after(HOOK_DEADLINE_MS, fail);
      process.send(() =>
        this.#loopback(() => {
          const workload = this.#workload;
          if (workload?.process.isAlive !== true) return process.deliver(fail);
          const answer = (): void => this.#loopback(() => process.deliver(resolve));
          return workload.process.deliver(() => {
            workload.called(call, answer);
          });
        }),
      );
    });
  }

  #tellClient(): void {
    this.#loopback(() => {
      const [workload, agent, told] = [this.#workload, this.#agent, this.#remembered];
      if (workload === undefined || agent === undefined || told === undefined) return;
      // As it was when it was said.
      const sequence = this.#toldSequence;
      workload.process.deliver(() =>
        workload.hear(told.report, (term) => {
          this.#tellAgent((agent) => agent.acknowledge(term, sequence));
        }),
      );
    });
  }

  #tellAgent(tell: (agent: Agent) => void): void {
    const agent = this.#agent;
    this.#loopback(() => agent?.process.deliver(() => tell(agent.agent)));
  }

  #loopback(run: () => void): void {
    this.#engine.after(this.#chance.between(0.05, 1), run);
  }

  #probe(): void {
    const { machine, timing } = this.options;
    if (this.hasEnded || !machine.isUp) return;
    this.#after(PROBE_PERIOD_MS, () => this.#probe());
    const isProbed = timing.enforcement === 'Probe' && !this.isTerminating && !this.#isOnHold && !this.#isProbing;
    const workload = this.#workload;
    if (!isProbed || machine.isFrozen || workload?.process.isAlive !== true) return;
    let isOpen = true;
    this.#isProbing = true;
    const end = (isHealthy: boolean): void => {
      if (!isOpen) return;
      isOpen = false;
      this.#isProbing = false;
      if (!isHealthy) this.#killGently(workload);
    };
    this.#after(PROBE_TIMEOUT_MS, () => end(false));
    const agent = this.#agent;
    if (agent === undefined) return end(false);
    return agent.process.deliver(() => {
      const isHealthy = agent.agent.probe(CONTAINER);
      this.#loopback(() => end(isHealthy));
    });
  }

  /** With the probe's own termination grace. */
  #killGently(workload: Workload): void {
    if (this.#workload !== workload || this.#isOnHold || this.isTerminating) return;
    this.#isOnHold = true;
    this.options.network.trace.note('kubelet', `the probe of ${this.name} failed`);
    workload.terminate();
    this.#after(this.options.timing.stopGraceMs, () => workload.kill());
  }
}

/** A replacement is a patch of all that an agent may change. Without a version it is one without a precondition. */
function leaseSource(api: KubernetesApi, deadlineMs: number): LeaseSource {
  const ref = { namespace: NAMESPACE, name: leaseName(SINGLETON) };
  const failure = (error: unknown): never => {
    throw new LeaseError(error instanceof ApiError ? error.status : undefined, String(error));
  };
  return {
    read: () => api.get<Lease>(LEASE, ref, { deadlineMs }).catch(failure),
    replace: ({ metadata: { resourceVersion, annotations }, spec }) =>
      api
        .mergePatch<Lease>(
          LEASE,
          ref,
          { metadata: { ...(resourceVersion !== '' && { resourceVersion }), annotations }, spec },
          { deadlineMs },
        )
        .catch(failure),
    watch: (resourceVersion, onLease, signal) =>
      api
        .watch<Lease>(
          LEASE,
          {
            namespace: NAMESPACE,
            fieldSelector: `metadata.name=${ref.name}`,
            resourceVersion,
            timeoutSeconds: 300,
          },
          (event) => {
            if (event.type !== 'BOOKMARK') onLease(event.type === 'DELETED' ? undefined : event.object);
          },
          { signal },
        )
        .catch(failure),
  };
}

const nothing = (): void => undefined;
const quietLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
