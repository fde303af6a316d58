import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { needing } from './needs.ts';
import { superviseProcesses } from './processes.ts';
import { until } from './wait.ts';

interface Started {
  readonly directory: string;
  readonly pids: number[];
}

async function startFixture(name: string, ...args: string[]): Promise<{ child: ChildProcess; started: Started }> {
  const script = fileURLToPath(new URL(`fixtures/${name}.ts`, import.meta.url));
  // Its complaint about the exception is wanted; the log of a test run is no place for it.
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, started: JSON.parse(line) as Started };
}

/** A zombie is gone for this purpose: whether somebody reaps it is the affair of the machine's first process. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}

const isAllGone = ({ pids, directory }: Started) => !pids.some(isAlive) && !existsSync(directory);

test.for(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)('nothing is left of a process that gets %s', async (signal) => {
  const { child, started } = await startFixture('supervised');
  expect(started.pids.filter(isAlive)).toEqual(started.pids);
  expect(started.pids).toHaveLength(3);
  child.kill(signal);
  await until('all to be gone', () => isAllGone(started));
});

test.for(['throws', 'exits'])('nothing is left of a process that %s', async (how) => {
  const { started } = await startFixture('supervised', how);
  await until('all to be gone', () => isAllGone(started));
});

needing('own processes').test(
  'nothing is left of a control plane whose process gets SIGKILL, though its API server is frozen',
  async () => {
    const { child, started } = await startFixture('control-plane');
    expect(started.pids.filter(isAlive)).toHaveLength(4);
    child.kill('SIGKILL');
    await until('all to be gone', () => isAllGone(started));
  },
);

test('programs end with their supervisor when that is killed', async () => {
  const processes = await superviseProcesses();
  const sleep = processes.define('sleep', ['3600']);
  await sleep.start();
  const pid = sleep.pid ?? 0;
  expect(isAlive(pid)).toBe(true);
  process.kill(processes.supervisorPid, 'SIGKILL');
  await until('the program to be gone', () => !isAlive(pid));
  await until('the folder to be gone', () => !existsSync(processes.directory));
  await processes.shutDown();
});

test('a program can be ended and started again, and its end is known', async () => {
  const processes = await superviseProcesses();
  const sleep = processes.define('sleep', ['3600']);
  await sleep.start();
  const first = sleep.pid ?? 0;
  await sleep.stop();
  expect(sleep.pid).toBeUndefined();
  expect(isAlive(first)).toBe(false);
  await sleep.start();
  expect(sleep.pid).not.toBe(first);
  await processes.shutDown();
  expect(isAllGone({ directory: processes.directory, pids: [first] })).toBe(true);
  await expect(sleep.start()).rejects.toThrow('shut down');
});

test('a program that is not there is an error', async () => {
  const processes = await superviseProcesses();
  await expect(processes.define('/nowhere/at-all', []).start()).rejects.toThrow('ENOENT');
  await processes.shutDown();
});
