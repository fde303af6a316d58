/**
 * `npm run bench:agents`: what agents need, several on one node: each bundled as it ships, holding a Lease of its own on an
 * API server that costs them nothing, renewed every 2 s. PSS counts what processes share only once, divided among them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LeaseServer, startAgent } from '../test/agent/lease-server.ts';
import type { RunningAgent } from '../test/agent/lease-server.ts';
import { until } from '../test/control-plane/wait.ts';
import { cpuSeconds, memoryMb } from './resources.ts';

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '60' },
    /** For node, before the program. */
    flags: { type: 'string', default: '--max-semi-space-size=1 --v8-pool-size=0 --lite-mode' },
  },
});
const count = Number(values.agents);
const seconds = Number(values.seconds);
/** Starting up takes memory and time that are given back. */
const WARM_UP_MS = 20_000;
const TIMES = {
  SINGLETON_LEASE_DURATION_MS: '10000',
  SINGLETON_RENEW_INTERVAL_MS: '2000',
  SINGLETON_STOP_GRACE_MS: '2000',
  SINGLETON_ENFORCEMENT: 'Probe',
  SINGLETON_LIVENESS_app: '{}',
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** Proportional and private memory, of smaps_rollup. */
function shares(pid: number): { readonly pss: number; readonly own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
  return { pss: field('Pss'), own: field('Private_Clean') + field('Private_Dirty') };
}

const range = (all: readonly number[]): string =>
  `${Math.min(...all).toFixed(1)} to ${Math.max(...all).toFixed(1)}`.padStart(14);

async function measure(agents: readonly RunningAgent[]): Promise<void> {
  const pids = agents.map(({ process }) => process.pid ?? 0);
  const before = pids.map(cpuSeconds);
  await pause(seconds * 1_000);
  const cpuMs = pids.map((pid, index) => ((cpuSeconds(pid) - (before[index] ?? 0)) * 60_000) / seconds);
  const memory = pids.map((pid) => ({ rss: memoryMb(pid).rss, ...shares(pid) }));
  console.log(`${count} agents, renewing every 2 s, ${seconds} s; node ${process.version} ${values.flags}`);
  console.log(`load ${loadavg()[0]?.toFixed(1)}\n`);
  console.log(`| each | lowest to highest |\n| --- | ---: |`);
  console.log(`| resident (MB) | ${range(memory.map(({ rss }) => rss))} |`);
  console.log(`| proportional: PSS (MB) | ${range(memory.map(({ pss }) => pss))} |`);
  console.log(`| private (MB) | ${range(memory.map(({ own }) => own))} |`);
  console.log(`| processor time a minute (ms) | ${range(cpuMs)} |`);
  console.log(`| share of a core (%) | ${range(cpuMs.map((ms) => ms / 600))} |`);
}

const dir = mkdtempSync(join(tmpdir(), 'agents-'));
const servers = await Promise.all(Array.from({ length: count }, () => new LeaseServer().start()));
let agents: readonly RunningAgent[] = [];
try {
  const build = fileURLToPath(new URL('../scripts/build.ts', import.meta.url));
  execFileSync(process.execPath, [build, dir]);
  const command = [...values.flags.split(' ').filter(Boolean), join(dir, 'agent-main.js')];
  agents = await Promise.all(servers.map((server) => startAgent(server, TIMES, command)));
  agents.forEach(({ holder }, index) => servers[index]?.grant(holder, 1));
  await until('all to renew', () => servers.every(({ renewals }) => renewals > 0) || undefined);
  await pause(WARM_UP_MS);
  await measure(agents);
} finally {
  await Promise.all(agents.map((agent) => agent.end()));
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(dir, { recursive: true, force: true });
}
