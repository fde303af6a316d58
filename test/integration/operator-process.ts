/** The bundled operator as a process of its own, as users run it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LOOPBACK } from '../control-plane/ports.ts';
import { until } from '../control-plane/wait.ts';
import type { LogLine } from './operator.ts';

export interface OperatorBundle {
  readonly path: string;
  remove(): void;
}

/** Bundles the sources as they are now, apart from `dist`, which others may be using. */
export async function bundleOperator(): Promise<OperatorBundle> {
  const directory = mkdtempSync(join(tmpdir(), 'operator-bundle-'));
  const script = fileURLToPath(new URL('../../scripts/build.ts', import.meta.url));
  await promisify(execFile)(process.execPath, [script, join(directory, 'dist')]);
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return { path: join(directory, 'dist', 'operator-main.js'), remove };
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly afterMs: number;
}

export interface OperatorProcess {
  readonly exited: Promise<Exit>;
  readonly log: readonly LogLine[];
  /** Lines of stderr. */
  readonly errors: readonly string[];
  kill(signal: NodeJS.Signals): void;
  /** Where it listens; resolves when it says so in its log. */
  health(path: string): Promise<Response>;
  metrics(): Promise<string>;
}

export interface OperatorProcessOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Free ports on loopback are chosen by the operator itself, unless `args` name others. */
export function spawnOperator(bundle: OperatorBundle, { args, env = {} }: OperatorProcessOptions): OperatorProcess {
  const startedMs = performance.now();
  const addresses = ['--metrics-address', `${LOOPBACK}:0`, '--health-address', `${LOOPBACK}:0`];
  // Nothing of the tests' own environment: no KUBECONFIG, no HOME with a kubeconfig in it.
  const child = spawn(process.execPath, [bundle.path, ...addresses, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: LogLine[] = [];
  const errors: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void log.push(JSON.parse(line) as LogLine));
  createInterface({ input: child.stderr }).on('line', (line) => void errors.push(line));
  // 'close' comes when the last line has been read, too.
  const exited = once(child, 'close').then(([code, signal]) => ({
    code: code as Exit['code'],
    signal: signal as Exit['signal'],
    afterMs: performance.now() - startedMs,
  }));
  const port = (name: 'health' | 'metrics'): Promise<number> =>
    until(`the operator to say where it serves ${name}`, () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${errors.join('\n')}`);
      return log.find(({ msg }) => msg === 'starting')?.[name] as number | undefined;
    });
  return {
    exited,
    log,
    errors,
    kill: (signal) => void child.kill(signal),
    health: async (path) => fetch(`http://${LOOPBACK}:${await port('health')}${path}`),
    metrics: async () => (await fetch(`http://${LOOPBACK}:${await port('metrics')}/metrics`)).text(),
  };
}

export const isReady = async (process: OperatorProcess): Promise<true> =>
  until('the operator to be ready', async () => (await process.health('/readyz')).ok);
