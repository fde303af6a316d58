/**
 * What mode `Agent` adds to a member's pod: the agent beside the workload, the volume through which they speak, and the
 * liveness probes by which the kubelet stops a workload that does not stop. Nothing of it in mode `Routing`.
 */
import {
  AGENT_CONTAINER,
  AGENT_ENV,
  KEY_ENTRY,
  KEY_VOLUME,
  STATE_VOLUME,
  agentAccessName,
  agentKeyName,
  leaseName,
} from '../api/names.ts';
import type { PodTemplate, Spec } from '../api/spec.ts';
import type { AgentPlatform, SingletonView } from './snapshot.ts';

export const AGENT_PORT = 8700;
/** Where the agents ask each other, `onApiLoss: Hold`. */
export const PEER_PORT = 8701;
const KEY_DIR = '/run/singleton-key';
const STATE_DIR = '/run/singleton';
const STATE_FILE = `${STATE_DIR}/state.json`;
const TOKEN_VOLUME = 'singleton-agent-token';
/** Where clients of the API server look for it in a pod. */
const TOKEN_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A kubelet renews it when four fifths of it are over. */
const TOKEN_SECONDS = 3_607;
/** As the image has it: a number, so that the kubelet can see that it is not root. */
const AGENT_UID = 65_532;

/**
 * For memory, since there is one in every pod: half a megabyte by a young generation that is collected early and threads that do
 * not compile, 2.3 by an interpreter alone, which hardly has anything to do and reads no pages of the compilers.
 */
export const AGENT_NODE_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=0', '--lite-mode'] as const;

type PodSpec = PodTemplate['spec'];
type Container = PodSpec['containers'][number];
type Env = { readonly name: string; readonly value?: string; readonly valueFrom?: unknown };

/** @param minorVersion of the API server: 1.29 has init containers that go on running */
export const agentPlatform = (image: string, minorVersion: number): AgentPlatform => ({
  image,
  hasSidecars: minorVersion >= 29,
});

interface AgentQuestion {
  readonly singleton: SingletonView;
  readonly spec: Spec;
  readonly platform: AgentPlatform;
}

/** The template's pod spec with the agent. */
export function withAgent(template: PodSpec, question: AgentQuestion): object {
  const { spec, platform } = question;
  const agent = agentContainer(template, question);
  const inits = listOf(template['initContainers']);
  const workload = template.containers.map((container) => besideAgent(container, spec));
  return {
    ...template,
    serviceAccountName: ownAccount(spec) ?? agentAccessName(question.singleton.name),
    // The token is the agent's; a template that names an account wants it in its containers, too.
    ...(ownAccount(spec) === undefined && { automountServiceAccountToken: false }),
    ...(spec.fencing.enforcement === 'Signal' && { shareProcessNamespace: true }),
    ...podGrace(template, spec),
    volumes: [...listOf(template['volumes']), stateVolume, tokenVolume, ...keyVolume(question)],
    // First, so that it runs before what it is to stop, and ends after it.
    ...(platform.hasSidecars
      ? { initContainers: [{ ...agent, restartPolicy: 'Always' }, ...inits], containers: workload }
      : { containers: [...workload, agent] }),
  };
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const stateVolume = { name: STATE_VOLUME, emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } };

/** As Kubernetes itself mounts it, but into one container only. */
const tokenVolume = {
  name: TOKEN_VOLUME,
  projected: {
    defaultMode: 0o444,
    sources: [
      { serviceAccountToken: { path: 'token', expirationSeconds: TOKEN_SECONDS } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
};

export const isHolding = ({ fencing }: Spec): boolean => fencing.mode === 'Agent' && fencing.onApiLoss === 'Hold';

/** The agent reads it when it asks, and is asked: a Secret that was made anew gets there in a minute or so. */
const keyVolume = ({ singleton, spec }: AgentQuestion): object[] =>
  isHolding(spec)
    ? [
        {
          name: KEY_VOLUME,
          secret: {
            secretName: agentKeyName(singleton.name),
            defaultMode: 0o444,
            items: [{ key: KEY_ENTRY, path: KEY_ENTRY }],
          },
        },
      ]
    : [];

/** Of the ServiceAccount that the template names. */
export function ownAccount({ template }: Spec): string | undefined {
  const name = template?.spec['serviceAccountName'] ?? template?.spec['serviceAccount'];
  return typeof name === 'string' && name !== '' ? name : undefined;
}

// --- the agent ------------------------------------------------------------------------------------------------------------

function agentContainer(template: PodSpec, { singleton, spec, platform }: AgentQuestion): object {
  return {
    name: AGENT_CONTAINER,
    image: platform.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', ...AGENT_NODE_FLAGS, '/app/agent-main.js'],
    env: [...agentEnv(singleton, spec), ...livenessEnv(template, spec)],
    ports: [
      { name: AGENT_CONTAINER, containerPort: AGENT_PORT, protocol: 'TCP' },
      ...(isHolding(spec) ? [{ name: 'singleton-peer', containerPort: PEER_PORT, protocol: 'TCP' }] : []),
    ],
    // No readiness probe: a standby is Ready when its workload is.
    resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '128Mi' } },
    securityContext: securityContext(template, spec),
    volumeMounts: [
      { name: STATE_VOLUME, mountPath: STATE_DIR },
      { name: TOKEN_VOLUME, mountPath: TOKEN_DIR, readOnly: true },
      ...(isHolding(spec) ? [{ name: KEY_VOLUME, mountPath: KEY_DIR, readOnly: true }] : []),
    ],
  };
}

function agentEnv({ name, namespace }: SingletonView, spec: Spec): Env[] {
  const { election, fencing } = spec;
  const { onActivate, onDeactivate } = fencing.hooks ?? {};
  const hook = (variable: string, to: { path: string; port: number } | undefined): Env[] =>
    to === undefined ? [] : [{ name: variable, value: `http://127.0.0.1:${to.port}${to.path}` }];
  const text = (variable: string, value: string | number): Env => ({ name: variable, value: String(value) });
  return [
    text(AGENT_ENV.name, name),
    text(AGENT_ENV.namespace, namespace),
    text(AGENT_ENV.lease, leaseName(name)),
    { name: AGENT_ENV.podName, valueFrom: ofPod('metadata.name') },
    { name: AGENT_ENV.podUid, valueFrom: ofPod('metadata.uid') },
    text(AGENT_ENV.port, AGENT_PORT),
    text(AGENT_ENV.agentStateFile, STATE_FILE),
    text(AGENT_ENV.leaseDurationMs, election.leaseDurationMs),
    text(AGENT_ENV.renewIntervalMs, election.renewIntervalMs),
    text(AGENT_ENV.stopGraceMs, fencing.stopGraceMs),
    text(AGENT_ENV.enforcement, fencing.enforcement),
    text(AGENT_ENV.onApiLoss, fencing.onApiLoss),
    ...(isHolding(spec)
      ? [
          { name: AGENT_ENV.podIp, valueFrom: ofPod('status.podIP') },
          text(AGENT_ENV.peerPort, PEER_PORT),
          text(AGENT_ENV.keyFile, `${KEY_DIR}/${KEY_ENTRY}`),
        ]
      : []),
    ...hook(AGENT_ENV.onActivateUrl, onActivate),
    ...hook(AGENT_ENV.onDeactivateUrl, onDeactivate),
  ];
}

const ofPod = (fieldPath: string): object => ({ fieldRef: { apiVersion: 'v1', fieldPath } });

/** For each container of the workload the probe that its user gave it, which the agent makes in the kubelet's place. */
const livenessEnv = (template: PodSpec, { fencing }: Spec): Env[] =>
  fencing.enforcement !== 'Probe'
    ? []
    : template.containers.map((container) => ({
        name: livenessVariable(container.name),
        value: JSON.stringify(withPortNumber(container)),
      }));

/** Names of containers and of variables allow the same letters but for the underscore. */
export const livenessVariable = (container: string): string => `SINGLETON_LIVENESS_${container}`;

/** The agent knows no names of ports. */
function withPortNumber({ livenessProbe, ports = [] }: Container): object {
  const probe = (livenessProbe ?? {}) as Record<string, { port?: number | string } | undefined>;
  const numbered = ['httpGet', 'tcpSocket'].flatMap((how) => {
    const action = probe[how];
    const number = ports.find(({ name }) => name === action?.port)?.containerPort ?? action?.port;
    return action === undefined ? [] : [[how, { ...action, port: number }] as const];
  });
  return { ...probe, ...Object.fromEntries(numbered) };
}

/** As the Pod Security Standard `restricted` asks; but to end another's process, an agent must be that user. */
function securityContext(template: PodSpec, { fencing }: Spec): object {
  const common = {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    seccompProfile: { type: 'RuntimeDefault' },
  };
  const drop = { drop: ['ALL'] };
  if (fencing.enforcement !== 'Signal')
    return { ...common, runAsNonRoot: true, runAsUser: AGENT_UID, runAsGroup: AGENT_UID, capabilities: drop };
  const user = workloadsUser(template);
  if (user !== undefined && user !== 0) return { ...common, runAsNonRoot: true, runAsUser: user, capabilities: drop };
  return { ...common, runAsNonRoot: false, runAsUser: 0, capabilities: { ...drop, add: ['KILL'] } };
}

/** Undefined: the template does not say, or its containers differ. */
function workloadsUser(template: PodSpec): number | undefined {
  const userOf = (part: object): unknown =>
    (part as { securityContext?: { runAsUser?: unknown } }).securityContext?.runAsUser;
  const users = new Set(template.containers.map((container) => userOf(container) ?? userOf(template)));
  const [user] = users;
  return users.size === 1 && typeof user === 'number' ? user : undefined;
}

// --- the workload -----------------------------------------------------------------------------------------------------------

/** What the user gave the container stays, but for the liveness probe, which the agent makes in its place. */
function besideAgent(container: Container, spec: Spec): object {
  const env = listOf(container['env']) as Env[];
  const added: Env[] = [
    { name: AGENT_ENV.stateUrl, value: `http://127.0.0.1:${AGENT_PORT}/v1/state` },
    { name: AGENT_ENV.stateFile, value: STATE_FILE },
    { name: AGENT_ENV.podName, valueFrom: ofPod('metadata.name') },
  ];
  return {
    ...container,
    env: [...env, ...added.filter(({ name }) => !env.some((other) => other.name === name))],
    volumeMounts: [...listOf(container['volumeMounts']), { name: STATE_VOLUME, mountPath: STATE_DIR, readOnly: true }],
    ...(spec.fencing.enforcement === 'Probe' && { livenessProbe: enforcingProbe(container.name) }),
  };
}

/** Once a second, with a second to answer, and no second chance: the delay that timing.ts counts with. */
const enforcingProbe = (container: string): object => ({
  httpGet: { path: `/probe/liveness?container=${container}`, port: AGENT_PORT, scheme: 'HTTP' },
  periodSeconds: 1,
  timeoutSeconds: 1,
  failureThreshold: 1,
  successThreshold: 1,
});

/** Beside the workload's grace: for its agent to see that it has ended, and to release the Lease. */
const RELEASE_SECONDS = 2;
/** As Kubernetes has it. */
const DEFAULT_GRACE_SECONDS = 30;

/** Undefined: what the template says stays. */
function podGrace(
  template: PodSpec,
  { fencing }: Spec,
): { readonly terminationGracePeriodSeconds: number } | undefined {
  const stopSeconds = Math.ceil(fencing.stopGraceMs / 1000);
  // Of what a probe ends, and of what is deleted on a node that is cut off: there nobody probes it any more.
  if (fencing.enforcement === 'Probe') return { terminationGracePeriodSeconds: stopSeconds };
  const wanted = Number(template['terminationGracePeriodSeconds'] ?? DEFAULT_GRACE_SECONDS);
  const leastSeconds = stopSeconds + RELEASE_SECONDS;
  // With less the kubelet ends the agent with its workload, and the next one has to wait for the Lease to expire.
  return wanted < leastSeconds ? { terminationGracePeriodSeconds: leastSeconds } : undefined;
}
