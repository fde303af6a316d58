/** One measurement: clients that ask all the time while something is done to the cluster, and what their records say. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Rates } from './cluster.ts';
import { answersOf, judge } from './record.ts';
import type { ClientRecord, Verdict } from './record.ts';
import type { Share } from './share.ts';

/** One repetition, summed over the clients. */
export interface Measurement {
  readonly fresh: Verdict;
  readonly kept: Verdict;
  /** Since the status change of the fallen active, up to the flip and to the EndpointSlice. */
  readonly share?: Share | undefined;
  /** What is wrong, in words. */
  readonly wrong?: readonly string[];
  /** Of those who were to go on: who did not, in words. Wrong, too, but nothing that two did. */
  readonly interrupted?: readonly string[];
  /** In place of clients: the store that the workloads wrote to. */
  readonly acts?: Acts;
}

export interface Acts {
  /** ms, by what was timed; several when several singletons were hit at once. */
  readonly times: Readonly<Record<string, readonly number[]>>;
  readonly load: number;
  /** Until now. */
  readonly writes: number;
}

const NOTHING: Verdict = {
  requests: 0,
  failed: 0,
  errors: {},
  failures: [],
  longestHoleMs: 0,
  slowestMs: 0,
  overlapMs: 0,
  backwards: 0,
  unknown: 0,
  strays: [],
};

/** Of a case without clients. */
export const noAnswers = { fresh: NOTHING, kept: NOTHING };

/**
 * Long enough to see what comes after a move: kube-proxy, which writes its rules at most once a second; a late pod; a
 * second move.
 */
const TAIL_MS = 1_300;
const HEAD_MS = 400;
/** Until kube-proxy on every node knows a Service that is new; it writes its rules at most once a second. */
export const NEW_SERVICE_MS = 3_000;

export interface Plan {
  readonly name?: string;
  /** Nodes on which no client may be: those that the fault hits. */
  readonly avoid?: readonly (string | undefined)[];
  readonly rates?: Rates;
  readonly tailMs?: number;
  /** The fault, until its consequences are there. Clients run all the time. */
  during(): Promise<unknown>;
}

/** Has clients ask all the time before, during and after what the plan does, and judges their records. */
export async function watching(cluster: Cluster, plan: Plan): Promise<Measurement & { startedMs: number }> {
  cluster.watcher.clear();
  const client = await cluster.watch(plan.name ?? 'echo', plan.avoid ?? [], plan.rates);
  let records: ClientRecord[];
  const startedMs = performance.now();
  try {
    await sleep(HEAD_MS);
    await plan.during();
    await sleep(plan.tailMs ?? TAIL_MS);
  } finally {
    records = await client.stop();
  }
  const { terms } = cluster.watcher;
  const of = (column: 'fresh' | 'kept') =>
    records.map((record) => judge(answersOf(record, record[column]), terms)).reduce(worst);
  return { fresh: of('fresh'), kept: of('kept'), startedMs };
}

function worst(a: Verdict, b: Verdict): Verdict {
  const errors: Record<string, number> = { ...a.errors };
  for (const [error, count] of Object.entries(b.errors)) errors[error] = (errors[error] ?? 0) + count;
  return {
    requests: a.requests + b.requests,
    failed: a.failed + b.failed,
    errors,
    failures: [...a.failures, ...b.failures],
    longestHoleMs: Math.max(a.longestHoleMs, b.longestHoleMs),
    slowestMs: Math.max(a.slowestMs, b.slowestMs),
    overlapMs: Math.max(a.overlapMs, b.overlapMs),
    backwards: a.backwards + b.backwards,
    unknown: a.unknown + b.unknown,
    strays: [...a.strays, ...b.strays],
  };
}
