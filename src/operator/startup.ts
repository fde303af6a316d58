/** Before the first watch: can the API server be reached, does it know us, and may we do what we must? */
import {
  discoverDisruptionBudgets,
  discoverEndpointSlices,
  LEASE,
  NODE,
  POD,
  SERVICE,
  SINGLETON_SERVICE,
} from '../adapters/kubernetes/resources.ts';
import { NODE_LEASE_NAMESPACE } from '../api/names.ts';
import { ApiError, TransportError, isNotFound } from '../adapters/ports.ts';
import type { Clock, KubernetesApi, Logger, ResourceType } from '../adapters/ports.ts';

/** Something that waiting will not mend; the message is one line for people. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

export interface StartupOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly namespace: string | undefined;
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/** What the cluster offers this operator. */
export interface Cluster {
  /** In the version the server has. */
  readonly endpointSlices: ResourceType;
  /** In the version the server has. */
  readonly disruptionBudgets: ResourceType;
  /** A role bound to one namespace can't read nodes; then zones, preferred labels and `no-failover` on nodes are not known. */
  readonly mayReadNodes: boolean;
  /** Otherwise a lost node is known when Kubernetes says so of its Node object, 40 s later than the node was heard of last. */
  readonly mayReadNodeLeases: boolean;
  /** `29` of Kubernetes 1.29; 0 when the server does not say. */
  readonly minorVersion: number;
}

/**
 * Returns what the cluster offers, once the server answers; undefined when aborted.
 * An API server that can't be reached, or is overloaded, is waited for: it may be starting. Refused credentials, missing
 * rights and a certificate that does not fit are thrown.
 *
 * @throws StartupError
 */
export async function waitForCluster(options: StartupOptions): Promise<Cluster | undefined> {
  const { clock, logger, signal } = options;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      return await examine(options);
    } catch (error) {
      const hopeless = whyHopeless(error);
      if (hopeless !== undefined) throw hopeless;
      const retryMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
      const why = error instanceof Error ? error.message : String(error);
      logger.warn(`the API server can't be used yet; trying again in ${retryMs / 1000} s`, { why });
      await pause(clock, retryMs, signal);
    }
  }
  return undefined;
}

async function examine({ api, logger, namespace }: StartupOptions): Promise<Cluster> {
  const endpointSlices = await discoverEndpointSlices(api);
  if (endpointSlices === undefined) {
    throw new StartupError('the API server has no discovery.k8s.io/v1 or v1beta1; Kubernetes 1.20 or newer is needed');
  }
  const disruptionBudgets = await discoverDisruptionBudgets(api);
  if (disruptionBudgets === undefined) {
    throw new StartupError('the API server has neither policy/v1 nor v1beta1; Kubernetes 1.20 or newer is needed');
  }
  for (const type of [SINGLETON_SERVICE, POD, SERVICE, LEASE, endpointSlices, disruptionBudgets]) {
    await mayList(api, type, namespace, logger);
  }
  return {
    endpointSlices,
    disruptionBudgets,
    mayReadNodes: await mayReadNodes(api, namespace, logger),
    mayReadNodeLeases: await mayReadNodeLeases(api, logger),
    minorVersion: await minorVersion(api),
  };
}

/** Some distributions write `29+`. Without an answer agents are put into pods as the oldest server takes them. */
async function minorVersion(api: KubernetesApi): Promise<number> {
  try {
    const { minor } = await api.getPath<{ readonly minor?: string }>('/version');
    return Number.parseInt(minor ?? '', 10) || 0;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return 0;
    throw error;
  }
}

async function mayReadNodes(api: KubernetesApi, namespace: string | undefined, logger: Logger): Promise<boolean> {
  try {
    await api.list(NODE, { limit: 1 });
    return true;
  } catch (error) {
    if (namespace === undefined || !(error instanceof ApiError) || error.status !== 403) throw error;
    logger.warn('no right to list nodes: zones, labels (election.preferences) and no-failover on nodes are not known', {
      why: error.message,
    });
    return false;
  }
}

async function mayReadNodeLeases(api: KubernetesApi, logger: Logger): Promise<boolean> {
  try {
    await api.list(LEASE, { namespace: NODE_LEASE_NAMESPACE, limit: 1 });
    return true;
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 404)) throw error;
    logger.warn(
      `no right to list leases in ${NODE_LEASE_NAMESPACE}: a lost node (failover.nodeLoss) is known only when Kubernetes says so`,
      { why: error.message },
    );
    return false;
  }
}

async function mayList(
  api: KubernetesApi,
  type: ResourceType,
  namespace: string | undefined,
  logger: Logger,
): Promise<void> {
  try {
    await api.list(type, { limit: 1, ...(namespace !== undefined && { namespace }) });
  } catch (error) {
    if (isNotFound(error) && type === SINGLETON_SERVICE) {
      return logger.warn('the API server does not know SingletonServices yet; apply crds/singletonservices.yaml');
    }
    if (error instanceof ApiError && error.status === 403) {
      throw new StartupError(`no right to list ${type.plural}: ${error.message}`, { cause: error });
    }
    throw error;
  }
  return undefined;
}

function whyHopeless(error: unknown): StartupError | undefined {
  if (error instanceof StartupError) return error;
  if (error instanceof ApiError && error.status === 401) {
    return new StartupError(
      `the API server does not accept our credentials (401 ${error.message}); check the kubeconfig's user`,
    );
  }
  if (error instanceof ApiError && error.status === 403) return new StartupError(error.message);
  if (error instanceof TransportError && error.failure === 'tls') return new StartupError(error.message);
  return undefined;
}

const pause = (clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const cancel = clock.after(delayMs, resolve);
    signal.addEventListener(
      'abort',
      () => {
        cancel();
        resolve();
      },
      { once: true },
    );
  });
