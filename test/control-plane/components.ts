/** The command lines of a control plane's programs. */
import { join } from 'node:path';
import { LOOPBACK } from './ports.ts';

export interface Ports {
  readonly etcd: number;
  readonly etcdPeer: number;
  readonly apiServer: number;
  readonly controllerManager: number;
  readonly scheduler: number;
}

export interface Layout {
  readonly directory: string;
  readonly ports: Ports;
  readonly minorVersion: number;
}

export const FILE = {
  tokens: 'tokens.csv',
  auditPolicy: 'audit-policy.json',
  auditLog: 'audit.log',
  privateKey: 'service-account.key',
  publicKey: 'service-account.pub',
  certificates: 'certificates',
  controllerManagerKubeconfig: 'kube-controller-manager.kubeconfig',
  schedulerKubeconfig: 'kube-scheduler.kubeconfig',
  adminKubeconfig: 'admin.kubeconfig',
} as const;

/** Every request once, when it has been answered: who, what, when, which answer. The bodies would cost more than they tell. */
export const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata' }],
};

export function etcdArgs({ directory, ports }: Layout): string[] {
  const client = `http://${LOOPBACK}:${ports.etcd}`;
  const peer = `http://${LOOPBACK}:${ports.etcdPeer}`;
  return [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--logger=zap',
    '--log-level=warn',
  ];
}

export function apiServerArgs({ directory, ports }: Layout): string[] {
  const file = (name: string) => join(directory, name);
  return [
    `--etcd-servers=http://${LOOPBACK}:${ports.etcd}`,
    `--bind-address=${LOOPBACK}`,
    `--advertise-address=${LOOPBACK}`,
    `--secure-port=${ports.apiServer}`,
    // Writes its own certificate and the CA of that there.
    `--cert-dir=${file(FILE.certificates)}`,
    // A loopback address is not allowed in the Endpoints of the `kubernetes` Service.
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.0.0.0/16',
    '--authorization-mode=RBAC',
    `--token-auth-file=${file(FILE.tokens)}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${file(FILE.publicKey)}`,
    `--service-account-signing-key-file=${file(FILE.privateKey)}`,
    // ServiceAccount would refuse pods until a controller has made the namespace's default account and its token: a
    // race that a test with a fresh namespace always loses. Nothing here runs containers that could use the token.
    '--disable-admission-plugins=ServiceAccount',
    // Pins the pods of a namespace to the hollow nodes of one test file (see suite.ts), so that files can run at once.
    '--enable-admission-plugins=PodNodeSelector',
    '--allow-privileged=true',
    `--audit-policy-file=${file(FILE.auditPolicy)}`,
    `--audit-log-path=${file(FILE.auditLog)}`,
    // MB. The default of 100 would start a new file in the middle of a benchmark.
    '--audit-log-maxsize=100000',
  ];
}

export interface ClientRate {
  readonly qps: number;
  readonly burst: number;
}

/** Up to 1.23 both programs would also open an unprotected port on all addresses. */
const noInsecurePort = ({ minorVersion }: Pick<Layout, 'minorVersion'>): string[] =>
  minorVersion < 23 ? ['--port=0'] : [];

const servingArgs = (layout: Layout, port: number, kubeconfig: string): string[] => [
  `--kubeconfig=${kubeconfig}`,
  `--authentication-kubeconfig=${kubeconfig}`,
  `--authorization-kubeconfig=${kubeconfig}`,
  `--bind-address=${LOOPBACK}`,
  `--secure-port=${port}`,
  ...noInsecurePort(layout),
  // Alone, it needs no election; and one that loses its election exits, which nobody here would repair.
  '--leader-elect=false',
];

/** Controllers of things that do not exist here: volumes, certificates of kubelets, metrics. */
const UNUSED_CONTROLLERS = [
  'attachdetach',
  'csrapproving',
  'csrcleaner',
  'csrsigning',
  'horizontalpodautoscaling',
  'persistentvolume-binder',
  'persistentvolume-expander',
];

export function controllerManagerArgs(layout: Layout, rate: ClientRate): string[] {
  const file = (name: string) => join(layout.directory, name);
  return [
    ...servingArgs(layout, layout.ports.controllerManager, file(FILE.controllerManagerKubeconfig)),
    // As real clusters do: each controller acts with its own, narrow rights, and the audit log tells them apart.
    '--use-service-account-credentials=true',
    `--service-account-private-key-file=${file(FILE.privateKey)}`,
    `--controllers=*,${UNUSED_CONTROLLERS.map((name) => `-${name}`).join(',')}`,
    `--kube-api-qps=${rate.qps}`,
    `--kube-api-burst=${rate.burst}`,
  ];
}

export const schedulerArgs = (layout: Layout, rate: ClientRate): string[] => [
  ...servingArgs(layout, layout.ports.scheduler, join(layout.directory, FILE.schedulerKubeconfig)),
  `--kube-api-qps=${rate.qps}`,
  `--kube-api-burst=${rate.burst}`,
];

export interface CandidateOptions {
  readonly kubeconfig: string;
  readonly port: number;
  readonly minorVersion: number;
  /** The Lease that it stands for. */
  readonly lease: { readonly namespace: string; readonly name: string };
  readonly leaseSeconds: number;
  readonly renewDeadlineSeconds: number;
  readonly retryMs: number;
}

/**
 * A kube-controller-manager that stands for election as client-go does, and as leader runs one controller that finds
 * nothing to do: for tests of the election itself. When it loses the lead it exits.
 */
export const candidateArgs = (options: CandidateOptions): string[] => [
  `--kubeconfig=${options.kubeconfig}`,
  `--authentication-kubeconfig=${options.kubeconfig}`,
  `--authorization-kubeconfig=${options.kubeconfig}`,
  `--bind-address=${LOOPBACK}`,
  `--secure-port=${options.port}`,
  ...noInsecurePort(options),
  '--controllers=bootstrapsigner',
  '--leader-elect=true',
  '--leader-elect-resource-lock=leases',
  `--leader-elect-resource-namespace=${options.lease.namespace}`,
  `--leader-elect-resource-name=${options.lease.name}`,
  `--leader-elect-lease-duration=${options.leaseSeconds}s`,
  `--leader-elect-renew-deadline=${options.renewDeadlineSeconds}s`,
  `--leader-elect-retry-period=${options.retryMs}ms`,
];
