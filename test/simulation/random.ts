/** Chance that a seed repeats to the letter: sfc32, one independent stream for each purpose. */

export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #count = 1;

  /** @param purpose another one gives another stream, so that a draw more here changes nothing there */
  constructor(seed: number, purpose: string) {
    let hash = 0x811c9dc5;
    for (const character of `${seed}/${purpose}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
    this.#a = hash;
    this.#b = Math.imul(seed + 1, 0x9e3779b1);
    this.#c = Math.floor(seed / 2 ** 32) ^ 0x85ebca6b;
    for (let round = 0; round < 15; round += 1) this.next();
  }

  /** Uniform in [0, 1). */
  readonly next = (): number => {
    const sum = (((this.#a + this.#b) | 0) + this.#count) | 0;
    this.#count = (this.#count + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };

  happens(probability: number): boolean {
    return probability > 0 && this.next() < probability;
  }

  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** As often between 1 and 10 as between 10 and 100: for durations of which short and long ones matter alike. */
  logBetween(min: number, max: number): number {
    return min * (max / min) ** this.next();
  }

  /** 0 … max - 1. */
  below(max: number): number {
    return Math.floor(this.next() * max);
  }

  /** Undefined of nothing. */
  pick<T>(choices: readonly T[]): T | undefined {
    return choices[this.below(choices.length)];
  }

  /** How long until something that happens once in `meanMs`. */
  waitMs(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs;
  }
}
