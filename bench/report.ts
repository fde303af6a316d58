/** The numbers as tables for people, and each bar beside what was measured. */
import type { CreationResult } from './creation.ts';
import type { LeadersResult } from './leaders.ts';
import { MOVE_WRITES, PHASES } from './move-record.ts';
import type { MovesResult } from './moves.ts';
import type { Usage } from './resources.ts';
import { summarize } from './statistics.ts';
import type { Summary } from './statistics.ts';
import type { SteadyResult } from './steady.ts';

export interface Machine {
  readonly date: string;
  readonly cores: number;
  readonly processor: string;
  readonly memoryGb: number;
  readonly node: string;
  readonly kubernetes: string;
  /** Of 1, 5 and 15 minutes, before anything was started: what else the machine was doing. */
  readonly loadBefore: readonly number[];
  readonly loadAfter: readonly number[];
}

export interface Results {
  readonly machine: Machine;
  readonly moves: readonly MovesResult[];
  readonly steady: SteadyResult | undefined;
  readonly creation: CreationResult | undefined;
  readonly leaders: readonly LeadersResult[];
  readonly operatorPeakMb: number;
}

export interface Bar {
  readonly what: string;
  readonly limit: string;
  readonly measured: string;
  readonly met: boolean;
}

const MAX_P50_MS = 40;
const MAX_P99_MS = 100;
const MAX_WRITES = 6;
const MAX_RATIO = 1.5;
const MAX_RSS_MB = 150;
/** Of a leader that crashes or freezes, and of one that is stopped. */
const MAX_CRASH_P99_MS = 3_000;
const MAX_STOP_P99_MS = 200;
/** Of a minute at rest: less is the allocator's breathing. */
const MAX_GROWTH_MB = 3;
/** Of all requests: an operator that hammers a server which says no is refused far more often. */
const MAX_REFUSED_SHARE = 0.05;

const ms = (value: number): string => value.toFixed(1);
const upTo = (what: string, measured: number, limit: number, unit: string, digits = 1): Bar => ({
  what,
  limit: `≤ ${limit} ${unit}`.trim(),
  measured: `${measured.toFixed(digits)} ${unit}`.trim(),
  met: measured <= limit,
});

export function barsOf({ moves, steady, creation, leaders, operatorPeakMb }: Results): Bar[] {
  return [
    ...overall(moves).flatMap(({ others, totalMs }) => [
      upTo(`all cases → routed, ${others} others: p50`, totalMs.p50, MAX_P50_MS, 'ms'),
      upTo(`all cases → routed, ${others} others: p99`, totalMs.p99, MAX_P99_MS, 'ms'),
    ]),
    ...moves.flatMap(({ kind, others, totalMs, writes }) => [
      upTo(`${kind} → routed, ${others} others: p50`, totalMs.p50, MAX_P50_MS, 'ms'),
      upTo(`${kind} → routed, ${others} others: p99`, totalMs.p99, MAX_P99_MS, 'ms'),
      upTo(`${kind}, ${others} others: API writes of a move, at most`, writes.max, MAX_WRITES, '', 0),
    ]),
    ...(steady === undefined ? [] : steadyBars(steady)),
    ...(creation === undefined ? [] : creationBars(creation)),
    ...leaders.map(({ kind, worksMs }) =>
      upTo(
        `${kind} of the leader → another works: p99`,
        worksMs.p99,
        kind === 'stop' ? MAX_STOP_P99_MS : MAX_CRASH_P99_MS,
        'ms',
        0,
      ),
    ),
    { ...upTo('operator: highest RSS', operatorPeakMb, MAX_RSS_MB, 'MB', 0), met: operatorPeakMb < MAX_RSS_MB },
  ];
}

/** Every case was repeated as often: what a user meets who does not choose how the active ends. */
function overall(moves: readonly MovesResult[]): { others: number; totalMs: Summary }[] {
  return [...new Set(moves.map(({ others }) => others))].map((others) => ({
    others,
    totalMs: summarize(moves.filter((result) => result.others === others).flatMap(({ eachMs }) => eachMs)),
  }));
}

const steadyBars = ({ singletons, seconds, writeCount, rssGrowthMb }: SteadyResult): Bar[] => [
  upTo(`API writes in ${seconds} s with ${singletons} singletons at rest`, writeCount, 0, '', 0),
  upTo(`RSS growth in that time`, rssGrowthMb, MAX_GROWTH_MB, 'MB'),
];

function creationBars({ count, ratio, complaints, refusedRequests, requests }: CreationResult): Bar[] {
  const refused = Object.values(refusedRequests).reduce((sum, value) => sum + value, 0);
  return [
    upTo(`creation of ${count} singletons by that of StatefulSets, median`, ratio, MAX_RATIO, '', 2),
    upTo('warnings and errors in the log meanwhile', complaints.length, 0, '', 0),
    upTo(`requests refused, of ${requests}`, (refused / requests) * 100, MAX_REFUSED_SHARE * 100, '%', 2),
  ];
}

/** Columns as wide as their widest cell; the first is text, the others numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

const counts = (byKind: Readonly<Record<string, number>>, digits = 0): string =>
  Object.entries(byKind)
    .map(([kind, count]) => `${kind} ${count.toFixed(digits)}`)
    .join(', ') || 'none';

function movesTables(moves: readonly MovesResult[]): string {
  const named = ({ kind, others }: MovesResult): string => `${kind}, ${others} others`;
  const totals = moves.map((result) => {
    const { totalMs, sinceReceivedMs, serverMs } = result;
    return [
      named(result),
      String(totalMs.count),
      ...[
        totalMs.min,
        totalMs.p50,
        totalMs.p99,
        totalMs.max,
        sinceReceivedMs.p50,
        sinceReceivedMs.p99,
        serverMs.p50,
      ].map(ms),
    ];
  });
  const phases = moves.flatMap((result) =>
    (['p50', 'p99'] as const).map((which) => [
      `${named(result)}: ${which}`,
      ...PHASES.map((phase) => ms(result.phasesMs[phase][which])),
    ]),
  );
  const writes = moves.map((result) => [
    named(result),
    ...MOVE_WRITES.map((kind) => (result.writes.byKind[kind] ?? 0).toFixed(2)),
    result.writes.mean.toFixed(2),
    String(result.writes.max),
    result.readsPerMove.toFixed(2),
  ]);
  const repairs = moves.map((result) => `* ${named(result)}: ${counts(result.repairWrites, 2)}`);
  return `### Moves: from "the API server knew" to the EndpointSlice, in ms

${table(['case', 'moves', 'min', 'p50', 'p99', 'max', 'p50 from arrival', 'p99 from arrival', 'p50 in the server'], totals)}

Of which, in ms (each phase ends with what it is named after):

${table(['case', ...PHASES], phases)}

API writes of a move, on average; the most in one move; live reads before the grant:

${table(['case', ...MOVE_WRITES, 'mean', 'max', 'reads'], writes)}

API writes for the member that comes back or is replaced, a move:

${repairs.join('\n')}${outliers(moves)}`;
}

/** So many times the median is no spread but an event, and its requests tell which. */
const OUTLIER_FACTOR = 5;

function outliers(moves: readonly MovesResult[]): string {
  const slow = moves.filter(({ slowest, totalMs }) => slowest.totalMs > OUTLIER_FACTOR * totalMs.p50);
  const complaints = moves.flatMap((result) => result.complaints);
  return [
    ...slow.map(({ kind, others, slowest }) => {
      const lines = slowest.timeline.map((line) => `    ${line}`).join('\n');
      return `\n\nThe slowest ${kind} with ${others} others, ${ms(slowest.totalMs)} ms, in ms since it began:\n\n${lines}`;
    }),
    `\n\nWarnings and errors in the operator's log meanwhile: ${complaints.length}.`,
    ...complaints.slice(0, 5).map((line) => `\n    ${line}`),
  ].join('');
}

const steadyText = ({ singletons, seconds, writes, reads, rssGrowthMb }: SteadyResult): string => `### At rest

${singletons} singletons, ${seconds} s: API writes of the operator: ${counts(writes)}; reads: ${counts(reads)}; RSS ${rssGrowthMb >= 0 ? '+' : ''}${rssGrowthMb.toFixed(1)} MB.`;

function creationText({
  count,
  runs,
  ratios,
  ratio,
  reconcileErrors,
  refusedRequests,
  requests,
  complaints,
}: CreationResult): string {
  const seconds = (value: number): string => (value / 1000).toFixed(2);
  const rows = runs.map((run) => [
    `round ${run.round}: ${run.kind}`,
    seconds(run.podsReadyMs),
    seconds(run.settledMs),
    String(Object.values(run.writesByUser).reduce((sum, value) => sum + value, 0)),
    ...['kube-apiserver', 'kube-controller-manager', 'operator'].map((program) =>
      (run.usage.cpu[program] ?? 0).toFixed(2),
    ),
  ]);
  const users = (['singletons', 'statefulSets'] as const).map((kind) => {
    const last = runs.findLast((run) => run.kind === kind);
    return `* ${kind}: ${counts(last?.writesByUser ?? {})}`;
  });
  return `### Creation of ${count} at once, in s

${table(['run', 'pods Ready', 'settled', 'API writes', 'CPU s: kube-apiserver', 'kube-controller-manager', 'operator'], rows)}

Ratio by round: ${ratios.map((value) => value.toFixed(2)).join(', ')}; median ${ratio.toFixed(2)}.

API writes by user in the last round:

${users.join('\n')}

The operator in all rounds: ${requests} requests; refused: ${counts(refusedRequests)}; looks that ended early: ${counts(reconcileErrors)}; warnings and errors in its log: ${complaints.length}.${complaints
    .slice(0, 5)
    .map((line) => `\n    ${line}`)
    .join('')}`;
}

function leadersText(leaders: readonly LeadersResult[]): string {
  const rows = leaders.flatMap(({ kind, namedMs, worksMs }) =>
    (
      [
        ['the Lease names another', namedMs],
        ['that one works', worksMs],
      ] as const
    ).map(([what, times]) => [
      `${kind}: ${what}`,
      String(times.count),
      ...[times.min, times.p50, times.p99, times.max].map((value) => value.toFixed(0)),
    ]),
  );
  return `### Loss of the leading one of ${leaders[0]?.replicas} replicas, from the signal, in ms

${table(['loss', 'times', 'min', 'p50', 'p99', 'max'], rows)}`;
}

function usageTable(usages: readonly Usage[]): string {
  const rows = usages.map(({ phase, seconds, rssStartMb, rssEndMb, rssMaxMb, cpu }) => [
    phase,
    seconds.toFixed(1),
    ...[rssStartMb, rssEndMb, rssMaxMb].map((value) => value.toFixed(1)),
    ...Object.values(cpu).map((used) => ((used / seconds) * 100).toFixed(1)),
  ]);
  const programs = Object.keys(usages[0]?.cpu ?? {});
  return `### The operator's memory (MB), and processor time in % of one core

${table(['phase', 's', 'RSS start', 'end', 'max', ...programs], rows)}`;
}

const machineText = ({
  date,
  cores,
  processor,
  memoryGb,
  node,
  kubernetes,
  loadBefore,
  loadAfter,
}: Machine): string => {
  const load = (values: readonly number[]): string => values.map((value) => value.toFixed(2)).join(' ');
  return `${date}: ${cores} cores (${processor}), ${memoryGb} GB; Node ${node}; ${kubernetes}; load average ${load(loadBefore)} before, ${load(loadAfter)} after.`;
};

export function reportOf(results: Results): string {
  const { machine, moves, steady, creation, leaders } = results;
  const usages = [
    ...moves.map(({ usage }) => usage),
    ...(steady === undefined ? [] : [steady.usage]),
    ...(creation?.runs.map(({ usage }) => usage) ?? []),
  ];
  const bars = barsOf(results).map(({ what, limit, measured, met }) => [what, limit, measured, met ? 'met' : 'missed']);
  return [
    machineText(machine),
    ...(moves.length === 0 ? [] : [movesTables(moves)]),
    ...(steady === undefined ? [] : [steadyText(steady)]),
    ...(creation === undefined ? [] : [creationText(creation)]),
    ...(leaders.length === 0 ? [] : [leadersText(leaders)]),
    ...(usages.length === 0 ? [] : [usageTable(usages)]),
    `### Bars\n\n${table(['what', 'bar', 'measured', ''], bars)}`,
  ].join('\n\n');
}
