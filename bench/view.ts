/** What the API server says of a kind of object, as a client with a watch of its own sees it. */
import type { ApiObject, RestClient } from '../test/control-plane/rest-client.ts';
import type { WallClock } from './clock.ts';

const TIMEOUT_MS = 300_000;

interface Waiting {
  readonly look: () => boolean;
  readonly resolve: (atMs: number) => void;
}

/** Wakes those who wait for a state of the world whenever any view of it has changed. */
export class Changes {
  readonly #clock: WallClock;
  readonly #waiting = new Set<Waiting>();

  constructor(clock: WallClock) {
    this.#clock = clock;
  }

  changed(): void {
    for (const waiting of this.#waiting) {
      if (!waiting.look()) continue;
      this.#waiting.delete(waiting);
      waiting.resolve(this.#clock.now());
    }
  }

  /** Resolves when `look` says yes, with the time (milliseconds since 1970) of the event after which it did. */
  when(what: string | (() => string), look: () => boolean): Promise<number> {
    if (look()) return Promise.resolve(this.#clock.now());
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        look,
        resolve: (atMs) => {
          clearTimeout(timer);
          resolve(atMs);
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(new Error(`waited ${TIMEOUT_MS / 1000} s for ${typeof what === 'string' ? what : what()}`));
      }, TIMEOUT_MS);
      this.#waiting.add(waiting);
    });
  }
}

export interface View<T> {
  get(namespace: string, name: string): T | undefined;
  inNamespace(namespace: string): T[];
}

/** Follows all objects at `path`; resolves when they have been listed. */
export async function follow<T extends ApiObject>(
  api: RestClient,
  path: string,
  changes: Changes,
  signal: AbortSignal,
): Promise<View<T>> {
  const namespaces = new Map<string, Map<string, T>>();
  const listed = Promise.withResolvers<void>();
  const objectsIn = (namespace = ''): Map<string, T> => {
    const objects = namespaces.get(namespace) ?? new Map<string, T>();
    namespaces.set(namespace, objects);
    return objects;
  };
  const put = (object: T): void => void objectsIn(object.metadata.namespace).set(object.metadata.name, object);
  const handler = {
    onList(items: T[]) {
      namespaces.clear();
      items.forEach(put);
      listed.resolve();
      changes.changed();
    },
    onEvent(type: string, object: T) {
      if (type === 'DELETED') objectsIn(object.metadata.namespace).delete(object.metadata.name);
      else put(object);
      changes.changed();
    },
  };
  api.follow<T>(path, {}, handler, signal).catch(listed.reject);
  await listed.promise;
  return {
    get: (namespace, name) => namespaces.get(namespace)?.get(name),
    inNamespace: (namespace) => [...(namespaces.get(namespace)?.values() ?? [])],
  };
}
