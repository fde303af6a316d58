/** What is there beside the members when the operator that ships is among them: nodes that beat, backups, a second operator. */
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, LABEL, OUT_OF_SERVICE, leaseName, serviceName } from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod } from '../../src/api/objects.ts';
import type { TimingInput } from '../../src/api/timing.ts';
import type { SingletonService } from '../../src/api/types.ts';
import type { AgentWorld } from './agent-world.ts';
import type { Machine, Member } from './agent-member.ts';
import type { Write } from './cluster.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import { Nodes } from './nodes.ts';
import { PairCheckers } from './pair-checkers.ts';
import { Chance } from './random.ts';
import { settledOn } from './settled.ts';
import { ShippingOperator, manifestWith } from './shipping-operator.ts';
import type { ShippingOperatorOptions } from './shipping-operator.ts';

const USER = 'user';
const NO_ONE: ReadonlySet<string> = new Set();
const BACKUPS_KEPT = 8;

/** What tells of terms, as it once was. */
interface Backup {
  readonly lease: Lease;
  readonly status: SingletonService['status'];
  readonly selector: object;
  /** By UID of the pod. */
  readonly labels: ReadonlyMap<string, object>;
}

export type PairOptions = Omit<ShippingOperatorOptions, 'onArrival'> & { readonly fastestRate: number };

export class PairWorld {
  readonly operator: ShippingOperator;
  readonly checkers: PairCheckers;
  readonly #world: AgentWorld;
  readonly #options: ShippingOperatorOptions;
  readonly #nodes: Nodes;
  readonly #backups: Backup[] = [];
  /** UIDs. */
  readonly #evicted = new Set<string>();
  #second: ShippingOperator | undefined;

  constructor(world: AgentWorld, options: PairOptions) {
    this.#world = world;
    const { engine, cluster, trace, network } = world;
    this.checkers = new PairCheckers({
      nowMs: () => engine.nowMs,
      fastestRate: options.fastestRate,
      cluster,
      durationMsOf: (holder) => this.#durationMsOf(holder),
      onViolation: options.onViolation,
    });
    const onArrival: ShippingOperatorOptions['onArrival'] = (request, { begunAtMs }) =>
      this.checkers.onArrival(request, begunAtMs);
    this.#options = { ...options, onArrival };
    this.operator = new ShippingOperator(this.#options);
    const isSilent = (name: string): boolean =>
      world.cutOff.has(name) || world.machines.some((one) => one.name === name && (!one.isUp || one.isFrozen));
    this.#nodes = new Nodes({
      engine,
      cluster,
      trace,
      chance: new Chance(options.seed, 'nodes'),
      kubelets: { lostNodes: { has: isSilent } },
      isServerDown: () => network.isServerDown,
    });
  }

  begin(): void {
    this.#nodes.begin(this.#world.machines.map(({ name }) => name));
  }

  onWrite(write: Write): void {
    this.checkers.onWrite(write);
    if (write.type === LEASE && write.after?.metadata.name === leaseName(SINGLETON)) this.#backUp(write.after);
  }

  /** Nobody vouches for a machine that is on, and no fault is left over. */
  heal(): void {
    this.#second?.crash();
    this.#second = undefined;
    this.setPaused(false);
    for (const { name } of this.#world.machines) this.setOutOfService(name, false);
  }

  /** Undefined: all is in order, and every member is of the present template. */
  wrong(): string | undefined {
    const { cluster, server } = this.#world;
    const { endpointSlices, disruptionBudgets } = server;
    const replicas = [{ isLeading: true }];
    const verdict = settledOn({ cluster, replicas, endpointSlices, disruptionBudgets, unwell: NO_ONE });
    if ('wrong' in verdict) return verdict.wrong;
    const revisions = new Set(cluster.list<Pod>(POD).map(({ metadata }) => metadata.labels?.[LABEL.revision]));
    const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    // What befell the first active of its version ended it.
    if (singleton?.status?.conditions?.some(({ reason }) => reason === 'RolloutFailed') === true) return undefined;
    if (revisions.size > 1) return 'a rollout is under way';
    const { eligibleReplicas, replicas: all } = singleton?.status ?? {};
    return eligibleReplicas === all ? undefined : `${eligibleReplicas} of ${all} could be the active`;
  }

  // --- what people do -------------------------------------------------------------------------------------------------------

  /** An operator that believes, too, that it leads. */
  startSecond(rate: number): void {
    this.#second ??= new ShippingOperator({ ...this.#options, name: 'operator-2', rate });
    this.#second.start();
  }

  stopSecond(): void {
    this.#second?.crash();
  }

  /** By its kubelet, one from before 1.24: it writes the last phase, and ends what runs there by and by. */
  evict(member: Member): void {
    this.#evicted.add(member.options.uid);
    member.delete();
    member.options.onStatus();
  }

  isEvicted({ options }: Member): boolean {
    return this.#evicted.has(options.uid);
  }

  setPaused(paused: boolean): void {
    this.#patchSingleton({ spec: { paused } });
  }

  setTiming(timing: TimingInput): void {
    const { election, fencing } = manifestWith(timing).spec;
    this.#patchSingleton({ spec: { election, fencing } });
  }

  deleteLease(): void {
    const lease = this.#lease;
    if (lease !== undefined) this.#world.cluster.delete(USER, LEASE, lease);
  }

  /** Without its record a Lease is taken at its word; what people write into it then is theirs to answer for. */
  editLease(patch: object): void {
    const lease = this.#lease;
    if (lease?.metadata.annotations?.[ANNOTATION.move] !== undefined) this.#put(patch);
  }

  #put(patch: object): void {
    const lease = this.#lease;
    if (lease !== undefined) this.#world.cluster.patch(USER, LEASE, lease, patch);
  }

  setOutOfService(name: string, isOut: boolean): void {
    const { cluster } = this.#world;
    const node = cluster.get(NODE, name);
    const taints = isOut ? [{ key: OUT_OF_SERVICE, effect: 'NoExecute' }] : null;
    if (node !== undefined) cluster.patch(USER, NODE, node, { spec: { taints } });
  }

  deleteNode({ name }: Machine): void {
    const node = this.#world.cluster.get(NODE, name);
    if (node !== undefined) this.#world.cluster.delete(USER, NODE, node);
  }

  /**
   * An older Lease is put back over the one that is there; what else tells of terms stays, and tells of the newest ever given.
   * (Of one that was lost with its Lease before anything else told of it, nobody could know.)
   */
  restoreLease(chance: Chance): number | undefined {
    const backup = chance.pick(this.#backups);
    const newest = Math.max(this.#lease?.spec?.leaseTransitions ?? Infinity, this.checkers.highest);
    if (backup === undefined || newest > this.#told) return undefined;
    const term = backup.lease.spec?.leaseTransitions ?? 0;
    this.#put(contentOf(backup.lease));
    return term;
  }

  /** All that tells of terms is as it was, as after the restoration of etcd; whoever runs goes on running. */
  restoreAll(chance: Chance): number | undefined {
    const { cluster } = this.#world;
    const backup = chance.pick(this.#backups);
    const lease = this.#lease;
    if (backup === undefined || lease === undefined) return undefined;
    const term = backup.lease.spec?.leaseTransitions ?? 0;
    this.checkers.restored(term);
    this.#world.checkers.restored(term);
    const service = cluster.get(SERVICE, serviceName(SINGLETON), NAMESPACE);
    if (service !== undefined) cluster.patch(USER, SERVICE, service, { spec: { selector: backup.selector } });
    for (const pod of cluster.list<Pod>(POD)) {
      const labels = { [LABEL.term]: null, [LABEL.role]: null, ...backup.labels.get(pod.metadata.uid) };
      cluster.patch(USER, POD, pod, { metadata: { labels } });
    }
    const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    const status = { ...nothingOf(singleton?.status), ...backup.status };
    if (singleton !== undefined) cluster.patch(USER, SINGLETON_SERVICE, singleton, { status }, 'status');
    this.#put(contentOf(backup.lease));
    return term;
  }

  get #told(): number {
    return this.#world.cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE)?.status?.term ?? 0;
  }

  get #lease(): Lease | undefined {
    return this.#world.cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
  }

  #patchSingleton(patch: object): void {
    const { cluster } = this.#world;
    const singleton = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    if (singleton !== undefined) cluster.patch(USER, SINGLETON_SERVICE, singleton, patch);
  }

  #backUp(lease: Lease): void {
    const { cluster } = this.#world;
    const service = cluster.get(SERVICE, serviceName(SINGLETON), NAMESPACE) as
      | { spec?: { selector?: object } }
      | undefined;
    const pods = cluster.list<Pod>(POD);
    this.#backups.push({
      lease,
      status: cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE)?.status,
      selector: service?.spec?.selector ?? {},
      labels: new Map(pods.map(({ metadata }) => [metadata.uid, metadata.labels ?? {}])),
    });
    if (this.#backups.length > BACKUPS_KEPT) this.#backups.splice(Math.floor(BACKUPS_KEPT / 2), 1);
  }

  #durationMsOf(holder: string): number | undefined {
    const member = [...this.#world.members.values()].find((one) => one.holder === holder);
    return member === undefined || member.hasEnded ? undefined : member.options.timing.leaseDurationMs;
  }
}

/** As a merge patch that leaves nothing of what came later. */
function contentOf({ metadata, spec }: Lease): object {
  const ours = [ANNOTATION.move, ANNOTATION.renewedTerm, ANNOTATION.releasedTerm, ANNOTATION.releaseRequested];
  const none = Object.fromEntries([...ours, ANNOTATION.release, ANNOTATION.switchover].map((key) => [key, null]));
  return { metadata: { annotations: { ...none, ...metadata.annotations } }, spec };
}

const nothingOf = (status: object | undefined): object =>
  Object.fromEntries(Object.keys(status ?? {}).map((field) => [field, null]));

/** What the agent in it was made with; undefined: it has none. */
export function timingIn(
  pod: KubeObject,
): Pick<TimingInput, 'leaseDurationMs' | 'renewIntervalMs' | 'stopGraceMs'> | undefined {
  const { initContainers = [] } = (pod as { spec?: { initContainers?: AgentContainer[] } }).spec ?? {};
  const env = initContainers[0]?.env;
  if (env === undefined) return undefined;
  const ms = (variable: string): number => Number(env.find(({ name }) => name === `SINGLETON_${variable}_MS`)?.value);
  return {
    leaseDurationMs: ms('LEASE_DURATION'),
    renewIntervalMs: ms('RENEW_INTERVAL'),
    stopGraceMs: ms('STOP_GRACE'),
  };
}

interface AgentContainer {
  readonly env?: { readonly name: string; readonly value?: string }[];
}
