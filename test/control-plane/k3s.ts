/**
 * A control plane in a container: K3s through Testcontainers, for a current Kubernetes where Docker can pull images. Its
 * users, admission plugins and audit log are those of control-plane.ts, so that suites find what they are used to; hollow
 * nodes register on it beside K3s's own node, which gets none of the suites' pods.
 *
 * What it lacks is named in `lacks`, for needs.ts.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StartedK3sContainer } from '@testcontainers/k3s';
import type { ContainerRuntimeClient } from 'testcontainers';
import { parse } from 'yaml';
import { findKubectl } from './binaries.ts';
import { AUDIT_POLICY, FILE } from './components.ts';
import { ADMIN, kubeconfig, tokenFile, withToken } from './credentials.ts';
import type { Connection } from './credentials.ts';
import type { Lacks } from './needs.ts';
import { restClient } from './rest-client.ts';
import type { RestClient } from './rest-client.ts';
import type { SharedControlPlane } from './suite.ts';
import { until } from './wait.ts';

/** Another one: `K3S_IMAGE`. */
export const DEFAULT_IMAGE = 'rancher/k3s:v1.35.5-k3s1';
export const imageOf = ({ K3S_IMAGE }: { readonly K3S_IMAGE?: string | undefined }): string =>
  K3S_IMAGE || DEFAULT_IMAGE;

/** In the container. */
const INPUTS = '/etc/control-plane-test';
const AUDIT_LOGS = '/var/log/control-plane-test';

const UNUSED = ['coredns', 'local-storage', 'metrics-server', 'servicelb', 'traefik'];

const API_SERVER_ARGS = [
  `token-auth-file=${INPUTS}/${FILE.tokens}`,
  `audit-policy-file=${INPUTS}/${FILE.auditPolicy}`,
  `audit-log-path=${AUDIT_LOGS}/${FILE.auditLog}`,
  // These three for the reasons that components.ts gives. NodeRestriction is K3s's own, which this replaces.
  'audit-log-maxsize=100000',
  'disable-admission-plugins=ServiceAccount',
  'enable-admission-plugins=NodeRestriction,PodNodeSelector',
];

/** Then it is not they who are slow. */
const CLIENT_RATE = ['kube-api-qps=1000', 'kube-api-burst=1000'];

/** @param host by which the container's ports are reached: of another machine, when Docker runs there */
export const k3sCommand = (host: string): string[] => [
  'server',
  // The API server's certificate is good for localhost and 127.0.0.1 anyway.
  `--tls-san=${host}`,
  // etcd instead of SQLite: only then do versions and histories behave as on other clusters.
  '--cluster-init',
  ...UNUSED.map((name) => `--disable=${name}`),
  ...API_SERVER_ARGS.map((arg) => `--kube-apiserver-arg=${arg}`),
  ...CLIENT_RATE.map((arg) => `--kube-controller-manager-arg=${arg}`),
  ...CLIENT_RATE.map((arg) => `--kube-scheduler-arg=${arg}`),
];

/** Of the kubeconfig that K3s wrote, whose user is left out: its certificate is not what suites know how to use. */
export function clusterOf(text: string): Omit<Connection, 'token'> {
  const { clusters } = parse(text) as {
    clusters?: { cluster?: { server?: string; 'certificate-authority-data'?: string } }[];
  };
  const { server, 'certificate-authority-data': ca } = clusters?.[0]?.cluster ?? {};
  if (server === undefined || ca === undefined) throw new Error('the kubeconfig of K3s names no server or no CA');
  return { server, ca: Buffer.from(ca, 'base64').toString() };
}

/** @param auditLogPath where it should be readable here */
export const lacksOf = (auditLogPath: string): Lacks => ({
  'own processes': 'those of K3s are one process in a container, with flags that are the same for all tests',
  etcd: 'that of K3s is reached from within its container alone',
  ...(existsSync(auditLogPath) ? {} : { 'audit log': 'Docker runs elsewhere and shares no folder with this machine' }),
});

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Why there can be no K3s here; undefined: there can. Pulls the image, which may take a minute. */
export async function whyNoK3s(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  // Loaded here, as everybody else can do without.
  const { ImageName, getContainerRuntimeClient } = await import('testcontainers');
  let docker: ContainerRuntimeClient;
  try {
    docker = await getContainerRuntimeClient();
  } catch (error) {
    return `Docker can't be used: ${messageOf(error)}`;
  }
  if ((await findKubectl(env)) === undefined) return 'there is no kubectl on PATH';
  const image = imageOf(env);
  try {
    const name = ImageName.fromString(image);
    await docker.image.pull(name);
    // A pull that fails halfway says so in its progress only, and does not reject.
    return (await docker.image.exists(name)) ? undefined : `the image ${image} can't be pulled`;
  } catch (error) {
    return `the image ${image} can't be pulled: ${messageOf(error)}`;
  }
}

export interface K3s {
  readonly shared: SharedControlPlane;
  /** One line for people. */
  readonly source: string;
  readonly startupMs: number;
  stop(): Promise<void>;
}

/** @throws when it does not become ready; call `whyNoK3s` first. */
export async function startK3s(env: NodeJS.ProcessEnv = process.env): Promise<K3s> {
  const startedAt = performance.now();
  const directory = mkdtempSync(join(tmpdir(), 'singleton-k3s-'));
  const image = imageOf(env);
  const admin = withToken(ADMIN);
  let container: StartedK3sContainer | undefined;
  const stop = async (): Promise<void> => {
    await container?.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    container = await startContainer(image, directory, tokenFile([admin]));
    const connection = { ...clusterOf(container.getKubeConfig()), token: admin.token };
    const minorVersion = await whenReady(connection);
    const kubeconfigPath = join(directory, FILE.adminKubeconfig);
    writeFileSync(kubeconfigPath, kubeconfig(connection), { mode: 0o600 });
    const auditLogPath = join(directory, FILE.auditLog);
    // The API server keeps it for root; this test run need not be.
    await container.exec(['chmod', 'a+r', `${AUDIT_LOGS}/${FILE.auditLog}`]);
    const { server, ca } = connection;
    const shared: SharedControlPlane = {
      kubeconfigPath,
      server,
      etcdServer: undefined,
      ca,
      tokens: { [admin.name]: admin.token },
      auditLogPath,
      kubectlPath: (await findKubectl(env)) ?? 'kubectl',
      minorVersion,
      lacks: lacksOf(auditLogPath),
    };
    return { shared, source: `K3s (${image})`, startupMs: performance.now() - startedAt, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startContainer(image: string, directory: string, tokens: string): Promise<StartedK3sContainer> {
  const [{ K3sContainer }, { getContainerRuntimeClient }] = await Promise.all([
    import('@testcontainers/k3s'),
    import('testcontainers'),
  ]);
  const { host } = (await getContainerRuntimeClient()).info.containerRuntime;
  return new K3sContainer(image)
    .withCommand(k3sCommand(host))
    .withCopyContentToContainer([
      { content: tokens, target: `${INPUTS}/${FILE.tokens}`, mode: 0o600 },
      { content: JSON.stringify(AUDIT_POLICY), target: `${INPUTS}/${FILE.auditPolicy}` },
    ])
    .withBindMounts([
      // The module's own, which this call replaces.
      { source: '/sys/fs/cgroup', target: '/sys/fs/cgroup' },
      { source: directory, target: AUDIT_LOGS },
    ])
    .start();
}

/** The API server answers and the controllers work, as control-plane.ts waits for. @returns the minor version */
async function whenReady(connection: Connection): Promise<number> {
  const api = restClient(connection);
  try {
    await until('the API server of K3s to be ready', () => isReady(api), { timeoutMs: 60_000 });
    const { minor } = await api.get<{ minor: string }>('/version');
    return Number.parseInt(minor, 10);
  } finally {
    api.close();
  }
}

async function isReady(api: RestClient): Promise<boolean> {
  await api.get('/readyz');
  await api.get('/api/v1/namespaces/default/serviceaccounts/default');
  return true;
}
