/** Ends the active again and again, each time when everything is at rest, and takes the time until the next is routed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditedRequest } from '../test/control-plane/audit.ts';
import { PATH, singleton } from './objects.ts';
import { CASES, MOVE_WRITES, PHASES, recordOf } from './move-record.ts';
import type { Case, MoveRecord, Phase, Witnessed } from './move-record.ts';
import type { Usage } from './resources.ts';
import { summarize, tally } from './statistics.ts';
import type { Summary } from './statistics.ts';
import { isOperator, isSettled, namespaceOf, routedPod, withIdleSingletons } from './world.ts';
import type { World } from './world.ts';

const NAMESPACE = 'moving';
const NAME = 'moving';
/** Not in step with anybody's timers. */
const PAUSE_MS = 40;

export interface MovesResult {
  readonly kind: Case;
  /** Idle singletons beside the one that moved. */
  readonly others: number;
  readonly totalMs: Summary;
  /** Of each move, what `totalMs` sums up. */
  readonly eachMs: readonly number[];
  readonly sinceReceivedMs: Summary;
  readonly serverMs: Summary;
  readonly phasesMs: Readonly<Record<Phase, Summary>>;
  /** Writes a move, on average, by kind; `total` and `max` of one move. */
  readonly writes: WriteSummary;
  /** Writes of the operator for the member that came back or was replaced: a move, on average, by kind. */
  readonly repairWrites: Readonly<Record<string, number>>;
  readonly readsPerMove: number;
  /** The slowest of all. */
  readonly slowest: { readonly totalMs: number; readonly timeline: readonly string[] };
  /** Lines of the operator's log at level warn or error. */
  readonly complaints: readonly string[];
  readonly usage: Usage;
}

export interface WriteSummary {
  readonly byKind: Readonly<Record<string, number>>;
  readonly mean: number;
  readonly max: number;
}

export async function measureMoves(
  world: World,
  others: number,
  moves: number,
  log: (line: string) => void,
): Promise<MovesResult[]> {
  await withIdleSingletons(world, others);
  await namespaceOf(world, NAMESPACE);
  if (world.singletons.get(NAMESPACE, NAME) === undefined) {
    await world.api.create(PATH.singletons(NAMESPACE), singleton(NAME));
  }
  const results: MovesResult[] = [];
  for (const kind of CASES) {
    const name = `${kind}, ${others} others`;
    const stopMeter = world.meter(name);
    const complaintsBefore = world.operator.complaints().length;
    const witnessed: Witnessed[] = [];
    for (let move = 1; move <= moves; move++) {
      witnessed.push(await moveOnce(world, kind));
      if (move % 50 === 0) log(`${name}: ${move} of ${moves} moves`);
    }
    const usage = stopMeter();
    const complaints = world.operator.complaints().slice(complaintsBefore);
    const records = await recordsOf(world, witnessed);
    results.push({ kind, others, ...summarizeMoves(records), complaints, usage });
  }
  return results;
}

async function moveOnce(world: World, kind: Case): Promise<Witnessed> {
  const { changes, clock, pods, singletons } = world;
  await changes.when('the singleton to be at rest', () => isSettled(world, NAMESPACE, NAME));
  await sleep(PAUSE_MS + Math.random() * PAUSE_MS);
  clock.calibrate();
  const from = routedPod(world, NAMESPACE, NAME) ?? '';
  const { uid } = pods.get(NAMESPACE, from)?.metadata ?? {};
  if (uid === undefined) throw new Error(`the active ${from} is gone before it was ended`);
  const pod = { namespace: NAMESPACE, name: from, uid };
  let to: string | undefined;
  const routed = changes.when(`another active than ${from}`, () => {
    to = routedPod(world, NAMESPACE, NAME);
    return to !== undefined && to !== from;
  });
  const beginMs = clock.now();
  const [routedMs] = await Promise.all([routed, end(world, kind, pod)]);
  await changes.when(
    'the status to tell of the move',
    () => singletons.get(NAMESPACE, NAME)?.status?.active?.pod === to,
  );
  await mend(world, kind, pod);
  const settledMs = await changes.when('three members', () => isSettled(world, NAMESPACE, NAME));
  return { kind, namespace: NAMESPACE, name: NAME, from, to: to ?? '', beginMs, routedMs, settledMs };
}

type PodRef = { readonly namespace: string; readonly name: string; readonly uid: string };

async function end({ nodes, api }: World, kind: Case, pod: PodRef): Promise<void> {
  switch (kind) {
    case 'crash':
      return void (await nodes.crash(pod));
    case 'hang':
      return void (await nodes.hang(pod));
    case 'delete':
      return api.delete(`${PATH.pods(pod.namespace)}/${pod.name}`, { uid: pod.uid });
    default:
      return kind satisfies never;
  }
}

async function mend({ nodes }: World, kind: Case, pod: PodRef): Promise<void> {
  if (kind === 'crash') await nodes.restart(pod);
  if (kind === 'hang') await nodes.unhang(pod);
}

/** The API server writes its log a moment after it has answered. */
const AUDIT_LAG_MS = 500;

async function recordsOf(world: World, moves: readonly Witnessed[]): Promise<MoveRecord[]> {
  await sleep(AUDIT_LAG_MS);
  const all = await world.audit({ namespace: NAMESPACE, fromWallMs: moves[0]?.beginMs ?? 0 });
  const byArrival = all.toSorted((a, b) => a.receivedWallMs - b.receivedWallMs);
  return moves.map((move) => {
    const during = byArrival.filter((request) => isWithin(request, move));
    return recordOf(
      move,
      during.filter(isOperator),
      during.filter((request) => !isOperator(request)),
    );
  });
}

const isWithin = ({ receivedWallMs, verb }: AuditedRequest, { beginMs, settledMs }: Witnessed): boolean =>
  // The log has a watch when it ends; it may have begun long before.
  verb !== 'watch' && receivedWallMs >= beginMs - 1 && receivedWallMs <= settledMs;

type Measured = Omit<MovesResult, 'kind' | 'others' | 'complaints' | 'usage'>;

function summarizeMoves(records: readonly MoveRecord[]): Measured {
  const perMove = (counts: Record<string, number>) =>
    Object.fromEntries(Object.entries(counts).map(([name, total]) => [name, total / records.length]));
  const writes = records.map(({ moveWrites }) => moveWrites.length);
  const byKind = perMove(tally(records.flatMap(({ moveWrites }) => moveWrites)));
  return {
    totalMs: summarize(records.map(({ totalMs }) => totalMs)),
    eachMs: records.map(({ totalMs }) => totalMs),
    sinceReceivedMs: summarize(records.map(({ sinceReceivedMs }) => sinceReceivedMs)),
    serverMs: summarize(records.map(({ serverMs }) => serverMs)),
    phasesMs: Object.fromEntries(
      PHASES.map((phase) => [phase, summarize(records.map(({ phasesMs }) => phasesMs[phase]))]),
    ) as Record<Phase, Summary>,
    writes: {
      byKind: Object.fromEntries(MOVE_WRITES.map((write) => [write, byKind[write] ?? 0])),
      mean: writes.reduce((sum, count) => sum + count, 0) / records.length,
      max: Math.max(...writes),
    },
    repairWrites: perMove(tally(records.flatMap(({ repairWrites }) => repairWrites))),
    readsPerMove: records.reduce((sum, { reads }) => sum + reads, 0) / records.length,
    slowest: records.toSorted((a, b) => b.totalMs - a.totalMs)[0] ?? { totalMs: Number.NaN, timeline: [] },
  };
}
