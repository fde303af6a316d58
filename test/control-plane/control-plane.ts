/**
 * A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, on
 * loopback ports, in a temporary folder, gone when the process that started it is gone. Nodes come from hollow-nodes.ts.
 *
 * What it lacks: kubelets, containers, kube-proxy, DNS, and the addresses that Services have.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get as httpsGet } from 'node:https';
import { join } from 'node:path';
import { findBinaries } from './binaries.ts';
import type { Binaries } from './binaries.ts';
import { AUDIT_POLICY, FILE, apiServerArgs, controllerManagerArgs, etcdArgs, schedulerArgs } from './components.ts';
import type { ClientRate, Layout } from './components.ts';
import { ADMIN, CONTROLLER_MANAGER, SCHEDULER, kubeconfig, serviceAccountKeys, withToken } from './credentials.ts';
import { tokenFile } from './credentials.ts';
import type { Credential, User } from './credentials.ts';
import { LOOPBACK, freePorts } from './ports.ts';
import { logTail, superviseProcesses } from './processes.ts';
import type { ProcessHandle, Processes } from './processes.ts';
import { hasStatus, restClient } from './rest-client.ts';
import type { RestClient } from './rest-client.ts';
import { until } from './wait.ts';

export interface ControlPlaneOptions {
  /** Further users besides admin, for tests of RBAC. (A ServiceAccount's token does as well: `serviceAccountToken`.) */
  readonly users?: readonly User[];
  /** Of kube-controller-manager and kube-scheduler. Default 1000/1000: then it is not they who are slow. */
  readonly clientRate?: ClientRate;
  /** Appended to the programs' own, and so stronger: `{ controllerManager: ['--node-monitor-grace-period=4s'] }`. */
  readonly extraArgs?: {
    readonly etcd?: readonly string[];
    readonly apiServer?: readonly string[];
    readonly controllerManager?: readonly string[];
    readonly scheduler?: readonly string[];
  };
  /** How long each step of the start may take. Default 60 s, for machines that are busy with other things. */
  readonly timeoutMs?: number;
  /** Leaves logs and data in the temporary folder after `stop()`. */
  readonly keepFiles?: boolean;
  /** Default: `findBinaries()`. */
  readonly binaries?: Binaries;
}

export interface ControlPlane {
  /** Of the admin. */
  readonly kubeconfigPath: string;
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  /** `http://127.0.0.1:<port>`: with it the history can be compacted, which a real API server does every 5 minutes. */
  readonly etcdServer: string;
  /** PEM. */
  readonly ca: string;
  /** By user name: `admin`, and those of the options. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly auditLogPath: string;
  readonly binaries: Binaries;
  readonly directory: string;
  readonly startupMs: number;
  /** The admin's. */
  readonly api: RestClient;
  readonly etcd: ProcessHandle;
  readonly apiServer: ProcessHandle;
  readonly controllerManager: ProcessHandle;
  readonly scheduler: ProcessHandle;
  /** Resolves when the API server answers `/readyz`, for instance after `apiServer.start()`. */
  ready(): Promise<void>;
  /**
   * Writes a kubeconfig and returns its path.
   * @param user one of `tokens`
   * @param server another address for the same API server: a `FaultProxy`'s
   */
  kubeconfigFor(user: string, server?: string): string;
  /** The same for any bearer token, such as a ServiceAccount's. */
  kubeconfigWith(token: string, server?: string): string;
  /** Ends everything and removes the folder. Can be called again. */
  stop(): Promise<void>;
}

const DEFAULT_RATE: ClientRate = { qps: 1000, burst: 1000 };
const ATTEMPTS = 3;

/**
 * Starts a control plane, ready to take objects.
 *
 * @throws when it does not become ready, with the last lines of the log of the program that failed; nothing is left
 * running then.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const startedAt = performance.now();
  const binaries = options.binaries ?? (await findBinaries());
  for (let attempt = 1; ; attempt++) {
    const processes = await superviseProcesses();
    try {
      return await startIn(processes, binaries, options, startedAt);
    } catch (error) {
      await processes.shutDown(options.keepFiles);
      // Ports are chosen before they are taken, and somebody may be quicker.
      if (attempt === ATTEMPTS || !String(error).includes('address already in use')) throw error;
    }
  }
}

interface Programs {
  readonly etcd: ProcessHandle;
  readonly apiServer: ProcessHandle;
  readonly controllerManager: ProcessHandle;
  readonly scheduler: ProcessHandle;
}

function definePrograms(
  processes: Processes,
  binaries: Binaries,
  layout: Layout,
  options: ControlPlaneOptions,
): Programs {
  const { path } = binaries;
  const { clientRate = DEFAULT_RATE, extraArgs = {} } = options;
  const define = (command: string, args: string[], extra: readonly string[] = []) =>
    processes.define(command, [...args, ...extra]);
  return {
    etcd: define(path.etcd, etcdArgs(layout), extraArgs.etcd),
    apiServer: define(path['kube-apiserver'], apiServerArgs(layout), extraArgs.apiServer),
    controllerManager: define(
      path['kube-controller-manager'],
      controllerManagerArgs(layout, clientRate),
      extraArgs.controllerManager,
    ),
    scheduler: define(path['kube-scheduler'], schedulerArgs(layout, clientRate), extraArgs.scheduler),
  };
}

interface Accounts {
  readonly credentials: readonly Credential[];
  readonly tokens: Readonly<Record<string, string>>;
  tokenOf(user: string): string;
}

function issueTokens(users: readonly User[]): Accounts {
  const credentials = [ADMIN, CONTROLLER_MANAGER, SCHEDULER, ...users].map(withToken);
  const tokens = Object.fromEntries(credentials.map(({ name, token }) => [name, token]));
  return {
    credentials,
    tokens,
    tokenOf(user) {
      const token = tokens[user];
      if (token === undefined) throw new Error(`no user ${user}: name it in the options of startControlPlane`);
      return token;
    },
  };
}

interface Boot {
  readonly directory: string;
  readonly layout: Layout;
  readonly programs: Programs;
  readonly accounts: Accounts;
}

interface RunningPlane {
  readonly server: string;
  readonly ca: string;
  readonly api: RestClient;
  readonly writeKubeconfig: (name: string, token: string, address?: string) => string;
  ready(): Promise<unknown>;
}

async function chooseLayout(directory: string, { minorVersion }: Binaries): Promise<Layout> {
  const [etcd = 0, etcdPeer = 0, apiServer = 0, controllerManager = 0, scheduler = 0] = await freePorts(5);
  return { directory, minorVersion, ports: { etcd, etcdPeer, apiServer, controllerManager, scheduler } };
}

function writeInputs(directory: string, credentials: readonly Credential[]): void {
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text, { mode: 0o600 });
  const keys = serviceAccountKeys();
  write(FILE.tokens, tokenFile(credentials));
  write(FILE.auditPolicy, JSON.stringify(AUDIT_POLICY));
  write(FILE.privateKey, keys.privateKey);
  write(FILE.publicKey, keys.publicKey);
  mkdirSync(join(directory, FILE.certificates));
}

/** Starts the programs in the order in which they need each other. Resolves when all of them work. */
async function boot({ directory, layout, programs, accounts }: Boot, timeoutMs: number): Promise<RunningPlane> {
  writeInputs(directory, accounts.credentials);
  // Together: the API server waits for etcd better than anybody could from outside.
  await Promise.all([programs.etcd.start(), programs.apiServer.start()]);
  const ca = await certificateOf(directory, programs, timeoutMs);
  const server = `https://${LOOPBACK}:${layout.ports.apiServer}`;
  const writeKubeconfig = (name: string, token: string, address = server): string => {
    const path = join(directory, name);
    writeFileSync(path, kubeconfig({ server: address, ca, token }), { mode: 0o600 });
    return path;
  };
  writeKubeconfig(FILE.controllerManagerKubeconfig, accounts.tokenOf(CONTROLLER_MANAGER.name));
  writeKubeconfig(FILE.schedulerKubeconfig, accounts.tokenOf(SCHEDULER.name));
  const api = restClient({ server, ca, token: accounts.tokenOf(ADMIN.name) });
  const ready = () => whileRunning('the API server to be ready', programs, () => isReady(api), timeoutMs);
  await ready();
  await Promise.all([programs.controllerManager.start(), programs.scheduler.start()]);
  await whileRunning('the controllers to run', programs, () => controllersRun(api, layout), timeoutMs);
  return { server, ca, api, writeKubeconfig, ready };
}

async function startIn(
  processes: Processes,
  binaries: Binaries,
  options: ControlPlaneOptions,
  startedAt: number,
): Promise<ControlPlane> {
  const { directory } = processes;
  const layout = await chooseLayout(directory, binaries);
  const accounts = issueTokens(options.users ?? []);
  const programs = definePrograms(processes, binaries, layout, options);
  const plane = await boot({ directory, layout, programs, accounts }, options.timeoutMs ?? 60_000);
  const { server, ca, api, writeKubeconfig } = plane;
  let kubeconfigs = 0;
  const nextName = () => `user-${++kubeconfigs}.kubeconfig`;
  return {
    ...programs,
    kubeconfigPath: writeKubeconfig(FILE.adminKubeconfig, accounts.tokenOf(ADMIN.name)),
    server,
    etcdServer: `http://${LOOPBACK}:${layout.ports.etcd}`,
    ca,
    tokens: accounts.tokens,
    auditLogPath: join(directory, FILE.auditLog),
    binaries,
    directory,
    startupMs: performance.now() - startedAt,
    api,
    async ready() {
      await plane.ready();
    },
    kubeconfigFor: (user, address) => writeKubeconfig(nextName(), accounts.tokenOf(user), address),
    kubeconfigWith: (token, address) => writeKubeconfig(nextName(), token, address),
    async stop() {
      api.close();
      await processes.shutDown(options.keepFiles);
    },
  };
}

/** The chain that the API server made for itself: its certificate, then the CA that signed it. */
async function certificateOf(directory: string, programs: Programs, timeoutMs: number): Promise<string> {
  const file = join(directory, FILE.certificates, 'apiserver.crt');
  const read = () => {
    const chain = readFileSync(file, 'utf8');
    // The file may be half written.
    return (chain.match(/-----END CERTIFICATE-----/g) ?? []).length >= 2 && chain;
  };
  return whileRunning('the API server to write its certificate', programs, read, timeoutMs);
}

async function isReady(api: RestClient): Promise<boolean> {
  await api.get('/readyz');
  return true;
}

/** Both healthy, and their work to be seen: the namespace `default` has got its ServiceAccount. */
async function controllersRun(api: RestClient, { ports }: Layout): Promise<boolean> {
  const healthy = await Promise.all([ports.controllerManager, ports.scheduler].map(isHealthy));
  if (!healthy.every(Boolean)) return false;
  await api.get('/api/v1/namespaces/default/serviceaccounts/default');
  return true;
}

/** Their certificates are made up in memory and known to nobody; on loopback it is enough that they answer. */
const isHealthy = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const url = `https://${LOOPBACK}:${port}/healthz`;
    const outgoing = httpsGet(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    outgoing.once('error', () => resolve(false));
    outgoing.setTimeout(2_000, () => outgoing.destroy());
  });

/** Like `until`, but a program that has ended ends the wait as well, with the last lines of its log. */
async function whileRunning<T>(
  what: string,
  programs: Programs,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs: number,
): Promise<T> {
  const started = Object.values(programs as unknown as Record<string, ProcessHandle>).filter(
    ({ pid }) => pid !== undefined,
  );
  const ended = () => started.find(({ pid }) => pid === undefined);
  const seen = await until<{ value: T } | { ended: ProcessHandle }>(
    what,
    async () => {
      const dead = ended();
      if (dead !== undefined) return { ended: dead };
      const value = await look();
      return value !== undefined && value !== false && { value };
    },
    { timeoutMs },
  );
  if ('value' in seen) return seen.value;
  throw new Error(`${seen.ended.name} ended while waiting for ${what}:\n${logTail(seen.ended.logFile)}`);
}

/** A token of a ServiceAccount, valid for an hour. The account is made if it is not there. */
export async function serviceAccountToken(api: RestClient, namespace: string, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await api.create(path, { metadata: { name } }).catch((error: unknown) => {
    if (!hasStatus(error, 409)) throw error;
  });
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const answer = await api.create<{ status: { token: string } }>(`${path}/${name}/token`, request);
  return answer.status.token;
}
