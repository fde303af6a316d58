/**
 * A Kubernetes API server as a state machine: every request is one synchronous step, and nothing happens by itself. It
 * has no clock and no chance of its own; what time it is, and new UIDs, are asked of the options. The conformance suite
 * (test/conformance) holds it to what a real API server does.
 *
 * What it gives out is frozen and shared: nobody may change it, and nobody can.
 *
 * Not modelled: authorization, quotas, admission, server-side apply and managedFields, patches other than merge patches,
 * namespaces as objects (each is simply there), and validation of built-in kinds beyond what the operator can get wrong.
 */
import type {
  DeleteOptions,
  ListPage,
  ListQuery,
  ObjectRef,
  ResourceType,
  WatchEvent,
  WatchQuery,
} from '../../../src/adapters/ports.ts';
import type { KubeObject } from '../../../src/api/objects.ts';
import { budgetSpentBy, budgetType, spent } from './budgets.ts';
import type { Watcher } from './audience.ts';
import { Collection, keyOf } from './collection.ts';
import type { Key } from './collection.ts';
import { continueToken, parseContinueToken } from './continue-token.ts';
import { discoveryDocument } from './discovery.ts';
import { alreadyExists, badRequest, conflict, notFound, notServed } from './errors.ts';
import { merged } from './json.ts';
import type { Kind, Stored } from './kind.ts';
import { servedKinds } from './kinds.ts';
import { withVersion } from './metadata.ts';
import {
  checkDeletePreconditions,
  isDeletable,
  markedForDeletion,
  newObject,
  patchedObject,
  timestamp,
} from './registry.ts';
import type { Births } from './registry.ts';

export interface SimulatedApiServerOptions {
  /** Milliseconds since 1970: for timestamps, and for when watches end. */
  readonly wallMs: () => number;
  /** Default: counted, so that a UID tells which of two objects is older. */
  readonly uid?: () => string;
  /** What is added to `generateName`: 5 characters. Default: counted. */
  readonly suffix?: () => string;
  /** Default `v1`. PodDisruptionBudgets, which came to `v1` with them, are served in the same version. */
  readonly endpointSlices?: 'v1' | 'v1beta1';
  /** Events are accepted and not kept, so that a long run does not fill the memory with them. Default false. */
  readonly dropsEvents?: boolean;
}

export type WriteVerb = 'create' | 'patch' | 'delete';

/**
 * Told after each new state of an object, before anybody else can act on it: `before` is absent when it was created,
 * `after` when it is gone. A deletion with a grace period or finalizers is two of them. What it throws is thrown to
 * whoever wrote.
 */
export type WriteListener = (
  user: string,
  verb: WriteVerb,
  before: Stored | undefined,
  after: Stored | undefined,
  type: ResourceType,
) => void;

/** Who writes what to which object. */
interface Write {
  readonly user: string;
  readonly verb: WriteVerb;
  readonly collection: Collection;
  readonly key: Key;
}

/** A bookmark comes so long before the server ends a watch, so that it is resumed from there. */
const BOOKMARK_BEFORE_END_MS = 2_000;

export class SimulatedApiServer {
  /** In the version that this server has. */
  readonly endpointSlices: ResourceType;
  /** In the version that this server has. */
  readonly disruptionBudgets: ResourceType;
  readonly #options: SimulatedApiServerOptions;
  /** By `group/version/plural`. */
  readonly #collections = new Map<string, Collection>();
  /** The same by the objects that name them, which is quicker. */
  #byType = new WeakMap<ResourceType, Collection>();
  readonly #listeners = new Set<WriteListener>();
  readonly #births: Births;
  /** What the watches are still to be told, in order. */
  readonly #outbox: (() => void)[] = [];
  #isTelling = false;
  #version = 1;
  /** No watch is to be ended or warned of its end before. */
  #nextEndWallMs = Infinity;

  constructor(options: SimulatedApiServerOptions) {
    this.#options = options;
    this.endpointSlices = endpointSliceType(options.endpointSlices ?? 'v1');
    this.disruptionBudgets = budgetType(options.endpointSlices ?? 'v1');
    this.#births = birthsOf(options);
    for (const kind of servedKinds(this.endpointSlices, this.disruptionBudgets)) this.serve(kind);
  }

  // --- reads ----------------------------------------------------------------------------------------------------------

  /** @throws ApiError 404 */
  get(type: ResourceType, ref: ObjectRef): Stored {
    return this.#existing(this.#served(type), ref);
  }

  /** @throws ApiError 404 for a resource that is not served, 400 for a bad query, 410 for an old token */
  list(type: ResourceType, query: ListQuery): ListPage<Stored> {
    const collection = this.#served(type);
    const from = query.continueToken === undefined ? undefined : parseContinueToken(query.continueToken);
    const version = from?.version ?? this.#version;
    const limit = query.limit === undefined || query.limit === 0 ? Infinity : query.limit;
    const selects = collection.selection(query);
    const { items, lastKey } = collection.page({ selects, version, afterKey: from?.afterKey, limit });
    return {
      items,
      resourceVersion: String(version),
      ...(lastKey !== undefined && { continueToken: continueToken({ version, afterKey: lastKey }) }),
    };
  }

  /** Discovery: `/api/v1`, `/apis/<group>`, `/apis/<group>/<version>`, `/version`. @throws ApiError 404 */
  getPath(path: string): object {
    return discoveryDocument(
      path,
      [...this.#collections.values()].map(({ kind }) => kind.type),
    );
  }

  // --- watches --------------------------------------------------------------------------------------------------------

  /**
   * Tells what happened since `query.resourceVersion`, at once, and then what happens; each event once, in order. Ends
   * with `end`: without an error when its time is up. The returned function closes it without a word.
   */
  watch(
    user: string,
    type: ResourceType,
    query: WatchQuery,
    push: (event: WatchEvent<KubeObject>) => void,
    end: (error?: unknown) => void,
  ): () => void {
    let close = (): void => undefined;
    const watcher: Watcher = {
      user,
      push,
      end: (error) => {
        close();
        end(error);
      },
      endsAtWallMs: this.#options.wallMs() + query.timeoutSeconds * 1000,
      seenUpTo: 0,
      isWarnedOfEnd: false,
    };
    this.#nextEndWallMs = Math.min(this.#nextEndWallMs, watcher.endsAtWallMs - BOOKMARK_BEFORE_END_MS);
    try {
      const collection = this.#served(type);
      const from = versionNumber(query.resourceVersion);
      if (from === 0) for (const event of collection.introductions(query)) push(event);
      close = collection.watch(query, from === 0 ? this.#version : from, watcher);
    } catch (error) {
      end(error);
    }
    return () => close();
  }

  /** Ends the watches whose time is up, and sends those that end within 2 s a bookmark. */
  endDueWatches(): void {
    const nowMs = this.#options.wallMs();
    if (nowMs < this.#nextEndWallMs) return;
    const watchers = this.#watchers();
    this.#nextEndWallMs = Infinity;
    for (const watcher of watchers) {
      if (!watcher.isWarnedOfEnd && watcher.endsAtWallMs - BOOKMARK_BEFORE_END_MS <= nowMs) {
        watcher.isWarnedOfEnd = true;
        this.#tell(() => this.#bookmark(watcher));
      }
      if (watcher.endsAtWallMs <= nowMs) this.#tell(() => watcher.end());
      else {
        const dueMs = watcher.endsAtWallMs - (watcher.isWarnedOfEnd ? 0 : BOOKMARK_BEFORE_END_MS);
        this.#nextEndWallMs = Math.min(this.#nextEndWallMs, dueMs);
      }
    }
  }

  /** To all watches, as a real server does about once a minute. */
  sendBookmarks(): void {
    this.#tell(() => {
      for (const watcher of this.#watchers()) this.#bookmark(watcher);
    });
  }

  /** As when the server is restarted. Default: all watches, and in good order. */
  endWatches(of: (user: string) => boolean = () => true, error?: unknown): void {
    for (const watcher of this.#watchers()) if (of(watcher.user)) watcher.end(error);
  }

  /** Who is watching; once for each watch. */
  get watchingUsers(): string[] {
    return this.#watchers().map(({ user }) => user);
  }

  /** Forgets the history up to `version` (default: all of it): watches and pages from before then fail with 410. */
  compact(version: number = this.#version): void {
    for (const collection of this.#collections.values()) collection.compact(version);
  }

  // --- writes ---------------------------------------------------------------------------------------------------------

  /** @throws ApiError 409 AlreadyExists, 422 Invalid, 400, 404 */
  create(
    user: string,
    type: ResourceType,
    namespace: string,
    body: object,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Stored {
    const collection = this.#served(type);
    const object = newObject(collection.kind, type.namespaced ? namespace : undefined, body, this.#births);
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    if (collection.get(key) !== undefined) throw alreadyExists(type, object.metadata.name);
    const isKept = !dryRun && !(this.#options.dropsEvents === true && type.plural === 'events');
    return isKept ? this.#put({ user, verb: 'create', collection, key }, object) : object;
  }

  /** A JSON merge patch. @throws ApiError 409 Conflict, 422 Invalid, 404 */
  patch(user: string, type: ResourceType, ref: ObjectRef, patch: object, subresource?: 'status'): Stored {
    const collection = this.#served(type);
    const { kind } = collection;
    if (subresource === 'status' && kind.hasStatus !== true) throw notServed();
    const before = this.#existing(collection, ref);
    const next = patchedObject(kind, before, patch, subresource, this.#births.allocator);
    if (next === before) return before;
    const write: Write = { user, verb: 'patch', collection, key: keyOf(ref.namespace, ref.name) };
    if (!isDeletable(next)) return this.#put(write, next);
    this.#remove(write);
    return next;
  }

  /** @throws ApiError 409 Conflict, 404 */
  delete(user: string, type: ResourceType, ref: ObjectRef, options: DeleteOptions = {}): void {
    const collection = this.#served(type);
    const before = this.#existing(collection, ref);
    checkDeletePreconditions(type, before, options);
    const write: Write = { user, verb: 'delete', collection, key: keyOf(ref.namespace, ref.name) };
    const marked = markedForDeletion(collection.kind, before, options.gracePeriodSeconds, this.#options.wallMs());
    if (marked !== undefined && marked !== before) this.#put(write, marked);
    if (marked === undefined || isDeletable(marked)) this.#remove(write);
  }

  /** `pods/eviction`. @throws ApiError 429 or 500 when a PodDisruptionBudget is in the way, 404 */
  evict(user: string, type: ResourceType, ref: ObjectRef): void {
    const pod = this.#existing(this.#served(type), ref);
    const budget = budgetSpentBy(pod, this.objects(this.disruptionBudgets));
    if (budget !== undefined) {
      const patch = spent(budget, pod, timestamp(this.#options.wallMs()));
      this.patch(user, this.disruptionBudgets, budget.metadata, patch, 'status');
    }
    this.delete(user, type, ref, { uid: pod.metadata.uid });
  }

  /** The scheduler's part: puts a pod on a node. @throws ApiError 409 when it is on one, 404 */
  bindPod(user: string, type: ResourceType, ref: ObjectRef, node: string): void {
    const collection = this.#served(type);
    const before = this.#existing(collection, ref);
    const taken = before.spec?.['nodeName'];
    if (typeof taken === 'string' && taken !== '') {
      throw conflict(type, ref.name, `pod ${ref.name} is already assigned to node "${taken}"`);
    }
    const bound = merged(before, { spec: { nodeName: node } }) as Stored;
    this.#put({ user, verb: 'patch', collection, key: keyOf(ref.namespace, ref.name) }, bound);
  }

  // --- for simulators and checkers ------------------------------------------------------------------------------------

  /** Serves one more kind, as when a CRD is installed. It has no objects at first. */
  serve(kind: Kind): void {
    this.#collections.set(typeKey(kind.type), new Collection(kind, this.#version));
    this.#byType = new WeakMap();
  }

  /** As when a CRD is removed: its watches end, and its objects are gone without a word. @returns what `serve` brings back */
  unserve(type: ResourceType): Kind {
    const { kind, audiences } = this.#served(type);
    this.#collections.delete(typeKey(type));
    this.#byType = new WeakMap();
    for (const watcher of audiences.all()) watcher.end();
    return kind;
  }

  /** The version of the latest write. */
  get version(): number {
    return this.#version;
  }

  /** All objects of a kind, in no order. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.list: the caller knows the kind
  objects<T extends KubeObject>(type: ResourceType): readonly T[] {
    return [...this.#served(type).values()] as KubeObject[] as T[];
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.get: the caller knows the kind
  find<T extends KubeObject>(type: ResourceType, ref: ObjectRef): T | undefined {
    return this.#served(type).get(keyOf(ref.namespace, ref.name)) as KubeObject | undefined as T | undefined;
  }

  /** The returned function ends it. */
  onWrite(listener: WriteListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // --- inside ---------------------------------------------------------------------------------------------------------

  #served(type: ResourceType): Collection {
    const known = this.#byType.get(type);
    if (known !== undefined) return known;
    const collection = this.#collections.get(typeKey(type));
    if (collection === undefined) throw notServed();
    this.#byType.set(type, collection);
    return collection;
  }

  #existing(collection: Collection, ref: ObjectRef): Stored {
    const { type } = collection.kind;
    // Else the name would be taken for one of another scope.
    if (type.namespaced && ref.namespace === undefined)
      throw new TypeError(`a ${type.kind} is addressed with its namespace`);
    const object = collection.get(keyOf(type.namespaced ? ref.namespace : undefined, ref.name));
    if (object === undefined) throw notFound(type, ref.name);
    return object;
  }

  #put(write: Write, object: Stored): Stored {
    this.#version += 1;
    const stored = withVersion(object, this.#version);
    this.#record(write, stored);
    return stored;
  }

  #remove(write: Write): void {
    this.#version += 1;
    this.#record(write, undefined);
  }

  #record({ user, verb, collection, key }: Write, after: Stored | undefined): void {
    const change = collection.record(key, after, this.#version);
    this.#tell(() => collection.audiences.tell(change));
    for (const listener of this.#listeners) listener(user, verb, change.before, after, collection.kind.type);
  }

  /** Whoever is told may write at once: the others hear of that after what they have not heard yet. */
  #tell(telling: () => void): void {
    if (this.#isTelling) {
      this.#outbox.push(telling);
      return;
    }
    this.#isTelling = true;
    try {
      telling();
      for (let next = this.#outbox.shift(); next !== undefined; next = this.#outbox.shift()) next();
    } finally {
      this.#isTelling = false;
    }
  }

  #watchers(): Watcher[] {
    return [...this.#collections.values()].flatMap(({ audiences }) => audiences.all());
  }

  #bookmark(watcher: Watcher): void {
    watcher.push(Object.freeze({ type: 'BOOKMARK', resourceVersion: String(this.#version) }));
  }
}

/** Counted where the options say nothing else, so that two runs are alike. */
function birthsOf(options: SimulatedApiServerOptions): Births {
  let [uids, suffixes, addresses, nodePorts] = [0, 0, 0, 0];
  return {
    wallMs: options.wallMs,
    uid: options.uid ?? (() => `00000000-0000-4000-8000-${(++uids).toString(16).padStart(12, '0')}`),
    suffix: options.suffix ?? (() => (++suffixes).toString(36).padStart(5, 'x')),
    allocator: {
      clusterIP: () => `10.0.${(++addresses >>> 8) & 0xff}.${addresses & 0xff}`,
      nodePort: () => 30_000 + nodePorts++,
    },
  };
}

const typeKey = ({ group, version, plural }: ResourceType): string => `${group}/${version}/${plural}`;

const endpointSliceType = (version: string): ResourceType => ({
  group: 'discovery.k8s.io',
  version,
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
});

/** @throws ApiError 400 */
function versionNumber(text: string): number {
  if (!/^\d+$/.test(text))
    throw badRequest(`Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
  return Number(text);
}
