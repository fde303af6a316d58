/**
 * What is known of one resource: fed by a reflector's lists and watch events and by the answers to our own writes, read by
 * everybody else without a request.
 *
 * Three sources tell of the same object in no common order. The rules that keep an older state from undoing a newer one:
 *
 *  - an event changes the store only if it is not older (by resourceVersion) than what is there;
 *  - an object that is known to be deleted stays deleted: no state older than its deletion brings it back (`client-go` has
 *    no such memory, and there the answer to a write can resurrect an object until the next list). A state that is not
 *    older does: a watch with a selector also says DELETED of an object that merely stopped to match;
 *  - a list wins over everything that was stored before the list was asked for, and over anything newer only if it is
 *    newer still. So a cluster restored from a backup, whose versions start lower, is taken as it is.
 *
 * Not guaranteed: that a listener sees every state; states between two looks at the server are never known.
 */
import type { KubeObject } from '../../api/objects.ts';
import { compareVersions } from '../../api/versions.ts';
import type { Logger } from '../ports.ts';

/** `namespace/name`, or the name alone for what has no namespace. */
export type ObjectKey = string;

export const keyOf = (namespace: string | undefined, name: string): ObjectKey =>
  namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;

export const objectKey = (object: KubeObject): ObjectKey => keyOf(object.metadata.namespace, object.metadata.name);

const isOlder = (a: string, b: string): boolean => (compareVersions(a, b) ?? 1) < 0;
const isNotOlder = (a: string, b: string): boolean => (compareVersions(a, b) ?? -1) >= 0;
const isNewer = (a: string, b: string): boolean => (compareVersions(a, b) ?? -1) > 0;

/** Keeps everything but the field that only server-side apply reads and that is often half of the object. */
export function dropManagedFields<T extends KubeObject>(object: T): T {
  if (!('managedFields' in object.metadata)) return object;
  const { managedFields: _dropped, ...metadata } = object.metadata as T['metadata'] & { managedFields: unknown };
  return { ...object, metadata };
}

/** Added: no old one. Deleted: no new one. */
export type StoreListener<T> = (old: T | undefined, current: T | undefined) => void;

export interface StoreOptions<T extends KubeObject, I extends string> {
  /** For logs: the plural. */
  readonly name: string;
  readonly logger: Logger;
  /**
   * What is kept of an object, of which `old` is the last state. Default: all but `metadata.managedFields`. Must keep the
   * rest of `metadata`.
   */
  readonly project?: (object: T, old: T | undefined) => T;
  /** Named functions from an object to the keys under which `byIndex` finds it. Pure. */
  readonly indices?: Readonly<Record<I, (object: T) => readonly string[]>>;
  /** Default: one of its own. */
  readonly counter?: Counter;
}

/** A point in the life of a store: `store.mark()` before a list is asked for, to be handed to `replace`. */
export type StoreMark = number;

/** Counts what happens. Stores that share one understand each other's marks. */
export interface Counter {
  value: number;
}

export interface ReadonlyStore<T extends KubeObject, I extends string = never> {
  readonly size: number;
  get(namespace: string | undefined, name: string): T | undefined;
  /** All objects; in no order. */
  values(): IterableIterator<T>;
  /** Those that the index files under `key`: found without a search, in no order. */
  byIndex(index: I, key: string): readonly T[];
  /** Called after each change, in the order they were added; the returned function ends it. */
  onChange(listener: StoreListener<T>): () => void;
}

interface Entry<T> {
  readonly object: T;
  /** When it was stored, in this store's count. */
  readonly seq: number;
}

interface Tombstone {
  readonly seq: number;
  /** Of the DELETED that a watch brought; absent: our own delete was answered, which may only have been the beginning. */
  readonly deletedAt: string | undefined;
}

/** The oldest are forgotten: by then every lagging event has come. */
const MAX_TOMBSTONES = 4_096;

/** Fed by one reflector at a time. */
export class Store<T extends KubeObject, I extends string = never> implements ReadonlyStore<T, I> {
  readonly name: string;
  readonly #options: StoreOptions<T, I>;
  readonly #project: (object: T, old: T | undefined) => T;
  readonly #entries = new Map<ObjectKey, Entry<T>>();
  /** By UID, of all that is stored: the key of a state is known without putting it together. */
  readonly #keys = new Map<string, ObjectKey>();
  readonly #indices = new Map<string, Map<string, Set<T>>>();
  /** By UID. */
  readonly #tombstones = new Map<string, Tombstone>();
  readonly #listeners = new Set<StoreListener<T>>();
  readonly #counter: Counter;
  /** Lists and events have told everything up to this version. */
  #toldUpTo = '0';
  /** When the last list was taken, in this store's count. */
  #listedAt: StoreMark = 0;

  constructor(options: StoreOptions<T, I>) {
    this.name = options.name;
    this.#options = options;
    this.#project = options.project ?? dropManagedFields;
    this.#counter = options.counter ?? { value: 0 };
    for (const index of Object.keys(options.indices ?? {})) this.#indices.set(index, new Map());
  }

  get size(): number {
    return this.#entries.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#entries.get(keyOf(namespace, name))?.object;
  }

  *values(): IterableIterator<T> {
    for (const entry of this.#entries.values()) yield entry.object;
  }

  byIndex(index: I, key: string): readonly T[] {
    return [...(this.#indices.get(index)?.get(key) ?? [])];
  }

  onChange(listener: StoreListener<T>): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  mark(): StoreMark {
    return this.#counter.value;
  }

  /**
   * Takes a whole list: what it lacks is gone, unless it was stored after the list was asked for. An object deleted and
   * created again under the same name is a deletion and an addition.
   *
   * @param mark taken before the list was asked for; absent: the list is newer than everything here
   */
  replace(items: readonly T[], resourceVersion: string, mark: StoreMark = this.mark()): void {
    for (const [uid, tombstone] of this.#tombstones) if (tombstone.seq <= mark) this.#tombstones.delete(uid);
    const listed = new Set<ObjectKey>();
    for (const item of items) {
      if (this.#tombstones.has(item.metadata.uid)) continue;
      const key = objectKey(item);
      listed.add(key);
      const entry = this.#entries.get(key);
      if (entry === undefined || this.#listWins(entry, item, mark)) this.#put(key, item);
    }
    for (const [key, entry] of this.#entries) {
      if (listed.has(key)) continue;
      const order = compareVersions(entry.object.metadata.resourceVersion, resourceVersion) ?? 1;
      const createdSince = entry.seq > mark && order > 0;
      if (!createdSince) this.#remove(key, entry);
    }
    this.#toldUpTo = resourceVersion;
    this.#listedAt = this.#next();
  }

  /** An ADDED, MODIFIED or DELETED of a watch. */
  apply(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void {
    const { resourceVersion } = object.metadata;
    if (isNewer(resourceVersion, this.#toldUpTo)) this.#toldUpTo = resourceVersion;
    if (type === 'DELETED') this.#applyDeleted(object);
    else this.#applyState(object);
  }

  /** What the server answered to our own create or patch: read-your-writes. A watch event that lags does not undo it. */
  acceptWrite(object: T): void {
    if (!this.#isTold(object)) this.#applyState(object);
  }

  /**
   * What a read of this one object brought. It may be an object that the selector does not select, since somebody took
   * its label away or since it is somebody else's: no list and no event tells of that one, so it is taken although they
   * have told of later versions.
   *
   * @param mark taken before the read: what a list lacks that was taken since then may be gone
   */
  acceptRead(object: T, mark: StoreMark): void {
    if (this.#listedAt <= mark || !this.#isTold(object)) this.#applyState(object);
  }

  /**
   * Our own delete of `object` was answered and took effect at once (no finalizers, and for a pod no grace period; an
   * object that is only marked for deletion is better left to the watch). Events that lag behind do not bring it back;
   * one that shows it with a deletionTimestamp does, since then it was not gone.
   */
  forget(object: T): void {
    const { uid } = object.metadata;
    this.#bury(uid, undefined);
    const key = objectKey(object);
    const entry = this.#entries.get(key);
    if (entry?.object.metadata.uid === uid) this.#remove(key, entry);
  }

  /**
   * A read, or the answer to a write, showed `object` in a state that this store's selector does not select: the watch will
   * say DELETED of it, and need not be waited for. Says nothing of what else was told until then.
   */
  acceptLeft(object: T): void {
    if (this.#entries.has(objectKey(object))) this.#applyDeleted(object);
  }

  #next(): number {
    this.#counter.value += 1;
    return this.#counter.value;
  }

  /** A list or an event has already told this or what came after it, perhaps that the object is gone. */
  #isTold({ metadata }: T): boolean {
    return (compareVersions(metadata.resourceVersion, this.#toldUpTo) ?? 1) <= 0;
  }

  #listWins(entry: Entry<T>, item: T, mark: StoreMark): boolean {
    const stored = entry.object.metadata;
    const { uid, resourceVersion } = item.metadata;
    if (stored.uid === uid && stored.resourceVersion === resourceVersion) return false;
    return entry.seq <= mark || isOlder(stored.resourceVersion, resourceVersion);
  }

  #applyState(object: T): void {
    const { uid, resourceVersion, deletionTimestamp } = object.metadata;
    const tombstone = this.#tombstones.get(uid);
    if (tombstone !== undefined) {
      const { deletedAt } = tombstone;
      const isBack = deletedAt === undefined ? deletionTimestamp !== undefined : isNotOlder(resourceVersion, deletedAt);
      if (!isBack) return;
      this.#tombstones.delete(uid);
    }
    const key = this.#keys.get(uid) ?? objectKey(object);
    const stored = this.#entries.get(key)?.object.metadata;
    if (stored !== undefined) {
      if (isOlder(resourceVersion, stored.resourceVersion)) return;
      // The same state again, as when a watch delivers what our own write already brought: nothing changed.
      if (stored.uid === uid && stored.resourceVersion === resourceVersion) return;
    }
    this.#put(key, object);
  }

  #applyDeleted(object: T): void {
    const { uid, resourceVersion } = object.metadata;
    const key = objectKey(object);
    const entry = this.#entries.get(key);
    const stored = entry?.object.metadata;
    // It had stopped to match the selector, and matches again by a write of ours that is here already.
    if (stored?.uid === uid && isOlder(resourceVersion, stored.resourceVersion)) return;
    this.#bury(uid, resourceVersion);
    if (entry === undefined || stored === undefined) return;
    // Another UID: the old one's end, told late, unless it is newer than what is here.
    if (stored.uid === uid || isNewer(resourceVersion, stored.resourceVersion)) this.#remove(key, entry);
  }

  #bury(uid: string, deletedAt: string | undefined): void {
    const before = this.#tombstones.get(uid);
    this.#tombstones.delete(uid);
    this.#tombstones.set(uid, { seq: this.#next(), deletedAt: deletedAt ?? before?.deletedAt });
    for (const oldest of this.#tombstones.keys()) {
      if (this.#tombstones.size <= MAX_TOMBSTONES) break;
      this.#tombstones.delete(oldest);
    }
  }

  #put(key: ObjectKey, raw: T): void {
    const old = this.#entries.get(key)?.object;
    const object = this.#project(raw, old);
    this.#entries.set(key, { object, seq: this.#next() });
    if (old?.metadata.uid !== object.metadata.uid) {
      if (old !== undefined) this.#keys.delete(old.metadata.uid);
      this.#keys.set(object.metadata.uid, key);
    }
    if (old !== undefined) this.#unindex(old);
    this.#index(object);
    if (old === undefined) this.#tell(undefined, object);
    else if (old.metadata.uid !== object.metadata.uid) {
      this.#tell(old, undefined);
      this.#tell(undefined, object);
    } else this.#tell(old, object);
  }

  #remove(key: ObjectKey, entry: Entry<T>): void {
    this.#next();
    this.#entries.delete(key);
    this.#keys.delete(entry.object.metadata.uid);
    this.#unindex(entry.object);
    this.#tell(entry.object, undefined);
  }

  #index(object: T): void {
    for (const [name, filed] of this.#indices) {
      for (const key of this.#keysIn(name, object)) {
        const set = filed.get(key);
        if (set === undefined) filed.set(key, new Set([object]));
        else set.add(object);
      }
    }
  }

  #unindex(object: T): void {
    for (const [name, filed] of this.#indices) {
      for (const key of this.#keysIn(name, object)) {
        const set = filed.get(key);
        set?.delete(object);
        if (set?.size === 0) filed.delete(key);
      }
    }
  }

  #keysIn(index: string, object: T): readonly string[] {
    return this.#options.indices?.[index as I](object) ?? [];
  }

  #tell(old: T | undefined, current: T | undefined): void {
    for (const listener of this.#listeners) {
      try {
        listener(old, current);
      } catch (error) {
        this.#options.logger.error(`a listener of ${this.name} failed; the store and its other listeners go on`, {
          error,
        });
      }
    }
  }
}
