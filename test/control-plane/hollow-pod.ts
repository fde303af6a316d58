/**
 * What a kubelet knows of one pod, and the status it reports from that. Pure: no requests, no clock.
 *
 * Containers never run here; they are said to.
 */
import type { ApiObject } from './rest-client.ts';

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason?: string | null;
  lastTransitionTime?: string;
}

interface Terminated {
  exitCode: number;
  reason: string;
  startedAt: string;
  finishedAt: string;
}

interface ContainerState {
  running?: { startedAt: string };
  terminated?: Terminated;
}

interface ContainerStatus {
  name: string;
  image: string;
  imageID: string;
  ready: boolean;
  started: boolean;
  restartCount: number;
  state: ContainerState;
  lastState: ContainerState;
}

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';

/** The fields of a pod that a hollow kubelet reads or writes. */
export interface HollowPodObject extends ApiObject {
  spec: {
    nodeName?: string;
    containers: { name: string; image: string }[];
    readinessGates?: { conditionType: string }[];
  };
  status?: {
    phase?: PodPhase;
    reason?: string;
    message?: string;
    podIP?: string;
    startTime?: string;
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
  };
}

interface ContainerRun {
  readonly name: string;
  readonly image: string;
  restartCount: number;
  startedAt: string;
  terminated: Terminated | undefined;
  last: Terminated | undefined;
}

/** What is the case inside the pod, as opposed to what the API server has been told. */
export interface PodState {
  readonly podIP: string;
  readonly startTime: string;
  phase: 'Running' | 'Succeeded' | 'Failed';
  reason: string | undefined;
  message: string | undefined;
  /** It runs and its readiness probe fails. */
  hung: boolean;
  /** The test's gate lets it become ready. */
  admitted: boolean;
  readonly containers: ContainerRun[];
}

/** RFC 3339 in whole seconds, as `metav1.Time` is. */
export const seconds = (wallMs: number): string => `${new Date(wallMs).toISOString().slice(0, 19)}Z`;

/** A pod whose containers start now; or, when its status says that they run already (another kubelet's work), go on. */
export function beginPod(pod: HollowPodObject, podIP: string, nowMs: number): PodState {
  const runs = (pod.status?.containerStatuses ?? []).filter(({ state }) => state.running !== undefined);
  return {
    podIP: pod.status?.podIP ?? podIP,
    startTime: pod.status?.startTime ?? seconds(nowMs),
    phase: 'Running',
    reason: undefined,
    message: undefined,
    hung: false,
    admitted: true,
    containers: pod.spec.containers.map(({ name, image }) => {
      const run = runs.find((status) => status.name === name);
      return {
        name,
        image,
        restartCount: run?.restartCount ?? 0,
        startedAt: run?.state.running?.startedAt ?? seconds(nowMs),
        terminated: undefined,
        last: undefined,
      };
    }),
  };
}

/** The named containers (default: all) end; 137 is what SIGKILL looks like. */
export function endContainers(
  state: PodState,
  names: readonly string[] | undefined,
  exitCode: number,
  nowMs: number,
): void {
  for (const run of state.containers) {
    if (run.terminated !== undefined || names?.includes(run.name) === false) continue;
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    run.terminated = { exitCode, reason, startedAt: run.startedAt, finishedAt: seconds(nowMs) };
  }
}

export interface PodEnd {
  readonly phase: 'Succeeded' | 'Failed';
  readonly exitCode: number;
  readonly reason?: string;
  readonly message?: string;
}

/** The pod is over: none of its containers starts again. */
export function endPod(state: PodState, { phase, exitCode, reason, message }: PodEnd, nowMs: number): void {
  endContainers(state, undefined, exitCode, nowMs);
  Object.assign(state, { phase, reason, message });
}

/** What has ended starts again. */
export function restartContainers(state: PodState, nowMs: number): void {
  for (const run of state.containers) {
    if (run.terminated === undefined) continue;
    run.last = run.terminated;
    run.terminated = undefined;
    run.restartCount += 1;
    run.startedAt = seconds(nowMs);
  }
}

const answers = (state: PodState, run: ContainerRun): boolean =>
  state.phase === 'Running' && run.terminated === undefined && !state.hung && state.admitted;

const gatesPass = (pod: HollowPodObject): boolean =>
  (pod.spec.readinessGates ?? []).every(({ conditionType }) => conditionStatus(pod, conditionType) === 'True');

export const conditionStatus = (pod: HollowPodObject, type: string): string | undefined =>
  pod.status?.conditions?.find((condition) => condition.type === type)?.status;

/** Whether the kubelet would call this pod Ready. */
export const isPodReady = (pod: HollowPodObject, state: PodState): boolean =>
  state.containers.every((run) => answers(state, run)) && gatesPass(pod);

function conditionsOf(pod: HollowPodObject, state: PodState, now: string): Condition[] {
  const condition = (type: string, holds: boolean, reason: string): Condition => {
    const status = holds ? 'True' : 'False';
    const before = pod.status?.conditions?.find((condition) => condition.type === type);
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    // Null: a strategic merge would keep the reason of the time when it did not hold.
    return { type, status, lastTransitionTime, reason: holds ? null : reason };
  };
  const reason = state.phase === 'Running' ? 'ContainersNotReady' : 'PodCompleted';
  const containersReady = state.containers.every((run) => answers(state, run));
  return [
    condition('Initialized', true, ''),
    condition('Ready', containersReady && gatesPass(pod), containersReady ? 'ReadinessGatesNotReady' : reason),
    condition('ContainersReady', containersReady, reason),
    condition('PodScheduled', true, ''),
  ];
}

const containerStatus = (state: PodState, run: ContainerRun): ContainerStatus => ({
  name: run.name,
  image: run.image,
  imageID: '',
  ready: answers(state, run),
  started: run.terminated === undefined,
  restartCount: run.restartCount,
  state: run.terminated === undefined ? { running: { startedAt: run.startedAt } } : { terminated: run.terminated },
  lastState: run.last === undefined ? {} : { terminated: run.last },
});

/** The body of a strategic merge patch of the pod's status. `pod` is what the API server said last. */
export function statusPatch(pod: HollowPodObject, state: PodState, hostIP: string, nowMs: number): object {
  const { phase, podIP, startTime, reason = null, message = null } = state;
  return {
    // The name may belong to another pod by now.
    metadata: { uid: pod.metadata.uid },
    status: {
      phase,
      reason,
      message,
      hostIP,
      podIP,
      podIPs: [{ ip: podIP }],
      startTime,
      conditions: conditionsOf(pod, state, seconds(nowMs)),
      containerStatuses: state.containers.map((run) => containerStatus(state, run)),
    },
  };
}

/** Whether what the API server holds differs from what is the case in a way that somebody would act on. */
export function isOutdated(pod: HollowPodObject, state: PodState): boolean {
  return pod.status?.phase !== state.phase || (conditionStatus(pod, 'Ready') === 'True') !== isPodReady(pod, state);
}
