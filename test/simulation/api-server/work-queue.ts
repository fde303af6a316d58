/** What a controller has still to look at, each thing once. It works only when it is told to. */
export class WorkQueue<T> {
  readonly #waiting = new Map<string, T>();
  readonly #look: (item: T, key: string) => void;

  constructor(look: (item: T, key: string) => void) {
    this.#look = look;
  }

  add(key: string, item: T): void {
    this.#waiting.set(key, item);
  }

  drop(key: string): void {
    this.#waiting.delete(key);
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0;
  }

  /** One look at what has waited longest. @returns false when nothing waits */
  step(): boolean {
    for (const [key, item] of this.#waiting) {
      this.#waiting.delete(key);
      this.#look(item, key);
      return true;
    }
    return false;
  }

  /** All there is to do, with what follows from it. */
  run(): void {
    while (this.step());
  }
}
