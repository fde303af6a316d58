/** `npm run bench`: see docs/performance.md for what is measured, and `--help` for the options. */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { measureCreation } from './creation.ts';
import { measureLeaders } from './leaders.ts';
import { measureMoves } from './moves.ts';
import type { MovesResult } from './moves.ts';
import { UsageError, parseOptions } from './options.ts';
import type { Options } from './options.ts';
import { barsOf, reportOf } from './report.ts';
import type { Machine, Results } from './report.ts';
import { memoryMb } from './resources.ts';
import { measureSteady } from './steady.ts';
import { startWorld } from './world.ts';
import type { World } from './world.ts';

const startedAtMs = performance.now();

function log(line: string): void {
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(0).padStart(5);
  process.stderr.write(`${seconds} s  ${line}\n`);
}

const machineOf = (world: World, loadBefore: readonly number[]): Machine => ({
  date: new Date().toISOString().slice(0, 16).replace('T', ' '),
  cores: cpus().length,
  processor: cpus()[0]?.model.trim() ?? 'unknown',
  memoryGb: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  kubernetes: world.controlPlane.binaries.source.split(' from ')[0] ?? '',
  loadBefore,
  loadAfter: loadavg(),
});

async function measure(world: World, options: Options, loadBefore: readonly number[]): Promise<Results> {
  const { parts } = options;
  const moves: MovesResult[] = [];
  for (const others of parts.has('moves') ? options.others : []) {
    moves.push(...(await measureMoves(world, others, options.moves, log)));
  }
  const steady = parts.has('steady')
    ? await measureSteady(world, options.singletons, options.steadySeconds, log)
    : undefined;
  const creation = parts.has('creation')
    ? await measureCreation(world, options.singletons, options.rounds, log)
    : undefined;
  const leaders = parts.has('leaders') ? await measureLeaders(world, options, log) : [];
  const operatorPeakMb = memoryMb(world.operator.pid).peak;
  return { machine: machineOf(world, loadBefore), moves, steady, creation, leaders, operatorPeakMb };
}

async function run(options: Options): Promise<void> {
  const loadBefore = loadavg();
  log('starting a control plane, hollow nodes and the operator');
  const world = await startWorld(options);
  log('started');
  try {
    const results = await measure(world, options, loadBefore);
    console.log(reportOf(results));
    if (options.json !== undefined) {
      writeFileSync(options.json, `${JSON.stringify({ ...results, bars: barsOf(results) }, undefined, 2)}\n`);
    }
  } finally {
    await world.stop();
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if ('help' in options) console.log(options.help);
  else await run(options);
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${isUsage ? error.message : String((error as Error).stack)}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
