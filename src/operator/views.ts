/** From objects as the API server sends them to the views that decisions are made of. */
import { AGENT_CONTAINER, AGENT_ENV, ANNOTATION, GUARDED, LABEL, NO_FAILOVER, ROLE } from '../api/names.ts';
import type {
  Condition,
  EndpointSlice,
  KubeObject,
  Lease,
  Node,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import { present } from '../api/present.ts';
import { fromIso } from '../api/time.ts';
import { parseHoldSet } from '../core/hold-set.ts';
import type { HoldSet } from '../core/hold-set.ts';
import { isTerm, parseTerm } from '../core/lease.ts';
import { memoized, memoizedWith } from '../core/memo.ts';
import type {
  BudgetView,
  Failure,
  LeaseView,
  Member,
  MoveRecord,
  NodeView,
  Owned,
  ReleaseRecord,
  ServiceView,
  Stranger,
  SwitchoverRecord,
} from '../core/snapshot.ts';

const ZONE_LABELS = ['topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/zone'];

export const controllerOf = (object: KubeObject) =>
  object.metadata.ownerReferences?.find((owner) => owner.controller === true);

const conditionOf = (pod: Pod, type: string) => pod.status?.conditions?.find((condition) => condition.type === type);

export const memberView = memoized((pod: Pod): Member => {
  const labels = pod.metadata.labels ?? {};
  const ready = conditionOf(pod, 'Ready');
  const isReady = ready?.status === 'True';
  const role = labels[LABEL.role];
  return {
    pod: pod.metadata.name,
    uid: pod.metadata.uid,
    resourceVersion: pod.metadata.resourceVersion,
    named: labels[LABEL.name] === controllerOf(pod)?.name,
    slot: slotOf(labels[LABEL.slot]),
    role: role === ROLE.active || role === ROLE.standby ? role : undefined,
    term: parseTerm(labels[LABEL.term]),
    guarded: labels[LABEL.guarded] === GUARDED,
    revision: labels[LABEL.revision],
    node: pod.spec?.nodeName,
    phase: pod.status?.phase ?? 'Pending',
    ready: isReady,
    readySinceWallMs: isReady ? fromIso(ready.lastTransitionTime) : undefined,
    createdWallMs: fromIso(pod.metadata.creationTimestamp) ?? 0,
    terminating: pod.metadata.deletionTimestamp !== undefined,
    evicting: conditionOf(pod, 'DisruptionTarget')?.status === 'True',
    crash: crashOf(pod),
    unschedulable: isUnschedulable(pod),
    waiting: waitingOf(pod),
    podReason: pod.status?.reason,
    noFailover: saysNoFailover(pod),
    ...agentIn(pod),
  };
});

/** Nothing of a pod without an agent. */
function agentIn(pod: Pod): Pick<Member, 'agent' | 'hasStopped'> {
  const agent = pod.spec?.containers?.find(({ name }) => name === AGENT_CONTAINER);
  if (agent === undefined) return {};
  const text = agent.env?.find(({ name }) => name === AGENT_ENV.leaseDurationMs)?.value ?? '';
  const leaseDurationMs = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  const holds = agent.env?.some(({ name, value }) => name === AGENT_ENV.onApiLoss && value === 'Hold') === true;
  const peer = holds ? { ip: pod.status?.podIP ?? '' } : undefined;
  return {
    agent: { leaseDurationMs, ...(peer !== undefined && { peer }) },
    ...(hasStopped(pod) && { hasStopped: true }),
  };
}

/**
 * P2. A phase alone says too little: kubelets before 1.24 write `Failed` for a pod that they evict while its containers
 * run. And ended containers alone do, too: unless the phase is a last one, they are started again.
 */
function hasStopped({ status }: Pod): boolean {
  const isLast = status?.phase === 'Failed' || status?.phase === 'Succeeded';
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const hasAgents = all.some(({ name }) => name === AGENT_CONTAINER);
  return isLast && hasAgents && all.every(({ state }) => state?.terminated !== undefined);
}

/** A member that somebody else owns. */
export const adoptedView = memoizedWith((pod: Pod, singleton: string): Member => ({
  ...memberView(pod),
  named: pod.metadata.labels?.[LABEL.name] === singleton,
  slot: ordinalOf(pod),
  adopted: true,
}));

/** What a StatefulSet numbers its pods with, as far as the slots go. */
function ordinalOf(pod: Pod): number | undefined {
  const owner = controllerOf(pod);
  if (owner?.kind !== 'StatefulSet' || !pod.metadata.name.startsWith(`${owner.name}-`)) return undefined;
  return slotOf(pod.metadata.name.slice(owner.name.length + 1));
}

const slotOf = (label: string | undefined): number | undefined =>
  label !== undefined && /^\d{1,2}$/.test(label) ? Number(label) : undefined;

const saysNoFailover = (object: KubeObject): boolean =>
  object.metadata.labels?.[NO_FAILOVER] === 'true' || object.metadata.annotations?.[NO_FAILOVER] === 'true';

/** The first container that has ended, or that waits because it ended before. */
function crashOf(pod: Pod): string | undefined {
  for (const { name, state, lastState } of pod.status?.containerStatuses ?? []) {
    if (state?.terminated !== undefined) return `${name}: ${endOf(state.terminated)}`;
    const ended = lastState?.terminated;
    if (state?.waiting?.reason !== undefined && ended !== undefined)
      return `${name}: ${state.waiting.reason} after ${endOf(ended)}`;
  }
  return undefined;
}

const isUnschedulable = (pod: Pod): boolean => {
  const scheduled = conditionOf(pod, 'PodScheduled');
  return pod.spec?.nodeName === undefined && scheduled?.status === 'False' && scheduled.reason === 'Unschedulable';
};

/** The same in each state of a kubelet that tries again and again, so that the status is not written each time. */
const SAME_AS: Readonly<Record<string, string>> = { ErrImagePull: 'ImagePullBackOff' };

function waitingOf(pod: Pod): string | undefined {
  if (isUnschedulable(pod)) return conditionOf(pod, 'PodScheduled')?.message ?? 'Unschedulable';
  for (const { name, state } of pod.status?.containerStatuses ?? []) {
    const reason = state?.waiting?.reason;
    if (reason !== undefined && !STARTING.has(reason)) return `${name}: ${SAME_AS[reason] ?? reason}`;
  }
  return undefined;
}

/** What every container waits with for a moment. */
const STARTING: ReadonlySet<string> = new Set(['ContainerCreating', 'PodInitializing']);

const endOf = ({ exitCode, reason }: { exitCode: number; reason?: string }): string =>
  `exit code ${exitCode}${reason === undefined || reason === 'Error' ? '' : ` (${reason})`}`;

export const strangerView = (pod: Pod): Stranger => ({
  pod: pod.metadata.name,
  uid: pod.metadata.uid,
  resourceVersion: pod.metadata.resourceVersion,
  role: pod.metadata.labels?.[LABEL.role],
  term: pod.metadata.labels?.[LABEL.term],
  guarded: pod.metadata.labels?.[LABEL.guarded],
});

const isOwnedBy = (object: KubeObject, ownerUid: string): boolean => controllerOf(object)?.uid === ownerUid;

export const leaseView = memoizedWith((lease: Lease, ownerUid: string): Owned<LeaseView> => ({
  ours: isOwnedBy(lease, ownerUid),
  uid: lease.metadata.uid,
  resourceVersion: lease.metadata.resourceVersion,
  holder: lease.spec?.holderIdentity ?? '',
  term: lease.spec?.leaseTransitions ?? 0,
  named: lease.metadata.labels?.[LABEL.name] !== undefined,
  move: parseMove(lease.metadata.annotations?.[ANNOTATION.move]),
  switchover: parseSwitchover(lease.metadata.annotations?.[ANNOTATION.switchover]),
  ...agentsPart(lease),
}));

/** What mode `Agent` adds, each field only where it is. */
function agentsPart({ spec, metadata: { annotations = {} } }: Lease) {
  const seconds = spec?.leaseDurationSeconds;
  const term = (key: string): number | undefined => parseTerm(annotations[key]);
  return present({
    leaseDurationMs: typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : undefined,
    renewedTerm: term(ANNOTATION.renewedTerm),
    releasedTerm: term(ANNOTATION.releasedTerm),
    releaseRequested: term(ANNOTATION.releaseRequested),
    release: parseRelease(annotations[ANNOTATION.release]),
    members: annotations[ANNOTATION.members],
    holdSet: boundBy(annotations[ANNOTATION.holdSet]),
  });
}

/** Undefined: an empty set, too, binds nobody. */
function boundBy(text: string | undefined): HoldSet | undefined {
  const set = parseHoldSet(text);
  return set.length === 0 ? undefined : set;
}

/** Undefined for what no operator wrote: the release is then one that nobody asked for. */
function parseRelease(text: string | undefined): ReleaseRecord | undefined {
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as Partial<ReleaseRecord> | null;
    const isWhole =
      [record?.reason, record?.message, record?.to, record?.trouble ?? ''].every(
        (field) => typeof field === 'string',
      ) &&
      isTerm(record?.term) &&
      ['Initial', 'Failover', 'Switchover'].includes(record?.kind ?? '') &&
      isTime(record?.detectedWallMs);
    return isWhole ? (record as ReleaseRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** What a Date can tell, in ms: beyond it, writing it out throws. */
const MAX_WALL_MS = 8.64e15;

const isTime = (wallMs: unknown): boolean => typeof wallMs === 'number' && Math.abs(wallMs) <= MAX_WALL_MS;

/** Undefined for an annotation that no operator wrote: the Lease is then as good as one without a record. */
function parseMove(text: string | undefined): MoveRecord | undefined {
  if (text === undefined) return undefined;
  try {
    const move = JSON.parse(text) as Partial<MoveRecord> | null;
    const isWhole =
      typeof move?.to === 'string' &&
      isTerm(move.term) &&
      (move.routingTerm === undefined || isTerm(move.routingTerm)) &&
      [move.from, move.node, move.failedRevision].every((text) => text === undefined || typeof text === 'string') &&
      typeof move.reason === 'string' &&
      typeof move.message === 'string' &&
      ['Initial', 'Failover', 'Switchover'].includes(move.kind ?? '') &&
      [move.detectedWallMs, move.grantedWallMs, move.fencedWallMs ?? 0].every(isTime);
    return isWhole ? withKnownFailures(move as MoveRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** What is no failure of ours is forgotten: the rest of the record is worth more. */
function withKnownFailures({ failures, ...move }: MoveRecord): MoveRecord {
  const all: unknown = failures;
  const known = Array.isArray(all) ? all.filter(isFailure) : [];
  return known.length === 0 ? move : { ...move, failures: known };
}

const isFailure = (failure: Partial<Failure> | null): failure is Failure =>
  typeof failure?.holder === 'string' && isTime(failure.atWallMs) && isTime(failure.reignMs);

/** Undefined for what no operator wrote: then there is no request. */
function parseSwitchover(text: string | undefined): SwitchoverRecord | undefined {
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as Partial<SwitchoverRecord> | null;
    const isWhole =
      [record?.request, record?.reason, record?.message, record?.from, record?.to ?? ''].every(
        (field) => typeof field === 'string',
      ) &&
      ['Pending', 'Granted', 'Completed', 'RolledBack', 'Refused'].includes(record?.state ?? '') &&
      [record?.acceptedWallMs, record?.deadlineWallMs].every(isTime);
    return isWhole ? (record as SwitchoverRecord) : undefined;
  } catch {
    return undefined;
  }
}

export const serviceView = memoizedWith((service: Service, ownerUid: string): Owned<ServiceView> => ({
  ours: isOwnedBy(service, ownerUid),
  uid: service.metadata.uid,
  resourceVersion: service.metadata.resourceVersion,
  labels: service.metadata.labels ?? {},
  annotations: service.metadata.annotations ?? {},
  spec: service.spec ?? {},
}));

export const budgetView = memoizedWith((budget: PodDisruptionBudget, ownerUid: string): Owned<BudgetView> => ({
  ours: isOwnedBy(budget, ownerUid),
  uid: budget.metadata.uid,
  resourceVersion: budget.metadata.resourceVersion,
  labels: budget.metadata.labels ?? {},
  spec: budget.spec ?? {},
}));

/** @param labelKeys of the labels that the decision looks at */
export const nodeView = (node: Node, labelKeys: readonly string[]): NodeView => ({
  zone: ZONE_LABELS.map((label) => node.metadata.labels?.[label]).find((zone) => zone !== undefined),
  noFailover: saysNoFailover(node),
  draining: drainingBy(node),
  labels: Object.fromEntries(Object.entries(node.metadata.labels ?? {}).filter(([key]) => labelKeys.includes(key))),
});

/**
 * Who drains a node says so first, by one of these taints: kubectl and the node's own shutdown, the cluster autoscaler,
 * Karpenter (before and since its version 1).
 */
const DRAINING_TAINTS: Readonly<Record<string, string>> = {
  'node.kubernetes.io/unschedulable': 'cordoned',
  ToBeDeletedByClusterAutoscaler: 'ToBeDeletedByClusterAutoscaler',
  'karpenter.sh/disruption': 'karpenter.sh/disruption',
  'karpenter.sh/disrupted': 'karpenter.sh/disrupted',
};

/**
 * The Ready condition of a node whose kubelet ends its pods since the machine shuts down (KEP-2000). It has no field or
 * reason of its own: the words are the kubelet's (`nodeShutdownManager.ShutdownStatus`), the same since 1.20.
 */
export const shutdownCondition = ({ status }: Node): Condition | undefined =>
  status?.conditions?.find(
    ({ type, status: value, message }) =>
      type === 'Ready' && value !== 'True' && message?.includes('node is shutting down') === true,
  );

function drainingBy(node: Node): string | undefined {
  const { spec } = node;
  if (shutdownCondition(node) !== undefined) return 'shutting down';
  if (spec?.unschedulable === true) return 'cordoned';
  return spec?.taints?.map(({ key }) => DRAINING_TAINTS[key]).find((how) => how !== undefined);
}

/** A null `ready` means true: discovery.k8s.io says so for consumers that know no better. */
export const readyUids = (slices: readonly EndpointSlice[]): string[] =>
  slices
    .flatMap((slice) => slice.endpoints ?? [])
    .filter((endpoint) => endpoint.conditions?.ready !== false)
    .flatMap((endpoint) => endpoint.targetRef?.uid ?? []);
