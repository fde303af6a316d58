/** The bundled operator as a process, as a Deployment would run it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { freePorts } from '../test/control-plane/ports.ts';
import { until } from '../test/control-plane/wait.ts';

export interface OperatorProcess {
  readonly pid: number;
  residentMegabytes(): number;
  stop(): Promise<void>;
}

/** Resolves when the operator is ready. Throws with its own words when it ends before that. */
export async function startOperator(entry: string, kubeconfigPath: string): Promise<OperatorProcess> {
  if (!existsSync(entry)) throw new Error(`${entry} is not built yet; run: npm run build`);
  const [health, metrics] = await freePorts(2);
  const flags = [
    '--kubeconfig',
    kubeconfigPath,
    '--health-address',
    `127.0.0.1:${health}`,
    '--metrics-address',
    `127.0.0.1:${metrics}`,
  ];
  const child = spawn(process.execPath, ['--max-semi-space-size=2', entry, ...flags, '--log-level', 'warn'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  let hasExited = false;
  void exited.then(() => {
    hasExited = true;
  });
  await until('the operator to be ready', async () => {
    if (hasExited) return true;
    return (await fetch(`http://127.0.0.1:${health}/readyz`)).ok;
  });
  if (hasExited) throw new Error(`the operator ended with exit code ${child.exitCode}; its message is above`);
  return {
    pid: child.pid ?? 0,
    residentMegabytes: () =>
      Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024),
    async stop() {
      if (!hasExited) child.kill('SIGTERM');
      await exited;
    },
  };
}
