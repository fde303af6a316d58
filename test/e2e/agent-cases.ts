/** Fencing mode `Agent`: faults of whoever acts, judged by the store that it writes to. */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Handover } from './acts.ts';
import type { Case } from './cases.ts';
import type { Cluster } from './cluster.ts';
import { awhileWithoutApiServer, cutBut, healBut, pause, signalProcesses, thawProcesses, unpause } from './faults.ts';
import { EXAMPLES, examples, whyNoExamples } from './examples.ts';
import { Fleet, HOLDERS, switchOver, writers } from './fleet.ts';
import type { Sailing } from './fleet.ts';
import { stepsOf } from './steps.ts';
import type { Store } from './store.ts';
import type { Measurement } from './watching.ts';
import { noAnswers } from './watching.ts';
import { NAMESPACE } from './workload.ts';

let running: { readonly kind: Kind; readonly fleet: Promise<Fleet> } | undefined;

type Kind = keyof typeof BUILDS;

const BUILDS = {
  writers: (image: string, store: Store) => writers(image, store),
  holders: (image: string, store: Store) => writers(image, store, HOLDERS),
  examples,
};

/** The same for all cases of a kind that follow each other: to begin takes a while. */
async function fleetOf(cluster: Cluster, kind: Kind): Promise<Fleet> {
  if (running?.kind !== kind) {
    await endFleet();
    running = { kind, fleet: Fleet.start(cluster, (store) => BUILDS[kind](cluster.image, store)) };
  }
  return running.fleet;
}

export async function endFleet(): Promise<void> {
  await (await running?.fleet)?.stop();
  running = undefined;
}

/** ms between two writes: as many as the machine can do while that is what is looked at, else few. */
const PACE_MS = { dense: 5, sparse: 50 };
/** Long enough for an old active that is not dead. */
const AFTERWARDS_MS = 1_000;

const nodeOf = ({ active }: Sailing): string => active.spec.nodeName ?? '';

/** What is measured of one handover, after the name of the singleton. */
type Times = Record<string, number>;

/** Another one acts, and is routed. */
async function movedFrom(fleet: Fleet, sailing: Sailing, sinceMs: number): Promise<Moved> {
  const handover = await fleet.handover(sailing, sinceMs);
  await fleet.routed(sailing);
  return { sailing, sinceMs, handover };
}

interface Moved {
  readonly sailing: Sailing;
  readonly sinceMs: number;
  readonly handover: Handover;
}

function timesOf({ sailing, sinceMs, handover: { lastMs, firstMs } }: Moved, log: string): Times {
  const { ship, active } = sailing;
  const steps = stepsOf(log, { namespace: NAMESPACE, singleton: ship.name, old: active.metadata.uid, sinceMs });
  const acts = { 'last write': Math.max(0, lastMs - sinceMs), nobody: firstMs - lastMs, acts: firstMs - sinceMs };
  if (steps === undefined) return acts;
  return {
    ...acts,
    routed: steps.routedMs - sinceMs,
    'old wrote the Lease': steps.oldMs - sinceMs,
    'to granted': steps.grantedMs - steps.oldMs,
    'to renewed': steps.renewedMs - steps.grantedMs,
    'to flipped': steps.flippedMs - steps.renewedMs,
    'to routed': steps.routedMs - steps.flippedMs,
  };
}

async function measurementOf(fleet: Fleet, moves: readonly Moved[]): Promise<Measurement> {
  const log = await fleet.log();
  const times: Record<string, number[]> = {};
  for (const moved of moves)
    for (const [what, ms] of Object.entries(timesOf(moved, log)))
      (times[`${moved.sailing.ship.name} ${what}`] ??= []).push(ms);
  const acts = { times, load: loadavg()[0] ?? 0, writes: await fleet.writes() };
  return { ...noAnswers, acts };
}

interface NodeFault {
  /** @returns when, in ms since 1970 */
  readonly begin: (node: string, fleet: Fleet) => Promise<number>;
  readonly end: (node: string, fleet: Fleet) => Promise<unknown>;
  /** What is frozen as a whole may write for a moment when it wakes up: there is the token against that, and no promise. */
  readonly isFrozen?: true;
}

/** The node of all actives falls silent until all are replaced. */
const activesNodeLost =
  ({ begin, end, isFrozen }: NodeFault) =>
  async (cluster: Cluster): Promise<Measurement> => {
    const fleet = await fleetOf(cluster, 'writers');
    await fleet.store.pace(PACE_MS.sparse);
    const all = await fleet.gathered();
    const node = all[0] === undefined ? '' : nodeOf(all[0]);
    await fleet.store.pace(PACE_MS.dense);
    await sleep(AFTERWARDS_MS);
    cluster.watcher.clear();
    const sinceMs = await begin(node, fleet);
    let moves: Moved[];
    let before: readonly string[];
    try {
      moves = await Promise.all(all.map((sailing) => movedFrom(fleet, sailing, sinceMs)));
      await sleep(AFTERWARDS_MS);
      before = await fleet.wrong();
    } finally {
      await end(node, fleet);
    }
    await fleet.store.pace(PACE_MS.sparse);
    const measurement = await measurementOf(fleet, moves);
    await fleet.healed();
    const after = await fleet.wrong();
    return { ...measurement, wrong: [...before, ...(isFrozen === true ? [] : after)] };
  };

/** One after another, so that none slows another down. */
const eachActive =
  (names: readonly string[], fault: (cluster: Cluster, sailing: Sailing) => Promise<number>, kind: Kind = 'writers') =>
  async (cluster: Cluster): Promise<Measurement> => {
    const fleet = await fleetOf(cluster, kind);
    await fleet.store.pace(PACE_MS.sparse);
    const all = await fleet.gathered();
    const moves: Moved[] = [];
    for (const sailing of all.filter(({ ship }) => names.includes(ship.name))) {
      cluster.watcher.clear();
      const sinceMs = await fault(cluster, sailing);
      moves.push(await movedFrom(fleet, sailing, sinceMs));
      await sleep(AFTERWARDS_MS);
    }
    return { ...(await measurementOf(fleet, moves)), wrong: await fleet.wrong() };
  };

/** Longer than every Lease here, twice over. */
const OUTAGE_MS = 30_000;
/** Long enough for an operator to wait a Lease out once more, wrongly, and to move. */
const AFTER_OUTAGE_MS = 15_000;
/** Of a workload that does nothing but write every 5 ms, on a machine on which an API server starts. */
const PAUSE_MS = 1_500;

const pausesIn = (pauses: ReadonlyMap<string, number>): Record<string, number[]> =>
  Object.fromEntries([...pauses].map(([name, ms]) => [`${name} nobody, longest`, [ms]]));

type Judgement = Pick<Measurement, 'wrong' | 'interrupted'>;

/** What is wrong when it is over is what `judge` says, and the store. */
async function withoutApiServer(
  cluster: Cluster,
  kind: Kind,
  judge: (fleet: Fleet, all: readonly Sailing[], sinceMs: number) => Promise<Judgement>,
): Promise<Measurement> {
  const fleet = await fleetOf(cluster, kind);
  await fleet.store.pace(PACE_MS.sparse);
  const all = await fleet.gathered();
  await fleet.store.pace(PACE_MS.dense);
  const sinceMs = Date.now();
  await awhileWithoutApiServer(cluster.controlPlane, OUTAGE_MS);
  await sleep(AFTER_OUTAGE_MS);
  const { wrong = [], interrupted = [] } = await judge(fleet, all, sinceMs);
  const times = pausesIn(await fleet.pauses(sinceMs));
  const acts = { times, load: loadavg()[0] ?? 0, writes: await fleet.writes() };
  await fleet.store.pace(PACE_MS.sparse);
  return { ...noAnswers, acts, wrong: [...wrong, ...(await fleet.wrong())], interrupted };
}

/** Nobody stops, and nothing moves. */
const held = (cluster: Cluster): Promise<Measurement> =>
  withoutApiServer(cluster, 'holders', async (fleet, all, sinceMs) => {
    const during = { sinceMs, untilMs: Date.now() - PAUSE_MS, withinMs: PAUSE_MS };
    return { interrupted: await fleet.interruptions(all, during) };
  });

/** Everybody stops when it can't renew, and somebody acts afterwards. */
const fenced = (cluster: Cluster): Promise<Measurement> =>
  withoutApiServer(cluster, 'writers', async (fleet, all, sinceMs) => {
    await fleet.gathered();
    const pauses = await fleet.pauses(sinceMs);
    const wrong = all.flatMap(({ ship: { name, leaseSeconds } }) => {
      const pauseMs = pauses.get(name) ?? 0;
      const stopped = pauseMs > OUTAGE_MS - leaseSeconds * 1_000;
      return stopped ? [] : [`${name}: no longer pause than ${pauseMs.toFixed(0)} ms, in an outage of ${OUTAGE_MS}`];
    });
    return { wrong };
  });

/** By what is in the command lines of their processes. */
const WORKLOAD = '/scripts/writer';
const AGENT = 'agent-main';

/** A new process of the agent knows what the one before knew, and goes on or stops. */
async function agentsKilled(cluster: Cluster): Promise<Measurement> {
  const fleet = await fleetOf(cluster, 'writers');
  await fleet.store.pace(PACE_MS.sparse);
  const all = await fleet.gathered();
  await fleet.store.pace(PACE_MS.dense);
  const sinceMs = Date.now();
  await Promise.all(
    all.map(({ active }) => signalProcesses(active.spec.nodeName ?? '', active.metadata.uid, AGENT, 'KILL')),
  );
  await fleet.gathered();
  const times = pausesIn(await fleet.pauses(sinceMs));
  await fleet.store.pace(PACE_MS.sparse);
  const acts = { times, load: loadavg()[0] ?? 0, writes: await fleet.writes() };
  return { ...noAnswers, acts, wrong: await fleet.wrong() };
}

/** Of one active after another. Thawed when another one acts: nothing of it may act any more. */
const frozen =
  (names: readonly string[], command: string) =>
  async (cluster: Cluster): Promise<Measurement> => {
    const fleet = await fleetOf(cluster, 'writers');
    await fleet.store.pace(PACE_MS.sparse);
    const all = await fleet.gathered();
    await fleet.store.pace(PACE_MS.dense);
    const moves: Moved[] = [];
    for (const sailing of all.filter(({ ship }) => names.includes(ship.name))) {
      cluster.watcher.clear();
      const { uid } = sailing.active.metadata;
      const sinceMs = await signalProcesses(nodeOf(sailing), uid, command, 'STOP');
      try {
        moves.push(await movedFrom(fleet, sailing, sinceMs));
      } finally {
        await thawProcesses(nodeOf(sailing), uid, command);
      }
      await sleep(AFTERWARDS_MS);
    }
    await fleet.store.pace(PACE_MS.sparse);
    return { ...(await measurementOf(fleet, moves)), wrong: await fleet.wrong() };
  };

const killed = (_: Cluster, { active }: Sailing): Promise<number> =>
  signalProcesses(active.spec.nodeName ?? '', active.metadata.uid, WORKLOAD, 'KILL');

async function deleted(cluster: Cluster, { active }: Sailing): Promise<number> {
  const sinceMs = Date.now();
  await cluster.removePod(active);
  return sinceMs;
}

async function switched(_: Cluster, { ship }: Sailing): Promise<number> {
  const sinceMs = Date.now();
  await switchOver(ship);
  return sinceMs;
}

const COOPERATIVE = ['client-5', 'client-10'];

export const AGENT_CASES: readonly Case[] = [
  {
    name: 'agent-cut',
    what: "the actives' node is cut off from all but the store they write to, and healed",
    repeat: 13,
    quick: 2,
    needsNodes: true,
    bars: {},
    run: activesNodeLost({
      begin: (node, { store }) => cutBut(node, store.address),
      end: (node, { store }) => healBut(node, store.address),
    }),
  },
  {
    name: 'agent-node-lost',
    what: "the actives' node freezes",
    repeat: 5,
    quick: 0,
    needsNodes: true,
    bars: {
      timesP99Ms: {
        'client-5 routed': 6_000,
        'signal-5 routed': 6_000,
        'probe-9 routed': 10_000,
        'client-10 routed': 11_000,
      },
    },
    run: activesNodeLost({
      begin: async (node) => {
        const sinceMs = Date.now();
        await pause(node);
        return sinceMs;
      },
      end: unpause,
      isFrozen: true,
    }),
  },
  {
    name: 'agent-crash',
    what: "the active workload's processes are killed",
    repeat: 8,
    quick: 1,
    needsNodes: true,
    bars: { timesP99Ms: { 'client-5 routed': 300, 'signal-5 routed': 300, 'client-10 routed': 300 } },
    run: eachActive([...COOPERATIVE, 'signal-5'], killed),
  },
  {
    name: 'agent-delete',
    what: 'the active pod is deleted',
    repeat: 5,
    quick: 1,
    needsNodes: true,
    bars: {},
    run: eachActive([...COOPERATIVE, 'signal-5'], deleted),
  },
  {
    name: 'agent-switch',
    what: 'a switchover is asked for by annotation',
    repeat: 5,
    quick: 1,
    needsNodes: true,
    bars: {},
    run: eachActive(COOPERATIVE, switched),
  },
  {
    name: 'agent-killed',
    what: "the actives' agents are killed",
    repeat: 3,
    quick: 1,
    needsNodes: true,
    bars: {},
    run: agentsKilled,
  },
  {
    name: 'agent-frozen',
    what: "the active's agent freezes, and thaws",
    repeat: 3,
    quick: 1,
    needsNodes: true,
    bars: {},
    // With Signal nobody is left who kills (docs/agent.md).
    run: frozen(['client-5', 'probe-9', 'client-10'], AGENT),
  },
  {
    name: 'workload-frozen',
    what: "the active workload's processes freeze, and thaw",
    repeat: 3,
    quick: 1,
    needsNodes: true,
    bars: {},
    // One that only looks at the clock itself may act for a moment when it wakes up (docs/agent.md).
    run: frozen(['signal-5', 'probe-9'], WORKLOAD),
  },
  {
    name: 'agent-outage',
    what: 'the API server is away for 30 s: all stop, and go on afterwards',
    repeat: 2,
    needsNodes: true,
    bars: {},
    run: fenced,
  },
  {
    name: 'agent-hold',
    what: 'the API server is away for 30 s, with onApiLoss: Hold',
    repeat: 2,
    needsNodes: true,
    bars: {},
    run: held,
  },
  {
    name: 'agent-examples',
    what: 'examples/agent: a switchover of each is asked for',
    repeat: 4,
    quick: 1,
    needsNodes: true,
    whyNot: whyNoExamples,
    bars: {},
    run: eachActive(
      EXAMPLES.map(({ name }) => name),
      switched,
      'examples',
    ),
  },
];
