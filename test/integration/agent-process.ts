/** The bundled agent as a process of its own, as it runs beside a workload. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { StateText } from '../../src/agent/state.ts';
import type { TimingInput } from '../../src/api/timing.ts';
import { serviceAccountToken } from '../control-plane/control-plane.ts';
import { LOOPBACK } from '../control-plane/ports.ts';
import type { RestClient } from '../control-plane/rest-client.ts';
import { until } from '../control-plane/wait.ts';
import type { LogLine } from './operator.ts';
import type { OperatorBundle } from './operator-process.ts';

export interface AgentProcessOptions {
  readonly bundle: OperatorBundle;
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  readonly ca: string;
  readonly token: string;
  readonly namespace: string;
  readonly singleton: string;
  readonly pod: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: AGENT_TIMES. */
  readonly times?: TimingInput;
  /** Default: one of its own. Another process may go on with it. */
  readonly dir?: string;
}

export interface AgentProcess {
  readonly holder: string;
  readonly pid: number;
  /** Of its state file and its account. */
  readonly dir: string;
  readonly log: readonly LogLine[];
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
  url(path: string): Promise<string>;
  state(): Promise<StateText>;
  untilActive(active: boolean): Promise<StateText>;
}

export const AGENT_TIMES = {
  leaseDurationMs: 5_000,
  renewIntervalMs: 1_000,
  stopGraceMs: 1_000,
  enforcement: 'Cooperative',
} as const satisfies TimingInput;

const timesEnv = ({ leaseDurationMs, renewIntervalMs, stopGraceMs, enforcement }: TimingInput) => ({
  SINGLETON_LEASE_DURATION_MS: String(leaseDurationMs),
  SINGLETON_RENEW_INTERVAL_MS: String(renewIntervalMs),
  SINGLETON_STOP_GRACE_MS: String(stopGraceMs),
  SINGLETON_ENFORCEMENT: enforcement,
});

export function spawnAgent(options: AgentProcessOptions): AgentProcess {
  const { bundle, server, namespace, singleton, pod, env = {}, times = AGENT_TIMES } = options;
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'agent-'));
  writeFileSync(join(dir, 'ca.crt'), options.ca);
  writeFileSync(join(dir, 'token'), options.token);
  const { hostname, port } = new URL(server);
  const child = spawn(process.execPath, [join(dirname(bundle.path), 'agent-main.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...timesEnv(times),
      SINGLETON_NAME: singleton,
      SINGLETON_NAMESPACE: namespace,
      SINGLETON_LEASE: `${singleton}-active`,
      SINGLETON_POD_NAME: pod,
      SINGLETON_POD_UID: `uid-of-${pod}`,
      SINGLETON_AGENT_PORT: '0',
      SINGLETON_AGENT_STATE_FILE: join(dir, 'state.json'),
      SINGLETON_SERVICE_ACCOUNT_DIR: dir,
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      ...env,
    },
  });
  const log: LogLine[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void log.push(JSON.parse(line) as LogLine));
  const exited = once(child, 'close').then(([code]) => code as number | null);
  const url = async (path: string): Promise<string> => {
    const port = await until('the agent to say where it listens', () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
      return log.find(({ msg }) => msg === 'watching')?.['port'] as number | undefined;
    });
    return `http://${LOOPBACK}:${port}${path}`;
  };
  const state = async (): Promise<StateText> => (await (await fetch(await url('/v1/state'))).json()) as StateText;
  return {
    holder: `${pod}_uid-of-${pod}`,
    pid: child.pid ?? 0,
    dir,
    log,
    exited,
    kill: (signal) => void child.kill(signal),
    url,
    state,
    untilActive: (active) =>
      until(`${pod} to be active: ${active}`, async () => {
        const now = await state();
        return now.active === active ? now : undefined;
      }),
  };
}

export async function endAgent(agent: AgentProcess | undefined): Promise<void> {
  agent?.kill('SIGKILL');
  await agent?.exited;
  if (agent !== undefined) rmSync(agent.dir, { recursive: true, force: true });
}

/** For an agent that is no pod, all Leases of the namespace: each test has its own. Returns the token that it reads. */
export async function admitAgents(api: RestClient, namespace: string): Promise<string> {
  const token = await serviceAccountToken(api, namespace, 'agent');
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const metadata = { name: 'agent' };
  // As in a cluster, but for the name of the one Lease.
  const rules = [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'watch', 'update'] }];
  await api.create(`${rbac}/roles`, { metadata, rules });
  await api.create(`${rbac}/rolebindings`, {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'agent' },
    subjects: [{ kind: 'ServiceAccount', name: 'agent', namespace }],
  });
  return token;
}
