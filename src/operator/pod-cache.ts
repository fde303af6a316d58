/**
 * The pods. One watch tells of all that carry the name label, and for each singleton with a selector another one of those
 * that it selects, which may carry the name or not yet. A pod that both tell of is one pod, in its newest state.
 */
import { Store } from '../adapters/kubernetes/store.ts';
import type { Counter, StoreMark, StoreOptions } from '../adapters/kubernetes/store.ts';
import type { Pod } from '../api/objects.ts';
import type { LabelSelector } from '../api/spec.ts';
import { compareVersions } from '../api/versions.ts';
import { selectorText, selects } from '../core/label-selector.ts';
import { refOf } from './keys.ts';
import type { Key } from './keys.ts';

export type PodIndex = 'singleton' | 'node';

/** What a singleton selects: it stays the same object while the selector says the same. */
export interface Adoption {
  readonly key: Key;
  readonly namespace: string;
  readonly selector: LabelSelector;
  /** The selector as the API server is asked for it. */
  readonly text: string;
  /** Fed by a watch of its own. */
  readonly store: Store<Pod, 'node'>;
}

type PodCacheOptions = Omit<StoreOptions<Pod, PodIndex>, 'counter'> &
  Required<Pick<StoreOptions<Pod, PodIndex>, 'indices'>>;

/** As a store it is fed by the watch of those that carry the name label. */
export class PodCache extends Store<Pod, PodIndex> {
  readonly #options: PodCacheOptions;
  readonly #counter: Counter;
  readonly #adoptions = new Map<Key, Adoption>();
  readonly #byNamespace = new Map<string, Set<Adoption>>();

  constructor(options: PodCacheOptions) {
    const counter = { value: 0 };
    super({ ...options, counter });
    this.#options = options;
    this.#counter = counter;
  }

  /** The singleton selects pods from now on: whoever asks fills the store. One with another selector begins anew. */
  adopt(key: Key, selector: LabelSelector): Adoption {
    const text = selectorText(selector);
    const known = this.#adoptions.get(key);
    if (known?.text === text) return known;
    this.release(key);
    const { indices, ...options } = this.#options;
    const store = new Store<Pod, 'node'>({ ...options, indices: { node: indices.node }, counter: this.#counter });
    const { namespace } = refOf(key);
    const adoption = { key, namespace, selector, text, store };
    this.#adoptions.set(key, adoption);
    this.#byNamespace.set(namespace, new Set([...this.adoptionsIn(namespace), adoption]));
    return adoption;
  }

  release(key: Key): void {
    const adoption = this.#adoptions.get(key);
    if (adoption === undefined) return;
    this.#adoptions.delete(key);
    const others = this.#byNamespace.get(adoption.namespace);
    others?.delete(adoption);
    if (others?.size === 0) this.#byNamespace.delete(adoption.namespace);
  }

  adoptionOf(key: Key): Adoption | undefined {
    return this.#adoptions.get(key);
  }

  adoptionsIn(namespace: string | undefined): Iterable<Adoption> {
    return this.#byNamespace.get(namespace ?? '') ?? [];
  }

  /** Of pods on the node that may carry no name yet. */
  adoptersOnNode(node: string): Key[] {
    return [...this.#adoptions.values()]
      .filter(({ store }) => store.byIndex('node', node).length > 0)
      .map(({ key }) => key);
  }

  override get(namespace: string | undefined, name: string): Pod | undefined {
    let newest = super.get(namespace, name);
    for (const { store } of this.adoptionsIn(namespace)) newest = newerOf(newest, store.get(namespace, name));
    return newest;
  }

  /** Of `singleton` also those that its selector selects. */
  override byIndex(index: PodIndex, key: string): readonly Pod[] {
    const named = super.byIndex(index, key);
    const adoption = index === 'singleton' ? this.#adoptions.get(key) : undefined;
    if (adoption === undefined) return named;
    const names = new Set([...named, ...adoption.store.values()].map(({ metadata }) => metadata.name));
    return [...names].flatMap((name) => this.get(adoption.namespace, name) ?? []);
  }

  override acceptWrite(pod: Pod): void {
    super.acceptWrite(pod);
    this.#tellAdoptions(pod, (store) => store.acceptWrite(pod));
  }

  override acceptRead(pod: Pod, mark: StoreMark): void {
    super.acceptRead(pod, mark);
    this.#tellAdoptions(pod, (store) => store.acceptRead(pod, mark));
  }

  override forget(pod: Pod): void {
    super.forget(pod);
    for (const { store } of this.adoptionsIn(pod.metadata.namespace)) store.forget(pod);
  }

  #tellAdoptions(pod: Pod, accept: (store: Store<Pod, 'node'>) => void): void {
    const { namespace, labels } = pod.metadata;
    for (const { selector, store } of this.adoptionsIn(namespace)) {
      if (selects(selector, labels)) accept(store);
      else store.acceptLeft(pod);
    }
  }
}

function newerOf(a: Pod | undefined, b: Pod | undefined): Pod | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return (compareVersions(a.metadata.resourceVersion, b.metadata.resourceVersion) ?? 0) < 0 ? b : a;
}
