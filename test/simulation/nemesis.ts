/** Everything that goes wrong, and everybody who interferes: each kind of fault with its weight, one after another by chance. */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import {
  ANNOTATION,
  GUARDED,
  LABEL,
  NO_FAILOVER,
  ROLE,
  headlessServiceName,
  leaseName,
  serviceName,
} from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { activeIn } from './actives.ts';
import { USER, seconds } from './fault-words.ts';
import type { Cluster } from './cluster.ts';
import { BUDGET_EDITS, DRAIN_FAULTS } from './drains.ts';
import type { Engine } from './engine.ts';
import { isWrite } from './faulty-wire.ts';
import type { Network } from './faulty-wire.ts';
import type { Kubelets } from './kubelets.ts';
import { attestNode, labelNode, loseNode, loseNodes } from './node-faults.ts';
import { LEADER_LEASE, NAMESPACE, SINGLETON, manifest, someImage } from './manifest.ts';
import type { Owner } from './owner.ts';
import { changeElection, moveNode, request } from './planned-faults.ts';
import type { Chance } from './random.ts';
import type { Replica } from './replica.ts';
import { deleteService, foreignService } from './service-faults.ts';
import type { Trace } from './trace.ts';
import type { WireRequest } from './wire.ts';

export interface Targets {
  readonly engine: Engine;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly kubelets: Kubelets;
  readonly replicas: readonly Replica[];
  readonly trace: Trace;
  readonly chance: Chance;
  /** In the version that the server has. */
  readonly disruptionBudgets: ResourceType;
  /** Of the singleton, as its user wrote it first. */
  readonly manifest: { readonly spec: object };
  /** Of the pods, when it is not the operator that makes them. */
  readonly owner: Owner | undefined;
  /** The API server forgets old versions: watches that resume from them get 410. */
  readonly compact: () => void;
}

export type Fault = (targets: Targets) => string | undefined;

const pods = ({ cluster }: Targets): readonly Pod[] => cluster.list<Pod>(POD);

/** The active more often than it would be by chance: it matters most. */
function anyPod(targets: Targets): Pod | undefined {
  const active = activeIn(targets.cluster);
  return active !== undefined && targets.chance.happens(0.5) ? active : targets.chance.pick(pods(targets));
}

const onPod =
  (fault: (targets: Targets, pod: Pod) => string | undefined): Fault =>
  (targets) => {
    const pod = anyPod(targets);
    return pod && fault(targets, pod);
  };

const onReplica =
  (fault: (targets: Targets, replica: Replica) => string | undefined): Fault =>
  (targets) => {
    const running = targets.replicas.filter(({ process }) => process?.isAlive === true);
    const leader = running.find(({ isLeading }) => isLeading);
    const replica = leader !== undefined && targets.chance.happens(0.6) ? leader : targets.chance.pick(running);
    return replica && fault(targets, replica);
  };

const onObject =
  (type: ResourceType, name: string, fault: (targets: Targets, object: KubeObject) => string | undefined): Fault =>
  (targets) => {
    const object = targets.cluster.get(type, name, NAMESPACE);
    return object && fault(targets, object);
  };

// --- replicas -----------------------------------------------------------------------------------------------------------

function freeze({ engine }: Targets, replica: Replica, forMs: number): void {
  const { process } = replica;
  process?.freeze();
  engine.after(forMs, () => process?.wake());
}

const crash = onReplica(({ engine, chance }, replica) => {
  const { name } = replica;
  const downMs = chance.logBetween(50, 10_000);
  replica.crash();
  engine.after(downMs, () => replica.start());
  return `${name} crashes, for ${seconds(downMs)}`;
});

/** The moments that matter: a write, a claim or renewal of the lead, or anything. */
function aRequest(chance: Chance): readonly [string, (request: WireRequest) => boolean] {
  const kind = chance.pick(['write', 'write', 'claim', 'request'] as const) ?? 'request';
  switch (kind) {
    case 'write':
      return [kind, isWrite];
    case 'claim':
      return [kind, ({ namespace, verb }) => namespace === LEADER_LEASE.namespace && verb !== 'watch'];
    case 'request':
      return [kind, () => true];
    default:
      return kind satisfies never;
  }
}

const crashAtCall = onReplica(({ engine, chance, trace }, replica) => {
  const { name, process } = replica;
  const downMs = chance.logBetween(50, 10_000);
  const afterMs = chance.between(0, 5);
  const [what, isIt] = aRequest(chance);
  process?.onNextCall(() => {
    trace.note('fault', `${name} crashes ${afterMs.toFixed(1)} ms after a request`);
    engine.after(afterMs, () => {
      if (replica.process !== process) return;
      replica.crash();
      engine.after(downMs, () => replica.start());
    });
  }, isIt);
  return `${name} will crash at its next ${what}, for ${seconds(downMs)}`;
});

const stop = onReplica(({ engine, chance }, replica) => {
  const { name, process } = replica;
  const downMs = chance.logBetween(50, 5_000);
  process?.deliver(() => void replica.stop());
  // Kubernetes kills what has not stopped in time.
  engine.after(5_000, () => {
    if (replica.process === process) replica.crash();
  });
  engine.after(5_000 + downMs, () => replica.start());
  return `${name} is stopped`;
});

const freezeNow = onReplica((targets, replica) => {
  const forMs = targets.chance.logBetween(20, 30_000);
  freeze(targets, replica, forMs);
  return `${replica.name} freezes for ${seconds(forMs)}`;
});

const freezeAtCall = onReplica((targets, replica) => {
  const { name, process } = replica;
  const forMs = targets.chance.logBetween(500, 30_000);
  const [what, isIt] = aRequest(targets.chance);
  const afterMs = targets.chance.happens(0.5) ? targets.chance.between(0, 2) : undefined;
  process?.onNextCall(() => {
    targets.trace.note('fault', `${name} freezes ${afterMs === undefined ? 'in the middle of' : 'after'} a request`);
    if (afterMs === undefined) freeze(targets, replica, forMs);
    else targets.engine.after(afterMs, () => freeze(targets, replica, forMs));
  }, isIt);
  return `${name} will freeze at its next ${what} for ${seconds(forMs)}`;
});

/**
 * The leader freezes with the deletion of a standby on its tongue, under a scale-down that is taken back; the next leader
 * has that standby for the active by then.
 */
const lateDeletion: Fault = (targets) => {
  const { cluster, engine, chance, trace, replicas } = targets;
  const leader = replicas.find(({ isLeading }) => isLeading);
  const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  const { replicas: wanted = 1 } = (singleton?.spec ?? {}) as { replicas?: number };
  if (leader?.process === undefined || singleton === undefined || wanted < 2 || targets.owner !== undefined)
    return undefined;
  const { name, process } = leader;
  const scaleTo = (count: number): void => {
    const now = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    if (now !== undefined) cluster.patch(USER, SINGLETON_SERVICE, now, { spec: { replicas: count } });
  };
  const forMs = chance.between(5_000, 12_000);
  process.onNextCall(
    () => {
      trace.note('fault', `${name} freezes in the middle of a deletion for ${seconds(forMs)}`);
      freeze(targets, leader, forMs);
      scaleTo(wanted);
      engine.after(chance.between(0, 4_000), () => {
        const active = activeIn(targets.cluster);
        if (active !== undefined) cluster.delete(USER, POD, active, 0);
      });
    },
    ({ verb, resource }) => verb === 'delete' && resource === POD.plural,
  );
  scaleTo(wanted - 1);
  return `somebody scales to ${wanted - 1} for a moment, and ${name} will freeze at its next deletion`;
};

/**
 * A standby has not heard all of the last move when its leader dies: either of the Lease nothing, or nothing of the rest,
 * and then the Lease, which tells of it, is lost at the same time.
 */
const unheardMove: Fault = (targets) => {
  const { cluster, engine, chance, replicas, trace, kubelets } = targets;
  const leader = replicas.find(({ isLeading }) => isLeading);
  const standby = chance.pick(replicas.filter((one) => one !== leader && one.isSynced));
  const active = activeIn(targets.cluster);
  if (leader === undefined || standby === undefined || active === undefined) return undefined;
  const { name, process } = leader;
  const downMs = chance.logBetween(5_000, 20_000);
  const isLeaseLost = chance.happens(0.5);
  const rest = [POD.plural, SERVICE.plural, ...(chance.happens(0.5) ? [SINGLETON_SERVICE.plural] : [])];
  standby.silence(isLeaseLost ? rest : [LEASE.plural]);
  kubelets.crash(active, 1, chance.logBetween(50, 10_000));
  engine.after(chance.logBetween(100, 3_000), () => {
    const lease = cluster.get(LEASE, leaseName(SINGLETON), NAMESPACE);
    if (lease !== undefined && isLeaseLost) cluster.delete(USER, LEASE, lease);
    if (leader.process !== process) return;
    trace.note('fault', `${name} crashes, for ${seconds(downMs)}${isLeaseLost ? ', and the Lease is deleted' : ''}`);
    leader.crash();
    engine.after(downMs, () => leader.start());
  });
  return `${active.metadata.name} crashes, and ${standby.name} will hear late of ${isLeaseLost ? 'it' : 'its Lease'}`;
};

const partition = onReplica(({ engine, network, chance }, replica) => {
  const { name } = replica;
  const forMs = chance.logBetween(200, 20_000);
  network.cutOff.add(name);
  replica.disturb();
  engine.after(forMs, () => {
    network.cutOff.delete(name);
    if (replica.name === name) replica.reconnected();
  });
  return `${name} is cut off for ${seconds(forMs)}`;
});

// --- the API server -------------------------------------------------------------------------------------------------------

const outage: Fault = ({ engine, network, replicas, chance }) => {
  if (network.isServerDown) return undefined;
  const forMs = chance.logBetween(200, 15_000);
  network.isServerDown = true;
  for (const replica of replicas) replica.disturb();
  engine.after(forMs, () => {
    network.isServerDown = false;
    for (const replica of replicas) replica.reconnected();
  });
  return `the API server is down for ${seconds(forMs)}`;
};

/** Everything takes seconds for a while: answers come when they are not worth anything any more. */
const slowness: Fault = ({ engine, network, chance }) => {
  const { faults } = network;
  const forMs = chance.logBetween(1_000, 10_000);
  const slow = { ...faults, slow: chance.between(0.3, 0.9), slowMs: chance.logBetween(500, 6_000) };
  network.faults = slow;
  engine.after(forMs, () => {
    if (network.faults === slow) network.faults = faults;
  });
  return `the network is slow for ${seconds(forMs)}`;
};

const compaction: Fault = ({ compact, replicas }) => {
  compact();
  for (const replica of replicas) if (replica.process?.isAlive === true) replica.disturb();
  return 'etcd is compacted, and watches break';
};

// --- pods and nodes -------------------------------------------------------------------------------------------------------

const crashPod = onPod(({ kubelets, chance }, pod) => {
  const downMs = chance.logBetween(50, 10_000);
  const exitCode = chance.happens(0.2) ? 0 : 1;
  kubelets.crash(pod, exitCode, downMs);
  return `${pod.metadata.name} crashes (exit code ${exitCode}), for ${seconds(downMs)}`;
});

const hangPod = onPod(({ kubelets, chance }, pod) => {
  const forMs = chance.logBetween(50, 10_000);
  kubelets.hang(pod, forMs);
  return `${pod.metadata.name} hangs for ${seconds(forMs)}`;
});

const deletePod = onPod(({ cluster }, pod) => {
  cluster.delete(USER, POD, pod);
  return `somebody deletes ${pod.metadata.name}`;
});

const forceDeletePod = onPod(({ cluster }, pod) => {
  cluster.delete(USER, POD, pod, 0);
  return `somebody deletes ${pod.metadata.name} with force`;
});

const evictPod = onPod(({ cluster, kubelets, chance }, pod) => {
  if (chance.happens(0.5)) {
    kubelets.finish(pod, 'Failed', 'Evicted');
    return `${pod.metadata.name} is evicted by its kubelet`;
  }
  kubelets.markForEviction(pod);
  const marked = cluster.get(POD, pod.metadata.name, NAMESPACE);
  if (marked !== undefined) cluster.delete('evictor', POD, marked);
  return `${pod.metadata.name} is evicted`;
});

const finishPod = onPod(({ kubelets, chance }, pod) => {
  const phase = chance.happens(0.5) ? 'Succeeded' : 'Failed';
  kubelets.finish(pod, phase, undefined);
  return `${pod.metadata.name} ends: ${phase}`;
});

const changeNodeLoss: Fault = (targets) =>
  editSpec(({ chance }) => {
    const policy = chance.pick(['Wait', 'PromoteAfter']);
    const afterSeconds = chance.pick([5, 30, 60]);
    return {
      what: `somebody wants nodeLoss ${policy} after ${afterSeconds} s`,
      spec: { failover: { nodeLoss: { policy, afterSeconds } } },
    };
  })(targets);

// --- users ----------------------------------------------------------------------------------------------------------------

/** Often the one that counts now, or the next. */
function someTerm({ cluster, chance }: Targets): string {
  const service = cluster.get<Service>(SERVICE, serviceName(SINGLETON), NAMESPACE);
  const term = Number(service?.spec?.selector?.[LABEL.term] ?? 0);
  return String(chance.pick([term, term, term + 1, Math.max(0, term - 1), 0, chance.below(12)]) ?? 0);
}

const editLabel = onPod((targets, pod) => {
  const { cluster, chance } = targets;
  const edits: Record<string, string | null>[] = [
    { [LABEL.role]: null },
    { [LABEL.role]: ROLE.standby },
    { [LABEL.role]: ROLE.active },
    { [LABEL.term]: null },
    { [LABEL.term]: someTerm(targets) },
    { [LABEL.term]: someTerm(targets) },
    { [LABEL.guarded]: null },
    { [LABEL.guarded]: GUARDED },
    { [LABEL.name]: null },
    { [LABEL.name]: 'other' },
    { [LABEL.slot]: String(chance.below(5)) },
    { [LABEL.slot]: null },
    { [LABEL.name]: null, [LABEL.role]: null, [LABEL.term]: null, [LABEL.slot]: null, [LABEL.revision]: null },
    { [NO_FAILOVER]: pod.metadata.labels?.[NO_FAILOVER] === 'true' ? null : 'true' },
    { 'somebody.else/label': String(chance.below(100)) },
    ...(targets.owner === undefined ? [] : [{ app: null }, { app: 'other' }, { app: SINGLETON }]),
  ];
  const labels = chance.pick(edits) ?? {};
  cluster.patch(USER, POD, pod, { metadata: { labels } });
  return `somebody edits labels of ${pod.metadata.name}: ${JSON.stringify(labels)}`;
});

/** A second pod that the Service selects: what nobody but the operator may make. */
const forgeTerm: Fault = (targets) => {
  const { cluster, chance } = targets;
  const service = cluster.get<Service>(SERVICE, serviceName(SINGLETON), NAMESPACE);
  const term = service?.spec?.selector?.[LABEL.term];
  const pod = chance.pick(
    pods(targets).filter(({ metadata }) => metadata.uid !== activeIn(targets.cluster)?.metadata.uid),
  );
  if (pod === undefined || term === undefined) return undefined;
  cluster.patch(USER, POD, pod, { metadata: { labels: { [LABEL.term]: term } } });
  return `somebody gives ${pod.metadata.name} the term that is routed, ${term}`;
};

const deleteLease = onObject(LEASE, leaseName(SINGLETON), ({ cluster }, lease) => {
  cluster.delete(USER, LEASE, lease);
  return 'somebody deletes the Lease';
});

/** As a backup brings objects back: without their status, and without what nobody thought of. */
const restoreFromBackup = onObject(SINGLETON_SERVICE, SINGLETON, ({ cluster, chance }, singleton) => {
  const status = Object.fromEntries(
    Object.keys((singleton as SingletonService).status ?? {}).map((key) => [key, null]),
  );
  cluster.patch(USER, SINGLETON_SERVICE, singleton, { status }, 'status');
  const lease = cluster.get(LEASE, leaseName(SINGLETON), NAMESPACE);
  const isLeaseLost = lease !== undefined && chance.happens(0.7);
  if (isLeaseLost) cluster.delete(USER, LEASE, lease);
  return `the status is lost${isLeaseLost ? ', and the Lease with it' : ''}`;
});

const editLease = onObject(LEASE, leaseName(SINGLETON), ({ cluster, chance }, object) => {
  const lease = object as Lease;
  const term = lease.spec?.leaseTransitions ?? 0;
  const pod = chance.pick(cluster.list<Pod>(POD))?.metadata;
  const edits: object[] = [
    { spec: { holderIdentity: '' } },
    { spec: { holderIdentity: 'somebody' } },
    ...(pod === undefined ? [] : [{ spec: { holderIdentity: `${pod.name}_${pod.uid}` } }]),
    { spec: { leaseTransitions: 0 } },
    { spec: { leaseTransitions: term + 1 + chance.below(20) } },
    { spec: { leaseTransitions: Math.max(0, term - 1) } },
    { metadata: { labels: { [LABEL.name]: null } } },
    { metadata: { labels: { 'somebody.else/label': String(chance.below(100)) } } },
  ];
  // Without its record a Lease is taken at its word; what people write into it then is theirs to answer for.
  if (lease.metadata.annotations?.[ANNOTATION.move] === undefined) return undefined;
  const edit = chance.pick(edits) ?? {};
  cluster.patch(USER, LEASE, lease, edit);
  return `somebody edits the Lease: ${JSON.stringify(edit)}`;
});

const editService = onObject(SERVICE, serviceName(SINGLETON), (targets, object) => {
  const { cluster, chance } = targets;
  const service = object as Service;
  const { selector = {} } = service.spec ?? {};
  const edits: object[] = [
    { spec: { selector: { [LABEL.term]: null } } },
    { spec: { selector: { [LABEL.term]: someTerm(targets) } } },
    { spec: { selector: { more: 'label' } } },
    { spec: { selector: Object.fromEntries(Object.keys(selector).map((key) => [key, null])) } },
    { spec: { publishNotReadyAddresses: false } },
    { metadata: { labels: { [LABEL.name]: null } } },
    { metadata: { annotations: { note: String(chance.below(100)) } } },
  ];
  const edit = chance.pick(edits) ?? {};
  cluster.patch(USER, SERVICE, service, edit);
  return `somebody edits the Service: ${JSON.stringify(edit)}`;
});

/** Not ours, but with our labels: it must never be routed to for long, and never be deleted. */
const stranger: Fault = (targets) => {
  const { cluster, chance } = targets;
  const name = `stranger-${chance.below(1e6)}`;
  const labels = { [LABEL.name]: SINGLETON, [LABEL.role]: ROLE.active, [LABEL.term]: someTerm(targets) };
  const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: NAMESPACE, labels } };
  cluster.create(USER, POD, { ...body, spec: { containers: [{ name: 'app', image: 'other' }] } });
  return `somebody creates ${name} with our labels`;
};

const editSpec = (
  describe: (targets: Targets) => { readonly what: string; readonly spec: object } | undefined,
): Fault =>
  onObject(SINGLETON_SERVICE, SINGLETON, (targets, object) => {
    const edit = describe(targets);
    if (edit === undefined) return undefined;
    targets.cluster.patch(USER, SINGLETON_SERVICE, object, { spec: edit.spec });
    return edit.what;
  });

const pause = onObject(SINGLETON_SERVICE, SINGLETON, ({ cluster, engine, chance }, object) => {
  const forMs = chance.logBetween(500, 20_000);
  cluster.patch(USER, SINGLETON_SERVICE, object, { spec: { paused: true } });
  engine.after(forMs, () => {
    const now = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    if (now !== undefined) cluster.patch(USER, SINGLETON_SERVICE, now, { spec: { paused: false } });
  });
  return `somebody pauses it for ${seconds(forMs)}`;
});

const scale: Fault = (targets) => {
  const { chance, owner } = targets;
  if (owner === undefined) return scaleSpec(targets);
  const replicas = chance.below(5);
  owner.scale(replicas);
  return `somebody scales the ${owner.kind} to ${replicas}`;
};

const scaleSpec = editSpec(({ chance }) => {
  const replicas = 1 + chance.below(4);
  return { what: `somebody scales to ${replicas}`, spec: { replicas } };
});

const changeTemplate: Fault = (targets) => {
  const { chance, owner } = targets;
  if (owner === undefined) return changeSpecsTemplate(targets);
  owner.changeImage(`echo:${chance.below(1e6)}`);
  return `the ${owner.kind} is rolled out anew`;
};

const changeSpecsTemplate = editSpec(({ chance }) => {
  const image = someImage(chance);
  return { what: `somebody changes the image to ${image}`, spec: { template: manifest(image).spec.template } };
});

/** A third of the time together with a pause, in the middle of which the active is deleted: it must count all the same. */
const breakSpec: Fault = (targets) => {
  const { cluster, engine, chance, owner } = targets;
  const object = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  if (object === undefined) return undefined;
  const isPaused = chance.happens(0.33);
  const forMs = chance.logBetween(500, 20_000);
  const election = { strategy: 'Priority', ...(owner === undefined && { priorities: [1] }) };
  cluster.patch(USER, SINGLETON_SERVICE, object, { spec: { election, ...(isPaused && { paused: true }) } });
  if (isPaused) {
    engine.after(forMs / 2, () => {
      const active = activeIn(targets.cluster);
      if (active !== undefined) cluster.delete(USER, POD, active);
    });
  }
  engine.after(forMs, () => {
    const now = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    const healed = { election: null, ...(isPaused && { paused: false }) };
    if (now !== undefined) cluster.patch(USER, SINGLETON_SERVICE, now, { spec: healed });
  });
  return `somebody breaks a rule of the spec for a while${isPaused ? ', and pauses it' : ''}`;
};

const recreate = onObject(SINGLETON_SERVICE, SINGLETON, ({ cluster, engine, chance, manifest: written }, object) => {
  cluster.delete(USER, SINGLETON_SERVICE, object);
  engine.after(chance.logBetween(1, 5_000), () => cluster.create(USER, SINGLETON_SERVICE, written));
  return 'somebody deletes the SingletonService and creates it again';
});

/** Weight, name, fault. A run draws for each whether it happens in it at all, so that runs differ in kind. */
export const FAULTS: readonly (readonly [number, string, Fault])[] = [
  [3, 'crash', crash],
  [4, 'crashAtCall', crashAtCall],
  [2, 'stop', stop],
  [3, 'freeze', freezeNow],
  [4, 'freezeAtCall', freezeAtCall],
  [1, 'lateDeletion', lateDeletion],
  [3, 'partition', partition],
  [1, 'outage', outage],
  [1, 'compaction', compaction],
  [1.5, 'slowness', slowness],
  [6, 'crashPod', crashPod],
  [5, 'hangPod', hangPod],
  [5, 'deletePod', deletePod],
  [3, 'forceDeletePod', forceDeletePod],
  [3, 'evictPod', evictPod],
  [2, 'finishPod', finishPod],
  [3, 'loseNode', loseNode],
  [1, 'loseNodes', loseNodes],
  [1.5, 'attestNode', attestNode],
  [1, 'changeNodeLoss', changeNodeLoss],
  [1, 'labelNode', labelNode],
  [4, 'editLabel', editLabel],
  [1, 'forgeTerm', forgeTerm],
  [2, 'deleteLease', deleteLease],
  [3, 'editLease', editLease],
  [2, 'deleteService', deleteService(serviceName(SINGLETON))],
  [1, 'deleteHeadless', deleteService(headlessServiceName(SINGLETON))],
  [3, 'editService', editService],
  [1, 'foreignService', foreignService],
  [1, 'stranger', stranger],
  [2, 'pause', pause],
  [3, 'scale', scale],
  [2, 'changeTemplate', changeTemplate],
  [1, 'breakSpec', breakSpec],
  [0.3, 'recreate', recreate],
  [2, 'unheardMove', unheardMove],
  [0.5, 'restoreFromBackup', restoreFromBackup],
  ...DRAIN_FAULTS,
  [5, 'request', request],
  [3, 'changeElection', changeElection],
  [2, 'moveNode', moveNode],
];

/** What people do to objects, and the operator has to put right. */
export const EDITS: readonly Fault[] = [
  editLabel,
  editLabel,
  forgeTerm,
  deleteLease,
  editLease,
  deleteService(serviceName(SINGLETON)),
  deleteService(headlessServiceName(SINGLETON)),
  editService,
  editService,
  stranger,
  ...BUDGET_EDITS,
];

export class Nemesis {
  readonly #targets: Targets;
  readonly #meanMs: number;
  readonly #faults: readonly (readonly [number, string, Fault])[];
  readonly #total: number;
  #isOver = false;

  constructor(targets: Targets, meanMs: number) {
    this.#targets = targets;
    this.#meanMs = meanMs;
    const share = targets.chance.between(0.2, 1);
    const chosen = FAULTS.filter(() => targets.chance.happens(share));
    this.#faults = chosen.length === 0 ? FAULTS : chosen;
    this.#total = this.#faults.reduce((sum, [weight]) => sum + weight, 0);
  }

  start(): void {
    this.#next();
  }

  stop(): void {
    this.#isOver = true;
  }

  #next(): void {
    const { engine, chance } = this.#targets;
    // In bursts: what breaks things is often a second fault right after the first.
    const delayMs = chance.happens(0.3) ? chance.logBetween(0.1, 50) : chance.waitMs(this.#meanMs * 1.4);
    engine.after(delayMs, () => {
      if (this.#isOver) return;
      this.#strike();
      this.#next();
    });
  }

  #strike(): void {
    const { chance, trace } = this.#targets;
    let place = chance.next() * this.#total;
    const chosen = this.#faults.find(([weight]) => (place -= weight) < 0);
    const what = chosen?.[2](this.#targets);
    if (what !== undefined) trace.note('fault', what);
  }
}
