/** All levels one after another, each to its end; then what failed, a line each, and one closing line that adds them up. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failureLines, failuresIn } from './failures.ts';
import type { Report } from './failures.ts';

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why the whole level was. */
  readonly skippedBecause?: string | undefined;
  /** As far as it tells, a line each. */
  readonly failures?: readonly string[];
}

interface Level {
  readonly name: string;
  run(): Counts;
}

const reports = mkdtempSync(join(tmpdir(), 'singleton-test-'));

const npmRun = (script: string, ...args: string[]): number | null =>
  spawnSync('npm', ['run', '--silent', script, '--', ...args], { stdio: 'inherit' }).status;

/** A check is one test: it passes or fails as a whole. */
const check = (script: string): Level => ({
  name: script,
  run: () => (npmRun(script) === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 }),
});

/** @param args tell it to write a report of its counts to `file` */
const counting = (script: string, args: (file: string) => string[]): Level => ({
  name: script,
  run() {
    const file = join(reports, `${script.replace(':', '-')}.json`);
    const status = npmRun(script, ...args(file));
    const counts = countsOf(file);
    // What ends badly without a failed test (a hook, a file that does not load) has failed all the same.
    return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  },
});

const suite = (project: string): Level =>
  counting(`test:${project}`, (file) => ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]);

function countsOf(file: string): Counts {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as Partial<Record<string, number>> &
      Report & { skippedBecause?: string };
    const skipped = (report['numPendingTests'] ?? 0) + (report['numTodoTests'] ?? 0);
    const { skippedBecause } = report;
    const counts = { passed: report['numPassedTests'] ?? 0, failed: report['numFailedTests'] ?? 0, skipped };
    return { ...counts, skippedBecause, failures: failuresIn(report, process.cwd()) };
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const LEVELS: readonly Level[] = [
  check('typecheck'),
  check('lint'),
  check('format:check'),
  suite('unit'),
  suite('stores'),
  counting('model', (file) => [`--report=${file}`]),
  suite('integration'),
];

const total = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
const failedLines: string[] = [];
for (const level of LEVELS) {
  console.log(`\n=== ${level.name}`);
  const startedMs = performance.now();
  const { passed, failed, skipped, skippedBecause, failures = [] } = level.run();
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  failedLines.push(...failureLines(level.name, failed, failures));
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  const why = skippedBecause === undefined ? '' : `: ${skippedBecause}`;
  lines.push(`  ${level.name.padEnd(20)} passed ${passed}, failed ${failed}, skipped ${skipped} (${seconds} s)${why}`);
}
rmSync(reports, { recursive: true, force: true });
const closing = `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`;
console.log(['', ...failedLines, '', ...lines, '', closing].join('\n'));
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
