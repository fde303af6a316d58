/** What happened in a run, line by line, and the hash of it: two runs of one seed have the same, or the simulation is broken. */
import type { Engine } from './engine.ts';

const LINES_KEPT = 400;

export class Trace {
  readonly #engine: Engine;
  readonly #print: ((line: string) => void) | undefined;
  readonly #last: string[] = [];
  #low = 0x811c9dc5;
  #high = 0x9e3779b9;
  #count = 0;

  /** @param print told every line, at once */
  constructor(engine: Engine, print?: (line: string) => void) {
    this.#engine = engine;
    this.#print = print;
  }

  /** @param kind in four letters or so: who or what does it */
  note(kind: string, text: string): void {
    const line = `${this.#engine.nowMs.toFixed(3).padStart(12)} ${kind.padEnd(12)} ${text}`;
    this.#count += 1;
    let [low, high] = [this.#low, this.#high];
    for (let place = 0; place < line.length; place += 1) {
      const code = line.charCodeAt(place);
      low = Math.imul(low ^ code, 0x01000193);
      high = Math.imul(high ^ code ^ (low >>> 15), 0x01000193);
    }
    this.#low = low;
    this.#high = high;
    this.#print?.(line);
    this.#last.push(line);
    if (this.#last.length > 2 * LINES_KEPT) this.#last.splice(0, LINES_KEPT);
  }

  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  get count(): number {
    return this.#count;
  }

  /** The newest lines. */
  get tail(): readonly string[] {
    return this.#last.slice(-LINES_KEPT);
  }
}
