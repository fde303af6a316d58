/** What may happen to a singleton that is in order, each of which makes the operator write. */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import {
  ANNOTATION,
  LABEL,
  ROLE,
  headlessServiceName,
  holderIdentity,
  leaseName,
  serviceName,
} from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod } from '../../src/api/objects.ts';
import { NAMESPACE, SINGLETON, manifest } from '../simulation/manifest.ts';
import type { World } from '../simulation/world.ts';

export interface Scenario {
  readonly name: string;
  /** Undefined: the singleton is only created by `happens`. */
  readonly isNew?: true;
  /** The pods are somebody else's. */
  readonly isAdopting?: boolean;
  /** Fencing mode `Agent`. */
  readonly isFenced?: boolean;
  /** Before it may come to rest; 10 s when it does not say. */
  readonly takesMs?: number;
  readonly happens: (world: World) => void;
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubernetesApi.get: the caller knows the kind
function object<T extends KubeObject>({ cluster }: World, type: ResourceType, name: string): T {
  const found = cluster.get<T>(type, name, NAMESPACE);
  if (found === undefined) throw new Error(`there is no ${type.kind} ${name}`);
  return found;
}

const singletonOf = (world: World): KubeObject => object(world, SINGLETON_SERVICE, SINGLETON);

const isActive = (world: World, { metadata }: Pod): boolean =>
  object<Lease>(world, LEASE, leaseName(SINGLETON)).spec?.holderIdentity ===
  holderIdentity(metadata.name, metadata.uid);

function active(world: World): Pod {
  const found = world.cluster.list<Pod>(POD).find((pod) => isActive(world, pod));
  if (found === undefined) throw new Error('there is no active');
  return found;
}

function standby(world: World): Pod {
  const found = world.cluster.list<Pod>(POD).find((pod) => !isActive(world, pod));
  if (found === undefined) throw new Error('there is no standby');
  return found;
}

const asks = (world: World, request: string): void =>
  void world.cluster.patch('user', SINGLETON_SERVICE, singletonOf(world), {
    metadata: { annotations: { [ANNOTATION.switchover]: request } },
  });

const slotOfStandby = (world: World): string => standby(world).metadata.labels?.[LABEL.slot] ?? '';

const changesSpec =
  (spec: object) =>
  (world: World): void =>
    void world.cluster.patch('user', SINGLETON_SERVICE, singletonOf(world), { spec });

const deletes =
  (type: ResourceType, name: string) =>
  (world: World): void =>
    void world.cluster.delete('user', type, object(world, type, name));

const edits =
  (type: ResourceType, name: string, patch: object) =>
  (world: World): void =>
    void world.cluster.patch('user', type, object(world, type, name), patch);

const labels = (pod: (world: World) => Pod, given: Record<string, string | null>) => (world: World) =>
  void world.cluster.patch('user', POD, pod(world), { metadata: { labels: given } });

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'it is created',
    isNew: true,
    happens: (world) => void world.cluster.create('user', SINGLETON_SERVICE, world.manifest),
  },
  {
    name: 'it is created with a selector',
    isNew: true,
    isAdopting: true,
    happens: (world) => void world.cluster.create('user', SINGLETON_SERVICE, world.manifest),
  },
  {
    name: 'the active is an adopted pod and is deleted',
    isAdopting: true,
    happens: (world) => void world.cluster.delete('user', POD, active(world)),
  },
  {
    name: 'the active is an adopted pod and is evicted',
    isAdopting: true,
    happens: (world) => world.kubelets.finish(active(world), 'Failed', 'Evicted'),
  },
  {
    name: 'the active is an adopted pod and is not selected any more',
    isAdopting: true,
    happens: (world) => labels(active, { app: 'debug' })(world),
  },
  {
    name: 'all adopted pods are replaced one by one',
    isAdopting: true,
    happens: (world) => world.owner?.changeImage('echo:2'),
  },
  { name: 'the active crashes', happens: (world) => world.kubelets.crash(active(world), 1, 5_000) },
  { name: 'the active hangs', happens: (world) => world.kubelets.hang(active(world), 5_000) },
  { name: 'the active is deleted', happens: (world) => void world.cluster.delete('user', POD, active(world)) },
  {
    name: 'the active is deleted with force',
    happens: (world) => void world.cluster.delete('user', POD, active(world), 0),
  },
  { name: 'the active is evicted', happens: (world) => world.kubelets.finish(active(world), 'Failed', 'Evicted') },
  { name: 'a standby is deleted', happens: (world) => void world.cluster.delete('user', POD, standby(world)) },
  {
    name: 'all members are deleted at once',
    happens: ({ cluster }) => {
      for (const pod of cluster.list<Pod>(POD)) cluster.delete('user', POD, pod);
    },
  },
  { name: 'it is scaled up', happens: changesSpec({ replicas: 5 }) },
  {
    name: 'it is scaled down below the active',
    happens: (world) => {
      // To none but slot 0: unless that is the active, it has to move first.
      world.kubelets.hang(object(world, POD, first(world)), 3_000);
      changesSpec({ replicas: 1 })(world);
    },
  },
  { name: 'the Lease is deleted', happens: deletes(LEASE, leaseName(SINGLETON)) },
  {
    name: 'the holder in the Lease is edited',
    happens: edits(LEASE, leaseName(SINGLETON), { spec: { holderIdentity: 'somebody', leaseTransitions: 0 } }),
  },
  { name: 'the Service is deleted', happens: deletes(SERVICE, serviceName(SINGLETON)) },
  { name: 'the headless Service is deleted', happens: deletes(SERVICE, headlessServiceName(SINGLETON)) },
  {
    name: 'Lease and Service are deleted, and the active with them',
    happens: (world) => {
      const pod = active(world);
      deletes(LEASE, leaseName(SINGLETON))(world);
      deletes(SERVICE, serviceName(SINGLETON))(world);
      world.cluster.delete('user', POD, pod);
    },
  },
  {
    name: 'the selector is edited',
    happens: edits(SERVICE, serviceName(SINGLETON), { spec: { selector: { [LABEL.term]: '7', more: 'label' } } }),
  },
  { name: 'the labels of the active are edited', happens: labels(active, { [LABEL.role]: null, [LABEL.term]: '9' }) },
  {
    name: 'a standby is labelled as the active',
    happens: (world) => labels(standby, { [LABEL.role]: ROLE.active, [LABEL.term]: '1' })(world),
  },
  {
    name: 'it is paused while the active crashes',
    happens: (world) => {
      changesSpec({ paused: true })(world);
      world.kubelets.crash(active(world), 1, 8_000);
      world.engine.after(5_000, () => changesSpec({ paused: false })(world));
    },
  },
  { name: 'its template is changed', happens: changesSpec({ template: manifest('echo:2').spec.template }) },
  {
    name: 'its template is changed, and changed again in the middle of the rollout',
    happens: (world) => {
      changesSpec({ template: manifest('echo:2').spec.template })(world);
      world.engine.after(9_000, () => changesSpec({ template: manifest('echo:3').spec.template })(world));
    },
  },
  {
    name: 'its template is changed to a version that crashes as the active',
    happens: changesSpec({ template: manifest('fragile:2').spec.template }),
  },
  { name: 'a switchover to any is requested', happens: (world) => asks(world, 'any') },
  { name: 'a switchover to a slot is requested', happens: (world) => asks(world, `slot:${slotOfStandby(world)}`) },
  { name: 'a switchover to nobody is requested', happens: (world) => asks(world, 'db-9-nobody') },
  {
    name: 'a switchover is requested, and another one right after it',
    happens: (world) => {
      const slot = slotOfStandby(world);
      asks(world, 'any');
      world.engine.after(5, () => asks(world, `slot:${slot}`));
    },
  },
  {
    name: 'a switchover is requested and its target crashes',
    happens: (world) => {
      const pod = standby(world);
      asks(world, pod.metadata.name);
      world.engine.after(10, () => world.kubelets.crash(pod, 1, 5_000));
    },
  },
  {
    name: 'a better candidate takes over',
    happens: (world) => {
      const priorities = Array.from({ length: 3 }, (_, slot) => (String(slot) === slotOfStandby(world) ? 9 : 1));
      changesSpec({ election: { strategy: 'Priority', priorities, preemption: 'AfterStable', stableSeconds: 2 } })(
        world,
      );
    },
  },
  {
    name: 'its template is changed and a member is deleted',
    happens: (world) => {
      changesSpec({ template: manifest('echo:2').spec.template })(world);
      world.cluster.delete('user', POD, standby(world));
    },
  },
];

/** Whatever befalls a singleton of mode `Routing`, and what only mode `Agent` knows. */
export const FENCED_SCENARIOS: readonly Scenario[] = [
  ...SCENARIOS.filter(({ isAdopting }) => isAdopting !== true),
  {
    name: 'the node of the active is silent for a while',
    takesMs: 60_000,
    happens: (world: World) => silence(world, 20_000),
  },
  {
    name: 'the active is deleted with force on a silent node',
    takesMs: 60_000,
    happens: (world: World) => {
      const pod = active(world);
      silence(world, 20_000);
      world.cluster.delete('user', POD, pod, 0);
    },
  },
  {
    name: 'the active crashes, and the next agent never takes up its term',
    happens: (world: World) => {
      const old = active(world);
      for (const { metadata } of world.cluster.list<Pod>(POD))
        if (metadata.name !== old.metadata.name) world.agents?.deaf.add(metadata.name);
      world.kubelets.crash(old, 1, 1_000);
      world.engine.after(9_000, () => world.agents?.deaf.clear());
    },
  },
  {
    name: 'the mode becomes Routing',
    takesMs: 60_000,
    happens: changesSpec({ fencing: { mode: 'Routing' } }),
  },
].map((scenario) => ({ ...scenario, isFenced: true }));

function silence(world: World, forMs: number): void {
  const recover = world.kubelets.loseNode(active(world).spec?.nodeName ?? '');
  world.engine.after(forMs, recover);
}

const first = ({ cluster }: World): string =>
  cluster
    .list<Pod>(POD)
    .map(({ metadata }) => metadata.name)
    .sort()[0] ?? '';
