/** What runs beside an agent: a workload that acts while it is told to, in one of three ways. */
import type { HookCall } from '../../src/agent/ports.ts';
import type { Report } from '../../src/core/fence-types.ts';
import type { Engine } from './engine.ts';
import { SimulatedProcess } from './process.ts';
import type { Chance } from './random.ts';

/**
 * `hook`: begins and ends by the agent's calls. `client`: follows the agent's state and looks at the clock itself.
 * `stubborn`: once begun it goes on until it is killed.
 */
export type WorkloadKind = 'hook' | 'client' | 'stubborn';

/** Told at the instant of true time at which it happens. */
export interface ActWatcher {
  acts(member: string, term: number): void;
  ceases(member: string): void;
}

export interface WorkloadOptions {
  readonly member: string;
  readonly kind: WorkloadKind;
  readonly engine: Engine;
  readonly chance: Chance;
  /** Of its machine's clock. */
  readonly rate: number;
  readonly monotonicMs: () => number;
  readonly watcher: ActWatcher;
  /** How long it may take to stop, at most. */
  readonly stopMs: number;
  readonly onExit: () => void;
}

/** One process of a workload; a restart is another one. */
export class Workload {
  readonly process: SimulatedProcess;
  readonly #options: WorkloadOptions;
  /** 0: it does not act. */
  #term = 0;
  #untilMs = 0;
  #sequence = 0;
  #isFrozen = false;
  #cancelDeadline: () => void = () => undefined;
  #stopping: (() => void)[] | undefined;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    const { engine, chance, rate } = options;
    this.process = new SimulatedProcess(`workload of ${options.member}`, engine, chance, { rate, wallOffsetMs: 0 });
  }

  get isActing(): boolean {
    return this.#term !== 0 && !this.#isFrozen && this.process.isAlive;
  }

  /** Whether it does something, also if it is frozen just now. */
  get isBusy(): boolean {
    return this.#term !== 0;
  }

  begin(term: number): void {
    if (this.#stopping !== undefined || this.#term === term) return;
    this.#term = term;
    this.#options.watcher.acts(this.#options.member, term);
  }

  /** @param then called when it does not act any more */
  end(then: () => void = () => undefined): void {
    if (this.#term === 0) return then();
    if (this.#stopping !== undefined) return void this.#stopping.push(then);
    this.#stopping = [then];
    this.process.clock.after(this.#options.chance.between(0, this.#options.stopMs), () => this.#ended());
    return undefined;
  }

  /** Of the others: a call that a later one has overtaken is too late. */
  called({ hook, term, sequence }: HookCall, answer: () => void): void {
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    if (hook === 'deactivate') return this.end(answer);
    this.begin(term);
    return answer();
  }

  /** Of `client`: what it hears of its agent; `then` when it has stopped acting under a term. */
  hear({ active, term, untilMs }: Report, then: (term: number) => void): void {
    const { monotonicMs } = this.#options;
    const isNow = active && monotonicMs() < untilMs;
    this.#untilMs = isNow ? untilMs : 0;
    const before = this.#term;
    if (before !== 0 && (!isNow || term !== before)) return this.end(() => then(before));
    if (!isNow) return then(term);
    if (before === 0) this.begin(term);
    this.#watchDeadline();
    return undefined;
  }

  #watchDeadline(): void {
    this.#cancelDeadline();
    const delayMs = this.#untilMs - this.#options.monotonicMs();
    this.#cancelDeadline = this.process.clock.after(delayMs, () => this.end());
  }

  /** SIGTERM. */
  terminate(): void {
    if (this.#options.kind === 'stubborn') return;
    this.process.deliver(() => this.end(() => this.kill()));
  }

  /** SIGKILL, or a crash. */
  kill(): void {
    if (!this.process.isAlive) return;
    this.process.kill();
    this.#cease();
    this.#options.onExit();
  }

  freeze(): void {
    if (this.#isFrozen || !this.process.isAlive) return;
    this.#isFrozen = true;
    this.process.freeze();
    if (this.#term !== 0) this.#options.watcher.ceases(this.#options.member);
  }

  /** It goes on with what it was at, before it looks at anything. */
  wake(): void {
    if (!this.#isFrozen || !this.process.isAlive) return;
    this.#isFrozen = false;
    if (this.#term !== 0) this.#options.watcher.acts(this.#options.member, this.#term);
    this.process.wake();
  }

  #ended(): void {
    const waiting = this.#stopping ?? [];
    this.#stopping = undefined;
    this.#cease();
    for (const then of waiting) then();
  }

  #cease(): void {
    this.#cancelDeadline();
    if (this.#term !== 0) this.#options.watcher.ceases(this.#options.member);
    this.#term = 0;
  }
}
