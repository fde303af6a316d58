/**
 * Keeps a store equal to what the API server has of one resource: a list, then a watch from there, for ever. The rules are
 * those of client-go's `tools/cache/reflector.go`, plus: an own deadline for a watch that never ends, and a new list when
 * the server's versions go backwards (a cluster restored from a backup).
 *
 * It does no work in the stream: an event changes the store, whose listeners only note what to look at.
 *
 * Not guaranteed: how far the store lags behind. Whoever needs the truth asks the server.
 */
import type { KubeObject } from '../../api/objects.ts';
import { compareVersions } from '../../api/versions.ts';
import {
  ApiError,
  isExpired,
  TransportError,
  type Clock,
  type KubernetesApi,
  type ListPage,
  type ListQuery,
  type Logger,
  type Random,
  type ResourceType,
  type WatchEvent,
} from '../ports.ts';
import { Backoff } from './backoff.ts';
import { ProblemLog } from './problem-log.ts';
import type { Store } from './store.ts';

/** Why a list or a watch was begun again. */
export type RestartReason =
  /** The server ended the watch in good order. */
  | 'ended'
  /** It ended at once and brought nothing. */
  | 'ended-at-once'
  /** The connection broke, or the watch did not end when it should have. */
  | 'cut'
  /** 410: the server no longer has that version. */
  | 'expired'
  /** The server's versions went backwards. */
  | 'went-back'
  | 'throttled'
  | 'not-served'
  | 'forbidden'
  | 'unreachable'
  | 'error';

export interface ReflectorOptions<T extends KubeObject, I extends string> {
  readonly api: KubernetesApi;
  readonly type: ResourceType;
  readonly store: Store<T, I>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly query?: Pick<ListQuery, 'namespace' | 'labelSelector' | 'fieldSelector'>;
  readonly onRestart?: (reason: RestartReason) => void;
  /** Once, when the store is equal to a whole list for the first time. */
  readonly onSync?: () => void;
  /** After every page, event and bookmark: the server was heard. */
  readonly onActivity?: () => void;
}

const PAGE_SIZE = 500;
const PAGE_DEADLINE_MS = 30_000;
const MIN_WATCH_SECONDS = 300;
const MAX_WATCH_SECONDS = 600;
/** How much longer than promised a watch may last. */
const WATCH_OVERTIME_MS = 30_000;
/** A watch that lasted less has not shown that it works. */
const SHORT_WATCH_MS = 1_000;
/** One that lasted so long has: by then the adapter would have noticed that no answer came. */
const HEALTHY_WATCH_MS = 15_000;
/** A CRD may be installed at any moment. */
const MAX_NOT_SERVED_PAUSE_MS = 5_000;

/** Why a watch that has ended is aborted; without one, each abort makes an error with a stack of its own. */
const OVER = new Error('the watch is over');

interface Restart {
  readonly reason: RestartReason;
  /** Start from a new list; otherwise the watch is resumed from the last version seen. */
  readonly relist: boolean;
  readonly pauseMs: number;
}

export class Reflector<T extends KubeObject, I extends string = never> {
  readonly #options: ReflectorOptions<T, I>;
  readonly #backoff: Backoff;
  readonly #problems: { readonly list: ProblemLog; readonly watch: ProblemLog };
  #started = false;
  #stopped = false;
  #synced = false;
  /** Where the watch is resumed; undefined: a list is due. */
  #resourceVersion: string | undefined;
  /** Of the list or watch under way. */
  #operation = new AbortController();
  #endPause: (() => void) | undefined;
  #expiries = 0;
  #timesNotServed = 0;

  constructor(options: ReflectorOptions<T, I>) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
    const log = (): ProblemLog => new ProblemLog(options.logger, options.clock);
    this.#problems = { list: log(), watch: log() };
  }

  /** Whether the store has once been equal to a whole list (of a resource that is not served: to nothing). */
  get hasSynced(): boolean {
    return this.#synced;
  }

  /** The version from which a watch would be resumed. */
  get resourceVersion(): string | undefined {
    return this.#resourceVersion;
  }

  start(): void {
    if (this.#started) throw new Error(`the reflector of ${this.#options.type.plural} was started twice`);
    this.#started = true;
    void this.#run();
  }

  /** Final: ends the list, watch or pause under way; nothing reaches the store afterwards. */
  stop(): void {
    this.#stopped = true;
    this.#operation.abort();
    this.#endPause?.();
  }

  /** Ends a pause between two attempts, for when the server is known to be back. */
  retryNow(): void {
    this.#endPause?.();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const version = this.#resourceVersion;
      const restart = version === undefined ? await this.#list() : await this.#watch(version);
      if (this.#stopped) return;
      if (restart === undefined) continue;
      if (restart.relist) this.#resourceVersion = undefined;
      this.#options.onRestart?.(restart.reason);
      if (restart.pauseMs > 0) await this.#pause(restart.pauseMs);
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#endPause = undefined;
        resolve();
      };
      const cancel = this.#options.clock.after(delayMs, end);
      this.#endPause = end;
    });
  }

  // --- list -----------------------------------------------------------------------------------------------------------

  async #list(): Promise<Restart | undefined> {
    const { store, type } = this.#options;
    this.#operation = new AbortController();
    const mark = store.mark();
    try {
      const list = await this.#allPages(this.#operation.signal);
      if (this.#stopped) return undefined;
      store.replace(list.items, list.resourceVersion, mark);
      this.#resourceVersion = list.resourceVersion;
      this.#hasListed();
      this.#timesNotServed = 0;
      this.#problems.list.healed(`listing ${type.plural} works again`, { resource: type.plural });
      return undefined;
    } catch (error) {
      return this.#stopped ? undefined : this.#afterList(error);
    }
  }

  /**
   * When a page's token has expired, the whole list is asked for at once (as client-go's pager does): pages that expire
   * once, because the list is long or the server slow, would expire again.
   */
  async #allPages(signal: AbortSignal): Promise<ListPage<T>> {
    const first = await this.#page({ limit: PAGE_SIZE }, signal);
    const items = [...first.items];
    try {
      for (let token = first.continueToken; token !== undefined;) {
        const page = await this.#page({ limit: PAGE_SIZE, continueToken: token }, signal);
        items.push(...page.items);
        token = page.continueToken;
      }
    } catch (error) {
      if (!isExpired(error)) throw error;
      this.#options.onRestart?.('expired');
      return await this.#page({}, signal);
    }
    return { items, resourceVersion: first.resourceVersion };
  }

  async #page(query: ListQuery, signal: AbortSignal): Promise<ListPage<T>> {
    const { api, type } = this.#options;
    const page = await api.list<T>(
      type,
      { ...this.#options.query, ...query },
      { signal, deadlineMs: PAGE_DEADLINE_MS },
    );
    if (!this.#stopped) this.#options.onActivity?.();
    return page;
  }

  #hasListed(): void {
    if (this.#synced) return;
    this.#synced = true;
    this.#options.onSync?.();
  }

  #afterList(error: unknown): Restart {
    if (error instanceof ApiError && error.status === 404) return this.#notServed();
    const restart = this.#afterError(error, 'list');
    return { ...restart, relist: true };
  }

  /**
   * A server that is starting may say 404 for a moment before it serves custom resources, so a store that was filled is
   * emptied only when it says so twice.
   */
  #notServed(): Restart {
    const { store, type } = this.#options;
    this.#timesNotServed += 1;
    if (!this.#synced || this.#timesNotServed > 1) {
      store.replace([], '0');
      this.#hasListed();
    }
    const hint = type.group.includes('.k8s.io') || type.group === '' ? '' : ' (is its CRD installed?)';
    this.#problems.list.met('not-served', 'warn', `the API server does not serve ${nameOf(type)}${hint}; trying on`, {
      resource: type.plural,
    });
    return { reason: 'not-served', relist: true, pauseMs: this.#backoff.next(MAX_NOT_SERVED_PAUSE_MS) };
  }

  // --- watch ----------------------------------------------------------------------------------------------------------

  async #watch(fromVersion: string): Promise<Restart | undefined> {
    const { api, type, clock, random } = this.#options;
    const operation = new AbortController();
    this.#operation = operation;
    // Random, so that the watches of many clients, and of one client, do not end together.
    const timeoutSeconds = Math.round(MIN_WATCH_SECONDS + random() * (MAX_WATCH_SECONDS - MIN_WATCH_SECONDS));
    const seen = { events: 0, wentBack: false, overdue: false };
    const startMs = clock.monotonicMs();
    const cancelHealthy = clock.after(HEALTHY_WATCH_MS, () => this.#healthy());
    const cancelOverdue = clock.after(timeoutSeconds * 1000 + WATCH_OVERTIME_MS, () => {
      seen.overdue = true;
      operation.abort();
    });
    const onEvent = (event: WatchEvent<T>): void => {
      if (this.#stopped || operation.signal.aborted) return;
      seen.events += 1;
      seen.wentBack = !this.#take(event);
      if (seen.wentBack) operation.abort();
    };
    let failure: unknown;
    try {
      const query = { ...this.#options.query, resourceVersion: fromVersion, timeoutSeconds };
      await api.watch<T>(type, query, onEvent, { signal: operation.signal });
    } catch (error) {
      failure = error;
    } finally {
      cancelHealthy();
      cancelOverdue();
      // Whatever still comes of this watch is not for the store.
      operation.abort(OVER);
    }
    if (this.#stopped) return undefined;
    const lastedMs = clock.monotonicMs() - startMs;
    if (seen.wentBack) return this.#afterGoingBack();
    if (failure === undefined || seen.overdue) return this.#afterEnd(lastedMs, seen.events);
    return this.#afterFailure(failure, lastedMs);
  }

  /** False when the event is of an earlier time than the one before it. */
  #take(event: WatchEvent<T>): boolean {
    const version = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
    const order = compareVersions(version, this.#resourceVersion ?? version);
    // A server older than 1.10 sends with DELETED the version before the deletion.
    if (order !== undefined && order < 0) {
      if (event.type !== 'DELETED') return false;
    } else this.#resourceVersion = version;
    if (event.type !== 'BOOKMARK') this.#options.store.apply(event.type, event.object);
    this.#expiries = 0;
    this.#watchHealed();
    this.#options.onActivity?.();
    return true;
  }

  #healthy(): void {
    this.#backoff.reset();
    this.#expiries = 0;
    this.#watchHealed();
  }

  /** Said with every event. */
  #watchHealed(): void {
    const { watch } = this.#problems;
    const resource = this.#options.type.plural;
    if (watch.isOpen) watch.healed(`watching ${resource} works again`, { resource });
  }

  #afterEnd(lastedMs: number, events: number): Restart {
    if (lastedMs < SHORT_WATCH_MS && events === 0) {
      this.#met('watch', 'ended-at-once', 'warn', 'the API server ends the watch at once', undefined);
      return { reason: 'ended-at-once', relist: false, pauseMs: this.#backoff.next() };
    }
    if (lastedMs >= SHORT_WATCH_MS) this.#healthy();
    return { reason: 'ended', relist: false, pauseMs: 0 };
  }

  #afterFailure(error: unknown, lastedMs: number): Restart {
    if (isExpired(error)) {
      this.#expiries += 1;
      // Once is ordinary. Again and again, right after a list, is not.
      const pauseMs = this.#expiries === 1 ? 0 : this.#backoff.next();
      if (this.#expiries > 1)
        this.#met('watch', 'expired', 'warn', 'the version of a new list has already expired', error);
      return { reason: 'expired', relist: true, pauseMs };
    }
    if (workedUntilCut(error, lastedMs)) return { reason: 'cut', relist: false, pauseMs: 0 };
    return this.#afterError(error, 'watch');
  }

  #afterGoingBack(): Restart {
    this.#met(
      'watch',
      'went-back',
      'warn',
      'the versions of the API server went backwards (was it restored from a backup?): listing anew',
      undefined,
    );
    return { reason: 'went-back', relist: true, pauseMs: this.#backoff.next() };
  }

  // --- both -----------------------------------------------------------------------------------------------------------

  #afterError(error: unknown, verb: 'list' | 'watch'): Restart {
    if (error instanceof TransportError) {
      this.#met(verb, error.failure, 'warn', 'the API server cannot be reached', error);
      const reason = error.failure === 'cut' || error.failure === 'malformed' ? 'cut' : 'unreachable';
      return { reason, relist: false, pauseMs: this.#backoff.next() };
    }
    if (!(error instanceof ApiError)) {
      this.#met(verb, 'error', 'error', 'unexpected error', error);
      return { reason: 'error', relist: true, pauseMs: this.#backoff.next() };
    }
    if (error.status === 429 || error.retryAfterMs !== undefined) {
      this.#met(verb, `throttled-${error.status}`, 'warn', 'the API server asks to come again later', error);
      const askedMs = error.retryAfterMs ?? 0;
      const pauseMs = askedMs > 0 ? askedMs : this.#backoff.next();
      return { reason: 'throttled', relist: isTooLarge(error), pauseMs };
    }
    if (error.status === 403) {
      this.#met(
        verb,
        'forbidden',
        'error',
        'forbidden; the operator lacks this permission (see its ClusterRole)',
        error,
      );
      return { reason: 'forbidden', relist: true, pauseMs: this.#backoff.next() };
    }
    this.#met(verb, `${error.status}-${error.reason}`, 'warn', 'refused by the API server', error);
    // The server's own trouble is no reason to throw away what is known; a watch that it finds wrong is.
    const relist = error.status < 500 || isTooLarge(error);
    return { reason: 'error', relist, pauseMs: this.#backoff.next() };
  }

  #met(verb: 'list' | 'watch', key: string, level: 'warn' | 'error', message: string, error: unknown): void {
    const { type } = this.#options;
    const cause = error instanceof Error ? error.message : error;
    this.#problems[verb].met(key, level, `cannot ${verb} ${nameOf(type)}: ${message}`, {
      verb,
      resource: type.plural,
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

const nameOf = (type: ResourceType): string => (type.group === '' ? type.plural : `${type.plural}.${type.group}`);

/** The connection broke under a watch that worked: no reason to wait before resuming it. */
function workedUntilCut(error: unknown, lastedMs: number): boolean {
  if (!(error instanceof TransportError)) return false;
  if (error.failure === 'deadline') return lastedMs >= HEALTHY_WATCH_MS;
  return error.failure === 'cut' && lastedMs >= SHORT_WATCH_MS;
}

/** The server is behind the version asked for, perhaps for ever; it says so in this way only. */
const isTooLarge = (error: ApiError): boolean => error.message.includes('Too large resource version');
