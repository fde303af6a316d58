/** Singletons in fencing mode `Agent` whose workloads write to the store, two members each, the actives on one node. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ignoreMissing } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { handoverFrom, interruptionsOf, longestPause, wrongIn } from './acts.ts';
import type { Handover } from './acts.ts';
import { readEndOf } from './faults.ts';
import { SWITCHOVER, isMoving, isReady, readyUids, restarts } from './objects.ts';
import type { EventObject, NodeObject, Pod, Slice } from './objects.ts';
import { workersOf } from './planned.ts';
import { apply, kubectl } from './shell.ts';
import { Store } from './store.ts';
import { NAMESPACE, SERVICE_PORT, container, keyOf, volumes } from './workload.ts';

/** One of the fleet. `manners`: see pods/writer.ts. */
export interface Ship {
  readonly name: string;
  readonly manners: 'client' | 'deaf' | 'offspring' | 'example';
  readonly enforcement: 'Probe' | 'Signal' | 'Cooperative';
  readonly leaseSeconds: number;
  readonly renewSeconds: number;
  readonly graceSeconds: number;
  readonly onApiLoss?: 'Hold';
}

/** The rest of what it takes to run one. */
export type Launch = Ship & {
  /** Beside the agent. */
  readonly container: object;
  readonly volumes: readonly object[];
  readonly targetPort: number | string;
};

/** Each with the shortest times that its enforcement allows, and one with those that are the default. */
export const WRITERS: readonly Ship[] = [
  {
    name: 'client-5',
    manners: 'client',
    enforcement: 'Cooperative',
    leaseSeconds: 5,
    renewSeconds: 1,
    graceSeconds: 1,
  },
  { name: 'signal-5', manners: 'offspring', enforcement: 'Signal', leaseSeconds: 5, renewSeconds: 1, graceSeconds: 2 },
  { name: 'probe-9', manners: 'deaf', enforcement: 'Probe', leaseSeconds: 9, renewSeconds: 2, graceSeconds: 2 },
  { name: 'client-10', manners: 'client', enforcement: 'Probe', leaseSeconds: 10, renewSeconds: 2, graceSeconds: 2 },
];

/** Who go on while the API server is away. */
export const HOLDERS: readonly Ship[] = [
  {
    name: 'hold-5',
    manners: 'client',
    enforcement: 'Cooperative',
    leaseSeconds: 5,
    renewSeconds: 1,
    graceSeconds: 1,
    onApiLoss: 'Hold',
  },
  {
    name: 'hold-10',
    manners: 'deaf',
    enforcement: 'Probe',
    leaseSeconds: 10,
    renewSeconds: 2,
    graceSeconds: 2,
    onApiLoss: 'Hold',
  },
];

const MEMBERS = 2;
/** Of asking actives to come to one node. */
const ATTEMPTS = 4;
/** A workload that has to be killed takes its time. */
const MOVED_WITHIN_MS = 20_000;
/** A failure after a shorter reign counts as one of many in a row. */
const REIGN_MS = 5_000;
/** A node that was cut off has connections that the API server still sends on, later and later. */
const HEALED_MS = 3_000;
const LOG = '/var/log/kubernetes/audit.log';
/** Enough for a minute. */
const LOG_LINES = 3_000;

/** Both members of each singleton, where they are to be. */
export interface Sailing {
  readonly ship: Ship;
  readonly active: Pod;
  readonly standby: Pod;
}

export class Fleet {
  readonly store: Store;
  readonly #cluster: Cluster;
  readonly #ships: readonly Ship[];
  readonly #told = new Map<string, number>();

  private constructor(cluster: Cluster, store: Store, ships: readonly Ship[]) {
    this.#cluster = cluster;
    this.store = store;
    this.#ships = ships;
  }

  /** On two workers: on the third one leads the operator. */
  static async start(cluster: Cluster, build: (store: Store) => readonly Launch[]): Promise<Fleet> {
    const leaders = (await cluster.leader())?.spec.nodeName;
    const nodes = workersOf(cluster)
      .filter((node) => node !== leaders)
      .slice(0, MEMBERS);
    const store = await Store.start(cluster.image, nodes);
    const ships = build(store);
    await apply(...ships.map((ship) => manifest(ship, nodes)));
    return new Fleet(cluster, store, ships);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ships.map(({ name }) => this.#cluster.removeSingleton(name).catch(ignoreMissing)));
    await this.store.stop();
  }

  /** All members are there and new, and all actives on the same node, for long enough. */
  async gathered(): Promise<readonly Sailing[]> {
    for (let attempt = 1; ; attempt++) {
      const all = await this.#settled();
      const node = all[0]?.active.spec.nodeName;
      const elsewhere = all.filter(({ active }) => active.spec.nodeName !== node);
      if (elsewhere.length === 0) {
        await sleep(REIGN_MS);
        if (await this.#isStill(all)) return all;
      }
      if (attempt > ATTEMPTS) throw new Error(`not all actives come to ${node}: ${await this.#tellOf(elsewhere)}`);
      for (const { ship } of elsewhere) await switchOver(ship);
      await Promise.all(elsewhere.map((sailing) => this.#hasMoved(sailing).catch(() => undefined)));
    }
  }

  /** On a busy machine an active may become unready by itself. */
  async #isStill(all: readonly Sailing[]): Promise<boolean> {
    const now = await this.#settled();
    return now.every(({ active }, index) => active.metadata.uid === all[index]?.active.metadata.uid);
  }

  #hasMoved({ ship: { name }, active }: Sailing): Promise<boolean> {
    const hasMoved = async (): Promise<boolean> => {
      const now = await this.#cluster.active(name);
      return now !== undefined && now.metadata.uid !== active.metadata.uid;
    };
    return this.#cluster.until(`${name} to move`, hasMoved, MOVED_WITHIN_MS);
  }

  async #tellOf(sailings: readonly Sailing[]): Promise<string> {
    const told = sailings.map(async ({ ship: { name } }) => {
      const { status } = await this.#cluster.singleton(name);
      return `${name} ${JSON.stringify(status)}`;
    });
    return (await Promise.all(told)).join('; ');
  }

  /** Another one acts, and goes on doing so. */
  async handover({ ship, active }: Sailing, sinceMs: number, timeoutMs = 60_000): Promise<Handover> {
    return this.#cluster.until(
      `another to act for ${active.metadata.name}`,
      async () => handoverFrom(await this.store.record(keyOf(ship.name)), active.metadata.name, sinceMs),
      timeoutMs,
    );
  }

  /** Whoever acted when the fault came acts on; else what speaks against it, and what the cluster tells of it. */
  async interruptions(sailings: readonly Sailing[], during: Parameters<typeof interruptionsOf>[2]): Promise<string[]> {
    const found = sailings.map(async ({ ship: { name }, active }) => {
      const texts = interruptionsOf(await this.store.record(keyOf(name)), active.metadata.name, during);
      return texts.length === 0 ? [] : [`${name}: ${texts.join('; ')} (${await this.#account(name, during.sinceMs)})`];
    });
    return (await Promise.all(found)).flat();
  }

  /** What the events of a singleton and its pods say since then. */
  async #account(name: string, sinceMs: number): Promise<string> {
    const events = await this.#cluster.api.list<EventObject>(`/api/v1/namespaces/${NAMESPACE}/events`);
    const told = events
      .filter(({ involvedObject, lastTimestamp }) => {
        const isOfIt = involvedObject.name === name || involvedObject.name.startsWith(`${name}-`);
        // Whole seconds.
        return isOfIt && Date.parse(lastTimestamp ?? '') + 1_000 > sinceMs;
      })
      .map(({ involvedObject, reason, message = '' }) => `${involvedObject.name}: ${reason}: ${message.slice(0, 200)}`);
    const { status } = await this.#cluster.singleton(name);
    return [...told, `last move: ${JSON.stringify(status?.lastMove)}`].join(', ');
  }

  /** By name: the longest time since then in which nobody wrote. */
  async pauses(sinceMs: number): Promise<Map<string, number>> {
    const untilMs = Date.now();
    const found = this.#ships.map(async ({ name }): Promise<[string, number]> => {
      return [name, longestPause(await this.store.record(keyOf(name)), sinceMs, untilMs)];
    });
    return new Map(await Promise.all(found));
  }

  /** By what the suite's watch told since it was cleared. */
  async routed({ ship, active }: Sailing): Promise<void> {
    const isAnother = ({ object }: { readonly object: Slice }): boolean =>
      object.metadata.labels?.['kubernetes.io/service-name'] === ship.name &&
      readyUids(object).some((uid) => uid !== active.metadata.uid);
    await this.#cluster.until(`${ship.name} to be routed`, async () => this.#cluster.watcher.slices.some(isAnother));
  }

  /** The audit log's end. */
  log(): Promise<string> {
    return readEndOf(this.#cluster.controlPlane, LOG, LOG_LINES);
  }

  /** What is wrong in the store's record since the last question. */
  async wrong(): Promise<string[]> {
    const found: string[] = [];
    for (const { name } of this.#ships) {
      const wrong = wrongIn(await this.store.record(keyOf(name)));
      found.push(...wrong.slice(this.#told.get(name) ?? 0).map((text) => `${name}: ${text}`));
      this.#told.set(name, wrong.length);
    }
    return found;
  }

  async writes(): Promise<number> {
    const records = await Promise.all(this.#ships.map(({ name }) => this.store.record(keyOf(name))));
    return records.flat().reduce((sum, { writes }) => sum + writes, 0);
  }

  async #settled(): Promise<readonly Sailing[]> {
    return Promise.all(
      this.#ships.map((ship) =>
        this.#cluster.until(`${ship.name} to be whole`, async () => {
          const nodes = await this.#cluster.api.list<NodeObject>('/api/v1/nodes');
          return nodes.every(isReady) ? this.#whole(ship) : undefined;
        }),
      ),
    );
  }

  /** Standbys whose container was restarted are replaced: the kubelet would delay their next restart by 10 s and more. */
  async #whole(ship: Ship): Promise<Sailing | undefined> {
    const { name } = ship;
    const all = (await this.#cluster.pods(name)).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const active = await this.#cluster.active(name);
    const old = all.filter((pod) => restarts(pod) > 0 && pod.metadata.uid !== active?.metadata.uid);
    if (active === undefined || !isReady(active) || isMoving(await this.#cluster.singleton(name))) return undefined;
    for (const pod of old) await this.#cluster.removePod(pod, 0).catch(() => undefined);
    const standby = all.find(({ metadata }) => metadata.uid !== active.metadata.uid);
    // A replacement may have been made while the other node was lost: one fault would hit both.
    const isBeside = standby?.spec.nodeName === active.spec.nodeName;
    if (standby !== undefined && isBeside) await this.#cluster.removePod(standby, 0).catch(() => undefined);
    if (all.length !== MEMBERS || old.length > 0 || standby === undefined || isBeside || !isReady(standby))
      return undefined;
    const routed = await this.#cluster.routed(name);
    return routed.length === 1 && routed[0] === active.metadata.uid ? { ship, active, standby } : undefined;
  }

  /** Until what was cut off is heard of again as if nothing had been. */
  async healed(): Promise<void> {
    await this.#settled();
    await sleep(HEALED_MS);
  }
}

export async function switchOver({ name }: Ship): Promise<void> {
  await kubectl('-n', NAMESPACE, 'annotate', '--overwrite', `singletonservice/${name}`, `${SWITCHOVER}=any`);
}

const manifest = (ship: Launch, nodes: readonly string[]) => ({
  apiVersion: 'singleton-operator.io/v1alpha1',
  kind: 'SingletonService',
  metadata: { name: ship.name, namespace: NAMESPACE },
  spec: {
    replicas: MEMBERS,
    service: { ports: [{ name: 'http', port: SERVICE_PORT, targetPort: ship.targetPort }] },
    election: { leaseDurationSeconds: ship.leaseSeconds, renewIntervalSeconds: ship.renewSeconds },
    fencing: {
      mode: 'Agent',
      enforcement: ship.enforcement,
      stopGraceSeconds: ship.graceSeconds,
      ...(ship.onApiLoss !== undefined && { onApiLoss: ship.onApiLoss }),
    },
    update: { minReadySeconds: 1 },
    // They fail again and again on purpose.
    failover: { backoffMaxSeconds: 0, quarantine: { durationSeconds: 0 } },
    template: {
      metadata: { labels: { app: ship.name } },
      spec: {
        affinity: onNodes(nodes),
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: { app: ship.name } },
          },
        ],
        terminationGracePeriodSeconds: 2,
        containers: [ship.container],
        volumes: ship.volumes,
      },
    },
  },
});

const onNodes = (nodes: readonly string[]) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: nodes }] }],
    },
  },
});

export const writers = (image: string, store: Store, ships = WRITERS): readonly Launch[] =>
  ships.map((ship) => ({ ...ship, container: writer(ship, store, image), volumes, targetPort: 'http' }));

const writer = ({ name, manners }: Ship, { url }: Store, image: string) => ({
  ...container('writer', 'writer.mjs', image),
  env: [
    { name: 'STORE_URL', value: url },
    { name: 'SINGLETON', value: keyOf(name) },
    { name: 'MANNERS', value: manners },
    { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
  ],
  // What is looked at is not readiness: a busy machine must not end anybody's reign.
  readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 5 },
  resources: { requests: { cpu: '10m', memory: '48Mi' } },
});
