/** The singleton `db` with a selector, on a cluster in memory in which somebody else owns the pods. */
import { POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { API_VERSION, KIND, LABEL } from '../../src/api/names.ts';
import type { KubeObject, ObjectMeta, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { selects } from '../../src/core/label-selector.ts';
import { AdoptedPods } from '../../src/operator/adopted-pods.ts';
import type { Next } from '../../src/operator/reconcile.ts';
import { aPodObject, meta } from './objects.ts';
import { Stage } from './stage.ts';

const PORTS = { ports: [{ name: 'http', port: 80 }] };

export const anAdopter = (labels: object, metadata: Partial<ObjectMeta> = {}, spec: object = {}): SingletonService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: meta('db', { generation: 1, ...metadata }),
  spec: { selector: { matchLabels: labels }, service: PORTS, ...spec },
});

const REPLICA_SET = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'uid-web-1', controller: true };
const STATEFUL_SET = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web', uid: 'uid-web', controller: true };

export const ofReplicaSet = (name: string, labels: Record<string, string> = { app: 'web' }): Pod =>
  aPodObject({ name, labels, ownerReferences: [REPLICA_SET] });

export const ofStatefulSet = (ordinal: number): Pod =>
  aPodObject({ name: `web-${ordinal}`, labels: { app: 'web' }, ownerReferences: [STATEFUL_SET] });

/** Its watches bring everything at once, those of the selectors too. */
export class AdoptionStage extends Stage {
  /** Keys that were to be looked at because of what is selected. */
  readonly changed: string[] = [];
  readonly adopted = new AdoptedPods({
    caches: this.cluster.caches,
    watch: () => ({ hasSynced: true, start: nothing, stop: nothing, retryNow: nothing }),
    onChange: (key) => void this.changed.push(key),
  });

  override async settle(): Promise<Next> {
    let next = await this.#once();
    for (let round = 0; round < 10; round++) {
      const before = this.cluster.requests.length;
      next = await this.#once();
      if (next.kind === 'settled' && this.cluster.requests.length === before) return next;
    }
    return next;
  }

  async #once(): Promise<Next> {
    this.cluster.fillSlices();
    this.deliver();
    return this.look();
  }

  deliver(): void {
    this.cluster.deliver();
    const { pods } = this.cluster.caches;
    for (const { store, selector } of pods.adoptionsIn('default')) {
      const all = this.cluster.all<Pod>(POD);
      const selected = all.filter(({ metadata }) => selects(selector, metadata.labels));
      const newest = Math.max(0, ...all.map(({ metadata }) => Number(metadata.resourceVersion)));
      store.replace(selected, String(newest));
    }
  }

  label(pod: string, labels: Record<string, string | undefined>): void {
    this.cluster.edit<Pod>(POD, pod, (object) => ({
      ...object,
      metadata: { ...object.metadata, labels: defined({ ...object.metadata.labels, ...labels }) },
    }));
  }

  setSpec(spec: object): void {
    this.cluster.edit<SingletonService>(SINGLETON_SERVICE, 'db', (object) => ({
      ...object,
      metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
      spec,
    }));
  }

  /** Our labels of the pod, without those of its owner. */
  ours(pod: string): Record<string, string> {
    const labels = this.cluster.find<Pod>(POD, pod)?.metadata.labels ?? {};
    const entries = Object.entries(labels).filter(([key]) => key.startsWith('singleton-operator.io/'));
    return Object.fromEntries(entries.map(([key, value]) => [key.replace('singleton-operator.io/', ''), value]));
  }

  get podWrites(): string[] {
    return this.cluster.requests.filter((text) => /^(create|delete) pods/.test(text));
  }
}

const nothing = (): void => undefined;

const defined = (labels: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(labels).flatMap(([key, value]): [string, string][] => (value === undefined ? [] : [[key, value]])),
  );

export async function adopting(pods: readonly Pod[], singleton: KubeObject = anAdopter({ app: 'web' })) {
  const stage = new AdoptionStage();
  for (const pod of pods) stage.cluster.put(POD, pod);
  stage.cluster.put(SINGLETON_SERVICE, singleton);
  await stage.settle();
  return stage;
}

export const STANDBY = { name: 'db', role: 'standby' };
export const ROUTED_TERM = LABEL.term;
