/** From measurements to checks, and both as tables for people. */
import type { Case } from './cases.ts';
import type { Measurement } from './watching.ts';

export interface CaseResult {
  readonly case: Case;
  readonly measurements: readonly Measurement[];
  /** Repetitions that did not come to their end, in words. */
  readonly broken: readonly string[];
  readonly skipped: string | undefined;
  /** What it was given a second chance after. */
  readonly before?: CaseResult;
}

export interface Check {
  readonly what: string;
  /** A time is met or missed, and neither passes nor fails the run: the machine may be shared, and busy. */
  readonly outcome: 'passed' | 'failed' | 'skipped' | 'met' | 'missed';
  readonly detail: string;
}

/** The smallest value that is not below `share` of all: with few values p99 is the largest. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

const holes = ({ measurements }: CaseResult): number[] => measurements.map(({ fresh }) => fresh.longestHoleMs);
const sharesOf = ({ measurements }: CaseResult, step: 'flippedMs' | 'routedMs'): number[] =>
  measurements.flatMap(({ share }) => share?.[step] ?? []);
const sum = (result: CaseResult, of: (measurement: Measurement) => number): number =>
  result.measurements.reduce((total, measurement) => total + of(measurement), 0);

export function checksOf(result: CaseResult): Check[] {
  const { name, what, bars } = result.case;
  if (result.skipped !== undefined) return [{ what: `${name}: ${what}`, outcome: 'skipped', detail: result.skipped }];
  const check = (about: string, isMet: boolean, detail: string): Check => ({
    what: `${name}: ${about}`,
    outcome: isMet ? 'passed' : 'failed',
    detail,
  });
  const atMost = (about: string, value: number, limit: number | undefined): Check[] =>
    limit === undefined
      ? []
      : [
          {
            what: `${name}: ${about} ≤ ${limit} ms`,
            outcome: value <= limit ? 'met' : 'missed',
            detail: `${ms(value)} ms`,
          },
        ];
  const found = result.measurements.flatMap(({ wrong = [], interrupted = [] }) => [...wrong, ...interrupted]);
  const wrong = [...result.broken, ...found];
  const failed = sum(result, ({ fresh }) => fresh.failed);
  const strays = sum(result, ({ fresh }) => fresh.backwards + fresh.unknown);
  const overlapMs = Math.max(0, ...result.measurements.map(({ fresh }) => fresh.overlapMs));
  const again = result.before === undefined ? '' : ` (at the second attempt; before: ${troublesOf(result.before)})`;
  const ended = check(
    'came to its end as it should',
    wrong.length === 0,
    `${wrong.slice(0, 3).join('; ') || what}${again}`,
  );
  if (result.measurements.length === 0) return [ended];
  if (isOfActs(result)) return [ended, ...timeBars(result)];
  return [
    ended,
    check('no overlap, no term goes backwards', strays === 0, `${strays} answers, ${ms(overlapMs)} ms`),
    ...(bars.noFailure ? [check('no request on a new connection fails', failed === 0, describe(result))] : []),
    ...atMost('hole p50', percentile(holes(result), 0.5), bars.holeP50Ms),
    ...atMost('hole p99', percentile(holes(result), 0.99), bars.holeP99Ms),
    ...atMost("operator's part p99", percentile(sharesOf(result, 'flippedMs'), 0.99), bars.operatorP99Ms),
  ];
}

const troublesOf = (result: CaseResult): string =>
  checksOf(result)
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ detail }) => detail)
    .join('; ');

/**
 * Whether a case failed by nothing but what a machine without a free core can do, too: a wait that ran out, requests
 * without any answer, or one that acted and was stopped. Never after two that acted, a term that went back, a refused request.
 */
export function mayBeTheMachine(result: CaseResult): boolean {
  const isSound = result.measurements.every(
    ({ fresh, wrong = [] }) => wrong.length === 0 && fresh.backwards === 0 && fresh.unknown === 0,
  );
  const refused = sum(result, ({ fresh }) => fresh.failed - (fresh.errors['timeout'] ?? 0));
  return isSound && (result.case.bars.noFailure !== true || refused === 0);
}

const isOfActs = ({ measurements }: CaseResult): boolean => measurements.some(({ acts }) => acts !== undefined);

/** What was timed, with all its times, in the order in which it was first. */
function timesOf({ measurements }: CaseResult): Map<string, number[]> {
  const all = new Map<string, number[]>();
  for (const { acts } of measurements)
    for (const [what, times] of Object.entries(acts?.times ?? {})) all.set(what, [...(all.get(what) ?? []), ...times]);
  return all;
}

const timeBars = (result: CaseResult): Check[] =>
  [...timesOf(result)].flatMap(([what, times]) => {
    const limit = result.case.bars.timesP99Ms?.[what];
    if (limit === undefined) return [];
    const p99 = percentile(times, 0.99);
    const about = `${result.case.name}: ${what} p99 ≤ ${limit} ms`;
    return [{ what: about, outcome: p99 <= limit ? 'met' : 'missed', detail: `${ms(p99)} ms` }];
  });

function describe(result: CaseResult): string {
  const errors: Record<string, number> = {};
  for (const { fresh } of result.measurements)
    for (const [error, count] of Object.entries(fresh.errors)) errors[error] = (errors[error] ?? 0) + count;
  const kinds = Object.entries(errors).map(([error, count]) => `${count} ${error}`);
  return `${kinds.join(', ') || 'none'} of ${sum(result, ({ fresh }) => fresh.requests)}`;
}

const ms = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 1 : 0));

const HEADER = [
  'case',
  'times',
  'hole p50',
  'p99',
  'max',
  'failed',
  'of',
  'kept failed',
  'overlap',
  'back',
  'operator p50',
  'p99',
  'routed p50',
  'p99',
];

export function table(results: readonly CaseResult[]): string {
  const rows = results
    .filter((result) => result.measurements.length > 0 && !isOfActs(result))
    .map((result) => [
      result.case.name,
      String(result.measurements.length),
      ms(percentile(holes(result), 0.5)),
      ms(percentile(holes(result), 0.99)),
      ms(Math.max(...holes(result))),
      String(sum(result, ({ fresh }) => fresh.failed)),
      String(sum(result, ({ fresh }) => fresh.requests)),
      String(sum(result, ({ kept }) => kept.failed)),
      ms(Math.max(...result.measurements.map(({ fresh }) => fresh.overlapMs))),
      String(sum(result, ({ fresh }) => fresh.backwards + fresh.unknown)),
      ...(['flippedMs', 'routedMs'] as const).flatMap((step) => [
        ms(percentile(sharesOf(result, step), 0.5)),
        ms(percentile(sharesOf(result, step), 0.99)),
      ]),
    ]);
  return aligned([HEADER, ...rows]);
}

const ACTS_HEADER = ['case', 'times', 'min', 'p50', 'p99', 'max', 'load'];

/** Empty when no case has such times. */
export function actsTable(results: readonly CaseResult[]): string {
  const rows = results.filter(isOfActs).flatMap((result) => {
    const loads = result.measurements.map(({ acts }) => acts?.load ?? 0);
    return [...timesOf(result)].map(([what, times]) => [
      `${result.case.name} ${what}`,
      String(times.length),
      ...[Math.min(...times), percentile(times, 0.5), percentile(times, 0.99), Math.max(...times)].map(ms),
      percentile(loads, 0.5).toFixed(1),
    ]);
  });
  return rows.length === 0 ? '' : `\n${aligned([ACTS_HEADER, ...rows])}\n`;
}

/** The first column to the left, numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}

const MARK = { passed: '✓', failed: '✗', skipped: '-', met: '≤', missed: '>' } as const;

export const listed = (checks: readonly Check[]): string =>
  checks.map(({ what, outcome, detail }) => `${MARK[outcome]} ${what}: ${detail}`).join('\n');

export function closing(checks: readonly Check[]): string {
  const count = (outcome: Check['outcome']): number => checks.filter((check) => check.outcome === outcome).length;
  return `times: ${count('met')} met, ${count('missed')} missed\n${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`;
}
