/** What the operator knows of the cluster, kept by watches and by the answers to its own writes. */
import { Store, dropManagedFields } from '../adapters/kubernetes/store.ts';
import type { Logger } from '../adapters/ports.ts';
import { AGENT_CONTAINER, AGENT_ENV, API_VERSION, KIND, LABEL, NO_FAILOVER } from '../api/names.ts';
import { present } from '../api/present.ts';
import type {
  Container,
  EndpointSlice,
  KubeObject,
  Lease,
  Node,
  ObjectMeta,
  Pod,
  PodDisruptionBudget,
  Service,
} from '../api/objects.ts';
import type { SingletonService } from '../api/types.ts';
import { sameJson } from '../core/hash.ts';
import { memoized } from '../core/memo.ts';
import { keyOf } from './keys.ts';
import type { Key } from './keys.ts';
import { PodCache } from './pod-cache.ts';
import { controllerOf, shutdownCondition } from './views.ts';

export { keyOf, refOf } from './keys.ts';
export type { Key } from './keys.ts';

/** What a write or a live read needs of a cache. */
export type Cache<T extends KubeObject> = Pick<Store<T>, 'get' | 'mark' | 'acceptWrite' | 'acceptRead' | 'forget'>;

export interface Caches {
  readonly singletons: Store<SingletonService, 'activesNode'>;
  readonly pods: PodCache;
  readonly services: Store<Service>;
  readonly leases: Store<Lease>;
  readonly nodes: Store<Node>;
  /** Of kubelets, by node name: their beats. */
  readonly nodeLeases: Store<Lease>;
  readonly slices: Store<EndpointSlice, 'singleton'>;
  readonly budgets: Store<PodDisruptionBudget>;
}

/** Empty caches that keep only what is read. `keysOfOwned` files pods and slices under their singletons. */
export function createCaches(logger: Logger): Caches {
  return {
    singletons: new Store<SingletonService, 'activesNode'>({
      name: 'singletonservices',
      logger,
      project: keepSingleton,
      indices: { activesNode: ({ status }) => (status?.active?.node === undefined ? [] : [status.active.node]) },
    }),
    pods: new PodCache({
      name: 'pods',
      logger,
      project: keepPod,
      indices: { singleton: keysOfOwned, node: (pod) => (pod.spec?.nodeName === undefined ? [] : [pod.spec.nodeName]) },
    }),
    services: new Store({ name: 'services', logger }),
    leases: new Store({ name: 'leases', logger }),
    nodes: new Store({ name: 'nodes', logger, project: keepNode }),
    nodeLeases: new Store({ name: 'node leases', logger, project: keepBeat }),
    slices: new Store<EndpointSlice, 'singleton'>({
      name: 'endpointslices',
      logger,
      project: keepSlice,
      indices: { singleton: keysOfOwned },
    }),
    budgets: new Store({ name: 'poddisruptionbudgets', logger, project: keepBudget }),
  };
}

const keepMeta = ({ metadata }: KubeObject): ObjectMeta => {
  const { managedFields: _managedFields, annotations, ...kept } = metadata as ObjectMeta & { managedFields?: unknown };
  const noFailover = annotations?.[NO_FAILOVER];
  return noFailover === undefined ? kept : { ...kept, annotations: { [NO_FAILOVER]: noFailover } };
};

/** The spec stays the same object while it says the same, so that it is not parsed anew after each write to the status. */
function keepSingleton(singleton: SingletonService, old: SingletonService | undefined): SingletonService {
  const kept = dropManagedFields(singleton);
  const isSame = old !== undefined && old.spec !== kept.spec && sameJson(old.spec, kept.spec);
  return isSame ? { ...kept, spec: old.spec } : kept;
}

/** A pod is several kilobytes, of which the decisions read a few hundred bytes. */
function keepPod(pod: Pod): Pod {
  const { phase, reason, podIP, conditions, containerStatuses, initContainerStatuses } = pod.status ?? {};
  const agent = agentOf(pod);
  return {
    metadata: keepMeta(pod),
    spec: {
      ...(pod.spec?.nodeName !== undefined && { nodeName: pod.spec.nodeName }),
      ...(agent !== undefined && { containers: [agent] }),
    },
    status: present({
      phase,
      reason,
      podIP,
      conditions: conditions
        ?.filter(({ type }) => type === 'Ready' || type === 'DisruptionTarget')
        .map(({ type, status, lastTransitionTime }) => present({ type, status, lastTransitionTime })),
      containerStatuses: containerStatuses?.map(({ name, ready, restartCount, state, lastState }) =>
        present({ name, ready, restartCount, state, lastState }),
      ),
      // Whether a pod has ended is asked only of those that have an agent.
      initContainerStatuses:
        agent === undefined
          ? undefined
          : initContainerStatuses?.map(({ name, ready, restartCount, state }) =>
              present({ name, ready, restartCount, state }),
            ),
    }),
  };
}

/** The agent beside the workload, and what it goes by. Containers of a pod never change. */
function agentOf({ spec }: Pod): Container | undefined {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const agent = containers.find(({ name }) => name === AGENT_CONTAINER);
  if (agent === undefined) return undefined;
  const isKept = ({ name, value }: { name: string; value?: string }): boolean =>
    name === AGENT_ENV.leaseDurationMs || (name === AGENT_ENV.onApiLoss && value === 'Hold');
  return { name: agent.name, env: (agent.env ?? []).filter(isKept) };
}

/** Its conditions change with every beat of its kubelet's heart; two things in them tell something. */
function keepNode(node: Node): Node {
  const { metadata, spec, status } = node;
  const shutdown = shutdownCondition(node);
  const ready = shutdown ?? status?.conditions?.find(({ type }) => type === 'Ready');
  return {
    metadata: keepMeta({ metadata }),
    spec: present({ unschedulable: spec?.unschedulable, taints: spec?.taints }),
    status: {
      conditions:
        ready === undefined
          ? []
          : [present({ type: ready.type, status: ready.status, message: shutdown && (shutdown.message ?? '') })],
    },
  };
}

/** There is one every ten seconds of every node. */
const keepBeat = ({ metadata: { name, namespace, uid, resourceVersion, creationTimestamp }, spec }: Lease): Lease => ({
  metadata: { name, uid, resourceVersion, creationTimestamp, ...(namespace !== undefined && { namespace }) },
  spec: present({ renewTime: spec?.renewTime, leaseDurationSeconds: spec?.leaseDurationSeconds }),
});

/** Its status, which a controller writes with every move, says nothing that a decision asks. */
const keepBudget = ({ metadata, spec }: PodDisruptionBudget): PodDisruptionBudget => ({
  metadata: keepMeta({ metadata }),
  ...(spec !== undefined && { spec }),
});

const keepSlice = (slice: EndpointSlice): EndpointSlice => ({
  metadata: keepMeta(slice),
  endpoints: (slice.endpoints ?? []).map(({ addresses, conditions, targetRef }) =>
    present({ addresses, conditions, targetRef }),
  ),
});

/**
 * The singletons an object belongs to: the one that owns it, and the one whose name label it carries. They differ when
 * somebody edits labels, and then both want to know.
 */
export const keysOfOwned = memoized((object: KubeObject): readonly Key[] => {
  const { namespace, labels } = object.metadata;
  const owner = controllerOf(object);
  const names = [
    owner?.kind === KIND && owner.apiVersion === API_VERSION ? owner.name : undefined,
    labels?.[LABEL.name],
  ];
  return [...new Set(names.filter((name) => name !== undefined))].map((name) => keyOf(namespace, name));
});
