/** The objects a singleton owns, as they should be. Pure builders: the same input gives the same object. */
import {
  API_VERSION,
  GUARDED,
  KIND,
  LABEL,
  ROLE,
  headlessServiceName,
  budgetName,
  leaseName,
  serviceName,
} from '../api/names.ts';
import type { OwnerReference, ServicePort } from '../api/objects.ts';
import { servicePorts } from '../api/spec.ts';
import type { Spec } from '../api/spec.ts';
import { withAgent } from './agent-pod.ts';
import { sameJson, shortHash } from './hash.ts';
import { memoized, memoizedWith } from './memo.ts';
import type { LabelPatch } from './plan.ts';
import type { AgentPlatform, ServiceView, SingletonView, Snapshot } from './snapshot.ts';

/** Makes Kubernetes' garbage collector delete what we own with the singleton; there is no finalizer to get stuck on. */
export const ownerReference = (singleton: SingletonView): OwnerReference => ({
  apiVersion: API_VERSION,
  kind: KIND,
  name: singleton.name,
  uid: singleton.uid,
  controller: true,
  blockOwnerDeletion: true,
});

/** Metadata of an owned object. The name label is what the operator's watches select. */
export const ownedMeta = (singleton: SingletonView, name: string) => ({
  name,
  namespace: singleton.namespace,
  labels: { [LABEL.name]: singleton.name },
  ownerReferences: [ownerReference(singleton)],
});

/**
 * Labels of our Services. The second, which Kubernetes passes on to their Endpoints, keeps it from copying those into an
 * EndpointSlice when somebody removes the selector. Such a copy stays when the selector is back, and nobody keeps it up to
 * date: it would go on routing to a former active (kubernetes/kubernetes#91072).
 */
const serviceLabels = (singleton: string) => ({
  [LABEL.name]: singleton,
  'endpointslice.kubernetes.io/skip-mirror': 'true',
});

/** Names the template's content, as `pod-template-hash` does for a ReplicaSet. */
export const templateRevision = (spec: Spec): string =>
  spec.fencing.mode === 'Agent' ? fencedRevision(spec) : spec.template === undefined ? '' : revisionOf(spec.template);

/**
 * In mode `Agent` with all that goes into a pod beside the template. But not with the agent's image and the server's
 * version: an upgrade of the operator or of Kubernetes moves nobody; members that are made later have the new ones.
 */
const fencedRevision = memoized(({ template, election, fencing }: Spec): string =>
  shortHash([template, election.leaseDurationMs, election.renewIntervalMs, fencing], 8),
);

/** A template is some kilobytes and is asked for several times a decision; it never changes once it is parsed. */
const revisionOf = memoized((template: object): string => shortHash(template, 8));

/** @param agent of mode `Agent`, which needs it */
export function memberPod(singleton: SingletonView, spec: Spec, { slot, name, agent }: NewMember) {
  const { template } = spec;
  const isFenced = spec.fencing.mode === 'Agent' && template !== undefined && agent !== undefined;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...ownedMeta(singleton, name),
      labels: {
        ...template?.metadata?.labels,
        ...memberLabels(singleton.name, slot),
        [LABEL.revision]: templateRevision(spec),
      },
      annotations: { ...template?.metadata?.annotations },
    },
    spec: isFenced ? withAgent(template.spec, { singleton, spec, platform: agent }) : template?.spec,
  };
}

export interface NewMember {
  readonly slot: number;
  readonly name: string;
  readonly agent?: AgentPlatform | undefined;
}

/** The labels of a member that was never granted a term. */
export const memberLabels = (singleton: string, slot: number) => ({
  [LABEL.name]: singleton,
  [LABEL.slot]: String(slot),
  [LABEL.role]: ROLE.standby,
});

/**
 * The one thing that decides where traffic goes. Only the pod that was granted a term carries its label, so two pods can
 * never both match. Term 0 is given to nobody.
 */
export const routingSelector = (singleton: string, term: number): Record<string, string> => ({
  [LABEL.name]: singleton,
  [LABEL.term]: String(term),
});

/** Whom the PodDisruptionBudget protects. */
export const guardSelector = (singleton: string): Record<string, string> => ({
  [LABEL.name]: singleton,
  [LABEL.guarded]: GUARDED,
});

/** Turns `actual` into `wanted` as a merge patch; undefined when they are the same. */
export function mapPatch(
  actual: Readonly<Record<string, string>>,
  wanted: Record<string, string>,
): LabelPatch | undefined {
  const patch: Record<string, string | null> = {};
  for (const key of Object.keys(actual)) if (!(key in wanted)) patch[key] = null;
  for (const [key, value] of Object.entries(wanted)) if (actual[key] !== value) patch[key] = value;
  return Object.keys(patch).length === 0 ? undefined : patch;
}

type ServiceFields = Record<string, unknown> & { ports: ServicePort[] };

/** What the spec says of the routing Service, but for the selector, which the moves own. */
const serviceFields = (spec: Spec): ServiceFields => ({
  ...spec.service.passedOn,
  // Else Kubernetes would take a deleted or unready active out of the Service before the flip has named another: a move
  // would begin with refused connections. The term decides where traffic goes, and nothing else.
  publishNotReadyAddresses: true,
  ports: servicePorts(spec),
});

const headlessFields = (spec: Spec): ServiceFields => ({
  clusterIP: 'None',
  // Members must find each other before they are Ready and while they are going.
  publishNotReadyAddresses: true,
  ports: servicePorts(spec).map(({ nodePort: _nodePort, ...port }) => port),
});

export function routingService(singleton: SingletonView, spec: Spec, term: number) {
  const meta = ownedMeta(singleton, serviceName(singleton.name));
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...meta,
      labels: { ...spec.service.labels, ...serviceLabels(singleton.name) },
      annotations: { ...spec.service.annotations },
    },
    spec: { ...serviceFields(spec), selector: routingSelector(singleton.name, term) },
  };
}

export function headlessService(singleton: SingletonView, spec: Spec) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...ownedMeta(singleton, headlessServiceName(singleton.name)),
      labels: serviceLabels(singleton.name),
    },
    spec: { ...headlessFields(spec), selector: { [LABEL.name]: singleton.name } },
  };
}

export interface ServicePatch {
  spec?: Record<string, unknown>;
  metadata?: { annotations: Texts; labels: Texts };
}

/** The patch that brings everything but the selector back to what the spec says; undefined when nothing is to mend. */
export const routingServiceDrift = (
  { name }: SingletonView,
  spec: Spec,
  actual: ServiceView,
): ServicePatch | undefined => routingDrifts(actual)(spec, name);

export const headlessServiceDrift = (
  { name }: SingletonView,
  spec: Spec,
  actual: ServiceView,
): ServicePatch | undefined => headlessDrifts(actual)(spec, name);

/** While a Service and the spec are as they were, every look asks the same. */
const routingDrifts = memoized((actual: ServiceView) =>
  memoizedWith((spec: Spec, singleton: string): ServicePatch | undefined =>
    serviceDrift(actual, serviceFields(spec), {
      annotations: spec.service.annotations,
      labels: { ...spec.service.labels, ...serviceLabels(singleton) },
    }),
  ),
);

const headlessDrifts = memoized((actual: ServiceView) =>
  memoizedWith((spec: Spec, singleton: string): ServicePatch | undefined => {
    const patch = serviceDrift(actual, headlessFields(spec), { annotations: {}, labels: serviceLabels(singleton) });
    const selector = mapPatch(actual.spec.selector ?? {}, { [LABEL.name]: singleton });
    return selector === undefined ? patch : { ...patch, spec: { ...patch?.spec, selector } };
  }),
);

type Texts = Readonly<Record<string, string>>;

function serviceDrift(
  actual: ServiceView,
  wanted: ServiceFields,
  meta: { readonly annotations: Texts; readonly labels: Texts },
): ServicePatch | undefined {
  const { ports, ...others } = wanted;
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(others)) {
    if (value !== undefined && !contains(actual.spec[key], value)) fields[key] = value;
  }
  const keptPorts = ports.map((port) => keepingNodePort(port, actual.spec.ports ?? []));
  if (!samePorts(keptPorts, actual.spec.ports ?? [])) fields['ports'] = keptPorts;
  const annotations = differing(meta.annotations, actual.annotations);
  const labels = differing(meta.labels, actual.labels);
  const patch = {
    ...(Object.keys(fields).length > 0 && { spec: fields }),
    ...(Object.keys({ ...annotations, ...labels }).length > 0 && { metadata: { annotations, labels } }),
  };
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** Whether `actual` says all that `wanted` says: the server adds defaults inside objects. Lists are compared as a whole. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (!isObject(wanted) || !isObject(actual)) return sameJson(wanted, actual);
  return Object.entries(wanted).every(([key, value]) => contains(actual[key], value));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Whether this very patch was answered already and left this very version of the object: an old API server drops the
 * fields that it does not know. Asked again and again, it would keep the status from ever being written.
 */
export function wasInVain({ memory }: Snapshot, object: Pick<ServiceView, 'resourceVersion'>, patch: object): boolean {
  return Object.values(memory.mends).some(
    (mend) => mend.resourceVersion === object.resourceVersion && sameJson(mend.patch, patch),
  );
}

/** Paths of what the API server did not take of the spec, as far as this process has asked. */
export function notTaken({ memory, service, singleton }: Snapshot): string[] {
  const mend = memory.mends[serviceName(singleton.name)];
  if (mend === undefined || mend.resourceVersion !== service?.resourceVersion) return [];
  const { spec } = mend.patch as { spec?: object };
  return Object.keys(spec ?? {}).map((field) => `service.${field}`);
}

/** Other people's labels and annotations stay. */
const differing = (wanted: Texts, actual: Texts): Texts =>
  Object.fromEntries(Object.entries(wanted).filter(([key, value]) => actual[key] !== value));

/** A node port that the server picked stays: clients outside the cluster know it. */
function keepingNodePort(port: ServicePort, actual: readonly ServicePort[]): ServicePort {
  const same = actual.find((other) => other.port === port.port && protocolOf(other) === protocolOf(port));
  return port.nodePort === undefined && same?.nodePort !== undefined ? { ...port, nodePort: same.nodePort } : port;
}

const protocolOf = (port: ServicePort): string => port.protocol ?? 'TCP';

const samePorts = (a: readonly ServicePort[], b: readonly ServicePort[]): boolean =>
  sameJson(a.map(withServerDefaults), b.map(withServerDefaults));

const withServerDefaults = (port: ServicePort) => ({
  name: port.name,
  port: port.port,
  targetPort: port.targetPort ?? port.port,
  protocol: protocolOf(port),
  appProtocol: port.appProtocol,
  nodePort: port.nodePort === 0 ? undefined : port.nodePort,
});

export const objectNames = (singleton: string) => ({
  lease: leaseName(singleton),
  service: serviceName(singleton),
  headless: headlessServiceName(singleton),
  budget: budgetName(singleton),
});
