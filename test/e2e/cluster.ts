/** The cluster under test, and questions to it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Api, HttpError } from './api.ts';
import type { Obj } from './api.ts';
import { examplesConfig } from './examples.ts';
import { whyNoNodeFaults } from './faults.ts';
import { isReady, readyUids, restarts } from './objects.ts';
import type { Lease, NodeObject, Pod, Service, Singleton, Slice } from './objects.ts';
import type { ClientRecord } from './record.ts';
import { apply, kubectl, startProxy } from './shell.ts';
import { Watcher } from './watcher.ts';
import { NAMESPACE, SERVICE_PORT, clients, namespace, scripts, singleton } from './workload.ts';

export const OPERATOR_NAMESPACE = 'singleton-system';

const core = (namespace: string) => `/api/v1/namespaces/${namespace}`;
const SINGLETONS = `/apis/singleton-operator.io/v1alpha1/namespaces/${NAMESPACE}/singletonservices`;

/** Actives that fail one after another, each within 5 s, are moved from more and more slowly. */
const LONG_REIGN_MS = 5_000;

/** Longer than it takes the kernel to send a lost SYN again, which happens where cores are scarce. */
const TIMEOUT_MS = 3_000;

export interface Rates {
  /** Between two new connections. */
  readonly everyMs?: number;
  /** Clients on workers, where a core goes to the operator first: on the control plane they would be ahead of it. */
  readonly isGentle?: boolean;
}

/** Who is asked at what address by whom. */
export interface Watching {
  stop(): Promise<ClientRecord[]>;
}

export class Cluster {
  readonly api: Api;
  readonly image: string;
  readonly watcher = new Watcher();
  /** Why nodes can't be paused or processes in them killed; undefined in kind. */
  readonly noNodeFaults: string | undefined;
  readonly nodes: readonly string[];
  readonly controlPlane: string;
  readonly sliceVersion: string;
  readonly evictionVersion: string;
  readonly #stop: () => void;

  private constructor(parts: {
    api: Api;
    image: string;
    nodes: readonly NodeObject[];
    groups: readonly string[];
    noNodeFaults: string | undefined;
    stop: () => void;
  }) {
    this.api = parts.api;
    this.image = parts.image;
    this.nodes = parts.nodes.map(({ metadata }) => metadata.name);
    this.controlPlane = parts.nodes.find(isControlPlane)?.metadata.name ?? this.nodes[0] ?? '';
    this.noNodeFaults = parts.noNodeFaults;
    this.sliceVersion = parts.groups.includes('discovery.k8s.io/v1') ? 'v1' : 'v1beta1';
    this.evictionVersion = parts.groups.includes('policy/v1') ? 'v1' : 'v1beta1';
    this.#stop = parts.stop;
  }

  static async connect(image: string): Promise<Cluster> {
    const proxy = await startProxy();
    const api = new Api(proxy.url);
    const nodes = await api.list<NodeObject>('/api/v1/nodes');
    const { groups } = await api.get<{ groups: { versions: { groupVersion: string }[] }[] }>('/apis');
    return new Cluster({
      api,
      image,
      nodes,
      groups: groups.flatMap(({ versions }) => versions.map(({ groupVersion }) => groupVersion)),
      noNodeFaults: await whyNoNodeFaults(nodes.map(({ metadata }) => metadata.name)),
      stop: () => proxy.stop(),
    });
  }

  /** Begins from nothing: what an earlier run left behind goes first. */
  async setUp(): Promise<void> {
    await kubectl('delete', 'namespace', '-l', 'app=singleton-e2e', '--wait=false');
    await apply(namespace, scripts(), examplesConfig(NAMESPACE), clients(this.image), singleton('echo', 3, this.image));
    this.watcher.start(this.api, NAMESPACE, this.sliceVersion);
    await this.#clientsAreUp([]);
  }

  /**
   * After requests that got no answer at all. Their entries stay in the nodes' connection tracking for up to 300 s, with the
   * address of a pod that may be gone; a later connection from the same port follows them there and is lost. New pods have
   * new addresses.
   */
  async renewClients(): Promise<void> {
    const old = (await this.pods('client')).map(({ metadata }) => metadata.uid);
    await kubectl('-n', NAMESPACE, 'delete', 'pods', '-l', 'app=client', '--wait=false');
    await this.#clientsAreUp(old);
  }

  async #clientsAreUp(without: readonly string[]): Promise<void> {
    await this.until('a client on every node', async () => {
      const pods = await this.pods('client');
      const isNew = pods.every((pod) => isReady(pod) && !without.includes(pod.metadata.uid));
      return pods.length === this.nodes.length && isNew;
    });
  }

  async tearDown(keep: boolean): Promise<void> {
    this.watcher.stop();
    if (!keep) await kubectl('delete', 'namespace', NAMESPACE, '--wait=false').catch(() => '');
    this.#stop();
  }

  /** Waits for the state of the world; an API server that is away counts as "not yet". */
  async until<T>(what: string, look: () => Promise<T | undefined | false>, timeoutMs = 120_000): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    let failure: unknown;
    while (performance.now() < deadline) {
      try {
        const seen = await look();
        if (seen !== undefined && seen !== false) return seen;
      } catch (error) {
        failure = error;
      }
      await sleep(100);
    }
    throw new Error(`waited ${timeoutMs / 1000} s for ${what}`, { cause: failure });
  }

  pods(app: string, namespace = NAMESPACE): Promise<Pod[]> {
    const label = namespace === NAMESPACE ? 'app' : 'app.kubernetes.io/name';
    return this.api.list<Pod>(`${core(namespace)}/pods?labelSelector=${label}%3D${app}`);
  }

  operators(): Promise<Pod[]> {
    return this.pods('singleton-operator', OPERATOR_NAMESPACE);
  }

  singleton(name: string): Promise<Singleton> {
    return this.api.get<Singleton>(`${SINGLETONS}/${name}`);
  }

  lease(name: string, namespace = NAMESPACE): Promise<Lease> {
    return this.api.get<Lease>(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`);
  }

  /** The highest that was granted. */
  async term(name: string): Promise<number> {
    return (await this.lease(`${name}-active`)).spec?.leaseTransitions ?? 0;
  }

  async change(name: string, patch: object): Promise<void> {
    await this.api.patch(`${SINGLETONS}/${name}`, patch);
  }

  async scale(name: string, replicas: number): Promise<void> {
    await this.change(name, { spec: { replicas } });
  }

  async removeSingleton(name: string): Promise<void> {
    await this.api.remove(`${SINGLETONS}/${name}`);
  }

  async removePod(pod: Pod, graceSeconds?: number): Promise<void> {
    await this.api.remove(`${core(pod.metadata.namespace ?? NAMESPACE)}/pods/${pod.metadata.name}`, graceSeconds);
  }

  /** While it has its budget, the active is not evicted at all. */
  async evict(pod: Pod): Promise<void> {
    await this.#budget(false);
    await this.api.create(`${core(NAMESPACE)}/pods/${pod.metadata.name}/eviction`, {
      apiVersion: `policy/${this.evictionVersion}`,
      kind: 'Eviction',
      metadata: { name: pod.metadata.name, namespace: NAMESPACE },
    });
    await this.#budget(true);
  }

  async #budget(disruptionBudget: boolean): Promise<void> {
    await this.api.patch(`${SINGLETONS}/echo`, { spec: { disruptionBudget } });
    const path = `/apis/policy/${this.evictionVersion}/namespaces/${NAMESPACE}/poddisruptionbudgets`;
    await this.until(`the budget to be ${disruptionBudget ? 'there' : 'gone'}`, async () => {
      const budgets = await this.api.list<Obj>(path);
      return budgets.some(({ metadata }) => metadata.name === 'echo') === disruptionBudget;
    });
  }

  /** UIDs that the Service routes to. */
  async routed(name: string): Promise<string[]> {
    const path = `/apis/discovery.k8s.io/${this.sliceVersion}/namespaces/${NAMESPACE}/endpointslices`;
    const slices = await this.api.list<Slice>(`${path}?labelSelector=kubernetes.io/service-name%3D${name}`);
    return slices.flatMap(readyUids);
  }

  /** The pod that holds the Lease, when it is there. */
  async active(name: string): Promise<Pod | undefined> {
    const holder = (await this.lease(`${name}-active`)).spec?.holderIdentity ?? '';
    const pods = await this.pods(name);
    return pods.find(({ metadata }) => holder === `${metadata.name}_${metadata.uid}`);
  }

  /** Waits until another pod than `old` holds the Lease and is all that is routed. */
  async movedFrom(old: Pod, name = 'echo'): Promise<void> {
    await this.until(`a move away from ${old.metadata.name}`, () => this.#hasMovedFrom(old, name));
  }

  /**
   * The same after the active's process has ended; or the kubelet started it again before it had told anybody that it
   * had ended. Under load it does that, and then there is nothing to move for; nor is there when no operator was up.
   */
  async movedFromOrUnnoticed(old: Pod, operatorsUp = true): Promise<void> {
    const before = restarts(old);
    const { uid, name } = old.metadata;
    const isUnnoticed = (): boolean => {
      const now = this.watcher.latest(uid);
      return now !== undefined && restarts(now) > before && isReady(now) && !(operatorsUp && this.watcher.sawDown(uid));
    };
    // What the watches brought is enough to wait by: questions to the API server would compete with what is measured.
    await this.until(`a move away from ${name}`, async () => this.watcher.sawRoutedOtherThan(uid) || isUnnoticed());
    await this.until(`${name} to be left`, async () => (await this.#hasMovedFrom(old)) || isUnnoticed());
  }

  async #hasMovedFrom(old: Pod, name = 'echo'): Promise<boolean> {
    const active = await this.active(name);
    if (active === undefined || active.metadata.uid === old.metadata.uid) return false;
    const routed = await this.routed(name);
    return routed.length === 1 && routed[0] === active.metadata.uid;
  }

  /** The operator replica that leads, when it is up. */
  async leader(): Promise<Pod | undefined> {
    const holder = (await this.lease('singleton-operator', OPERATOR_NAMESPACE)).spec?.holderIdentity ?? '';
    return (await this.operators()).find(({ metadata }) => holder.startsWith(`${metadata.name}_`));
  }

  /**
   * Waits for a calm and whole cluster, and returns the active. Pods whose container was restarted are replaced: the
   * kubelet would delay their next restart by 10 s and more.
   */
  async settled(name = 'echo', members = 3): Promise<Pod> {
    await this.#replaceRestarted();
    return this.until(`${name} with ${members} members and two operators`, async () => {
      const nodes = await this.api.list<NodeObject>('/api/v1/nodes');
      if (!nodes.every((node) => isReady(node) && node.spec.unschedulable !== true)) return undefined;
      const operators = await this.operators();
      if (operators.length < 2 || !operators.every(isUp) || (await this.leader()) === undefined) return undefined;
      const pods = (await this.pods(name)).filter((pod) => !hasEnded(pod));
      if (pods.length !== members || !pods.every(isUp)) return undefined;
      const { status } = await this.singleton(name);
      if (status?.readyReplicas !== members) return undefined;
      const active = await this.active(name);
      const routed = await this.routed(name);
      const isRouted = routed.length === 1 && routed[0] === active?.metadata.uid;
      return isRouted && status.active?.pod === active?.metadata.name ? active : undefined;
    });
  }

  /** The same, and the active has been it for so long that its failure is not taken for one of many in a row. */
  async settledForLong(name = 'echo', members = 3): Promise<Pod> {
    return this.until(`an active of ${name} that stays`, async () => {
      const active = await this.settled(name, members);
      const since = Date.parse((await this.singleton(name)).status?.active?.since ?? '');
      return Date.now() - since > LONG_REIGN_MS ? active : undefined;
    });
  }

  async #replaceRestarted(): Promise<void> {
    await this.until('pods to list', async () => (await this.pods('client')).length > 0);
    const active = await this.active('echo').catch(() => undefined);
    for (const pod of [...(await this.pods('echo')), ...(await this.operators())]) {
      const isActive = pod.metadata.uid === active?.metadata.uid;
      if (restarts(pod) === 0 || isActive || pod.metadata.deletionTimestamp !== undefined) continue;
      await this.removePod(pod, 0).catch(ignoreMissing);
    }
  }

  /** Starts clients on two nodes, not on those of `avoid`; the control plane's first, which no case harms, or last. */
  async watch(name: string, avoid: readonly (string | undefined)[], rates: Rates = {}): Promise<Watching> {
    const { everyMs = 4, isGentle = false } = rates;
    const service = await this.api.get<Service>(`${core(NAMESPACE)}/services/${name}`);
    const all = await this.pods('client');
    const isFirst = ({ spec }: Pod): boolean => (spec.nodeName === this.controlPlane) !== isGentle;
    const chosen = all
      .filter(({ spec }) => !avoid.includes(spec.nodeName))
      .toSorted((a, b) => Number(isFirst(b)) - Number(isFirst(a)))
      .slice(0, 2);
    const query = new URLSearchParams({
      host: service.spec.clusterIP ?? '',
      port: String(SERVICE_PORT),
      everyMs: String(everyMs),
      kept: '2',
      keptEveryMs: String(everyMs * 5),
      timeoutMs: String(TIMEOUT_MS),
    });
    const ask = (path: string) => chosen.map(({ metadata }) => this.api.pod(NAMESPACE, metadata.name, path));
    await Promise.all(ask(`/start?${query.toString()}`));
    return {
      stop: async () => (await Promise.all(ask('/stop'))).map((text) => JSON.parse(text) as ClientRecord),
    };
  }
}

export const ignoreMissing = (error: unknown): void => {
  if (!(error instanceof HttpError) || error.status !== 404) throw error;
};

/** Deleted, and nothing runs in it any more. That it is still there is the kubelet's affair, for up to a minute. */
const hasEnded = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp !== undefined &&
  status?.containerStatuses?.every(({ state }) => state?.terminated !== undefined) === true;

const isUp = (pod: Pod): boolean => isReady(pod) && pod.metadata.deletionTimestamp === undefined;

const isControlPlane = ({ metadata }: NodeObject): boolean =>
  Object.keys(metadata.labels ?? {}).some((key) => /^node-role\.kubernetes\.io\/(master|control-plane)$/.test(key));
