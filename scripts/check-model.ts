/**
 * Has spin search the models of docs/model: each in full and without a violation; and each of their mutants, which leave
 * one rule out, with a violation. A search that ends early, for want of memory or depth, has failed.
 *
 *   node scripts/check-model.ts [--only WORD] [--trace] [--report FILE]
 *
 * --only: names that contain it; --trace: how each violation comes about; --report: the counts, as vitest writes them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

interface Search {
  readonly file: 'protocol.pml' | 'agent.pml';
  readonly defines: readonly string[];
  readonly what: string;
  /** The invariant that must be found broken; undefined: none. */
  readonly breaks: string | undefined;
}

const good = (file: Search['file'], what: string, ...defines: string[]): Search => ({
  file,
  defines,
  what,
  breaks: undefined,
});

const SMALL = ['GRANTS=2', 'KEEP_LEASE'];
/** @param rules the defines that leave them out */
const mutant = (file: Search['file'], what: string, breaks: string, ...rules: string[]): Search => ({
  file,
  defines: rules,
  what,
  breaks,
});

const SEARCHES: readonly Search[] = [
  good('protocol.pml', 'two moves, the Lease stays', ...SMALL),
  good('protocol.pml', 'two moves between two members, the Lease is deleted', 'GRANTS=2', 'MEMBERS=2'),
  good('protocol.pml', 'one move, the Lease is deleted', 'GRANTS=1'),
  good('agent.pml', 'fence deadline 2, grace 1, drift 1'),
  good('agent.pml', 'fence deadline 5, grace 2, drift 2', 'FENCE=5', 'GRACE=2', 'DRIFT=2'),
  mutant('protocol.pml', 'the old active keeps its role', 'I3', 'NO_STRIP', ...SMALL),
  mutant('protocol.pml', 'the label does not wait for the strip', 'I3', 'LABEL_BEFORE_STRIP', ...SMALL),
  mutant('protocol.pml', 'the flip comes before the label', 'hole', 'FLIP_BEFORE_LABEL', ...SMALL),
  mutant('protocol.pml', 'a grant without resourceVersion', 'I1', 'NO_CAS', ...SMALL),
  mutant('protocol.pml', 'a new leader trusts its caches', 'I3', 'NO_READ_ALL', ...SMALL),
  mutant('protocol.pml', 'no live reads at all', 'I3', 'NO_READ_ALL', 'NO_LIVE_READ', ...SMALL),
  mutant('protocol.pml', 'the Service selects the role, not the term', 'I2', 'SELECT_BY_ROLE', ...SMALL),
  mutant('protocol.pml', 'a lost Lease gets the highest term found, no more', 'I1', 'NO_JUMP', 'GRANTS=2', 'MEMBERS=2'),
  mutant('protocol.pml', 'a lost Lease is filled without resourceVersion', 'I1', 'NO_RESTORE_CAS', 'GRANTS=1'),
  mutant('agent.pml', 'the lease is one tick too short', 'I4', 'SHORT_LEASE'),
  mutant('agent.pml', 'the deadline counts from the answer', 'I4', 'DEADLINE_FROM_ANSWER'),
  mutant('agent.pml', 'a renewal without resourceVersion', 'I4', 'NO_RENEWAL_CAS'),
  mutant('agent.pml', 'active as soon as granted, without a renewal', 'I4', 'RUN_WHEN_GRANTED'),
  mutant('agent.pml', 'released before the stop is acknowledged', 'I4', 'RELEASE_EARLY'),
  mutant('agent.pml', 'a grant without proof', 'I4', 'GRANT_ON_SUSPICION'),
  mutant('agent.pml', 'expiry counts from the first sight of the holder', 'I4', 'AGE_OF_HOLDER'),
];

/** Which invariant an assertion of the models stands for, by what only it says. */
const INVARIANTS: readonly (readonly [string, RegExp])[] = [
  ['I1', /given/],
  ['I4', /^0$/],
  ['hole', /lead!=me/],
  ['I3', /foreign/],
  ['rest', /fresh/],
  ['I2', /./],
];

const MODELS = fileURLToPath(new URL('../docs/model', import.meta.url));
const PROGRAMS = ['spin', 'gcc'] as const;
const MEMORY_MB = 3_000;
const SEARCH_TIMEOUT_MS = 600_000;

interface Run {
  readonly status: number | null;
  readonly output: string;
}

function run(command: string, args: readonly string[], cwd: string): Run {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    timeout: SEARCH_TIMEOUT_MS,
    maxBuffer: 2 ** 28,
  });
  return { status, output: `${stdout}${stderr}${error === undefined ? '' : String(error)}` };
}

const isThere = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

/** Undefined when all programs are there, perhaps since now; otherwise why they are not. */
function install(): string | undefined {
  const missing = PROGRAMS.filter((program) => !isThere(program));
  if (missing.length === 0) return undefined;
  const what = `${missing.join(' and ')} missing`;
  if (!isThere('apt-get')) return `${what}, and this is no Debian machine`;
  if (process.getuid?.() !== 0) return `${what}; as root: apt-get install ${PROGRAMS.join(' ')}`;
  console.log(`installing Debian's ${PROGRAMS.join(' and ')}, and libc6-dev`);
  const packages = [...PROGRAMS, 'libc6-dev'].join(' ');
  const command = `apt-get install -y -qq --no-install-recommends ${packages}`;
  const installed = spawnSync('sh', ['-c', `${command} || { apt-get update -qq && ${command}; }`], {
    stdio: 'inherit',
  });
  return installed.status === 0 ? undefined : `${what}, and apt-get could not install them`;
}

interface Outcome {
  readonly passed: boolean;
  /** Which invariant broke, or that none did; or why it can't be told. */
  readonly told: string;
  /** To the violation. */
  readonly steps: string;
  readonly states: string;
  readonly memoryMb: string;
  readonly seconds: string;
  readonly trace: string;
}

/** A mutant is searched by breadth, so that what it finds is short. */
const flagsOf = ({ breaks }: Search): string[] => [
  '-O2',
  '-DSAFETY',
  '-DCOLLAPSE',
  `-DMEMLIM=${MEMORY_MB}`,
  ...(breaks === undefined ? [] : ['-DBFS']),
];

function perform(search: Search, directory: string): Outcome {
  const defines = search.defines.map((define) => `-D${define}`);
  const model = join(MODELS, search.file);
  const made = run('spin', [...defines, '-a', model], directory);
  const compiled = made.status === 0 ? run('gcc', [...flagsOf(search), '-o', 'pan', 'pan.c'], directory) : made;
  const nothing = { passed: false, steps: '', states: '', memoryMb: '', seconds: '', trace: '' };
  if (compiled.status !== 0) return { ...nothing, told: `not compiled: ${compiled.output.trim().slice(0, 300)}` };
  const startedAtMs = performance.now();
  const { output } = run('./pan', ['-m200000', '-w24'], directory);
  const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
  const isViolated = output.includes('assertion violated');
  const trace = isViolated ? run('spin', [...defines, '-t', '-p', '-g', model], directory).output : '';
  const told = verdict(output);
  return {
    passed: told === (search.breaks ?? 'none'),
    told,
    steps: /\(at depth (\d+)\)/.exec(output)?.[1] ?? '',
    states: /(\d+) states, stored/.exec(output)?.[1] ?? '',
    memoryMb: /([\d.]+)\s+total actual memory usage/.exec(output)?.[1] ?? '',
    seconds,
    trace,
  };
}

function verdict(output: string): string {
  const assertion = /assertion violated (.*?) \(at depth/.exec(output)?.[1];
  if (assertion !== undefined) {
    const bare = assertion.replaceAll(/[ ()]/g, '');
    return INVARIANTS.find(([, pattern]) => pattern.test(bare))?.[0] ?? assertion;
  }
  const isWhole = !/not completed|too small|out of memory|memory bound|truncated/i.test(output);
  if (isWhole && /errors: 0\b/.test(output)) return 'none';
  return `not searched to the end: ${output.split('\n').find((line) => line.startsWith('pan:') || line.includes('error')) ?? ''}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const { values } = parseArgs({
  options: { only: { type: 'string' }, trace: { type: 'boolean' }, report: { type: 'string' } },
});
const chosen = SEARCHES.filter(({ file, defines, what }) =>
  `${file} ${defines.join(' ')} ${what}`.includes(values.only ?? ''),
);

function searchAll(): { passed: number; failed: number; skipped: number } {
  const reason = install();
  if (reason !== undefined) {
    console.log(`skipped: ${reason}`);
    return { passed: 0, failed: 0, skipped: chosen.length };
  }
  const rows: string[][] = [['', 'model', 'what', 'violated', 'expected', 'steps', 'states', 'MB', 's']];
  let passed = 0;
  const directory = mkdtempSync(join(tmpdir(), 'singleton-model-'));
  try {
    for (const search of chosen) {
      const outcome = perform(search, directory);
      if (outcome.passed) passed += 1;
      const { told, steps, states, memoryMb, seconds } = outcome;
      const name = `${search.file.replace('.pml', '')} ${search.defines.map((define) => `-D${define}`).join(' ')}`;
      const judged = outcome.passed ? 'ok' : 'FAILED';
      const isMutant = search.breaks !== undefined;
      rows.push([judged, name, search.what, told, search.breaks ?? 'none', steps, states, memoryMb, seconds]);
      if (!outcome.passed || (values.trace === true && isMutant)) console.log(`${name}: ${told}\n${outcome.trace}`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(table(rows));
  return { passed, failed: chosen.length - passed, skipped: 0 };
}

const { passed, failed, skipped } = searchAll();
console.log(`\n${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`);
if (values.report !== undefined) {
  const report = { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped };
  writeFileSync(values.report, JSON.stringify(report));
}
process.exitCode = failed === 0 ? 0 : 1;
