/**
 * Nodes without machines: pods that the scheduler puts there are Running and Ready at once, without containers, and
 * crash, hang, fail or vanish on command.
 */
import { HollowKubelet } from './hollow-kubelet.ts';
import type { PodEntry, ReadyGate, Timing } from './hollow-kubelet.ts';
import { endContainers, endPod, restartContainers } from './hollow-pod.ts';
import type { PodEnd, PodState } from './hollow-pod.ts';
import type { HollowNode } from './hollow-node.ts';
import { restClient, restClientFromKubeconfig } from './rest-client.ts';
import type { ApiObject, RestClient } from './rest-client.ts';
import { until } from './wait.ts';

export type { Instant, ReadyGate, Timing } from './hollow-kubelet.ts';

export interface HollowNodesOptions {
  /** Default: `count` names `node-1`, `node-2`, … */
  readonly names?: readonly string[];
  /** Default 3. */
  readonly count?: number;
  /** Taken in turns. Default: zone-1, zone-1, zone-2. */
  readonly zones?: readonly string[];
  /** Further labels of every node. */
  readonly labels?: Readonly<Record<string, string>>;
  /** From a pod's binding to its being Running and Ready. Default 0. */
  readonly startDelayMs?: number;
  /** From a pod's deletion to its being gone, at most its grace period. Default 0. */
  readonly stopDelayMs?: number;
  /** Default 10 s, as a kubelet's. Shorten it with a controller manager that gives up on nodes sooner than after 40 s. */
  readonly leaseRenewMs?: number;
  /** Default 500 a node. */
  readonly maxPods?: number;
}

/** A pod's `metadata` will do. Without a uid: whichever pod has the name now. */
export interface PodName {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

/**
 * Every command resolves when the API server has accepted it, and rejects when the pod is not known here within 5 s, is
 * gone, or is on a lost node.
 */
export interface HollowNodes {
  readonly names: readonly string[];
  /** The containers (default: all) end as if killed. Without `restartAfterMs` they stay down until `restart`. */
  crash(
    pod: PodName,
    options?: { restartAfterMs?: number; containers?: readonly string[]; exitCode?: number },
  ): Promise<Timing>;
  /** What has crashed runs again, one restart more on its count. */
  restart(pod: PodName): Promise<Timing>;
  /** The readiness probe fails from now on; the containers go on running. */
  hang(pod: PodName): Promise<Timing>;
  unhang(pod: PodName): Promise<Timing>;
  /** Phase Failed, as after an eviction by the kubelet. Default reason: Evicted. */
  fail(pod: PodName, reason?: string, message?: string): Promise<Timing>;
  /** All containers end by themselves: phase Succeeded, or Failed for another exit code than 0. */
  exit(pod: PodName, exitCode?: number): Promise<Timing>;
  /** The pod is deleted by force: no grace period, no last words. Works on lost nodes as well. */
  vanish(pod: PodName): Promise<Timing>;
  /** The kubelet and its lease fall silent. Pods on it go on as they are, and nobody says so. Nothing is written. */
  loseNode(name: string): void;
  /**
   * The node's machine shuts down: its kubelet says so with each of its reports, and refuses new pods. It ends those that
   * are deleted; to the others it gives more time than any test takes. `recoverNode` takes it back.
   */
  shutDownNode(name: string): Promise<Timing>;
  /** The kubelet is back, says so, and says again what its pods are. Resolves when the node is Ready. */
  recoverNode(name: string): Promise<Timing>;
  /** For pods that start from now on, and those that the last gate held back. Undefined: all become Ready. */
  setReadyGate(gate: ReadyGate | undefined): void;
  /** Lets a pod that the gate holds back become Ready. */
  admit(pod: PodName): Promise<Timing>;
  /** All kubelets fall silent, and the API server is left as it is. */
  stop(): void;
  /** Stops, then removes the nodes and, by force, the pods on them. */
  remove(): Promise<void>;
}

const DEFAULT_ZONES = ['zone-1', 'zone-1', 'zone-2'];
const KNOWN_WITHIN_MS = 5_000;

const dotted = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');

/** Addresses in 10.64.0.0 … 10.255.255.255, from a random one on: sets that are made in different processes differ. */
function addresses(): () => string {
  const first = 0x0a_40_00_00;
  const count = 0xc0_00_00;
  let next = Math.floor(Math.random() * count);
  return () => dotted(first + (next++ % count));
}

function describeNodes(options: HollowNodesOptions, nextIP: () => string): HollowNode[] {
  const { count = 3, zones = DEFAULT_ZONES, labels = {}, maxPods = 500 } = options;
  const names = options.names ?? Array.from({ length: count }, (_, index) => `node-${index + 1}`);
  return names.map((name, index) => {
    const zone = zones[index % zones.length] ?? 'zone-1';
    return { name, zone, ip: nextIP(), labels, maxPods, lost: false, shuttingDown: false };
  });
}

/**
 * Starts hollow nodes in this process; they live until `stop()`, `remove()`, or the process's end.
 *
 * @param target an admin's kubeconfig (one that this folder wrote) or client
 */
export async function startHollowNodes(
  target: string | RestClient,
  options: HollowNodesOptions = {},
): Promise<HollowNodes> {
  // A client of its own: writes of hundreds of pods must not queue up in front of the test's own requests.
  const api = typeof target === 'string' ? restClientFromKubeconfig(target) : restClient(target.connection);
  const nextPodIP = addresses();
  const nodes = describeNodes(options, nextPodIP);
  const { startDelayMs = 0, stopDelayMs = 0, leaseRenewMs = 10_000 } = options;
  const kubelet = new HollowKubelet(api, nodes, { startDelayMs, stopDelayMs, leaseRenewMs, nextPodIP });
  await kubelet.start();
  return {
    names: nodes.map(({ name }) => name),
    ...podCommands(kubelet),
    loseNode: (name) => kubelet.lose(nodeNamed(kubelet, name)),
    shutDownNode: async (name) => kubelet.shutDown(nodeNamed(kubelet, name)),
    recoverNode: async (name) => kubelet.recover(nodeNamed(kubelet, name)),
    setReadyGate: (gate) => kubelet.setGate(gate),
    stop() {
      kubelet.stop();
      api.close();
    },
    async remove() {
      kubelet.stop();
      await Promise.all(nodes.map(({ name }) => removeNode(api, name)));
      api.close();
    },
  };
}

function nodeNamed(kubelet: HollowKubelet, name: string): HollowNode {
  const node = kubelet.nodes.get(name);
  if (node === undefined) throw new Error(`no hollow node ${name}; there are ${[...kubelet.nodes.keys()].join(', ')}`);
  return node;
}

type RunningPod = PodEntry & { state: PodState };

async function findPod(kubelet: HollowKubelet, pod: PodName): Promise<RunningPod> {
  const { namespace = 'default', name, uid } = pod;
  const isMeant = ({ metadata }: ApiObject) =>
    metadata.name === name && metadata.namespace === namespace && (uid === undefined || metadata.uid === uid);
  const look = () => {
    const entry = uid === undefined ? undefined : kubelet.pods.get(uid);
    const found = entry ?? [...kubelet.pods.values()].find(({ pod }) => isMeant(pod));
    return found?.state === undefined ? undefined : (found as RunningPod);
  };
  return look() ?? until(`${namespace}/${name} to run on a hollow node`, look, { timeoutMs: KNOWN_WITHIN_MS });
}

type PodCommands = Pick<HollowNodes, 'crash' | 'restart' | 'hang' | 'unhang' | 'fail' | 'exit' | 'vanish' | 'admit'>;

function podCommands(kubelet: HollowKubelet): PodCommands {
  const findHeard = async (pod: PodName): Promise<RunningPod> => {
    const entry = await findPod(kubelet, pod);
    if (entry.node.lost) throw new Error(`${pod.name} is on ${entry.node.name}, which is lost`);
    return entry;
  };
  const change = async (pod: PodName, act: (state: PodState) => void): Promise<Timing> => {
    const entry = await findHeard(pod);
    act(entry.state);
    return kubelet.report(entry);
  };
  const restart = (entry: RunningPod): Promise<Timing> => {
    restartContainers(entry.state, Date.now());
    return kubelet.report(entry);
  };
  const end = (pod: PodName, how: PodEnd) => change(pod, (state) => endPod(state, how, Date.now()));
  return {
    async crash(pod, { restartAfterMs, containers, exitCode = 137 } = {}) {
      const entry = await findHeard(pod);
      endContainers(entry.state, containers, exitCode, Date.now());
      const timing = await kubelet.report(entry);
      if (restartAfterMs !== undefined) kubelet.later(restartAfterMs, () => restart(entry));
      return timing;
    },
    restart: async (pod) => restart(await findHeard(pod)),
    hang: (pod) => change(pod, (state) => void (state.hung = true)),
    unhang: (pod) => change(pod, (state) => void (state.hung = false)),
    fail: (pod, reason = 'Evicted', message = 'The node was low on resource: hollow.') =>
      end(pod, { phase: 'Failed', exitCode: 137, reason, message }),
    exit: (pod, exitCode = 0) => end(pod, { phase: exitCode === 0 ? 'Succeeded' : 'Failed', exitCode }),
    vanish: async (pod) => kubelet.remove((await findPod(kubelet, pod)).pod),
    admit: (pod) => change(pod, (state) => void (state.admitted = true)),
  };
}

/** A node that is gone and a control plane that is gone are both fine. */
async function removeNode(api: RestClient, name: string): Promise<void> {
  const ignoreGone = (error: unknown): void => {
    const { status, code } = error as { status?: number; code?: string };
    if (status !== 404 && code !== 'ECONNREFUSED') throw error;
  };
  await api.delete(`/api/v1/nodes/${name}`).catch(ignoreGone);
  const pods = await api.list('/api/v1/pods', { fieldSelector: `spec.nodeName=${name}` }).catch(ignoreGone);
  const deletions = (pods?.items ?? []).map(({ metadata }) =>
    api
      .delete(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`, { gracePeriodSeconds: 0 })
      .catch(ignoreGone),
  );
  await Promise.all(deletions);
}
