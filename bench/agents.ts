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
import { AGENT_NODE_FLAGS } from '../src/core/agent-pod.ts';
import { LeaseServer, startAgent } from '../test/agent/lease-server.ts';
import type { RunningAgent } from '../test/agent/lease-server.ts';
import { until } from '../test/control-plane/wait.ts';
import { cpuSeconds, memoryMb } from './resources.ts';
import { summarize } from './statistics.ts';

const { values } = parseArgs({
  options: {
    agents: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '60' },
    /** For node, before the program. */
    flags: { type: 'string', default: AGENT_NODE_FLAGS.join(' ') },
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

/** Megabytes: what is the program's file and what is not, what is shared with others, and what is not. */
function memoryOf(pid: number): Record<'file' | 'anonymous' | 'pss' | 'own', number> {
  const status = fieldsOf(readFileSync(`/proc/${pid}/status`, 'utf8'));
  const shares = fieldsOf(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
  return {
    file: status('RssFile'),
    anonymous: status('RssAnon'),
    pss: shares('Pss'),
    own: shares('Private_Clean') + shares('Private_Dirty'),
  };
}

const fieldsOf =
  (text: string) =>
  (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;

function row(what: string, values: readonly number[], digits = 1): string {
  const { min, p50, p99, max } = summarize(values);
  return `| ${[what, ...[min, p50, p99, max].map((value) => value.toFixed(digits))].join(' | ')} |`;
}

async function measure(agents: readonly RunningAgent[]): Promise<void> {
  const pids = agents.map(({ process }) => process.pid ?? 0);
  const before = pids.map(cpuSeconds);
  await pause(seconds * 1_000);
  const cpuMs = pids.map((pid, index) => ((cpuSeconds(pid) - (before[index] ?? 0)) * 60_000) / seconds);
  const memory = pids.map((pid) => ({ ...memoryMb(pid), ...memoryOf(pid) }));
  const each = (what: keyof (typeof memory)[number]): number[] => memory.map((one) => one[what]);
  console.log(`${count} agents, renewing every 2 s, ${seconds} s; node ${process.version} ${values.flags}`);
  console.log(`load ${loadavg()[0]?.toFixed(1)}\n`);
  console.log(`| of ${count} | min | p50 | p99 | max |\n| --- | ---: | ---: | ---: | ---: |`);
  console.log(row('resident (MB)', each('rss')));
  console.log(row('resident, at its highest (MB)', each('peak')));
  console.log(row('of it files: node itself, shared (MB)', each('file')));
  console.log(row('of it not: heaps, stacks (MB)', each('anonymous')));
  console.log(row('proportional: PSS (MB)', each('pss')));
  console.log(row('private (MB)', each('own')));
  console.log(row('processor time a minute (ms)', cpuMs, 0));
  const perCent = cpuMs.map((ms) => ms / 600);
  console.log(row('share of a core (%)', perCent, 2));
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
