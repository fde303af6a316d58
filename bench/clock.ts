/**
 * Wall-clock time with microseconds. The API server's audit log has them and `Date.now()` drops them; all programs of a
 * benchmark read the one clock of this machine.
 */
export class WallClock {
  #offsetMs = 0;

  constructor() {
    this.calibrate();
  }

  /** Sets `performance.now()` to the system's clock, which may have been slewed meanwhile. Spins for up to 1 ms. */
  calibrate(): void {
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    this.#offsetMs = now - performance.now();
  }

  /** Milliseconds since 1970, good to some microseconds after `calibrate`. */
  now(): number {
    return performance.now() + this.#offsetMs;
  }
}
