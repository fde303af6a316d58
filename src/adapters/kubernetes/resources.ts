import { GROUP, KIND, PLURAL, VERSION } from '../../api/names.ts';
import { isNotFound, type KubernetesApi, type ResourceType } from '../ports.ts';

export const SINGLETON_SERVICE: ResourceType = {
  group: GROUP,
  version: VERSION,
  plural: PLURAL,
  kind: KIND,
  namespaced: true,
};
export const POD: ResourceType = core('pods', 'Pod');
export const SERVICE: ResourceType = core('services', 'Service');
export const EVENT: ResourceType = core('events', 'Event');
export const NODE: ResourceType = { ...core('nodes', 'Node'), namespaced: false };
export const LEASE: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

export const SERVICE_ACCOUNT: ResourceType = core('serviceaccounts', 'ServiceAccount');
export const SECRET: ResourceType = core('secrets', 'Secret');
export const ROLE: ResourceType = rbac('roles', 'Role');
export const ROLE_BINDING: ResourceType = rbac('rolebindings', 'RoleBinding');

function rbac(plural: string, kind: string): ResourceType {
  return { group: 'rbac.authorization.k8s.io', version: 'v1', plural, kind, namespaced: true };
}

function core(plural: string, kind: string): ResourceType {
  return { group: '', version: 'v1', plural, kind, namespaced: true };
}

/** `v1` or `apps/v1`: what stands in an object's `apiVersion`. */
export const apiVersionOf = (type: ResourceType): string =>
  type.group === '' ? type.version : `${type.group}/${type.version}`;

const endpointSlices = (version: string): ResourceType => ({
  group: 'discovery.k8s.io',
  version,
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
});

const disruptionBudgets = (version: string): ResourceType => ({
  group: 'policy',
  version,
  plural: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  namespaced: true,
});

interface ApiGroup {
  readonly versions?: readonly { readonly version?: string }[];
}

/**
 * The newest EndpointSlice version that the server has: `v1` since Kubernetes 1.21, `v1beta1` from 1.17 to 1.24.
 * Undefined when it has neither; every other failure is thrown (`ApiError`, `TransportError`).
 */
export async function discoverEndpointSlices(api: KubernetesApi): Promise<ResourceType | undefined> {
  const version = await newestOf(api, 'discovery.k8s.io');
  return version === undefined ? undefined : endpointSlices(version);
}

/** The same of PodDisruptionBudgets: `v1` since Kubernetes 1.21, `v1beta1` until 1.24. */
export async function discoverDisruptionBudgets(api: KubernetesApi): Promise<ResourceType | undefined> {
  const version = await newestOf(api, 'policy');
  return version === undefined ? undefined : disruptionBudgets(version);
}

async function newestOf(api: KubernetesApi, name: string): Promise<string | undefined> {
  try {
    const group = await api.getPath<ApiGroup>(`/apis/${name}`);
    const served = new Set(group.versions?.map((entry) => entry.version));
    return ['v1', 'v1beta1'].find((candidate) => served.has(candidate));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Whether the server serves `type` now (a CRD may come later). */
export async function isServed(api: KubernetesApi, type: ResourceType): Promise<boolean> {
  try {
    const path = type.group === '' ? `/api/${type.version}` : `/apis/${apiVersionOf(type)}`;
    const list = await api.getPath<{ readonly resources?: readonly { readonly name?: string }[] }>(path);
    return list.resources?.some((resource) => resource.name === type.plural) ?? false;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
