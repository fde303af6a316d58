/**
 * The network between one process and the API server, and what can go wrong on it. Two requests may overtake each other,
 * the events of one stream never do; nothing is made up: a stream loses events only by ending.
 */
import { TransportError } from '../../src/adapters/ports.ts';
import type { ApiError, CallOptions, TransportFailure } from '../../src/adapters/ports.ts';
import { apiError, withoutStack } from './api-server/errors.ts';
import type { Engine } from './engine.ts';
import { LEADER_LEASE } from './manifest.ts';
import type { SimulatedProcess } from './process.ts';
import type { Chance } from './random.ts';
import type { Trace } from './trace.ts';
import type { Wire, WireRequest } from './wire.ts';

/** How often what goes wrong, as probabilities of each request, event or stream. */
export interface WireFaults {
  /** One way, at least and on average. */
  readonly minLatencyMs: number;
  readonly meanLatencyMs: number;
  /** A message takes up to `slowMs` instead. */
  readonly slow: number;
  readonly slowMs: number;
  readonly lostRequest: number;
  readonly lostAnswer: number;
  /** 429 with Retry-After, or 503. */
  readonly throttled: number;
  readonly serverError: number;
  /** Of streams: refused with 410. */
  readonly expired: number;
  /** How long a stream lives on average until it breaks, ends in good order, falls silent or lags. */
  readonly streamTroubleMs: number;
}

export const NO_FAULTS: WireFaults = {
  minLatencyMs: 0.3,
  meanLatencyMs: 0.5,
  slow: 0,
  slowMs: 0,
  lostRequest: 0,
  lostAnswer: 0,
  throttled: 0,
  serverError: 0,
  expired: 0,
  streamTroubleMs: Infinity,
};

/** From a quiet network to a bad one. */
export function wireFaults(chance: Chance): WireFaults {
  const rate = (max: number): number => (chance.happens(0.4) ? 0 : chance.logBetween(max / 50, max));
  return {
    minLatencyMs: 0.3,
    meanLatencyMs: chance.logBetween(0.3, 30),
    slow: rate(0.1),
    slowMs: chance.logBetween(200, 14_000),
    lostRequest: rate(0.05),
    lostAnswer: rate(0.08),
    throttled: rate(0.05),
    serverError: rate(0.05),
    expired: rate(0.3),
    streamTroubleMs: chance.happens(0.2) ? Infinity : chance.logBetween(2_000, 60_000),
  };
}

const DEFAULT_DEADLINE_MS = 10_000;
/** By pings an HTTP/2 client finds a dead connection so fast, or so late. */
const PING_MS = { min: 1_000, max: 8_000 };
/** Over HTTP/1.1 there are none, and silence is all there is to go by. */
const SILENCE_MS = 150_000;

/** Between a message and the process: what the whole world's network does. */
export interface Network {
  readonly engine: Engine;
  readonly trace: Trace;
  /** May change at any time: a run ends without faults. */
  faults: WireFaults;
  /** Nothing reaches the API server. */
  isServerDown: boolean;
  /** Names of processes that reach nobody and are reached by nobody. */
  readonly cutOff: Set<string>;
}

/** How it stood with the sender when a request left. */
export interface Sent {
  /** When it was decided to send it: before it left, if its sender was frozen in between. */
  readonly begunAtMs: number;
  /** How often it had begun to lead. */
  readonly epoch: number;
}

/** Told of each request: when it leaves and when it arrives. */
export interface WireWatcher {
  onSent(request: WireRequest): Omit<Sent, 'begunAtMs'>;
  /** Right before it is served, even if whoever sent it is dead by now. */
  onArrival(request: WireRequest, sent: Sent): void;
}

interface Open {
  readonly watched: string;
  /** The server sends to it, and all that it sent has arrived. */
  readonly isUpToDate: boolean;
  fail(failure: TransportFailure, why: string): void;
  fallSilent(): void;
  recover(): void;
}

export class FaultyWire implements Wire {
  readonly #parts: Parts;
  readonly #streams = new Set<Open>();
  /** What was ever watched. */
  readonly #watched = new Set<string>();

  constructor(process: SimulatedProcess, network: Network, chance: Chance, watcher: WireWatcher) {
    this.#parts = { process, network, chance, watcher };
  }

  /** The API server went away, or this process was cut off: streams break, or nobody notices for long. */
  disturb(): void {
    for (const stream of this.#streams) {
      if (this.#parts.chance.happens(0.5)) stream.fail('cut', 'the connection was closed');
      else stream.fallSilent();
    }
  }

  /** Nothing comes of these any more, until that is noticed. */
  silence(resources: readonly string[]): void {
    for (const stream of this.#streams)
      if (resources.some((one) => stream.watched.split(' ')[0] === one)) stream.fallSilent();
  }

  /** Everything is well again: nothing lags any more, and what is silent is found out. */
  recover(): void {
    for (const stream of this.#streams) stream.recover();
  }

  /** What is watched and not up to date: no stream brings its changes, or some of them are on their way. */
  get lagging(): string[] {
    const upToDate = new Set([...this.#streams].filter(({ isUpToDate }) => isUpToDate).map(({ watched }) => watched));
    return [...this.#watched].filter((watched) => !upToDate.has(watched));
  }

  call<T>(request: WireRequest, serve: () => T, options: CallOptions = {}): Promise<T> {
    const call = new Call(this.#parts, request, serve, options);
    return call.promise;
  }

  stream<T>(
    request: WireRequest,
    open: (push: (event: T) => void, end: (error?: unknown) => void) => () => void,
    onEvent: (event: T) => void,
    options: { signal?: AbortSignal } = {},
  ): Promise<void> {
    const stream = new Stream(this.#parts, request, { open, onEvent }, options.signal);
    this.#streams.add(stream);
    this.#watched.add(stream.watched);
    return stream.promise.finally(() => this.#streams.delete(stream));
  }
}

interface Parts {
  readonly process: SimulatedProcess;
  readonly network: Network;
  readonly chance: Chance;
  readonly watcher: WireWatcher;
}

const isUnreachable = ({ network, process }: Parts): boolean =>
  network.isServerDown || network.cutOff.has(process.name);

function latencyMs({ network: { faults }, chance }: Parts): number {
  if (chance.happens(faults.slow)) return chance.logBetween(faults.meanLatencyMs * 5, faults.slowMs);
  return faults.minLatencyMs + chance.waitMs(faults.meanLatencyMs);
}

/** The server's own refusals, made before it looks at the request. */
function refusal({ network: { faults }, chance }: Parts): ApiError | undefined {
  if (chance.happens(faults.throttled)) {
    const retryAfterMs = 1_000 * (1 + chance.below(3));
    return chance.happens(0.7)
      ? apiError(429, 'TooManyRequests', 'too many requests, please try again later', retryAfterMs)
      : apiError(503, 'ServiceUnavailable', 'the server is starting', retryAfterMs);
  }
  if (!chance.happens(faults.serverError)) return undefined;
  return chance.happens(0.5)
    ? apiError(500, 'InternalError', 'etcdserver: request timed out')
    : apiError(504, 'Timeout', 'Timeout: request did not complete within the allotted time');
}

/** But for the election's. */
export const isWrite = ({ verb, namespace }: WireRequest): boolean =>
  (verb === 'create' || verb === 'patch' || verb === 'delete') && namespace !== LEADER_LEASE.namespace;

const transportError = (failure: TransportFailure, message: string): TransportError =>
  withoutStack(() => new TransportError(failure, message));

const nameOf = ({ verb, resource, subresource, name }: WireRequest): string =>
  `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}${name === undefined ? '' : ` ${name}`}`;

/** One request and its answer. */
class Call<T> {
  readonly promise: Promise<T>;
  readonly #parts: Parts;
  readonly #request: WireRequest;
  readonly #serve: () => T;
  readonly #signal: AbortSignal | undefined;
  readonly #deadlineMs: number;
  #resolve: (value: T) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #isSettled = false;
  /** The stream was reset before the server read it. */
  #isWithdrawn = false;
  /** The deadline counts from here, also when it leaves later: the process may be frozen in between. */
  readonly #begunAtMs: number;
  #sent: Sent = { begunAtMs: 0, epoch: 0 };
  #cancelDeadline: (() => void) | undefined;

  constructor(parts: Parts, request: WireRequest, serve: () => T, { signal, deadlineMs }: CallOptions) {
    this.#parts = parts;
    this.#request = request;
    this.#serve = serve;
    this.#signal = signal;
    this.#deadlineMs = deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#begunAtMs = parts.network.engine.nowMs;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal?.aborted === true) this.#end('aborted', 'aborted before it was sent');
    else {
      signal?.addEventListener('abort', this.#onAbort);
      parts.process.send(() => this.#leave(), request);
    }
  }

  readonly #onAbort = (): void => {
    this.#isWithdrawn = this.#parts.chance.happens(0.5);
    this.#end('aborted', 'aborted');
  };

  #leave(): void {
    const { network, chance, watcher, process } = this.#parts;
    const { engine, trace, faults } = network;
    this.#sent = { ...watcher.onSent(this.#request), begunAtMs: this.#begunAtMs };
    if (isUnreachable(this.#parts)) return this.#getLost('not reached');
    if (chance.happens(faults.lostRequest)) {
      trace.note('fault', `${process.name}: ${nameOf(this.#request)} is lost on its way`);
      return this.#getLost('lost');
    }
    const delayMs = latencyMs(this.#parts);
    if (engine.nowMs + delayMs - this.#begunAtMs > this.#deadlineMs / 2) this.#expectDeadline();
    engine.after(delayMs, () => this.#arrive());
  }

  #arrive(): void {
    const { network, chance, watcher, process } = this.#parts;
    const { engine, trace, faults } = network;
    if (this.#isWithdrawn) return;
    if (isUnreachable(this.#parts)) return this.#getLost('not reached');
    const refused = refusal(this.#parts);
    let settle: () => void;
    if (refused !== undefined) {
      trace.note('fault', `${process.name}: ${nameOf(this.#request)} is answered ${refused.status}`);
      settle = () => this.#reject(refused);
    } else {
      watcher.onArrival(this.#request, this.#sent);
      try {
        const value = this.#serve();
        settle = () => this.#resolve(value);
      } catch (error) {
        settle = () => this.#reject(error);
      }
    }
    if (chance.happens(faults.lostAnswer)) {
      trace.note('fault', `${process.name}: the answer to ${nameOf(this.#request)} is lost`);
      return this.#getLost('the answer was lost');
    }
    const delayMs = latencyMs(this.#parts);
    if (engine.nowMs + delayMs - this.#begunAtMs > this.#deadlineMs / 2) this.#expectDeadline();
    engine.after(delayMs, () => {
      if (isUnreachable(this.#parts)) this.#getLost('the answer was lost');
      else process.deliver(() => this.#settle(settle));
    });
  }

  /** The client notices by a reset, or not before its deadline. */
  #getLost(why: string): void {
    const { network, chance, process } = this.#parts;
    this.#expectDeadline();
    if (chance.happens(0.5)) return;
    const noticedMs = latencyMs(this.#parts) + (chance.happens(0.5) ? chance.between(PING_MS.min, PING_MS.max) : 0);
    network.engine.after(noticedMs, () => process.deliver(() => this.#end('cut', why)));
  }

  #expectDeadline(): void {
    if (this.#isSettled || this.#cancelDeadline !== undefined) return;
    const { process, network } = this.#parts;
    const passedMs = network.engine.nowMs - this.#begunAtMs;
    this.#cancelDeadline = process.clock.after(Math.max(0, this.#deadlineMs - passedMs), () =>
      this.#end('deadline', `took longer than ${this.#deadlineMs} ms`),
    );
  }

  #end(failure: TransportFailure, why: string): void {
    this.#settle(() => this.#reject(transportError(failure, `${nameOf(this.#request)}: ${why}`)));
  }

  #settle(settle: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#cancelDeadline?.();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    settle();
  }
}

interface Ends<T> {
  readonly open: (push: (event: T) => void, end: (error?: unknown) => void) => () => void;
  readonly onEvent: (event: T) => void;
}

/** One watch. What is on its way arrives in order; when it ends, whatever has not arrived never does. */
class Stream<T> implements Open {
  readonly promise: Promise<void>;
  readonly #parts: Parts;
  readonly #request: WireRequest;
  readonly #ends: Ends<T>;
  readonly #signal: AbortSignal | undefined;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #isSettled = false;
  #isSilent = false;
  #close: (() => void) | undefined;
  /** When the last message on its way arrives. */
  #lastAtMs = 0;
  #extraLagMs = 0;
  readonly #onWay: (() => void)[] = [];
  #cancelTrouble: (() => void) | undefined;

  constructor(parts: Parts, request: WireRequest, ends: Ends<T>, signal: AbortSignal | undefined) {
    this.#parts = parts;
    this.#request = request;
    this.#ends = ends;
    this.#signal = signal;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal?.aborted === true) this.#onAbort();
    else {
      signal?.addEventListener('abort', this.#onAbort);
      parts.process.send(() => this.#leave());
    }
  }

  /** A process may watch pods everywhere by one label, and in one namespace by another. */
  get watched(): string {
    return [this.#request.resource, this.#request.namespace ?? ''].join(' ').trim();
  }

  get isUpToDate(): boolean {
    return this.#close !== undefined && this.#onWay.length === 0;
  }

  fail(failure: TransportFailure, why: string): void {
    this.#stopServing();
    const { network, process } = this.#parts;
    network.engine.after(latencyMs(this.#parts), () => process.deliver(() => this.#end(failure, why)));
  }

  /** Nothing comes any more, and the client finds out by ping, or much later. */
  fallSilent(): void {
    if (this.#isSilent || this.#isSettled) return;
    this.#stopServing();
    const { process, chance } = this.#parts;
    const noticedMs = chance.happens(0.9) ? chance.between(PING_MS.min, PING_MS.max) : SILENCE_MS;
    process.clock.after(noticedMs, () => this.#end('cut', `nothing came for ${Math.round(noticedMs)} ms`));
  }

  recover(): void {
    this.#extraLagMs = 0;
    if (this.#isSilent) this.fail('cut', 'the connection is another one');
  }

  #stopServing(): void {
    this.#isSilent = true;
    this.#onWay.length = 0;
    this.#close?.();
    this.#close = undefined;
    this.#cancelTrouble?.();
  }

  readonly #onAbort = (): void => {
    this.#stopServing();
    this.#end('aborted', 'aborted');
  };

  #leave(): void {
    if (isUnreachable(this.#parts)) return this.#notReached();
    const { network, chance } = this.#parts;
    if (chance.happens(network.faults.lostRequest)) return this.#notReached();
    network.engine.after(latencyMs(this.#parts), () => this.#arrive());
    return undefined;
  }

  #notReached(): void {
    const { chance, process, network } = this.#parts;
    this.#isSilent = true;
    if (chance.happens(0.5)) {
      network.engine.after(latencyMs(this.#parts), () => process.deliver(() => this.#end('connect', 'not reached')));
    } else process.clock.after(DEFAULT_DEADLINE_MS, () => this.#end('deadline', 'no answer'));
  }

  #arrive(): void {
    if (this.#isSettled || this.#isSilent) return;
    if (isUnreachable(this.#parts)) return this.#notReached();
    const { network, chance, process } = this.#parts;
    const refused = refusal(this.#parts) ?? this.#expiry();
    if (refused !== undefined) {
      network.trace.note('fault', `${process.name}: ${nameOf(this.#request)} is answered ${refused.status}`);
      return this.#answer(() => this.#settle(() => this.#reject(refused)));
    }
    try {
      this.#close = this.#ends.open(
        (event) => this.#answer(() => this.#ends.onEvent(event)),
        (error) =>
          this.#answer(() => this.#settle(() => (error === undefined ? this.#resolve() : this.#reject(error)))),
      );
    } catch (error) {
      return this.#answer(() => this.#settle(() => this.#reject(error)));
    }
    if (Number.isFinite(network.faults.streamTroubleMs)) this.#expectTrouble(chance);
    return undefined;
  }

  #expiry(): ApiError | undefined {
    const { network, chance } = this.#parts;
    return chance.happens(network.faults.expired) ? apiError(410, 'Expired', 'too old resource version') : undefined;
  }

  #expectTrouble(chance: Chance): void {
    const { network } = this.#parts;
    this.#cancelTrouble = network.engine.after(chance.waitMs(network.faults.streamTroubleMs), () => {
      if (this.#isSettled || this.#isSilent || !Number.isFinite(network.faults.streamTroubleMs)) return;
      this.#haveTrouble(chance);
    });
  }

  #haveTrouble(chance: Chance): void {
    const { network, process } = this.#parts;
    const kind = chance.pick(['breaks', 'ends', 'falls silent', 'lags', 'lags'] as const) ?? 'lags';
    network.trace.note('fault', `${process.name}: the watch of ${this.#request.resource} ${kind}`);
    switch (kind) {
      case 'breaks':
        return this.fail('cut', 'the connection broke');
      case 'ends':
        this.#close?.();
        this.#close = undefined;
        return this.#answer(() => this.#settle(() => this.#resolve()));
      case 'falls silent':
        return this.fallSilent();
      case 'lags': {
        this.#extraLagMs = chance.logBetween(10, 5_000);
        network.engine.after(chance.logBetween(100, 20_000), () => {
          this.#extraLagMs = 0;
        });
        return this.#expectTrouble(chance);
      }
      default:
        return kind satisfies never;
    }
  }

  /** In order, and never two at once: what was sent together arrives together. */
  #answer(deliver: () => void): void {
    if (this.#isSilent || this.#isSettled) return;
    const { engine } = this.#parts.network;
    const atMs = Math.max(this.#lastAtMs, engine.nowMs + latencyMs(this.#parts) + this.#extraLagMs);
    this.#lastAtMs = atMs;
    this.#onWay.push(deliver);
    engine.at(atMs, this.#reach);
  }

  /** The same two functions for all that travels: there are as many as there are events. */
  readonly #reach = (): void => this.#parts.process.deliver(this.#next);

  readonly #next = (): void => {
    if (isUnreachable(this.#parts)) this.fallSilent();
    else if (!this.#isSettled) this.#onWay.shift()?.();
  };

  #end(failure: TransportFailure, why: string): void {
    this.#settle(() => this.#reject(transportError(failure, `${nameOf(this.#request)}: ${why}`)));
  }

  #settle(settle: () => void): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#stopServing();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    settle();
  }
}
