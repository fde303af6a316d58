/** Takes the leader away from several replicas of the operator, again and again, and takes the time until another works. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lease } from '../src/api/objects.ts';
import { freePorts, LOOPBACK } from '../test/control-plane/ports.ts';
import { superviseProcesses } from '../test/control-plane/processes.ts';
import type { ProcessHandle, Processes } from '../test/control-plane/processes.ts';
import type { ApiObject } from '../test/control-plane/rest-client.ts';
import { until } from '../test/control-plane/wait.ts';
import { nodeArgs } from './operator-process.ts';
import type { Options } from './options.ts';
import { summarize } from './statistics.ts';
import type { Summary } from './statistics.ts';
import { follow } from './view.ts';
import type { View } from './view.ts';
import { namespaceOf } from './world.ts';
import type { World } from './world.ts';

export const LOSSES = ['kill', 'freeze', 'stop'] as const;
export type Loss = (typeof LOSSES)[number];

export interface LeadersResult {
  readonly kind: Loss;
  readonly replicas: number;
  /** The Lease names another, as a watch tells. */
  readonly namedMs: Summary;
  /** That one has begun to work: from here it writes. By its own log, in whole milliseconds. */
  readonly worksMs: Summary;
}

const REPLICAS = 3;
const NAMESPACE = 'leaders';
const LEASE = 'singleton-operator';
/** So that a loss falls anywhere between two renewals, which are never further apart. */
const LONGEST_RENEWAL_MS = 1_000;
const REST_MS = 300;

interface Replica {
  readonly process: ProcessHandle;
  readonly healthUrl: string;
}

interface Stage {
  readonly world: World;
  readonly replicas: readonly Replica[];
  readonly leases: View<Lease & ApiObject>;
}

export async function measureLeaders(
  world: World,
  options: Options,
  log: (line: string) => void,
): Promise<LeadersResult[]> {
  const end = new AbortController();
  const processes = await superviseProcesses();
  try {
    await namespaceOf(world, NAMESPACE);
    const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
    const leases = await follow<Lease & ApiObject>(world.api, path, world.changes, end.signal);
    const replicas = await Promise.all(
      Array.from({ length: REPLICAS }, (_, index) => define(world, processes, `replica-${index}`, options)),
    );
    await Promise.all(replicas.map(start));
    const stage = { world, replicas, leases };
    const results: LeadersResult[] = [];
    for (const kind of LOSSES) results.push(await measureLoss(stage, kind, options.losses, log));
    return results;
  } finally {
    end.abort();
    await processes.shutDown();
  }
}

async function define(world: World, processes: Processes, name: string, options: Options): Promise<Replica> {
  const [metrics = 0, health = 0] = await freePorts(2);
  const flags = {
    kubeconfig: world.operatorKubeconfig,
    'leader-lease-namespace': NAMESPACE,
    'leader-lease-name': LEASE,
    'metrics-address': `${LOOPBACK}:${metrics}`,
    'health-address': `${LOOPBACK}:${health}`,
    // Elsewhere, the benchmark's own operator works.
    namespace: NAMESPACE,
    ...(options.leaseDuration !== undefined && { 'leader-lease-duration': options.leaseDuration }),
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  const command = [...nodeArgs(options.oldSpaceMb), world.operatorBundle, ...args];
  return {
    process: processes.define(process.execPath, command, name),
    healthUrl: `http://${LOOPBACK}:${health}/readyz`,
  };
}

async function start({ process, healthUrl }: Replica): Promise<void> {
  await process.start();
  await until(`${process.name} to be ready`, async () => (await fetch(healthUrl)).ok);
}

async function measureLoss(
  stage: Stage,
  kind: Loss,
  losses: number,
  log: (line: string) => void,
): Promise<LeadersResult> {
  const named: number[] = [];
  const works: number[] = [];
  for (let loss = 1; loss <= losses; loss++) {
    const took = await loseOnce(stage, kind);
    named.push(took.namedMs);
    works.push(took.worksMs);
    if (loss % 10 === 0) log(`${kind} of the leader: ${loss} of ${losses}`);
  }
  return { kind, replicas: stage.replicas.length, namedMs: summarize(named), worksMs: summarize(works) };
}

async function loseOnce({ world, replicas, leases }: Stage, kind: Loss): Promise<{ namedMs: number; worksMs: number }> {
  const { changes, clock } = world;
  const holder = (): string => leases.get(NAMESPACE, LEASE)?.spec?.holderIdentity ?? '';
  const leader = await until('a leader', () => replicas.find((replica) => leads(replica, holder())));
  await sleep(REST_MS + Math.random() * LONGEST_RENEWAL_MS);
  const before = holder();
  clock.calibrate();
  const named = changes.when('another leader', () => holder() !== '' && holder() !== before);
  const lostAtMs = clock.now();
  const gone = lose(leader.process, kind);
  const namedAtMs = await named;
  const next = await until('the next leader to work', () => replicas.find((replica) => leads(replica, holder())));
  await gone;
  if (kind === 'freeze') {
    await leader.process.thaw();
    await until('the old leader to know', () =>
      lastOf(leader, /^(leading|working|not leading)/)?.startsWith('not leading'),
    );
  } else await start(leader);
  return { namedMs: namedAtMs - lostAtMs, worksMs: (workedAtMs(next) ?? Number.NaN) - lostAtMs };
}

function lose(process: ProcessHandle, kind: Loss): Promise<void> {
  switch (kind) {
    case 'kill':
      return process.stop('SIGKILL');
    case 'freeze':
      return process.freeze();
    case 'stop':
      return process.stop('SIGTERM');
    default:
      return kind satisfies never;
  }
}

interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly identity?: string;
}

const linesOf = ({ process }: Replica): LogLine[] =>
  readFileSync(process.logFile, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine);

const lastOf = (replica: Replica, message: RegExp): string | undefined =>
  linesOf(replica).findLast(({ msg }) => message.test(msg))?.msg;

/** Whether the identity is this replica's, and it has begun to work under it. */
function leads(replica: Replica, identity: string): boolean {
  const lines = linesOf(replica);
  const elected = lines.findLastIndex((line) => line.msg === 'leading' && line.identity === identity);
  const isOver = lines.slice(elected).some(({ msg }) => msg.startsWith('not leading'));
  return elected !== -1 && !isOver && lines.slice(elected).some(({ msg }) => msg === 'working');
}

function workedAtMs(replica: Replica): number | undefined {
  const line = linesOf(replica).findLast(({ msg }) => msg === 'working');
  return line === undefined ? undefined : Date.parse(line.time);
}
