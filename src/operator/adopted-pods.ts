/** Keeps a watch of the pods that each singleton with a selector selects, while it has that selector. */
import type { SingletonService } from '../api/types.ts';
import { keyOf } from './caches.ts';
import type { Caches, Key } from './caches.ts';
import { parsedSpecOf } from './observe.ts';
import type { Adoption } from './pod-cache.ts';

/** A reflector, or what stands in for one. */
export interface Watched {
  readonly hasSynced: boolean;
  start(): void;
  stop(): void;
  retryNow(): void;
}

export interface AdoptedPodsOptions {
  readonly caches: Caches;
  /** Makes, without starting it, the watch that fills the adoption's store. `onSync`: it has filled it. */
  readonly watch: (adoption: Adoption, onSync: () => void) => Watched;
  /** What a singleton selects is not what it was, or is known at last. */
  readonly onChange: (key: Key) => void;
}

export class AdoptedPods {
  readonly #options: AdoptedPodsOptions;
  readonly #watches = new Map<Key, { readonly adoption: Adoption; readonly watch: Watched }>();
  #isStopped = false;

  constructor(options: AdoptedPodsOptions) {
    this.#options = options;
    options.caches.singletons.onChange((old, current) => this.#changed(old, current));
  }

  /** Whether nothing that the singleton selects is still to be told for the first time. */
  hasSynced(key: Key): boolean {
    return this.#watches.get(key)?.watch.hasSynced ?? true;
  }

  /** Of all singletons. */
  get watches(): Watched[] {
    return [...this.#watches.values()].map(({ watch }) => watch);
  }

  stop(): void {
    this.#isStopped = true;
    for (const watch of this.watches) watch.stop();
  }

  #changed(old: SingletonService | undefined, current: SingletonService | undefined): void {
    const { metadata } = (current ?? old) as SingletonService;
    const { namespace } = metadata;
    const key = keyOf(namespace, metadata.name);
    const { pods } = this.#options.caches;
    const before = pods.adoptionOf(key);
    if (current === undefined) this.#release(key);
    else this.#follow(key, current);
    if (pods.adoptionOf(key) === before) return;
    // Whether the selector of another one overlaps is decided by this one's.
    for (const other of pods.adoptionsIn(namespace)) if (other.key !== key) this.#options.onChange(other.key);
  }

  /** A spec that breaks a rule changes nothing. */
  #follow(key: Key, singleton: SingletonService): void {
    const parsed = parsedSpecOf(singleton);
    if (!parsed.ok || this.#isStopped) return;
    const { selector } = parsed.spec;
    if (selector === undefined) return this.#release(key);
    const adoption = this.#options.caches.pods.adopt(key, selector);
    if (this.#watches.get(key)?.adoption === adoption) return;
    this.#watches.get(key)?.watch.stop();
    const watch = this.#options.watch(adoption, () => this.#options.onChange(key));
    this.#watches.set(key, { adoption, watch });
    adoption.store.onChange(() => this.#options.onChange(key));
    watch.start();
  }

  #release(key: Key): void {
    this.#watches.get(key)?.watch.stop();
    this.#watches.delete(key);
    this.#options.caches.pods.release(key);
  }
}
