/** The operator as a process of its own, started as its Deployment would start it. */
import { readFileSync } from 'node:fs';
import { freePorts, LOOPBACK } from '../test/control-plane/ports.ts';
import { logTail, superviseProcesses } from '../test/control-plane/processes.ts';
import { until } from '../test/control-plane/wait.ts';

export interface OperatorProcess {
  readonly pid: number;
  /** What it logged as warning or error since it started. */
  complaints(): string[];
  metrics(): Promise<Sample[]>;
  stop(): Promise<void>;
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A Prometheus text page. */
export function parseMetrics(page: string): Sample[] {
  return page.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']) => [key, text]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

const isComplaint = (line: string): boolean =>
  /"level":"(warn|error)"/.test(line) || (line !== '' && !line.startsWith('{'));

/** As the image sets them. */
export const nodeArgs = (oldSpaceMb: number): string[] => [
  '--max-semi-space-size=2',
  `--max-old-space-size=${oldSpaceMb}`,
];

/**
 * Resolves when its caches are whole and it works.
 *
 * @param bundle one file of JavaScript
 * @throws with the end of its log when it does not get there
 */
export async function startOperator(bundle: string, kubeconfig: string, oldSpaceMb: number): Promise<OperatorProcess> {
  const processes = await superviseProcesses();
  const [metrics, health] = await freePorts(2);
  const args = [...nodeArgs(oldSpaceMb), bundle, '--kubeconfig', kubeconfig];
  const addresses = ['--metrics-address', `${LOOPBACK}:${metrics}`, '--health-address', `${LOOPBACK}:${health}`];
  const handle = processes.define(process.execPath, [...args, ...addresses], 'operator');
  await handle.start();
  try {
    await until('the operator to work', async () => (await fetch(`http://${LOOPBACK}:${health}/readyz`)).ok);
  } catch (error) {
    const tail = logTail(handle.logFile);
    await processes.shutDown();
    throw new Error(`the operator does not start:\n${tail}`, { cause: error });
  }
  const { pid = 0, logFile } = handle;
  return {
    pid,
    complaints: () => readFileSync(logFile, 'utf8').split('\n').filter(isComplaint),
    metrics: async () => parseMetrics(await (await fetch(`http://${LOOPBACK}:${metrics}/metrics`)).text()),
    async stop() {
      await handle.stop('SIGTERM');
      await processes.shutDown();
    },
  };
}
