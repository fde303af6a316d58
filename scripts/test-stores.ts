/**
 * The level on real stores: vitest, with its arguments passed on. What this machine has not of PostgreSQL and Redis is unpacked
 * from Debian's packages; the tests of a store that cannot be had are skipped, and the reason is in the report.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { obtainStores } from '../test/stores/programs.ts';

const args = process.argv.slice(2);
const skippedBecause = obtainStores();
const { status } = spawnSync('vitest', ['run', '--project', 'stores', ...args], { stdio: 'inherit' });
process.exitCode = status ?? 1;

if (skippedBecause !== undefined) {
  console.log(`skipped: ${skippedBecause}`);
  const file = args.find((arg) => arg.startsWith('--outputFile.json='))?.replace(/^[^=]*=/, '');
  if (file !== undefined) {
    const report = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...report, skippedBecause }));
  }
}
