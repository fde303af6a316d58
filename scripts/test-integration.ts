/**
 * The integration level: vitest, with its arguments passed on. With `CLUSTER=k3s` on K3s in a container; where that can't
 * be had, the level counts as one skipped test, with the reason, and nothing has failed.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { whyNoK3s } from '../test/control-plane/k3s.ts';

const args = process.argv.slice(2);
const cluster = process.env['CLUSTER'] ?? '';

function skip(reason: string): void {
  console.log(`integration on K3s: skipped: ${reason}\n0 passed, 0 failed, 1 skipped`);
  const file = args.find((arg) => arg.startsWith('--outputFile.json='))?.replace(/^[^=]*=/, '');
  const report = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 1, skippedBecause: reason };
  if (file !== undefined) writeFileSync(file, JSON.stringify(report));
}

const runTests = (): number =>
  spawnSync('vitest', ['run', '--project', 'integration', ...args], { stdio: 'inherit' }).status ?? 1;

if (!['', 'k3s'].includes(cluster)) {
  console.error(`CLUSTER=${cluster} is not known: k3s, or unset for a control plane on this machine`);
  process.exitCode = 2;
} else {
  const reason = cluster === 'k3s' ? await whyNoK3s() : undefined;
  if (reason === undefined) process.exitCode = runTests();
  else skip(reason);
}
