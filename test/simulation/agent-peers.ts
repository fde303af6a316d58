/** Between the members' machines: questions for promises and their answers, lost, late, or stopped by a partition. */
import type { NoPromise, PeerPort, Question } from '../../src/agent/ports.ts';
import type { Machine, Member } from './agent-member.ts';
import type { Engine } from './engine.ts';
import type { WireFaults } from './faulty-wire.ts';
import type { SimulatedProcess } from './process.ts';
import type { Chance } from './random.ts';

interface PeerNetworkOptions {
  readonly engine: Engine;
  readonly chance: Chance;
  readonly faults: () => WireFaults;
  /** By UID: who answers at an address proves who it is. */
  readonly memberOf: (uid: string) => Member | undefined;
}

export class PeerNetwork {
  readonly #options: PeerNetworkOptions;
  /** Pairs of machines between which nothing passes. */
  readonly #cuts = new Set<string>();

  #isCalm = false;

  constructor(options: PeerNetworkOptions) {
    this.#options = options;
  }

  cut(a: Machine, b: Machine, isCut: boolean): void {
    if (isCut && !this.#isCalm) this.#cuts.add(pairOf(a, b));
    else this.#cuts.delete(pairOf(a, b));
  }

  /** For good: what was prepared of a fault does not come any more. */
  calm(): void {
    this.#isCalm = true;
    this.#cuts.clear();
  }

  /** For the agent in `process` on `machine`. What is lost is never answered; what is late is answered all the same. */
  portOf(process: SimulatedProcess, machine: Machine, onAsk: () => void): PeerPort {
    return {
      ask: (peer, question) =>
        new Promise((resolve) => {
          onAsk();
          process.send(() => {
            const answer = (said: NoPromise | undefined): void => process.deliver(() => resolve(said));
            this.#carry(machine, this.#options.memberOf(peer.uid), question, answer);
          });
        }),
    };
  }

  #carry(
    from: Machine,
    to: Member | undefined,
    question: Question,
    answer: (said: NoPromise | undefined) => void,
  ): void {
    if (to === undefined) return;
    const { machine } = to.options;
    this.#pass(from, machine, this.#options.faults().lostRequest, () =>
      to.ask(question, (said) => {
        this.#pass(machine, from, this.#options.faults().lostAnswer, () => answer(said));
      }),
    );
  }

  #pass(a: Machine, b: Machine, lost: number, then: () => void): void {
    const { engine, chance, faults } = this.#options;
    const { minLatencyMs, meanLatencyMs, slow, slowMs } = faults();
    const isLost = chance.happens(lost);
    const delayMs = chance.happens(slow) ? chance.between(0, slowMs) : minLatencyMs + chance.waitMs(meanLatencyMs);
    if (isLost || this.#isCut(a, b)) return;
    engine.after(delayMs, () => {
      if (!this.#isCut(a, b)) then();
    });
  }

  #isCut(a: Machine, b: Machine): boolean {
    return !a.isUp || !b.isUp || this.#cuts.has(pairOf(a, b));
  }
}

const pairOf = (a: Machine, b: Machine): string => [a.name, b.name].sort().join(' ');
