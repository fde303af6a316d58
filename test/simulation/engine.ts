/**
 * Virtual time: a queue of events, run one after another, each with all that follows from it without time passing.
 *
 * The shipping code is asynchronous, so after an event that may have settled a promise the microtask queue must be empty
 * before the next event. Node empties it after every `setImmediate` callback, and runs a whole batch of them without
 * going through the event loop: about 0.4 µs an event, and nothing but public interfaces.
 */

interface Event {
  readonly atMs: number;
  readonly order: number;
  /** Undefined: cancelled. */
  run: (() => void) | undefined;
}

const TURNS_AT_ONCE = 64;
/** So many events in so little time are a loop that waits for nothing. */
const SPIN = { events: 50_000, withinMs: 50 };

export class Engine {
  #nowMs = 0;
  #order = 0;
  #isTouched = false;
  #isStopped = false;
  #spinFromMs = 0;
  #spun = 0;
  /** Called when time does not pass any more. */
  onSpin: () => void = () => undefined;
  /** A binary heap. */
  readonly #events: Event[] = [];

  /** True time, which no clock in the simulated world shows. */
  get nowMs(): number {
    return this.#nowMs;
  }

  at(atMs: number, run: () => void): () => void {
    const event: Event = { atMs: Math.max(atMs, this.#nowMs), order: (this.#order += 1), run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  after(delayMs: number, run: () => void): () => void {
    return this.at(this.#nowMs + delayMs, run);
  }

  /** Something asynchronous may have been set going: the next event waits until it has come to rest. */
  touch(): void {
    this.#isTouched = true;
  }

  /** Ends `run`, for good. */
  stop(): void {
    this.#isStopped = true;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Runs everything that is due until then. Rejects with what an event throws. */
  run(untilMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let hasEnded = false;
      const turn = (): void => {
        if (hasEnded) return;
        try {
          hasEnded = !this.#turn(untilMs);
        } catch (error) {
          hasEnded = true;
          reject(error);
        }
        if (hasEnded) resolve();
      };
      const batch = (): void => {
        for (let count = 0; count < TURNS_AT_ONCE; count += 1) setImmediate(turn);
        if (!hasEnded) setImmediate(batch);
      };
      batch();
    });
  }

  /** Events until one of them may have set something asynchronous going; false when none is left. */
  #turn(untilMs: number): boolean {
    this.#isTouched = false;
    while (!this.#isTouched) {
      const [next] = this.#events;
      if (this.#isStopped) return false;
      if (next === undefined || next.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return false;
      }
      this.#pop();
      if (next.run === undefined) continue;
      this.#nowMs = next.atMs;
      this.#watchSpin();
      next.run();
    }
    return true;
  }

  #watchSpin(): void {
    this.#spun += 1;
    if (this.#nowMs - this.#spinFromMs > SPIN.withinMs) {
      this.#spinFromMs = this.#nowMs;
      this.#spun = 0;
    } else if (this.#spun > SPIN.events) this.onSpin();
  }

  #push(event: Event): void {
    const events = this.#events;
    let place = events.length;
    while (place > 0) {
      const parentPlace = (place - 1) >> 1;
      const parent = events[parentPlace];
      if (parent === undefined || !isBefore(event, parent)) break;
      events[place] = parent;
      place = parentPlace;
    }
    events[place] = event;
  }

  #pop(): void {
    const events = this.#events;
    const last = events.pop();
    if (last === undefined || events.length === 0) return;
    let place = 0;
    for (;;) {
      let childPlace = 2 * place + 1;
      let child = events[childPlace];
      const right = events[childPlace + 1];
      if (child !== undefined && right !== undefined && isBefore(right, child)) {
        child = right;
        childPlace += 1;
      }
      if (child === undefined || !isBefore(child, last)) break;
      events[place] = child;
      place = childPlace;
    }
    events[place] = last;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
