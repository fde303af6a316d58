/**
 * An API server in memory for one resource, as strict as a real one where a reflector could go wrong: it pages, it keeps a
 * short history, it ends nothing that it was not asked to end, and it keeps count of the watches that were never ended.
 */
import type { KubeObject } from '../../../../src/api/objects.ts';
import {
  ApiError,
  TransportError,
  type CallOptions,
  type KubernetesApi,
  type ListPage,
  type ListQuery,
  type ResourceType,
  type WatchEvent,
  type WatchQuery,
} from '../../../../src/adapters/ports.ts';

export interface FakeWatch {
  readonly query: WatchQuery;
  readonly over: boolean;
  emit(event: WatchEvent<KubeObject>): void;
  end(): void;
  fail(error: unknown): void;
}

export interface FakeList {
  readonly query: ListQuery;
  readonly signal: AbortSignal | undefined;
}

type Outcome = unknown;

export class FakeApi implements KubernetesApi {
  readonly lists: FakeList[] = [];
  readonly watches: FakeWatch[] = [];
  /** Thrown by the next lists, in turn; undefined: no failure. */
  readonly listFailures: Outcome[] = [];
  /** The same for watches. */
  readonly watchFailures: Outcome[] = [];
  /** While set, lists wait for it after they have looked at the objects. */
  listGate: Promise<void> | undefined;
  #version = 100;
  #oldest = 0;
  #uids = 0;
  readonly #objects = new Map<string, KubeObject>();
  readonly #history: { readonly version: number; readonly event: WatchEvent<KubeObject> }[] = [];

  get version(): string {
    return String(this.#version);
  }

  get openWatches(): readonly FakeWatch[] {
    return this.watches.filter((watch) => !watch.over);
  }

  put(name: string, labels: Record<string, string> = {}): KubeObject {
    const before = this.#objects.get(name);
    this.#version += 1;
    const uid = before?.metadata.uid ?? `uid-${(this.#uids += 1)}`;
    const metadata = { name, namespace: 'ns', uid, resourceVersion: this.version, creationTimestamp: '', labels };
    const object: KubeObject = { apiVersion: 'v1', kind: 'Thing', metadata };
    this.#objects.set(name, object);
    this.#publish({ type: before === undefined ? 'ADDED' : 'MODIFIED', object });
    return object;
  }

  remove(name: string): KubeObject {
    const before = this.#objects.get(name);
    if (before === undefined) throw new Error(`there is no ${name}`);
    this.#objects.delete(name);
    this.#version += 1;
    const object = { ...before, metadata: { ...before.metadata, resourceVersion: this.version } };
    this.#publish({ type: 'DELETED', object });
    return object;
  }

  /** Sends every watch a bookmark of the present version. */
  bookmark(): void {
    for (const watch of this.openWatches) watch.emit({ type: 'BOOKMARK', resourceVersion: this.version });
  }

  /** Versions up to now can no longer be watched from. */
  compact(): void {
    this.#oldest = this.#version;
  }

  /** As after a restore from a backup: everything as it is, with lower versions. */
  goBack(version: number): void {
    this.#version = version;
    this.#history.length = 0;
    this.#oldest = 0;
    for (const [name, object] of this.#objects) {
      this.#objects.set(name, { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
    }
  }

  /** Time passes elsewhere in the cluster. */
  skip(versions: number): void {
    this.#version += versions;
  }

  async list<T extends KubeObject>(_type: ResourceType, query: ListQuery, options?: CallOptions): Promise<ListPage<T>> {
    this.lists.push({ query, signal: options?.signal });
    const failure = this.listFailures.shift();
    if (failure !== undefined) throw failure;
    const [version, start] = query.continueToken?.split('/').map(Number) ?? [this.#version, 0];
    const all = [...this.#objects.values()] as T[];
    const from = start ?? 0;
    const end = query.limit === undefined ? all.length : from + query.limit;
    const page = {
      items: all.slice(from, end),
      resourceVersion: String(version),
      ...(end < all.length ? { continueToken: `${version}/${end}` } : {}),
    };
    if (this.listGate !== undefined) await Promise.race([this.listGate, aborted(options?.signal)]);
    return page;
  }

  async watch<T extends KubeObject>(
    _type: ResourceType,
    query: WatchQuery,
    onEvent: (event: WatchEvent<T>) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<void> {
    const failure = this.watchFailures.shift();
    let over = false;
    const watch = new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        over = true;
        settle();
      };
      const fake: FakeWatch = {
        query,
        get over() {
          return over;
        },
        emit: (event) => onEvent(event as WatchEvent<T>),
        end: () => finish(resolve),
        fail: (error) => finish(() => reject(error)),
      };
      this.watches.push(fake);
      options?.signal?.addEventListener('abort', () => fake.fail(new TransportError('aborted', 'aborted')));
      if (failure !== undefined) fake.fail(failure);
      else if (Number(query.resourceVersion) < this.#oldest) fake.fail(new ApiError(410, 'Expired', 'too old'));
    });
    for (const past of this.#history) {
      if (!over && past.version > Number(query.resourceVersion)) onEvent(past.event as WatchEvent<T>);
    }
    await watch;
  }

  get = unused;
  create = unused;
  mergePatch = unused;
  delete = unused;
  getPath = unused;

  #publish(event: WatchEvent<KubeObject>): void {
    this.#history.push({ version: this.#version, event });
    for (const watch of this.openWatches) watch.emit(event);
  }
}

const unused = (): Promise<never> => Promise.reject(new Error('a reflector has no use for this'));

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => reject(new TransportError('aborted', 'aborted'));
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
  });
}
