/**
 * Notices a connection that is dead or frozen although the system still believes in it: a peer that lost power, a
 * firewall that forgot the flow, a stopped process. Go's HTTP/2 transport calls it ReadIdleTimeout and PingTimeout.
 */

export interface HeartbeatTimes {
  /** Silence, while something is awaited, after which a ping is sent. */
  readonly pingAfterMs: number;
  /** The same while nothing is awaited. */
  readonly pingWhenIdleMs: number;
  /** Silence after a ping that means death. */
  readonly pongWithinMs: number;
}

export interface HeartbeatProbe {
  /** Sends a ping; true when it could be sent. */
  ping(onPong: () => void): boolean;
  /** Grows with every byte from the peer. */
  bytesRead(): number;
  /** Whether an answer is awaited. */
  busy(): boolean;
  onDead(silentMs: number): void;
}

/**
 * Runs real timers: this is part of the network, not of any decision. They do not keep the process alive.
 *
 * Not guaranteed: a peer that answers pings and nothing else is alive here; deadlines are for that.
 */
export class Heartbeat {
  readonly #times: HeartbeatTimes;
  readonly #probe: HeartbeatProbe;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #seenBytes = -1;
  #heardAtMs = 0;
  #pingedAtMs: number | undefined;

  constructor(times: HeartbeatTimes, probe: HeartbeatProbe) {
    this.#times = times;
    this.#probe = probe;
    this.#listen();
    this.#arm();
  }

  /** Something begins to be awaited: the long interval of an idle connection no longer fits. */
  expectAnswer(): void {
    if (this.#stopped || this.#pingedAtMs !== undefined) return;
    this.#listen();
    // Not yet silent: nothing was awaited until now.
    this.#heardAtMs = performance.now();
    this.#arm();
  }

  /** An answer is overdue: asks at once. */
  suspect(): void {
    if (this.#stopped || this.#pingedAtMs !== undefined) return;
    this.#sendPing();
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Takes note of bytes that came since the last look. */
  #listen(): void {
    const bytes = this.#probe.bytesRead();
    if (bytes === this.#seenBytes) return;
    this.#seenBytes = bytes;
    this.#heardAtMs = performance.now();
    this.#pingedAtMs = undefined;
  }

  #arm(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.max(1, this.#dueInMs())).unref();
  }

  #dueInMs(): number {
    const nowMs = performance.now();
    if (this.#pingedAtMs !== undefined) return this.#pingedAtMs + this.#times.pongWithinMs - nowMs;
    const intervalMs = this.#probe.busy() ? this.#times.pingAfterMs : this.#times.pingWhenIdleMs;
    // The moment of the last byte is known only to half an interval: look twice as often.
    return Math.min(intervalMs / 2, this.#heardAtMs + intervalMs - nowMs);
  }

  #look(): void {
    // When this process itself was stopped or busy, bytes may wait unread: let the event loop read once before judging.
    setImmediate(() => {
      if (this.#stopped) return;
      this.#listen();
      this.#judge(performance.now());
      this.#arm();
    });
  }

  #judge(nowMs: number): void {
    const silentMs = nowMs - this.#heardAtMs;
    if (this.#pingedAtMs !== undefined) {
      if (nowMs - this.#pingedAtMs < this.#times.pongWithinMs) return;
      this.stop();
      this.#probe.onDead(silentMs);
      return;
    }
    const intervalMs = this.#probe.busy() ? this.#times.pingAfterMs : this.#times.pingWhenIdleMs;
    if (silentMs >= intervalMs) this.#sendPing();
  }

  #sendPing(): void {
    const sent = this.#probe.ping(() => {
      this.#listen();
      this.#arm();
    });
    if (sent) this.#pingedAtMs = performance.now();
  }
}
