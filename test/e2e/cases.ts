/** The cases: what is done to the cluster, what must be true afterwards, and how often it is repeated. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { auditedShare, auditedWrites } from './audit.ts';
import type { Cluster, Rates } from './cluster.ts';
import { awhileWithoutApiServer, cut, heal, pause, signalPod, unpause } from './faults.ts';
import { isReady } from './objects.ts';
import type { NodeObject, Pod } from './objects.ts';
import { apply, kubectl } from './shell.ts';
import { adopted, drainedInTurn, rolledOut, switchedOver } from './planned.ts';
import { NEW_SERVICE_MS, watching } from './watching.ts';
import type { Measurement, Plan } from './watching.ts';
import { preferLeader, preferNobody } from './weights.ts';
import { NAMESPACE, singleton } from './workload.ts';

export interface Case {
  readonly name: string;
  readonly what: string;
  readonly repeat: number;
  /** With --quick; default 1, and 0 leaves it out: what it shows is shown by another case, or takes minutes. */
  readonly quick?: number;
  /** Faults in nodes need their containers. */
  readonly needsNodes?: true;
  /** Why it can't be run here; undefined when it can. */
  readonly whyNot?: () => Promise<string | undefined>;
  readonly bars: Bars;
  run(cluster: Cluster, options: CaseOptions): Promise<Measurement>;
}

export interface Bars {
  /** No request on a new connection fails. */
  readonly noFailure?: true;
  readonly holeP50Ms?: number;
  readonly holeP99Ms?: number;
  /** From when the API server knew to the flip of the Service. */
  readonly operatorP99Ms?: number;
  /** By what was timed (`Acts`). */
  readonly timesP99Ms?: Readonly<Record<string, number>>;
}

export interface CaseOptions {
  readonly steadySeconds: number;
}

/**
 * Where what is timed is the hole and not what fails: a client that asks every few milliseconds takes a fifth of two cores,
 * just when the machine has a container to start and a move to make.
 */
const GENTLE: Rates = { everyMs: 10, isGentle: true };

interface MoveOptions {
  readonly rates?: Rates;
  readonly afterwards?: (cluster: Cluster, old: Pod) => Promise<unknown>;
}

/** A fault that hits the active, after which another must be routed. */
const movesAfter =
  (fault: (cluster: Cluster, active: Pod) => Promise<unknown>, { rates = {}, afterwards }: MoveOptions = {}) =>
  async (cluster: Cluster): Promise<Measurement> => {
    const active = await cluster.settledForLong();
    const startedWallMs = Date.now();
    const { startedMs, ...measured } = await watching(cluster, {
      avoid: [active.spec.nodeName],
      rates,
      async during() {
        if (rates.isGentle === true) await preferLeader(cluster);
        try {
          await fault(cluster, active);
          await cluster.movedFromOrUnnoticed(active);
        } finally {
          if (rates.isGentle === true) await preferNobody(cluster);
        }
      },
    });
    const share =
      (await auditedShare(cluster, active, startedWallMs)) ??
      cluster.watcher.failoverFrom(active.metadata.uid, startedMs);
    await afterwards?.(cluster, active);
    return { ...measured, share };
  };

const nodeOf = (pod: Pod): string => pod.spec.nodeName ?? '';

/** A node falls silent, and comes back while the clients are watching; the old active must be a standby then. */
const nodeLost =
  (fault: (node: string) => Promise<unknown>, end: (node: string) => Promise<unknown>) =>
  async (cluster: Cluster): Promise<Measurement> => {
    const active = await cluster.settled();
    const node = nodeOf(active);
    const wrong: string[] = [];
    let isLost = false;
    try {
      const measured = await watching(cluster, {
        avoid: [node],
        tailMs: 3_000,
        async during() {
          await fault(node);
          isLost = true;
          await cluster.movedFrom(active);
          await sleep(1_000);
          await end(node);
          isLost = false;
          await cluster.until(`${node} to be Ready`, () => isBackAsStandby(cluster, active));
        },
      });
      return { ...measured, wrong };
    } finally {
      if (isLost) await end(node);
    }
  };

/** Its node is Ready, and it is a standby there, or has gone: another may have been created in its place meanwhile. */
async function isBackAsStandby(cluster: Cluster, old: Pod): Promise<boolean> {
  const nodes = await cluster.api.list<NodeObject>('/api/v1/nodes');
  if (!nodes.every(isReady)) return false;
  const found = (await cluster.pods('echo')).find((pod) => pod.metadata.uid === old.metadata.uid);
  return found === undefined || (isReady(found) && found.metadata.labels?.['singleton-operator.io/role'] === 'standby');
}

/** Something happens to others than the active: the same pod must go on being it, in the same term. */
async function staysThrough(cluster: Cluster, plan: Plan): Promise<Measurement> {
  const before = await holding(cluster);
  const measured = await watching(cluster, plan);
  const after = await cluster.until('the Lease to be read', () => holding(cluster));
  return { ...measured, wrong: before === after ? [] : [`the active moved without need: ${before} → ${after}`] };
}

async function holding(cluster: Cluster): Promise<string> {
  const { spec } = await cluster.lease('echo-active');
  return `term ${spec?.leaseTransitions} of ${spec?.holderIdentity}`;
}

async function killOperators(cluster: Cluster): Promise<void> {
  await Promise.all((await cluster.operators()).map((pod) => signalPod(nodeOf(pod), pod.metadata.uid, 'KILL')));
}

async function leaderKilled(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  const leader = await cluster.leader();
  if (leader === undefined) throw new Error('no operator leads');
  const renewals = async () => (await cluster.lease('singleton-operator', 'singleton-system')).spec?.holderIdentity;
  const before = await renewals();
  return staysThrough(cluster, {
    async during() {
      await signalPod(nodeOf(leader), leader.metadata.uid, 'KILL');
      await cluster.until('another leader', async () => (await renewals()) !== before, 20_000);
    },
  });
}

async function bothOperatorsKilled(cluster: Cluster): Promise<Measurement> {
  const active = await cluster.settledForLong();
  return watching(cluster, {
    avoid: [active.spec.nodeName],
    async during() {
      await Promise.all([killOperators(cluster), signalPod(nodeOf(active), active.metadata.uid, 'KILL')]);
      await cluster.movedFromOrUnnoticed(active, false);
    },
  });
}

const API_SERVER_DOWN_MS = 30_000;

async function apiServerStopped(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  return staysThrough(cluster, {
    rates: { everyMs: 8 },
    tailMs: 5_000,
    async during() {
      await awhileWithoutApiServer(cluster.controlPlane, API_SERVER_DOWN_MS);
      await cluster.settled();
    },
  });
}

async function scaled(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  await apply(singleton('scaled', 2, cluster.image));
  const active = await cluster.settled('scaled', 2);
  await sleep(NEW_SERVICE_MS);
  const measured = await watching(cluster, {
    name: 'scaled',
    async during() {
      await cluster.scale('scaled', 5);
      await cluster.settled('scaled', 5);
      // The active goes, and only slot 0 is left: two moves at most, if it has another slot now.
      await cluster.scale('scaled', 1);
      await cluster.settled('scaled', 1);
    },
  });
  await cluster.removeSingleton('scaled');
  await cluster.until('its pods to go', async () => (await cluster.pods('scaled')).length === 0);
  return { ...measured, wrong: active === undefined ? ['there was no active'] : [] };
}

async function deleted(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  await apply(singleton('deleted', 2, cluster.image));
  await cluster.settled('deleted', 2);
  await sleep(NEW_SERVICE_MS);
  const measured = await watching(cluster, { name: 'deleted', tailMs: 0, during: () => sleep(500) });
  await cluster.removeSingleton('deleted');
  const left = async () => {
    const kinds = 'pods,services,endpointslices,leases.coordination.k8s.io,configmaps,poddisruptionbudgets';
    const names = await kubectl('-n', NAMESPACE, 'get', kinds, '-o', 'name', '--ignore-not-found');
    return names.split('\n').filter((name) => /\/deleted(-|$)/.test(name));
  };
  const wrong = await cluster
    .until('nothing to be left', async () => (await left()).length === 0, 60_000)
    .then(() => [])
    .catch(async () => [`left behind: ${(await left()).join(', ')}`]);
  return { ...measured, wrong };
}

const script = (name: string, ...args: string[]): string => {
  const path = join(import.meta.dirname, '../../scripts/kind', name);
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: 'utf8', timeout: 180_000 });
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
  return stdout;
};

/** All but the namespace and the custom resource: deleting that would delete every singleton, as it should. */
async function uninstall(cluster: Cluster): Promise<void> {
  await kubectl('-n', 'singleton-system', 'delete', 'deployment', 'singleton-operator');
  // As long as they live they use their rights.
  await cluster.until('the operators to go', async () => (await cluster.operators()).length === 0);
  const all = 'poddisruptionbudget,role,rolebinding';
  await kubectl('-n', 'singleton-system', 'delete', all, '--all', '--timeout=60s');
  await kubectl('-n', 'singleton-system', 'delete', 'serviceaccount', 'singleton-operator');
  await kubectl('delete', 'clusterrolebinding,clusterrole', 'singleton-operator', '--ignore-not-found');
}

async function reinstalled(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  return staysThrough(cluster, {
    rates: { everyMs: 8 },
    async during() {
      await uninstall(cluster);
      await sleep(5_000);
      script('deploy.sh');
      await cluster.settled();
      await sleep(2_000);
    },
  });
}

/** Invariant I8 from outside: nothing is written but the leader's Lease. */
async function steady(cluster: Cluster, { steadySeconds }: CaseOptions): Promise<Measurement> {
  await cluster.settled();
  await sleep(5_000);
  const fromWallMs = Date.now();
  const measured = await staysThrough(cluster, { rates: { everyMs: 50 }, during: () => sleep(steadySeconds * 1000) });
  const writes = await auditedWrites(cluster, fromWallMs, Date.now());
  return { ...measured, wrong: [...(measured.wrong ?? []), ...writes] };
}

const ALWAYS: Bars = {};
const PLANNED: Bars = { noFailure: true };
/** `afterSeconds` of the echo, counted from the node's last beat, and a look a second. */
const NODE_LOST: Bars = { holeP99Ms: 22_000 };

export const CASES: readonly Case[] = [
  {
    name: 'crash',
    what: "the active's process is killed",
    repeat: 20,
    quick: 4,
    needsNodes: true,
    bars: { holeP50Ms: 1_000, holeP99Ms: 1_500, operatorP99Ms: 100 },
    run: movesAfter((_, pod) => signalPod(nodeOf(pod), pod.metadata.uid, 'KILL'), { rates: GENTLE }),
  },
  {
    name: 'freeze',
    what: "the active's process is stopped; its probe times out",
    repeat: 4,
    needsNodes: true,
    bars: { holeP99Ms: 5_000 },
    run: movesAfter((_, pod) => signalPod(nodeOf(pod), pod.metadata.uid, 'STOP'), {
      rates: GENTLE,
      afterwards: (_, pod) => signalPod(nodeOf(pod), pod.metadata.uid, 'CONT'),
    }),
  },
  {
    name: 'unready',
    what: "the active's readiness probe fails; it answers still",
    repeat: 4,
    bars: ALWAYS,
    run: movesAfter((cluster, pod) => cluster.api.pod(NAMESPACE, pod.metadata.name, '/make-unready'), {
      afterwards: (cluster, pod) => cluster.api.pod(NAMESPACE, pod.metadata.name, '/make-ready'),
    }),
  },
  {
    name: 'delete',
    what: 'the active pod is deleted',
    repeat: 8,
    quick: 3,
    bars: PLANNED,
    run: movesAfter((cluster, pod) => cluster.removePod(pod)),
  },
  {
    name: 'evict',
    what: 'the active pod is evicted',
    repeat: 4,
    bars: PLANNED,
    run: movesAfter((cluster, pod) => cluster.evict(pod)),
  },
  {
    name: 'drain',
    what: "the active's node is drained",
    repeat: 3,
    bars: PLANNED,
    run: movesAfter(
      (_, pod) =>
        kubectl('drain', nodeOf(pod), '--ignore-daemonsets', '--force', '--delete-emptydir-data', '--timeout=90s'),
      { afterwards: (_, pod) => kubectl('uncordon', nodeOf(pod)) },
    ),
  },
  {
    name: 'pause',
    what: "the active's node freezes, and thaws",
    repeat: 1,
    needsNodes: true,
    bars: NODE_LOST,
    run: nodeLost(pause, unpause),
  },
  {
    name: 'cut',
    what: "the active's node is cut off, and healed",
    repeat: 1,
    quick: 0,
    needsNodes: true,
    bars: NODE_LOST,
    run: nodeLost(cut, heal),
  },
  {
    name: 'leader',
    what: 'the leading operator is killed',
    repeat: 3,
    needsNodes: true,
    bars: PLANNED,
    run: leaderKilled,
  },
  {
    name: 'operators',
    what: 'both operators and the active are killed',
    repeat: 2,
    quick: 0,
    needsNodes: true,
    bars: { holeP99Ms: 15_000 },
    run: bothOperatorsKilled,
  },
  {
    name: 'apiserver',
    what: 'the API server is away for 30 s',
    repeat: 1,
    needsNodes: true,
    bars: PLANNED,
    run: apiServerStopped,
  },
  {
    name: 'switchover',
    what: 'a switchover is asked for by annotation',
    repeat: 10,
    quick: 4,
    bars: PLANNED,
    run: switchedOver,
  },
  { name: 'rollout', what: 'the template is changed', repeat: 2, bars: PLANNED, run: rolledOut },
  {
    name: 'drains',
    what: 'every worker is drained, one after another',
    repeat: 1,
    quick: 0,
    bars: PLANNED,
    run: drainedInTurn,
  },
  {
    name: 'adopt',
    what: "a Deployment's pods are adopted, and it is rolled out",
    repeat: 1,
    bars: PLANNED,
    run: adopted,
  },
  { name: 'scale', what: 'scaled 2 → 5 → 1', repeat: 2, quick: 1, bars: PLANNED, run: scaled },
  { name: 'gone', what: 'the SingletonService is deleted: nothing is left', repeat: 1, bars: PLANNED, run: deleted },
  {
    name: 'reinstall',
    what: 'the operator is uninstalled and reinstalled',
    repeat: 1,
    bars: PLANNED,
    run: reinstalled,
  },
  { name: 'steady', what: 'nothing happens: no writes but the leader Lease', repeat: 1, bars: PLANNED, run: steady },
];
