/**
 * The kubelets of a set of hollow nodes. Like a real one it works from levels: it compares what the API server says of
 * a pod with what is the case, and writes where they differ; so it survives conflicts, missed events and API servers
 * that come and go, and says again what somebody else has overwritten.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { beginPod, endPod, isOutdated, statusPatch } from './hollow-pod.ts';
import type { HollowPodObject, PodState } from './hollow-pod.ts';
import { isNodeReady, leaseRenewal, nodeLease, nodeObject, nodeStatus } from './hollow-node.ts';
import type { HollowNode, NodeObject } from './hollow-node.ts';
import { MAX_CONNECTIONS, RestError, hasStatus } from './rest-client.ts';
import type { ApiObject, RestClient } from './rest-client.ts';
import { Slots } from './slots.ts';

export interface Instant {
  /** Milliseconds since 1970. */
  readonly wallMs: number;
  /** `performance.now()` of this process. */
  readonly monotonicMs: number;
}

/** When the write that the API server accepted was sent, and when its answer had come: it knew somewhere between. */
export interface Timing {
  readonly sent: Instant;
  readonly answered: Instant;
}

/**
 * Decides whether a new pod becomes Ready. False holds it back until the gate is replaced or the pod admitted by hand;
 * a promise holds it back until that resolves (to anything but false).
 */
export type ReadyGate = (pod: HollowPodObject) => boolean | Promise<unknown>;

export interface PodEntry {
  pod: HollowPodObject;
  readonly node: HollowNode;
  /** Undefined until its containers have started. */
  state: PodState | undefined;
  starting: boolean;
  stop: 'no' | 'stopping' | 'stopped' | 'removed';
  /** Writes of one pod go one after another. */
  lastWrite: Promise<unknown>;
}

export interface KubeletOptions {
  readonly startDelayMs: number;
  readonly stopDelayMs: number;
  readonly leaseRenewMs: number;
  readonly nextPodIP: () => string;
}

/** What becomes of a pod that comes to a node which shuts down. */
const REFUSED = {
  phase: 'Failed',
  exitCode: 137,
  reason: 'NodeShutdown',
  message: 'Pod was rejected as the node is shutting down.',
} as const;

const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2_000;

export const podPath = ({ metadata }: HollowPodObject): string =>
  `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
const nodePath = (name: string): string => `/api/v1/nodes/${name}`;
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

const now = (): Instant => ({ wallMs: Date.now(), monotonicMs: performance.now() });
const version = (object: { metadata: { resourceVersion: string } }): number => Number(object.metadata.resourceVersion);

async function timed<T>(write: () => Promise<T>): Promise<[Timing, T]> {
  const sent = now();
  const result = await write();
  return [{ sent, answered: now() }, result];
}

/** Answers that a repetition would not change. */
const isFinal = (error: unknown): boolean =>
  error instanceof RestError && error.status >= 400 && error.status < 500 && ![409, 429].includes(error.status);

export class HollowKubelet {
  readonly nodes: ReadonlyMap<string, HollowNode>;
  readonly pods = new Map<string, PodEntry>();
  readonly #api: RestClient;
  readonly #options: KubeletOptions;
  readonly #end = new AbortController();
  /** Here and not in the HTTP agent's queue, so that `sent` is when a write leaves, not when it begins to wait. */
  readonly #slots = new Slots(MAX_CONNECTIONS);
  #gate: ReadyGate | undefined;

  constructor(api: RestClient, nodes: readonly HollowNode[], options: KubeletOptions) {
    this.#api = api;
    this.#options = options;
    this.nodes = new Map(nodes.map((node) => [node.name, node]));
  }

  /** Registers the nodes and begins to work. Resolves when they are Ready, without taints, and pods are watched. */
  async start(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => this.#register(node)));
    const listed = Promise.withResolvers<void>();
    const pods = {
      onList: (items: HollowPodObject[]) => {
        this.#replace(items);
        listed.resolve();
      },
      onEvent: (type: string, pod: HollowPodObject) => (type === 'DELETED' ? this.#forget(pod) : this.#see(pod)),
    };
    const nodes = {
      onList: (items: NodeObject[]) => items.forEach((node) => this.#seeNode(node)),
      onEvent: (type: string, node: NodeObject) => type !== 'DELETED' && this.#seeNode(node),
    };
    const { signal } = this.#end;
    void this.#api.follow('/api/v1/pods', { fieldSelector: 'spec.nodeName!=' }, pods, signal);
    void this.#api.follow('/api/v1/nodes', {}, nodes, signal);
    for (const node of this.nodes.values()) void this.#renewLease(node);
    await listed.promise;
  }

  /** Falls silent for good. What it has said stays in the API server. */
  stop(): void {
    this.#end.abort();
  }

  setGate(gate: ReadyGate | undefined): void {
    this.#gate = gate;
    for (const entry of this.pods.values()) {
      if (entry.state === undefined || entry.state.admitted) continue;
      this.#consultGate(entry, entry.state);
      this.#sync(entry);
    }
  }

  lose(node: HollowNode): void {
    node.lost = true;
  }

  shutDown(node: HollowNode): Promise<Timing> {
    node.shuttingDown = true;
    return this.#reportNode(node);
  }

  async recover(node: HollowNode): Promise<Timing> {
    node.lost = false;
    node.shuttingDown = false;
    await this.#attempt(node, () => this.#api.patch(`${LEASES}/${node.name}`, leaseRenewal(Date.now())));
    const timing = await this.#reportNode(node);
    for (const entry of this.pods.values()) if (entry.node === node) this.#sync(entry);
    return timing;
  }

  /** Writes the pod's state as it is when its turn has come. @throws when the pod is gone or its node lost. */
  report(entry: PodEntry): Promise<Timing> {
    return this.#inTurn(entry, async () => {
      const { state, node } = entry;
      if (state === undefined) throw new Error(`${podPath(entry.pod)} has not started`);
      const [timing, pod] = await this.#attempt(node, async () => {
        const patch = statusPatch(entry.pod, state, node.ip, Date.now());
        return this.#api.patch<HollowPodObject>(`${podPath(entry.pod)}/status`, patch, 'strategic-merge');
      });
      if (version(pod) > version(entry.pod)) entry.pod = pod;
      return timing;
    });
  }

  /** Removes the pod from the API server as a kubelet does when its containers have stopped. */
  remove(pod: HollowPodObject, node?: HollowNode): Promise<Timing> {
    const { uid } = pod.metadata;
    return this.#attempt(node, () => this.#api.delete(podPath(pod), { uid, gracePeriodSeconds: 0 })).then(
      ([timing]) => timing,
    );
  }

  /** Runs the action unless the kubelet has been stopped by then. */
  later(delayMs: number, action: () => Promise<unknown> | void): void {
    const act = (): void => {
      if (!this.#end.signal.aborted) this.#inBackground(Promise.resolve(action()));
    };
    if (delayMs <= 0) act();
    else setTimeout(act, delayMs).unref();
  }

  async #register(node: HollowNode): Promise<void> {
    const object = nodeObject(node, Date.now());
    const [, { metadata }] = await this.#attempt(node, () => this.#createOrGet('/api/v1/nodes', node.name, object));
    const lease = nodeLease(node.name, metadata.uid, this.#options.leaseRenewMs, Date.now());
    await this.#attempt(node, () => this.#createOrGet(LEASES, node.name, lease));
    // The API server gives every new node the taint "not-ready", which a controller would take away in its own time.
    await this.#attempt(node, () => this.#api.patch(nodePath(node.name), { spec: { taints: null } }));
  }

  /** A creation whose answer was lost may have landed, and a kubelet that comes back finds its node registered. */
  async #createOrGet(collection: string, name: string, body: object): Promise<ApiObject> {
    try {
      return await this.#api.create(collection, body);
    } catch (error) {
      if (!hasStatus(error, 409)) throw error;
      return this.#api.get(`${collection}/${name}`);
    }
  }

  #seeNode(object: NodeObject): void {
    const node = this.nodes.get(object.metadata.name);
    if (node === undefined || node.lost || isNodeReady(object) === !node.shuttingDown) return;
    this.#inBackground(this.#reportNode(node));
  }

  async #reportNode(node: HollowNode): Promise<Timing> {
    const path = `${nodePath(node.name)}/status`;
    const [timing] = await this.#attempt(node, () =>
      this.#api.patch(path, nodeStatus(node, Date.now()), 'strategic-merge'),
    );
    return timing;
  }

  async #renewLease(node: HollowNode): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await sleep(this.#options.leaseRenewMs, undefined, { signal }).catch(() => {});
      if (node.lost || signal.aborted) continue;
      await this.#attempt(node, () => this.#api.patch(`${LEASES}/${node.name}`, leaseRenewal(Date.now()))).catch(
        (error: unknown) => this.#ignoreIfGone(error),
      );
    }
  }

  #replace(pods: HollowPodObject[]): void {
    const present = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const [uid, entry] of this.pods) if (!present.has(uid)) this.#forget(entry.pod);
    for (const pod of pods) this.#see(pod);
  }

  #forget(pod: HollowPodObject): void {
    const entry = this.pods.get(pod.metadata.uid);
    if (entry !== undefined) entry.stop = 'removed';
    this.pods.delete(pod.metadata.uid);
  }

  #see(pod: HollowPodObject): void {
    const node = this.nodes.get(pod.spec.nodeName ?? '');
    if (node === undefined) return;
    const known = this.pods.get(pod.metadata.uid);
    // Our own write's answer may have been quicker than the watch.
    if (known !== undefined && version(known.pod) > version(pod)) return;
    const fresh: PodEntry = { pod, node, state: undefined, starting: false, stop: 'no', lastWrite: Promise.resolve() };
    const entry = known ?? fresh;
    entry.pod = pod;
    this.pods.set(pod.metadata.uid, entry);
    this.#sync(entry);
  }

  /** Does what is due for this pod. */
  #sync(entry: PodEntry): void {
    const { pod, node, state } = entry;
    if (node.lost || entry.stop === 'removed') return;
    const phase = pod.status?.phase;
    if (pod.metadata.deletionTimestamp !== undefined) this.#stopPod(entry);
    else if (phase === 'Failed' || phase === 'Succeeded') return;
    else if (state === undefined) this.#startPod(entry);
    else if (isOutdated(pod, state)) this.#inBackground(this.#reportIfOutdated(entry));
  }

  #startPod(entry: PodEntry): void {
    if (entry.starting) return;
    entry.starting = true;
    const delayMs = entry.pod.status?.phase === 'Running' ? 0 : this.#options.startDelayMs;
    this.later(delayMs, () => {
      entry.state = beginPod(entry.pod, this.#options.nextPodIP(), Date.now());
      if (entry.node.shuttingDown) endPod(entry.state, REFUSED, Date.now());
      this.#consultGate(entry, entry.state);
      this.#sync(entry);
    });
  }

  #stopPod(entry: PodEntry): void {
    if (entry.stop === 'stopped') this.#inBackground(this.#inTurn(entry, () => this.#remove(entry)));
    if (entry.stop !== 'no') return;
    entry.stop = 'stopping';
    const graceMs = (entry.pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000;
    this.later(Math.min(this.#options.stopDelayMs, graceMs), () => {
      if (entry.stop === 'stopping') entry.stop = 'stopped';
      this.#sync(entry);
    });
  }

  async #remove(entry: PodEntry): Promise<void> {
    if (entry.stop === 'removed') return;
    await this.remove(entry.pod, entry.node);
    entry.stop = 'removed';
  }

  #consultGate(entry: PodEntry, state: PodState): void {
    const verdict = this.#gate?.(entry.pod) ?? true;
    state.admitted = verdict === true;
    if (typeof verdict === 'boolean') return;
    const opened = verdict.then((value) => {
      if (value === false) return;
      state.admitted = true;
      this.#sync(entry);
    });
    this.#inBackground(opened);
  }

  async #reportIfOutdated(entry: PodEntry): Promise<void> {
    await entry.lastWrite;
    if (entry.state !== undefined && isOutdated(entry.pod, entry.state)) await this.report(entry);
  }

  #inTurn<T>(entry: PodEntry, write: () => Promise<T>): Promise<T> {
    const turn = entry.lastWrite.then(write);
    entry.lastWrite = turn.catch(() => {});
    return turn;
  }

  /** Errors that mean "there is nothing left to report on" end a background task; all others are mistakes, and loud. */
  #inBackground(task: Promise<unknown>): void {
    void task.catch((error: unknown) => this.#ignoreIfGone(error));
  }

  #ignoreIfGone(error: unknown): void {
    if (error instanceof SilentError || hasStatus(error, 404) || hasStatus(error, 409)) return;
    throw error;
  }

  /** Repeats a write until the API server has answered it: with yes, or with a no that would not change. */
  async #attempt<T>(node: HollowNode | undefined, write: () => Promise<T>): Promise<[Timing, T]> {
    for (let delayMs = FIRST_RETRY_MS, conflicts = 0; ; delayMs = Math.min(delayMs * 2, MAX_RETRY_MS)) {
      if (this.#end.signal.aborted || node?.lost === true) throw new SilentError();
      try {
        return await this.#slots.run(() => timed(write));
      } catch (error) {
        // A conflict that stays is another pod of the same name.
        conflicts += hasStatus(error, 409) ? 1 : 0;
        if (isFinal(error) || conflicts > 5) throw error;
      }
      await sleep(delayMs, undefined, { signal: this.#end.signal }).catch(() => {});
    }
  }
}

/** The kubelet was stopped or cut off before it could say what it wanted to. */
class SilentError extends Error {
  override readonly name = 'SilentError';
  constructor() {
    super('this hollow kubelet has been stopped, or its node is lost');
  }
}
