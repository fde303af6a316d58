/** The cluster as the commands see it. */
import { loadKubeconfig } from '../adapters/kubernetes/kubeconfig.ts';
import { createKubernetesApi } from '../adapters/kubernetes/kubernetes-api.ts';
import type { ClosableKubernetesApi } from '../adapters/kubernetes/kubernetes-api.ts';
import { SINGLETON_SERVICE, isServed } from '../adapters/kubernetes/resources.ts';
import { isNotFound } from '../adapters/ports.ts';
import type { KubernetesApi, ListPage, ListQuery, ResourceType } from '../adapters/ports.ts';
import type { KubeObject } from '../api/objects.ts';
import type { SingletonService } from '../api/types.ts';
import type { Flags } from './args.ts';
import { CliError } from './errors.ts';

export interface Cluster {
  readonly api: ClosableKubernetesApi;
  /** Undefined: all. */
  readonly namespace: string | undefined;
}

/** One singleton. */
export interface Ref {
  readonly namespace: string;
  readonly name: string;
}

/** @throws KubeconfigError */
export function connect(flags: Flags, env: Readonly<Record<string, string | undefined>>): Cluster {
  const { kubeconfig, context } = flags;
  const access = loadKubeconfig({
    env,
    ...(kubeconfig !== undefined && { path: kubeconfig }),
    ...(context !== undefined && { context }),
  });
  const { server, credentials } = access;
  return {
    api: createKubernetesApi({ server, credentials, userAgent: 'kubectl-singleton/0.1.0' }),
    namespace: flags.allNamespaces ? undefined : (flags.namespace ?? access.namespace ?? 'default'),
  };
}

/** @throws CliError when it is not there, and says which of the two reasons it is */
export async function getSingleton(api: KubernetesApi, ref: Ref): Promise<SingletonService> {
  return await telling(api, ref, () => api.get<SingletonService>(SINGLETON_SERVICE, ref));
}

/** Does `work` on a singleton, and tells a singleton that is not there from a cluster that does not know the kind. */
export async function telling<T>(api: KubernetesApi, ref: Ref, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw (await isServed(api, SINGLETON_SERVICE)) ? noSuch(ref) : crdMissing();
  }
}

export const noSuch = ({ namespace, name }: Ref): CliError =>
  new CliError(`no SingletonService "${name}" in namespace "${namespace}"; "kubectl singleton status -A" lists all`);

export const crdMissing = (): CliError =>
  new CliError('the API server does not know SingletonServices; apply crds/singletonservices.yaml');

const PAGE_SIZE = 500;

/** All pages of a list. */
export async function listAll<T extends KubeObject>(
  api: KubernetesApi,
  type: ResourceType,
  query: Omit<ListQuery, 'limit' | 'continueToken'>,
): Promise<ListPage<T>> {
  const items: T[] = [];
  let more: Pick<ListQuery, 'continueToken'> | undefined = {};
  let resourceVersion = '0';
  while (more !== undefined) {
    const page: ListPage<T> = await api.list<T>(type, { ...query, ...more, limit: PAGE_SIZE });
    items.push(...page.items);
    ({ resourceVersion } = page);
    more = page.continueToken === undefined ? undefined : { continueToken: page.continueToken };
  }
  return { items, resourceVersion };
}

/** @throws CliError when the kind is not known */
export async function listSingletons(api: KubernetesApi, namespace: string | undefined): Promise<SingletonService[]> {
  try {
    const query = namespace === undefined ? {} : { namespace };
    return (await listAll<SingletonService>(api, SINGLETON_SERVICE, query)).items;
  } catch (error) {
    throw isNotFound(error) ? crdMissing() : error;
  }
}
