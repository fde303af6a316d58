/**
 * A ReplicaSet or StatefulSet of somebody else's, whose pods are adopted: it keeps as many as it is asked for, lets go of
 * those that lose its label, and knows nothing of singletons.
 */
import { LEASE, POD } from '../../src/adapters/kubernetes/resources.ts';
import type { Pod } from '../../src/api/objects.ts';
import { controllerOf } from '../../src/operator/views.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Engine } from './engine.ts';
import { ADOPTED_LABELS, NAMESPACE } from './manifest.ts';
import type { Chance } from './random.ts';

export interface OwnerOptions {
  readonly engine: Engine;
  readonly cluster: Cluster;
  readonly chance: Chance;
}

const REPLICAS = 3;
const MAX_LAG_MS = 2_000;
const USER = 'owner';
/** The simulated API server knows no ReplicaSets, and its garbage collector wants an object with the owner's UID. */
const STAND_IN = 'app';

export class Owner {
  readonly kind: 'ReplicaSet' | 'StatefulSet';
  readonly #options: OwnerOptions;
  readonly #maxLagMs: number;
  #wanted = REPLICAS;
  #image = 'echo:1';
  #isDue = false;

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.kind = options.chance.happens(0.4) ? 'StatefulSet' : 'ReplicaSet';
    this.#maxLagMs = options.chance.logBetween(5, MAX_LAG_MS);
  }

  get wanted(): number {
    return this.#wanted;
  }

  start(): void {
    const metadata = { name: STAND_IN, namespace: NAMESPACE };
    this.#options.cluster.create(USER, LEASE, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata });
    this.#syncSoon();
  }

  onWrite({ type }: Write): void {
    if (type === POD) this.#syncSoon();
  }

  scale(replicas: number): void {
    this.#wanted = replicas;
    this.#syncSoon();
  }

  /** From here on its pods are replaced one by one, as a rolling update does. */
  changeImage(image: string): void {
    this.#image = image;
    this.#syncSoon();
  }

  heal(): void {
    this.scale(REPLICAS);
  }

  #syncSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    const { engine, chance } = this.#options;
    engine.after(chance.logBetween(1, this.#maxLagMs), () => {
      this.#isDue = false;
      this.#sync();
    });
  }

  #sync(): void {
    const { cluster } = this.#options;
    for (const pod of this.#owned()) {
      if (!isSelected(pod)) this.#letGo(pod);
      else if (this.kind === 'StatefulSet' && isOver(pod)) cluster.delete(USER, POD, pod, 0);
    }
    for (const orphan of cluster.list<Pod>(POD).filter((pod) => isSelected(pod) && controllerOf(pod) === undefined))
      this.#takeIn(orphan);
    const living = this.#owned().filter((pod) => !isOver(pod) && pod.metadata.deletionTimestamp === undefined);
    if (living.length > this.#wanted) for (const pod of living.slice(this.#wanted)) cluster.delete(USER, POD, pod);
    for (let missing = this.#wanted - living.length; missing > 0; missing -= 1) this.#create();
    const old = living.find(({ spec }) => imageOf(spec) !== this.#image);
    const isWhole = living.length === this.#wanted && living.every(isReady);
    if (old !== undefined && isWhole) cluster.delete(USER, POD, old);
  }

  /** An orphan is nobody's from then on. One that keeps a name of a StatefulSet's is cleared away, or nothing gets it. */
  #letGo(pod: Pod): void {
    const { cluster, engine, chance } = this.#options;
    cluster.patch(USER, POD, pod, { metadata: { ownerReferences: null } });
    if (this.kind === 'StatefulSet')
      engine.after(chance.logBetween(100, 5_000), () => cluster.delete('user', POD, pod));
  }

  /** A ReplicaSet takes whoever has its labels; a StatefulSet does not by this name, and somebody clears it away. */
  #takeIn(pod: Pod): void {
    const { cluster } = this.#options;
    if (this.kind === 'StatefulSet') cluster.delete('user', POD, pod);
    else cluster.patch(USER, POD, pod, { metadata: { ownerReferences: [this.#reference] } });
  }

  get #reference(): object {
    return { apiVersion: 'apps/v1', kind: this.kind, name: 'app', uid: this.#uid, controller: true };
  }

  get #uid(): string {
    return this.#options.cluster.get(LEASE, STAND_IN, NAMESPACE)?.metadata.uid ?? '';
  }

  #owned(): Pod[] {
    const uid = this.#uid;
    return this.#options.cluster.list<Pod>(POD).filter((pod) => controllerOf(pod)?.uid === uid);
  }

  /** A StatefulSet waits until the name is free. */
  #create(): void {
    const { cluster, chance } = this.#options;
    const names =
      this.kind === 'ReplicaSet'
        ? [`app-${chance.below(36 ** 5).toString(36)}`]
        : Array.from({ length: this.#wanted }, (_, ordinal) => `app-${ordinal}`);
    const name = names.find((free) => cluster.get(POD, free, NAMESPACE) === undefined);
    if (name === undefined) return;
    const ownerReferences = [this.#reference];
    const metadata = { name, namespace: NAMESPACE, labels: { ...ADOPTED_LABELS }, ownerReferences };
    const spec = { containers: [{ name: 'app', image: this.#image }] };
    cluster.create(USER, POD, { apiVersion: 'v1', kind: 'Pod', metadata, spec });
  }
}

const isSelected = ({ metadata }: Pod): boolean =>
  Object.entries(ADOPTED_LABELS).every(([key, value]) => metadata.labels?.[key] === value);

const isOver = ({ status }: Pod): boolean => status?.phase === 'Failed' || status?.phase === 'Succeeded';

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;

const imageOf = (spec: Pod['spec']): string | undefined =>
  (spec?.containers?.[0] as { image?: string } | undefined)?.image;
