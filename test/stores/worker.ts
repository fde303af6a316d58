/** A worker of `examples/token`, beside a real agent, that can be frozen between its look at the state and its write. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installClient } from '../agent/installed-client.ts';
import { LeaseServer, startAgent } from '../agent/lease-server.ts';
import { until } from '../control-plane/wait.ts';

export const EXAMPLES = fileURLToPath(new URL('../../examples/token/', import.meta.url));

/** For node: a process in a group of its own ends with the test that has its standard input, however that ends. */
export const ENDS_WITH_TEST = [
  '--import',
  'data:text/javascript,process.stdin.on("end", () => process.exit(1)).resume().unref()',
];

export interface Worker {
  /** Its process group: it, and what it has started. */
  readonly group: number;
  readonly lines: readonly string[];
  /** Resolves when it has written `count` times. */
  wrote(count: number): Promise<unknown>;
  /** Freezes it and all that it has started, when it next calls the store's client and before that has begun. */
  freezeBeforeWrite(): Promise<void>;
  isFrozen(): boolean;
  /** Another pod is granted the next term. */
  replaced(): void;
  wake(): void;
  /** What it said of errors before it ended. */
  ended(): Promise<{ readonly code: number | null; readonly errors: string }>;
  stop(): Promise<void>;
}

/**
 * @param name the folder of the example
 * @param env where the store is
 * @param client the store's, which the worker calls for each write
 */
export async function startWorker(
  name: string,
  term: number,
  env: Record<string, string>,
  client?: { readonly name: string; readonly file: string },
): Promise<Worker> {
  const lease = await new LeaseServer().start();
  const agent = await startAgent(lease);
  const dir = mkdtempSync(join(tmpdir(), 'worker-'));
  const order = join(dir, 'freeze');
  cpSync(join(EXAMPLES, name), join(dir, name), { recursive: true });
  installClient(dir);
  const bin = clientThatFreezes(dir, order, client);
  const child = spawn(process.execPath, [...ENDS_WITH_TEST, join(dir, name, 'worker.mjs')], {
    env: { PATH: [bin, process.env['PATH']].join(delimiter), SINGLETON_STATE_URL: agent.stateUrl, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const group = child.pid ?? 0;
  const output = { lines: [] as string[], errors: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => output.lines.push(...text.trim().split('\n')));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.errors += text));
  const closed = once(child, 'close');
  lease.grant(agent.holder, term);
  const isFrozen = (): boolean => / \(.*\) T /.test(readFileSync(`/proc/${group}/stat`, 'utf8'));
  const ended = async () => {
    await closed;
    return { code: child.exitCode, errors: output.errors };
  };
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-group, 'SIGKILL');
    await closed;
    await agent.end();
    await lease.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return {
    group,
    lines: output.lines,
    wrote: (count) => until(`${count} writes`, () => output.lines.length >= count),
    freezeBeforeWrite: async () => {
      writeFileSync(order, '');
      await until('the worker to be frozen', isFrozen);
    },
    isFrozen,
    replaced: () => lease.grant('web-1_uid-1', term + 1),
    wake: () => void process.kill(-group, 'SIGCONT'),
    ended,
    stop,
  };
}

/** The store's real client; but when `order` is there, its whole process group is stopped first. */
function clientThatFreezes(dir: string, order: string, client?: { name: string; file: string }): string {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  if (client === undefined) return bin;
  const file = join(bin, client.name);
  writeFileSync(file, `#!/bin/sh\nif rm ${order} 2>/dev/null; then kill -STOP 0; fi\nexec ${client.file} "$@"\n`);
  chmodSync(file, 0o755);
  return bin;
}
