/** What must be the case when nothing has gone wrong for a while: one active, routed, told of, and nothing to do (I6). */
import { POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import type { EndpointSlice, KubeObject, Pod, PodDisruptionBudget, Service } from '../../src/api/objects.ts';
import { ANNOTATION, GUARDED, LABEL, ROLE, budgetName, serviceName } from '../../src/api/names.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { slotInName } from '../../src/core/slots.ts';
import { controllerOf, readyUids } from '../../src/operator/views.ts';
import { holderIn, identityOf } from './actives.ts';
import type { Cluster } from './cluster.ts';
import { ADOPTED_LABELS, NAMESPACE, SINGLETON, imageOf } from './manifest.ts';
import type { Owner } from './owner.ts';
import { isAdopting, isPreferred, preempts } from './preferred.ts';
import type { Replica } from './replica.ts';

export interface Question {
  readonly cluster: Cluster;
  readonly replicas: readonly Pick<Replica, 'isLeading'>[];
  readonly endpointSlices: ResourceType;
  readonly disruptionBudgets: ResourceType;
  /** Of the pods, when it is not the operator that makes them. */
  readonly owner?: Pick<Owner, 'wanted'> | undefined;
  /** UIDs of pods that are not Ready and will not be: none of them may be the active. */
  readonly unwell: ReadonlySet<string>;
}

/** The active's identity, or what is still wrong. */
export type Verdict = { readonly active: string } | { readonly wrong: string };

export function settledOn(question: Question): Verdict {
  const { cluster, replicas, endpointSlices, disruptionBudgets, unwell, owner } = question;
  const leading = replicas.filter(({ isLeading }) => isLeading);
  if (leading.length !== 1) return wrong(`${leading.length} replicas lead`);
  const singleton = find<SingletonService>(cluster, SINGLETON_SERVICE, SINGLETON);
  if (singleton === undefined) return wrong('there is no SingletonService');
  const { uid } = singleton.metadata;
  const all = cluster.list<Pod>(POD);
  const members =
    owner === undefined
      ? // One whose name label was taken away while no operator looked is seen by nobody any more.
        all.filter((pod) => controllerOf(pod)?.uid === uid && pod.metadata.labels?.[LABEL.name] !== undefined)
      : all.filter((pod) => isAdoptable(pod));
  const nameless = members.find(({ metadata }) => metadata.labels?.[LABEL.name] !== SINGLETON);
  const namesake = owner && all.find((pod) => pod.metadata.labels?.[LABEL.name] === SINGLETON && !isAdoptable(pod));
  if (namesake !== undefined) return wrong(`${namesake.metadata.name} carries the name, and is no member`);
  if (owner !== undefined && nameless !== undefined) return wrong(`${nameless.metadata.name} does not carry the name`);
  const { replicas: wanted = 0 } =
    owner === undefined ? (singleton.spec as { replicas?: number }) : { replicas: owner.wanted };
  const holder = holderIn(cluster) ?? '';
  const kept = owner === undefined ? keptBeside(singleton, members, holder) : [];
  const asked = members.length - kept.length;
  if (asked !== wanted) return wrong(`there are ${asked} members, and ${wanted} are asked for`);
  const outdated = owner === undefined ? wrongVersion(singleton, members) : undefined;
  if (outdated !== undefined) return wrong(outdated);
  const unready = members.find((pod) => !isReady(pod) && !unwell.has(pod.metadata.uid) && !kept.includes(pod));
  if (unready !== undefined) return wrong(`${unready.metadata.name} is not Ready`);
  const active = members.find((pod) => identityOf(pod) === holder);
  if (active !== undefined && !isReady(active)) return wrong(`${active.metadata.name} is the active and not Ready`);
  if (active === undefined) return wrong(`the Lease is held by ${holder === '' ? 'nobody' : holder}, no member`);
  const better =
    preempts(singleton) && !isAdopting(singleton)
      ? members.find((pod) => isPreferred(cluster, singleton, pod, active))
      : undefined;
  if (better !== undefined) return wrong(`${better.metadata.name} is preferred to the active`);
  const problem =
    wrongRouting(cluster, uid, all, active) ??
    wrongLabels(all, active) ??
    wrongSlices(cluster, endpointSlices, active) ??
    wrongBudget(find<PodDisruptionBudget>(cluster, disruptionBudgets, budgetName(SINGLETON)), uid) ??
    wrongGuard(all, active) ??
    wrongStatus(singleton, active);
  return problem === undefined ? { active: holder } : wrong(problem);
}

/** Somebody else's, selected by its labels, and not at its end. */
export const isAdoptable = ({ metadata, status }: Pod): boolean =>
  status?.phase !== 'Failed' &&
  status?.phase !== 'Succeeded' &&
  Object.entries(ADOPTED_LABELS).every(([key, value]) => metadata.labels?.[key] === value);

const wrong = (what: string): Verdict => ({ wrong: what });

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.get: the caller knows the kind
const find = <T extends KubeObject>(cluster: Cluster, type: ResourceType, name: string): T | undefined =>
  cluster.get<T>(type, name, NAMESPACE);

const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';

function wrongRouting(cluster: Cluster, uid: string, all: readonly Pod[], active: Pod): string | undefined {
  const service = find<Service>(cluster, SERVICE, serviceName(SINGLETON));
  if (service === undefined || controllerOf(service)?.uid !== uid) return 'the Service is not there, or not ours';
  if (service.spec?.publishNotReadyAddresses !== true) return 'the Service waits for readiness';
  const wanted = Object.entries(service.spec.selector ?? {});
  if (wanted.length === 0) return 'the Service selects nothing';
  const routed = all.filter(
    ({ metadata: { namespace, labels } }) =>
      namespace === NAMESPACE && wanted.every(([key, value]) => labels?.[key] === value),
  );
  const isRight = routed.length === 1 && routed[0] === active;
  return isRight ? undefined : `the Service selects ${namesOf(routed)} instead of ${active.metadata.name}`;
}

function wrongLabels(all: readonly Pod[], active: Pod): string | undefined {
  const named = all.filter(({ metadata }) => metadata.labels?.[LABEL.name] === SINGLETON);
  const labelled = named.filter(({ metadata }) => metadata.labels?.[LABEL.role] === ROLE.active);
  const isRight = labelled.length === 1 && labelled[0] === active;
  return isRight ? undefined : `${namesOf(labelled)} instead of ${active.metadata.name} has the role active`;
}

function wrongSlices(cluster: Cluster, type: ResourceType, active: Pod): string | undefined {
  const slices = cluster
    .list<EndpointSlice>(type)
    .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === serviceName(SINGLETON));
  const service = find<Service>(cluster, SERVICE, serviceName(SINGLETON));
  if (slices.some((slice) => controllerOf(slice)?.uid !== service?.metadata.uid))
    return 'an EndpointSlice is left of a Service that was deleted';
  const routed = readyUids(slices);
  const isRight = routed.length === 1 && routed[0] === active.metadata.uid;
  return isRight ? undefined : `the EndpointSlices name ${routed.join(' and ') || 'nobody'}`;
}

function wrongBudget(budget: PodDisruptionBudget | undefined, owner: string): string | undefined {
  if (budget === undefined) return 'there is no PodDisruptionBudget';
  const { minAvailable, maxUnavailable, selector } = budget.spec ?? {};
  const labels = selector?.matchLabels ?? {};
  const isRight =
    controllerOf(budget)?.uid === owner &&
    budget.metadata.labels?.[LABEL.name] === SINGLETON &&
    minAvailable === 2 &&
    maxUnavailable === undefined &&
    Object.keys(labels).length === 2 &&
    labels[LABEL.name] === SINGLETON &&
    labels[LABEL.guarded] === GUARDED;
  return isRight ? undefined : `the PodDisruptionBudget is not ours, or says ${JSON.stringify(budget.spec)}`;
}

/** Whom an eviction is refused for. What is going anyway needs not to be told so. */
function wrongGuard(all: readonly Pod[], active: Pod): string | undefined {
  const guarded = all.filter(
    ({ metadata: { labels, deletionTimestamp } }) =>
      labels?.[LABEL.name] === SINGLETON && labels[LABEL.guarded] === GUARDED && deletionTimestamp === undefined,
  );
  const isRight = guarded.length === 1 && guarded[0] === active;
  return isRight ? undefined : `${namesOf(guarded)} instead of ${active.metadata.name} is guarded`;
}

function wrongStatus({ status, metadata }: SingletonService, active: Pod): string | undefined {
  if (status?.active?.uid !== active.metadata.uid) return `the status tells of ${status?.active?.pod ?? 'no active'}`;
  if (status.observedGeneration !== metadata.generation) return 'the status is of an older generation';
  if (metadata.annotations?.[ANNOTATION.switchover] !== undefined) return 'a request for a switchover is not taken up';
  if (status.switchover?.outcome === 'Pending') return 'the outcome of a switchover is not told';
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' ? undefined : `the status is not Ready: ${ready?.reason ?? 'no condition'}`;
}

/** A rollout ends: unless its version failed, all members are of the present template. */
function wrongVersion(singleton: SingletonService, members: readonly Pod[]): string | undefined {
  const outdated = members.filter((pod) => isOutdated(pod, singleton));
  return outdated.length === 0 || hasFailed(singleton)
    ? undefined
    : `${namesOf(outdated)} have an image other than ${wantedImage(singleton)}`;
}

const wantedImage = ({ spec }: SingletonService): string =>
  imageOf((spec as { template?: { spec?: object } }).template?.spec);

/** One whose revision somebody took away counts as outdated: nobody can tell. */
const isOutdated = ({ spec, metadata }: Pod, singleton: SingletonService): boolean =>
  imageOf(spec) !== wantedImage(singleton) || metadata.labels?.[LABEL.revision] === undefined;

const hasFailed = ({ status }: SingletonService): boolean =>
  status?.conditions?.some(({ reason }) => reason === 'RolloutFailed') === true;

/**
 * Nobody is replaced by a version that failed: whoever was about to be, stays beside the member that was to come after it, if
 * that is the active, or the only one of the two that is Ready.
 */
function keptBeside(singleton: SingletonService, members: readonly Pod[], holder: string): Pod[] {
  const isHolder = (pod: Pod): boolean => identityOf(pod) === holder;
  const slotOf = ({ metadata }: Pod): number | undefined => slotInName(SINGLETON, metadata.name);
  const isKept = (pod: Pod): boolean => {
    const twin = members.find((other) => slotOf(other) === slotOf(pod) && !isOutdated(other, singleton));
    return twin !== undefined && !isHolder(pod) && (isHolder(twin) || !isReady(pod));
  };
  return hasFailed(singleton) ? members.filter((pod) => isOutdated(pod, singleton) && isKept(pod)) : [];
}

const namesOf = (pods: readonly Pod[]): string => pods.map(({ metadata }) => metadata.name).join(' and ') || 'nobody';
