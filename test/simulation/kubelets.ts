/**
 * Scheduler and kubelets without machines. They work from levels: what the API server says of a pod is compared with what
 * is the case in it, a while after either changed.
 */
import { NODE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { AGENT_CONTAINER, LABEL, ROLE } from '../../src/api/names.ts';
import type { ContainerState, Node, Pod } from '../../src/api/objects.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Engine } from './engine.ts';
import { versionOf } from './manifest.ts';
import type { Version } from './manifest.ts';
import { wallMsAt } from './process.ts';
import type { Chance } from './random.ts';
import type { Trace } from './trace.ts';

const KUBELET = 'kubelet';
const SCHEDULER = 'scheduler';

/** What is the case in a pod, whatever the API server has been told. */
interface Inside {
  readonly uid: string;
  readonly version: Version;
  node: string | undefined;
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  reason: string | undefined;
  /** Undefined: its containers run. */
  exitCode: number | undefined;
  lastExitCode: number | undefined;
  restarts: number;
  isUp: boolean;
  isHung: boolean;
  isEvicting: boolean;
  stopping: 'no' | 'stopping' | 'stopped';
  isSyncDue: boolean;
}

export interface KubeletTimes {
  readonly lagMs: { readonly min: number; readonly max: number };
  readonly startMs: { readonly min: number; readonly max: number };
  readonly stopMs: { readonly min: number; readonly max: number };
}

export interface Ground {
  readonly engine: Engine;
  readonly cluster: Cluster;
  readonly chance: Chance;
  readonly trace: Trace;
}

export class Kubelets {
  readonly #ground: Ground;
  readonly #times: KubeletTimes;
  readonly #inside = new Map<string, Inside>();
  readonly #lostNodes = new Set<string>();
  /** How often each node was lost. */
  readonly #losses = new Map<string, number>();

  constructor(ground: Ground, times: KubeletTimes) {
    this.#ground = ground;
    this.#times = times;
  }

  onWrite({ type, after, before }: Write): void {
    if (type !== POD) return;
    if (after !== undefined) {
      this.#syncSoon(after);
      if (isActive(after) && !isActive(before)) this.#endureBeingActive(after);
    } else if (before !== undefined) this.#inside.delete(before.metadata.uid);
  }

  // --- what befalls pods ------------------------------------------------------------------------------------------------

  /** Its containers end, and start again after a while. */
  crash(pod: Pod, exitCode: number, downMs: number): void {
    const inside = this.#inside.get(pod.metadata.uid);
    if (inside === undefined || !isRunning(inside)) return;
    inside.exitCode = exitCode;
    this.#syncSoon(pod);
    this.#ground.engine.after(downMs, () => {
      if (inside.exitCode === undefined || inside.stopping !== 'no' || inside.phase !== 'Running') return;
      inside.lastExitCode = inside.exitCode;
      inside.exitCode = undefined;
      inside.restarts += 1;
      this.#syncSoon(pod);
    });
  }

  /** What its containers learn of their role; some versions don't bear it. */
  #endureBeingActive(pod: Pod): void {
    if (versionOf(pod) !== 'fragile') return;
    const { engine, chance, cluster } = this.#ground;
    engine.after(chance.logBetween(20, 4_000), () => {
      const now = cluster.get<Pod>(POD, pod.metadata.name, pod.metadata.namespace);
      if (now?.metadata.uid !== pod.metadata.uid || !isActive(now)) return;
      this.crash(now, 1, chance.logBetween(200, 5_000));
      // It will not bear it the next time either.
      engine.after(5_000, () => this.#endureBeingActive(now));
    });
  }

  /** Its readiness probe fails for so long. */
  hang(pod: Pod, forMs: number): void {
    const inside = this.#inside.get(pod.metadata.uid);
    if (inside === undefined) return;
    inside.isHung = true;
    this.#syncSoon(pod);
    this.#ground.engine.after(forMs, () => {
      inside.isHung = false;
      this.#syncSoon(pod);
    });
  }

  /** Ends for good: evicted by its kubelet, or all containers done. */
  finish(pod: Pod, phase: 'Succeeded' | 'Failed', reason: string | undefined): void {
    const inside = this.#inside.get(pod.metadata.uid);
    if (inside === undefined || !isRunning(inside)) return;
    inside.phase = phase;
    inside.reason = reason;
    inside.exitCode = phase === 'Succeeded' ? 0 : 137;
    this.#syncSoon(pod);
  }

  /** As the eviction API does: a condition first, then a deletion. */
  markForEviction(pod: Pod): void {
    const inside = this.#inside.get(pod.metadata.uid);
    if (inside === undefined) return;
    inside.isEvicting = true;
    this.#report(pod, inside);
  }

  /** The returned function ends this loss, if it still is the one. */
  loseNode(name: string): () => void {
    const loss = (this.#losses.get(name) ?? 0) + 1;
    this.#losses.set(name, loss);
    this.#lostNodes.add(name);
    return () => {
      if (this.#losses.get(name) === loss) this.recoverNode(name);
    };
  }

  recoverNode(name: string): void {
    this.#lostNodes.delete(name);
    for (const pod of this.#ground.cluster.list<Pod>(POD)) if (pod.spec?.nodeName === name) this.#syncSoon(pod);
  }

  get lostNodes(): ReadonlySet<string> {
    return this.#lostNodes;
  }

  /** Nothing is wrong inside any pod any more. */
  healAll(): void {
    for (const name of this.#lostNodes) this.recoverNode(name);
    for (const pod of this.#ground.cluster.list<Pod>(POD)) {
      const inside = this.#inside.get(pod.metadata.uid);
      if (inside === undefined) continue;
      inside.isHung = false;
      if (inside.phase === 'Running' && inside.stopping === 'no') inside.exitCode = undefined;
      this.#syncSoon(pod);
    }
  }

  // --- levels -----------------------------------------------------------------------------------------------------------

  #syncSoon(pod: Pod): void {
    const { uid } = pod.metadata;
    const inside = this.#inside.get(uid) ?? newInside(pod);
    this.#inside.set(uid, inside);
    if (inside.isSyncDue) return;
    inside.isSyncDue = true;
    const { min, max } = this.#times.lagMs;
    this.#ground.engine.after(this.#ground.chance.logBetween(min, max), () => {
      inside.isSyncDue = false;
      this.#sync(pod, inside);
    });
  }

  #sync({ metadata }: Pod, inside: Inside): void {
    const pod = this.#ground.cluster.get<Pod>(POD, metadata.name, metadata.namespace);
    if (pod?.metadata.uid !== inside.uid) return;
    const node = pod.spec?.nodeName;
    if (node === undefined) return this.#schedule(pod);
    if (this.#lostNodes.has(node)) return;
    if (inside.node === undefined) return this.#start(pod, inside, node);
    if (pod.metadata.deletionTimestamp !== undefined && inside.stopping === 'no') this.#stop(pod, inside);
    if (inside.stopping === 'stopped') {
      if (isReported(pod, inside)) this.#ground.cluster.delete(KUBELET, POD, pod, 0);
      else this.#report(pod, inside);
      return;
    }
    if (!isReported(pod, inside)) this.#report(pod, inside);
  }

  #schedule(pod: Pod): void {
    if (pod.metadata.deletionTimestamp !== undefined) return;
    const { cluster, chance, engine } = this.#ground;
    const open = cluster.list<Node>(NODE).filter(({ spec, status }) => {
      const isReady = status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True');
      // One that is silent, and not for long, is as good as any to a scheduler.
      return spec?.unschedulable !== true && isReady === true && (spec?.taints ?? []).length === 0;
    });
    const wished = open.filter(({ metadata }) => !unwanted(pod).includes(metadata.name));
    // A wish is weighed against others.
    const node = chance.pick(wished.length > 0 && chance.happens(0.7) ? wished : open);
    if (node === undefined) {
      engine.after(1_000, () => this.#syncSoon(pod));
      return;
    }
    cluster.bind(SCHEDULER, pod, node.metadata.name);
  }

  #start(pod: Pod, inside: Inside, node: string): void {
    const { engine, chance } = this.#ground;
    inside.node = node;
    inside.phase = 'Running';
    const { min, max } = this.#times.startMs;
    engine.after(chance.logBetween(min, max), () => {
      inside.isUp = true;
      this.#syncSoon(pod);
    });
    this.#syncSoon(pod);
  }

  #stop(pod: Pod, inside: Inside): void {
    const { engine, chance } = this.#ground;
    inside.stopping = 'stopping';
    const { min, max } = this.#times.stopMs;
    engine.after(chance.logBetween(min, max), () => {
      inside.stopping = 'stopped';
      if (inside.phase === 'Running') inside.phase = 'Succeeded';
      inside.exitCode ??= 0;
      this.#syncSoon(pod);
    });
  }

  #report(pod: Pod, inside: Inside): void {
    const status = statusOf(pod, inside, new Date(wallMsAt(this.#ground.engine)).toISOString());
    this.#ground.cluster.patch(KUBELET, POD, pod, { status }, 'status');
  }
}

const newInside = (pod: Pod): Inside => ({
  uid: pod.metadata.uid,
  version: versionOf(pod),
  node: undefined,
  phase: 'Pending',
  reason: undefined,
  exitCode: undefined,
  lastExitCode: undefined,
  restarts: 0,
  isUp: false,
  isHung: false,
  isEvicting: false,
  stopping: 'no',
  isSyncDue: false,
});

/** Nodes that the pod would rather not be on. */
function unwanted(pod: Pod): string[] {
  const { affinity } = (pod.spec ?? {}) as { affinity?: { nodeAffinity?: NodeAffinity } };
  const wishes = affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return wishes
    .flatMap(({ preference }) => preference.matchExpressions ?? [])
    .flatMap(({ operator, values }) => (operator === 'NotIn' ? (values ?? []) : []));
}

interface NodeAffinity {
  readonly preferredDuringSchedulingIgnoredDuringExecution?: readonly {
    readonly preference: { readonly matchExpressions?: readonly { operator: string; values?: string[] }[] };
  }[];
}

const isRunning = ({ phase, isUp, stopping, exitCode }: Inside): boolean =>
  phase === 'Running' && isUp && stopping === 'no' && exitCode === undefined;

const isReady = (inside: Inside): boolean =>
  inside.version !== 'broken' &&
  inside.phase === 'Running' &&
  inside.isUp &&
  !inside.isHung &&
  inside.exitCode === undefined;

const isActive = (pod: Pod | undefined): boolean => pod?.metadata.labels?.[LABEL.role] === ROLE.active;

/** Nulls, since a merge patch leaves what it does not name. */
function stateOf(inside: Inside): Record<keyof ContainerState, unknown> {
  if (!inside.isUp) return { waiting: { reason: 'ContainerCreating' }, running: null, terminated: null };
  if (inside.exitCode === undefined) return { waiting: null, running: {}, terminated: null };
  const reason = inside.exitCode === 0 ? 'Completed' : 'Error';
  return { waiting: null, running: null, terminated: { exitCode: inside.exitCode, reason } };
}

const present = (state: object): object =>
  Object.fromEntries(Object.entries(state).filter(([, value]) => value !== null));

function statusOf(pod: Pod, inside: Inside, nowIso: string): object {
  const condition = (type: string, holds: boolean): object => {
    const status = holds ? 'True' : 'False';
    const before = pod.status?.conditions?.find((condition) => condition.type === type);
    return { type, status, lastTransitionTime: before?.status === status ? before.lastTransitionTime : nowIso };
  };
  const terminated = inside.lastExitCode === undefined ? undefined : { exitCode: inside.lastExitCode };
  return {
    phase: inside.phase,
    reason: inside.reason ?? null,
    podIP: ipOf(inside.uid),
    conditions: [
      condition('PodScheduled', true),
      condition('Ready', isReady(inside)),
      ...(inside.isEvicting ? [condition('DisruptionTarget', true)] : []),
    ],
    containerStatuses: [
      {
        name: 'app',
        ready: isReady(inside),
        restartCount: inside.restarts,
        state: present(stateOf(inside)),
        lastState: terminated === undefined ? {} : { terminated },
      },
    ],
    ...agentStatus(pod, inside),
  };
}

/** Of the agent beside it, where there is one: it goes on while the pod does. */
function agentStatus({ spec }: Pod, { phase, isUp, restarts }: Inside): object {
  const isThere = spec?.initContainers?.some(({ name }) => name === AGENT_CONTAINER) === true;
  if (!isThere) return {};
  const hasEnded = phase === 'Succeeded' || phase === 'Failed';
  const state = hasEnded ? { terminated: { exitCode: 0, reason: 'Completed' } } : { running: {} };
  return {
    initContainerStatuses: [{ name: AGENT_CONTAINER, ready: isUp && !hasEnded, restartCount: restarts, state }],
  };
}

function ipOf(uid: string): string {
  let hash = 0;
  for (const character of uid) hash = Math.imul(hash, 31) + character.charCodeAt(0);
  return `10.${(hash >>> 16) & 255}.${(hash >>> 8) & 255}.${hash & 255}`;
}

/** Whether the API server knows what there is to know. */
function isReported(pod: Pod, inside: Inside): boolean {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  const [container] = pod.status?.containerStatuses ?? [];
  return (
    pod.status?.phase === inside.phase &&
    ready === isReady(inside) &&
    container?.restartCount === inside.restarts &&
    container.state?.terminated?.exitCode === inside.exitCode
  );
}
