/**
 * Node objects, the beats of their kubelets (a Lease each), and kube-controller-manager's part: what it makes of nodes
 * whose kubelet is silent. Pods are in kubelets.ts.
 */
import { LEASE, NODE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { NODE_LEASE_NAMESPACE } from '../../src/api/names.ts';
import type { Lease, Node, Pod } from '../../src/api/objects.ts';
import { toMicroTime } from '../../src/api/time.ts';
import type { Ground, Kubelets } from './kubelets.ts';
import { wallMsAt } from './process.ts';

const KUBELET = 'kubelet';
const CONTROLLER = 'node-controller';

/** As Kubernetes has it by default. */
const BEAT_MS = 10_000;
const LEASE_SECONDS = 40;
const GRACE_MS = 40_000;
const MONITOR_MS = 5_000;
/** It is five minutes; shorter, so that a run sees it. */
const EVICTION_MS = { min: 1_000, max: 60_000 };
/** A kubelet that could not renew tries again soon. */
const RETRY_MS = { min: 200, max: 7_000 };
const BEATS_KEPT = 16;

export interface NodesOptions extends Ground {
  readonly kubelets: { readonly lostNodes: Pick<Kubelets['lostNodes'], 'has'> };
  /** Then no kubelet gets through. */
  readonly isServerDown: () => boolean;
}

export class Nodes {
  readonly #options: NodesOptions;
  readonly #beats = new Map<string, number[]>();
  /** When Kubernetes gave each of them up. */
  readonly #unknownSinceMs = new Map<string, number>();

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  begin(names: readonly string[]): void {
    for (const name of names) this.#beatFrom(name);
    this.#options.engine.after(MONITOR_MS, () => this.#monitor());
  }

  /** The times at which the API server took a beat of it, the last first: what is the case, whoever knows. */
  beatsOf(name: string): readonly number[] {
    return this.#beats.get(name) ?? [];
  }

  unknownSinceMs(name: string): number | undefined {
    return this.#unknownSinceMs.get(name);
  }

  get names(): readonly string[] {
    return [...this.#beats.keys()];
  }

  // --- kubelets ---------------------------------------------------------------------------------------------------------

  #beatFrom(name: string): void {
    const { engine, chance, kubelets, isServerDown } = this.#options;
    const isSilent = kubelets.lostNodes.has(name) || isServerDown();
    if (!isSilent) this.#beat(name);
    const nextMs = isSilent ? chance.logBetween(RETRY_MS.min, RETRY_MS.max) : BEAT_MS * chance.between(1, 1.04);
    engine.after(nextMs, () => this.#beatFrom(name));
  }

  #beat(name: string): void {
    const { cluster, engine } = this.#options;
    const renewTime = toMicroTime(wallMsAt(engine));
    const lease = cluster.get<Lease>(LEASE, name, NODE_LEASE_NAMESPACE);
    const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime };
    if (lease !== undefined) cluster.patch(KUBELET, LEASE, lease, { spec });
    else {
      const metadata = { name, namespace: NODE_LEASE_NAMESPACE };
      cluster.create(KUBELET, LEASE, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec });
    }
    this.#keep(name, engine.nowMs);
    this.#register(name);
  }

  #keep(name: string, atMs: number): void {
    const beats = this.#beats.get(name);
    if (beats === undefined) this.#beats.set(name, [atMs]);
    else {
      beats.unshift(atMs);
      if (beats.length > BEATS_KEPT) beats.pop();
    }
  }

  /** It is Ready, and says so, also of a Node object that somebody deleted. */
  #register(name: string): void {
    const { cluster } = this.#options;
    const node = cluster.get<Node>(NODE, name);
    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    if (node === undefined) {
      const labels = { 'topology.kubernetes.io/zone': name.replace('node', 'zone') };
      cluster.create(KUBELET, NODE, { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status });
    } else if (!isReady(node)) cluster.patch(KUBELET, NODE, node, { status }, 'status');
    this.#unknownSinceMs.delete(name);
  }

  // --- the controller ---------------------------------------------------------------------------------------------------

  #monitor(): void {
    const { cluster, engine } = this.#options;
    engine.after(MONITOR_MS, () => this.#monitor());
    for (const node of cluster.list<Node>(NODE)) {
      const { name } = node.metadata;
      const [lastMs = 0] = this.beatsOf(name);
      if (engine.nowMs - lastMs >= GRACE_MS && isReady(node)) this.#giveUp(node);
    }
  }

  #giveUp(node: Node): void {
    const { cluster, engine, chance } = this.#options;
    const { name } = node.metadata;
    const conditions = [{ type: 'Ready', status: 'Unknown' }];
    cluster.patch(CONTROLLER, NODE, node, { status: { conditions } }, 'status');
    this.#unknownSinceMs.set(name, engine.nowMs);
    for (const pod of this.#podsOn(name)) this.#sayNotReady(pod);
    engine.after(chance.logBetween(EVICTION_MS.min, EVICTION_MS.max), () => {
      if (!this.#unknownSinceMs.has(name)) return;
      for (const pod of this.#podsOn(name)) cluster.delete(CONTROLLER, POD, pod);
    });
  }

  #sayNotReady(pod: Pod): void {
    const conditions = (pod.status?.conditions ?? []).map((condition) =>
      condition.type === 'Ready' ? { ...condition, status: 'False' } : condition,
    );
    this.#options.cluster.patch(CONTROLLER, POD, pod, { status: { conditions } }, 'status');
  }

  #podsOn(node: string): Pod[] {
    return this.#options.cluster.list<Pod>(POD).filter(({ spec }) => spec?.nodeName === node);
  }
}

const isReady = ({ status }: Node): boolean =>
  status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;
