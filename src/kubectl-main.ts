#!/usr/bin/env node
/** `kubectl singleton`: kubectl runs any `kubectl-singleton` that it finds on PATH. */
import { createSystemClock } from './adapters/clock.ts';
import { runCli } from './cli/run.ts';

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
// Whoever reads has seen enough, as `head` has: nothing is wrong.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli({
  args: process.argv.slice(2),
  env: process.env,
  isTerminal: process.stdout.isTTY,
  clock: createSystemClock({ keepAlive: true }),
  signal: interrupted.signal,
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
});
