/** The examples, beside the real agent's process. Those whose interpreter is not here are left out, and that is said. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import { until } from '../control-plane/wait.ts';
import { installClient } from './installed-client.ts';
import { LeaseServer, startAgent } from './lease-server.ts';
import type { RunningAgent } from './lease-server.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/agent/', import.meta.url));

const COMMANDS: readonly (readonly [file: string, command: string, needs: readonly string[]])[] = [
  ['worker.mjs', process.execPath, []],
  ['worker.py', 'python3', ['python3']],
  ['worker.sh', 'sh', ['curl', 'timeout']],
];
const isHere = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;
const here = COMMANDS.filter(([, , needs]) => needs.every(isHere));
const missing = COMMANDS.filter((command) => !here.includes(command)).map(([file]) => file);
if (missing.length > 0) process.stderr.write(`Examples that nothing here can run: ${missing.join(', ')}\n`);

let server: LeaseServer;
let agent: RunningAgent;
let dir: string;

beforeEach(async () => {
  server = await new LeaseServer().start();
  agent = await startAgent(server);
  dir = mkdtempSync(join(tmpdir(), 'example-'));
  installClient(dir);
});

afterEach(async () => {
  await agent.end();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

function run(file: string, command: string) {
  symlinkSync(join(EXAMPLES, file), join(dir, file));
  const preserve = command === process.execPath ? ['--preserve-symlinks', '--preserve-symlinks-main'] : [];
  const child = spawn(command, [...preserve, join(dir, file)], {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', SINGLETON_STATE_URL: agent.stateUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: { readonly text: string; readonly atMs: number }[] = [];
  createInterface({ input: child.stdout }).on('line', (text) => void lines.push({ text, atMs: performance.now() }));
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'close');
  };
  return { lines, end };
}

describe('the example', { timeout: 30_000 }, () => {
  test.each(here)('%s acts under its term, and stops and says so when a move is planned', async (file, command) => {
    const { lines, end } = run(file, command);
    server.grant(agent.holder, 5);
    await until('three steps', () => lines.length > 2 || undefined);
    expect(new Set(lines.map(({ text }) => text))).toEqual(new Set(['acts under term 5']));
    server.annotate({ [ANNOTATION.releaseRequested]: '5' });
    await server.released();
    const releasedAtMs = performance.now();
    server.grant('somebody_else', 6);
    await until('a renewal that does not come', () => performance.now() > releasedAtMs + 500 || undefined);
    expect(lines.filter(({ atMs }) => atMs > releasedAtMs + 50)).toEqual([]);
    await end();
  });

  test.each(here)('%s stops at its deadline although its agent is frozen', async (file, command) => {
    const { lines, end } = run(file, command);
    server.grant(agent.holder, 5);
    await until('three steps', () => lines.length > 2 || undefined);
    agent.process.kill('SIGSTOP');
    const frozenAtMs = performance.now();
    const isQuiet = (): true | undefined => performance.now() - (lines.at(-1)?.atMs ?? 0) > 700 || undefined;
    await until('no more steps', isQuiet);
    // The deadline is half of a lease of 5 s; one step may just have begun.
    expect((lines.at(-1)?.atMs ?? 0) - frozenAtMs).toBeLessThan(2_700);
    await end();
  });
});
