/**
 * The process that owns every program a control plane is made of, forked by processes.ts.
 *
 * It ends the programs and removes their folder when its parent goes away. The sign of that is the IPC channel, which
 * the kernel closes however the parent ends: SIGKILL, a crash and Ctrl-C need no handler of their own. For the same
 * reason it is in a session of its own: Ctrl-C in a terminal must reach the parent, not the one who cleans up after it.
 *
 * Not guaranteed: nobody cleans up when this process and its parent are both killed in the same instant.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type SupervisorRequest =
  | { id: number; kind: 'start'; name: string; command: string; args: string[]; logFile: string }
  | { id: number; kind: 'signal'; name: string; signal: NodeJS.Signals; awaitExit: boolean }
  | { id: number; kind: 'shutdown'; keepFiles: boolean };

export type SupervisorMessage =
  | { kind: 'ready'; directory: string }
  | { kind: 'reply'; id: number; pid?: number; error?: string }
  | { kind: 'exited'; name: string; pid: number; code: number | null; signal: string | null };

const children = new Map<string, ChildProcess>();
let ending: Promise<void> | undefined;
const directory = mkdtempSync(join(tmpdir(), 'singleton-control-plane-'));

const send = (message: SupervisorMessage): void => {
  // The channel may close between the check and the write; the 'disconnect' handler does what is left to do.
  if (process.connected) process.send?.(message, undefined, {}, () => {});
};

async function start(request: SupervisorRequest & { kind: 'start' }): Promise<number> {
  const { name, command, args, logFile } = request;
  // Whoever is started now would be missed by the shutdown that is under way.
  if (ending !== undefined) throw new Error('the control plane is being shut down');
  if (children.has(name)) throw new Error(`${name} is running already`);
  const log = openSync(logFile, 'a');
  // A process group of its own (detached), so that whatever it forks ends with it.
  const child = spawn(command, args, { cwd: directory, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  // Registered before anything is awaited: a parent that dies now must not leave the child behind.
  children.set(name, child);
  child.once('exit', (code, signal) => {
    children.delete(name);
    send({ kind: 'exited', name, pid: child.pid ?? 0, code, signal });
  });
  try {
    await once(child, 'spawn');
  } catch (error) {
    children.delete(name);
    throw error;
  }
  return child.pid ?? 0;
}

async function signal(request: SupervisorRequest & { kind: 'signal' }): Promise<number | undefined> {
  const child = children.get(request.name);
  if (child?.pid === undefined) return undefined;
  const exited = request.awaitExit ? once(child, 'exit') : undefined;
  process.kill(-child.pid, request.signal);
  await exited;
  return child.pid;
}

async function endAll(keepFiles: boolean): Promise<void> {
  await Promise.all(
    [...children.values()].map(async (child) => {
      if (child.pid === undefined) return;
      const exited = once(child, 'exit');
      // SIGKILL also ends processes that a test has frozen, and nothing here is worth a graceful end.
      process.kill(-child.pid, 'SIGKILL');
      await exited;
    }),
  );
  if (!keepFiles) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}

const shutDown = (keepFiles: boolean): Promise<void> => (ending ??= endAll(keepFiles));
const leave = (): void => void shutDown(false).then(() => process.exit(0));

async function handle(request: SupervisorRequest): Promise<number | undefined> {
  switch (request.kind) {
    case 'start':
      return start(request);
    case 'signal':
      return signal(request);
    case 'shutdown':
      await shutDown(request.keepFiles);
      return undefined;
    default:
      throw new Error(`unknown request ${JSON.stringify(request satisfies never)}`);
  }
}

process.on('message', (request: SupervisorRequest) => {
  handle(request).then(
    (pid) => send({ kind: 'reply', id: request.id, ...(pid === undefined ? {} : { pid }) }),
    (error: unknown) => send({ kind: 'reply', id: request.id, error: String(error) }),
  );
});
process.on('disconnect', leave);
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, leave);
send({ kind: 'ready', directory });
