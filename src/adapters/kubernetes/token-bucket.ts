/**
 * At most so many requests a second, with some saved up for bursts; in order of arrival. client-go's flowcontrol does
 * the same with a reservation for each caller.
 */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #nowMs: () => number;
  #tokens: number;
  #atMs: number;

  constructor(qps: number, burst: number, nowMs: () => number) {
    if (!(qps > 0) || !(burst >= 1)) throw new RangeError(`qps ${qps} must be above 0 and burst ${burst} at least 1`);
    this.#perMs = qps / 1000;
    this.#burst = burst;
    this.#nowMs = nowMs;
    this.#tokens = burst;
    this.#atMs = nowMs();
  }

  /** Takes a token; how long to wait before using it, in ms. One that is not used is given back with `giveBack`. */
  reserve(): number {
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMs;
  }

  giveBack(): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + 1);
  }
}
