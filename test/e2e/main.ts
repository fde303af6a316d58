/**
 * The end-to-end suite: faults in a real cluster, watched by clients in it.
 *
 *   node test/e2e/main.ts [--quick] [--only crash,delete] [--skip steady] [--repeat 10] [--steady-seconds 300] [--max-minutes 20]
 *                         [--json FILE] [--keep] [--again]
 *
 * The cluster is the one that KUBECONFIG names; the operator runs there (`make deploy`). E2E_IMAGE is an image with Node
 * in it that the nodes have or can pull; the operator's own will do.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { refusedRights } from './audit.ts';
import { AGENT_CASES, endFleet } from './agent-cases.ts';
import { CASES as ROUTING_CASES } from './cases.ts';
import type { Case, CaseOptions } from './cases.ts';
import { Cluster } from './cluster.ts';
import { actsTable, checksOf, closing, listed, mayBeTheMachine, table } from './table.ts';
import type { CaseResult, Check } from './table.ts';
import type { Acts, Measurement } from './watching.ts';
import type { Share } from './share.ts';

interface Options extends CaseOptions {
  readonly cases: readonly Case[];
  readonly repeatOf: (aCase: Case) => number;
  /** No case begins later; it counts as skipped. */
  readonly maxMinutes: number;
  readonly json: string | undefined;
  readonly keep: boolean;
  /** A case that failed by what may be the machine's doing runs once more; both results are told. */
  readonly again: boolean;
}

const CASES: readonly Case[] = [...ROUTING_CASES, ...AGENT_CASES];

const STEADY_SECONDS = 300;
const QUICK_STEADY_SECONDS = 45;

function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      skip: { type: 'string' },
      repeat: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'steady-seconds': { type: 'string' },
      'max-minutes': { type: 'string' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
      again: { type: 'boolean', default: false },
    },
  });
  const names = (list: string | undefined): string[] => list?.split(',') ?? [];
  const unknown = [...names(values.only), ...names(values.skip)].find(
    (name) => !CASES.some((known) => known.name === name),
  );
  if (unknown !== undefined)
    throw new Error(`no case ${unknown}; there are ${CASES.map(({ name }) => name).join(', ')}`);
  return {
    cases: CASES.filter(
      ({ name }) =>
        (values.only === undefined || names(values.only).includes(name)) && !names(values.skip).includes(name),
    ),
    repeatOf: ({ repeat, quick = 1 }) => Number(values.repeat ?? (values.quick ? quick : repeat)),
    steadySeconds: Number(values['steady-seconds'] ?? (values.quick ? QUICK_STEADY_SECONDS : STEADY_SECONDS)),
    maxMinutes: Number(values['max-minutes'] ?? Infinity),
    json: values.json,
    keep: values.keep,
    again: values.again,
  };
}

async function runCase(cluster: Cluster, aCase: Case, options: Options): Promise<CaseResult> {
  const times = options.repeatOf(aCase);
  const skipped = whySkipped(aCase, cluster, options) || (await aCase.whyNot?.());
  if (skipped) return { case: aCase, measurements: [], broken: [], skipped };
  const measurements: Measurement[] = [];
  const broken: string[] = [];
  for (let count = 1; count <= times; count++) {
    const startedMs = performance.now();
    try {
      const measured = await aCase.run(cluster, options);
      measurements.push(measured);
      if ((measured.fresh.errors['timeout'] ?? 0) > 0) await cluster.renewClients();
      say(
        `${aCase.name} ${count}: ${oneLine(measured, aCase)} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`,
      );
    } catch (error) {
      const { message, cause } = error as Error;
      broken.push(`${count}: ${message}${cause instanceof Error ? ` (${cause.message})` : ''}`);
      say(`${aCase.name} ${count}: ${broken.at(-1)}`);
      // One that fails slowly would use up the time of all others.
      if (broken.length >= 2) break;
    }
  }
  return { case: aCase, measurements, broken, skipped: undefined };
}

async function runWithSecondChance(cluster: Cluster, aCase: Case, options: Options): Promise<CaseResult> {
  const before = await runCase(cluster, aCase, options);
  const hasFailed = checksOf(before).some(({ outcome }) => outcome === 'failed');
  if (!hasFailed || !options.again || !mayBeTheMachine(before)) return before;
  say(`${aCase.name}: once more`);
  return { ...(await runCase(cluster, aCase, options)), before };
}

function whySkipped({ needsNodes }: Case, { noNodeFaults }: Cluster, { maxMinutes }: Options): string | undefined {
  if (elapsedMs() > maxMinutes * 60_000) return `not begun within ${maxMinutes} min`;
  return needsNodes && noNodeFaults;
}

function oneLine({ fresh, kept, share, acts, wrong = [], interrupted = [] }: Measurement, { bars }: Case): string {
  const told = [...wrong.map((text) => `WRONG: ${text}`), ...interrupted.map((text) => `INTERRUPTED: ${text}`)];
  if (acts !== undefined) return [timesInWords(acts), ...told].join(', ');
  const errors = Object.entries(fresh.errors).map(([error, count]) => `${count} ${error}`);
  return [
    `hole ${fresh.longestHoleMs.toFixed(0)} ms`,
    `${fresh.failed} of ${fresh.requests} failed${errors.length > 0 ? ` (${errors.join(', ')})` : ''}`,
    ...(bars.noFailure ? fresh.failures : []),
    `slowest ${fresh.slowestMs.toFixed(0)} ms`,
    `kept ${kept.failed} of ${kept.requests}`,
    ...(fresh.backwards > 0 ? [`BACKWARDS ${fresh.backwards}, ${fresh.overlapMs.toFixed(0)} ms`] : []),
    ...(fresh.unknown > 0 ? [`UNKNOWN ${fresh.unknown}`] : []),
    ...(share === undefined ? [] : [`share ${inWords(share)}`]),
    ...fresh.strays,
    ...told,
  ].join(', ');
}

const timesInWords = ({ times, load }: Acts): string =>
  [
    ...Object.entries(times).map(([what, ms]) => `${what} ${ms.map((one) => one.toFixed(0)).join('/')}`),
    `load ${load.toFixed(1)}`,
  ].join(', ');

const LEGEND = `(times in ms; "kept": connections that stay open; "operator": from when the API server knew to the flip of the Service;
"routed": to the EndpointSlice, which a controller of Kubernetes writes after the flip)`;

/** The steps as they were seen one after another, in ms since the active's status changed. */
const inWords = ({ grantedMs, labelledMs, flippedMs, routedMs }: Share): string =>
  [grantedMs, labelledMs, flippedMs, routedMs].map((value) => value?.toFixed(0) ?? '?').join('→');

/** What holds for the whole run. */
async function overallChecks(cluster: Cluster): Promise<Check[]> {
  const terms: Check = {
    what: 'every Lease: terms rise, and each has one holder',
    outcome: cluster.watcher.broken.length === 0 ? 'passed' : 'failed',
    detail: cluster.watcher.broken.join('; ') || `${cluster.watcher.terms.size} pods were granted a term`,
  };
  const what = 'the operator may do all that it tried (audit log)';
  if (cluster.noNodeFaults !== undefined) return [terms, { what, outcome: 'skipped', detail: cluster.noNodeFaults }];
  const { asked, refused } = await refusedRights(cluster);
  const detail = refused.length === 0 ? `${asked} requests` : refused.slice(0, 3).join(', ');
  return [terms, { what, outcome: refused.length === 0 && asked > 0 ? 'passed' : 'failed', detail }];
}

const startedMs = performance.now();
const elapsedMs = (): number => performance.now() - startedMs;
const say = (text: string): void => console.log(`[${(elapsedMs() / 1000).toFixed(0)} s] ${text}`);

async function main(options: Options): Promise<boolean> {
  const image = process.env['E2E_IMAGE'];
  if (image === undefined) throw new Error('E2E_IMAGE must name an image with Node in it');
  const cluster = await Cluster.connect(image);
  const results: CaseResult[] = [];
  try {
    await cluster.setUp();
    await cluster.settled();
    say(`ready: ${cluster.nodes.length} nodes${cluster.noNodeFaults === undefined ? '' : `, ${cluster.noNodeFaults}`}`);
    for (const aCase of options.cases.filter((one) => options.repeatOf(one) > 0))
      results.push(await runWithSecondChance(cluster, aCase, options));
    const checks = [...results.flatMap(checksOf), ...(await overallChecks(cluster))];
    console.log(`\n${table(results)}\n${LEGEND}\n${actsTable(results)}\n${listed(checks)}\n`);
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ results, checks }, null, 2));
    console.log(closing(checks));
    return checks.every(({ outcome }) => outcome !== 'failed');
  } finally {
    if (!options.keep) await endFleet().catch(() => undefined);
    await cluster.tearDown(options.keep);
  }
}

// An interrupted run leaves its namespace behind, and its clients, which stop by themselves; kubectl's proxy must end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

try {
  process.exitCode = (await main(parseOptions(process.argv.slice(2)))) ? 0 : 1;
} catch (error) {
  console.error(error);
  console.log('0 passed, 1 failed, 0 skipped');
  process.exitCode = 1;
}
