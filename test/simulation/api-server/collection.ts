/** The objects of one kind with their history: what etcd and the watch cache are to the API server. */
import type { WatchEvent } from '../../../src/adapters/ports.ts';
import type { KubeObject } from '../../../src/api/objects.ts';
import { Audiences, eventOf } from './audience.ts';
import type { Change, Watcher } from './audience.ts';
import { continueExpired, tooOld } from './errors.ts';
import type { Kind, Stored } from './kind.ts';
import type { SelectableFields, Selection, SelectionQuery } from './selectors.ts';
import { selectionOf } from './selectors.ts';

/** `namespace/name`: in this order objects are listed. */
export type Key = string;

export function keyOf(namespace: string | undefined, name: string): Key {
  if (namespace === undefined || namespace === '') return name;
  return knownKey(namespace, name) ?? newKey(namespace, name);
}

/** By namespace and name: a text that is put together anew is hashed anew, which takes longer than all else of a look. */
const keys = new Map<string, Map<string, Key>>();
const MAX_KEYS_OF_NAMESPACE = 1_000;

const knownKey = (namespace: string, name: string): Key | undefined => keys.get(namespace)?.get(name);

function newKey(namespace: string, name: string): Key {
  const known = keys.get(namespace) ?? new Map<string, Key>();
  if (known.size >= MAX_KEYS_OF_NAMESPACE) known.clear();
  const key = `${namespace}/${name}`;
  keys.set(namespace, known.set(name, key));
  return key;
}

interface Record extends Change {
  readonly key: Key;
}

export interface Page {
  readonly items: Stored[];
  /** Of the last item, when there are more. */
  readonly lastKey: Key | undefined;
}

export interface PageQuery {
  readonly selects: Selection;
  /** As of this version. */
  readonly version: number;
  readonly afterKey: Key | undefined;
  readonly limit: number;
}

/**
 * Changes of one kind that are remembered; of more, the older half is compacted. A quarter of an hour of a leader's renewals
 * and the nodes' beats, where etcd is mostly compacted after five minutes. More would outlive many a garbage collection.
 */
const MAX_HISTORY = 2_000;

const COMMON_FIELDS: SelectableFields = {
  'metadata.name': ({ metadata }) => metadata.name,
  'metadata.namespace': ({ metadata }) => metadata.namespace,
};

export class Collection {
  readonly kind: Kind;
  readonly audiences: Audiences;
  readonly #fields: SelectableFields;
  readonly #objects = new Map<Key, Stored>();
  /** The oldest first. */
  #history: Record[] = [];
  /** Everything after this version is in the history. */
  #floor: number;
  #sortedKeys: readonly Key[] | undefined;

  constructor(kind: Kind, version: number) {
    this.kind = kind;
    this.#floor = version;
    this.#fields = { ...COMMON_FIELDS, ...kind.fields };
    this.audiences = new Audiences(this.#fields);
  }

  get(key: Key): Stored | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<Stored> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** @param after undefined: it is gone */
  record(key: Key, after: Stored | undefined, version: number): Change {
    const before = this.#objects.get(key);
    if (after === undefined) this.#objects.delete(key);
    else this.#objects.set(key, after);
    if (before === undefined || after === undefined) this.#sortedKeys = undefined;
    const record = { key, version, before, after };
    this.#history.push(record);
    if (this.#history.length > MAX_HISTORY) this.compact(this.#history[MAX_HISTORY / 2]?.version ?? version);
    return record;
  }

  /** @throws ApiError 400 */
  selection(query: SelectionQuery): Selection {
    return selectionOf(query, this.#fields);
  }

  /** @throws ApiError 410 when that version has been compacted */
  page({ selects, version, afterKey, limit }: PageQuery): Page {
    if (version < this.#floor) throw continueExpired();
    const last = this.#history.at(-1)?.version ?? 0;
    const [keys, read] = last > version ? this.#past(version) : this.#present();
    const items: Stored[] = [];
    let lastKey: Key | undefined;
    for (const key of keys) {
      const object = afterKey === undefined || key > afterKey ? read(key) : undefined;
      if (object === undefined || !selects(object)) continue;
      if (items.length === limit) return { items, lastKey };
      items.push(object);
      lastKey = key;
    }
    return { items, lastKey: undefined };
  }

  /**
   * Tells `watcher` what happened since `version`, and from now on what happens. The returned function ends that.
   *
   * @throws ApiError 410 when that version has been compacted, 400 for a bad selector
   */
  watch(query: SelectionQuery, version: number, watcher: Watcher): () => void {
    if (version < this.#floor) throw tooOld(version, this.#floor);
    watcher.seenUpTo = Math.max(version, this.#history.at(-1)?.version ?? 0);
    const { selects, remove } = this.audiences.add(query, watcher);
    for (const change of this.#since(version)) {
      const event = eventOf(change, selects);
      if (event !== undefined) watcher.push(event);
    }
    return remove;
  }

  /** What a watch from version 0 begins with: everything there is, as if it were new. */
  introductions(query: SelectionQuery): WatchEvent<KubeObject>[] {
    const selects = this.selection(query);
    return [...this.#objects.values()].filter(selects).map((object) => ({ type: 'ADDED', object }));
  }

  /** Forgets what happened up to `version`. */
  compact(version: number): void {
    this.#history = this.#since(version);
    this.#floor = Math.max(this.#floor, version);
  }

  #since(version: number): Record[] {
    let [low, high] = [0, this.#history.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#history[middle]?.version ?? Infinity) > version) high = middle;
      else low = middle + 1;
    }
    return this.#history.slice(low);
  }

  #present(): [readonly Key[], (key: Key) => Stored | undefined] {
    this.#sortedKeys ??= [...this.#objects.keys()].sort();
    return [this.#sortedKeys, (key) => this.#objects.get(key)];
  }

  #past(version: number): [readonly Key[], (key: Key) => Stored | undefined] {
    const past = new Map(this.#objects);
    for (const { key, before } of this.#since(version).toReversed()) {
      if (before === undefined) past.delete(key);
      else past.set(key, before);
    }
    return [[...past.keys()].sort(), (key) => past.get(key)];
  }
}
