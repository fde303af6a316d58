/**
 * One operating-system process of the simulated world: its clock, and whether it runs, is frozen or dead.
 *
 * Everything that reaches it goes through `deliver`. While it is frozen nothing does: no timer, no answer, no watch event;
 * they wait until it is woken. What it sends while frozen (it was stopped between deciding and sending) leaves then, too.
 * Of a dead one everything is gone but what is on its way already.
 */
import type { Clock } from '../../src/adapters/ports.ts';
import type { Engine } from './engine.ts';
import type { Chance } from './random.ts';
import type { WireRequest } from './wire.ts';

/** A timer is late by at least so much: a clock of another rate must not see it early by a rounding error. */
const TIMER_SLACK_MS = 0.001;

const EPOCH_MS = Date.UTC(2026, 0, 1);

interface Delivery {
  readonly kind: 'timer' | 'network';
  run: (() => void) | undefined;
}

export interface ClockFault {
  /** Milliseconds of this clock in a true one. */
  readonly rate: number;
  readonly wallOffsetMs: number;
}

export const wallMsAt = (engine: Engine): number => EPOCH_MS + engine.nowMs;

export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #engine: Engine;
  readonly #chance: Chance;
  #state: 'running' | 'frozen' | 'dead' = 'running';
  #inbox: Delivery[] = [];
  #outbox: (() => void)[] = [];
  /** Called in the middle of its next request: freezes it there. */
  #onCall: ((request: WireRequest) => boolean) | undefined;

  constructor(name: string, engine: Engine, chance: Chance, { rate, wallOffsetMs }: ClockFault) {
    this.name = name;
    this.#engine = engine;
    this.#chance = chance;
    const bootedAtMs = engine.nowMs - chance.between(0, 1e6);
    this.clock = {
      monotonicMs: () => (engine.nowMs - bootedAtMs) * rate,
      wallMs: () => Math.floor(wallMsAt(engine) + wallOffsetMs),
      after: (delayMs, action) => {
        const delivery: Delivery = { kind: 'timer', run: action };
        const cancel = engine.after(Math.max(0, delayMs) / rate + TIMER_SLACK_MS, () => this.#deliver(delivery));
        return () => {
          delivery.run = undefined;
          cancel();
        };
      },
    };
  }

  get isAlive(): boolean {
    return this.#state !== 'dead';
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen' || (this.#state === 'running' && this.#inbox.length > 0);
  }

  /** Runs it in the process, now or when it is woken. */
  deliver(run: () => void): void {
    if (this.#state === 'running' && this.#inbox.length === 0) {
      this.#engine.touch();
      run();
    } else this.#deliver({ kind: 'network', run });
  }

  /** Lets a request leave, now or when it is woken. */
  send(leave: () => void, request?: WireRequest): void {
    if (this.#state === 'dead') return;
    if (request !== undefined && this.#onCall?.(request) === true) this.#onCall = undefined;
    if (this.#state === 'frozen') this.#outbox.push(leave);
    else leave();
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen';
  }

  /** For freezing it in the middle of such a request, after the decision and before anything is sent. */
  onNextCall(run: () => void, isIt: (request: WireRequest) => boolean): void {
    this.#onCall = (request) => {
      if (!isIt(request)) return false;
      run();
      return true;
    };
  }

  forgetPlans(): void {
    this.#onCall = undefined;
  }

  /** What has waited comes in order; what comes first, timers or the network, is left to chance, as it is in life. */
  wake(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    for (const leave of this.#outbox.splice(0)) leave();
    const order = this.#chance.below(3);
    const first = order === 0 ? undefined : order === 1 ? 'timer' : 'network';
    const rank = ({ kind }: Delivery): number => (first === undefined || kind === first ? 0 : 1);
    this.#inbox = this.#inbox.map((delivery) => delivery).sort((a, b) => rank(a) - rank(b));
    this.#empty();
  }

  kill(): void {
    this.#state = 'dead';
    this.#inbox = [];
    this.#outbox = [];
  }

  /** One after another, each with all that follows from it. */
  #empty(): void {
    if (this.#state !== 'running') return;
    const delivery = this.#inbox.shift();
    if (delivery === undefined) return;
    this.#run(delivery);
    if (this.#inbox.length > 0) this.#engine.after(0, () => this.#empty());
  }

  #deliver(delivery: Delivery): void {
    if (this.#state === 'dead') return;
    if (this.isFrozen) this.#inbox.push(delivery);
    else this.#run(delivery);
  }

  #run({ run }: Delivery): void {
    if (run === undefined) return;
    this.#engine.touch();
    run();
  }
}
