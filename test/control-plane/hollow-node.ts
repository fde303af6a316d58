/** Node and Lease objects as a kubelet registers them: what makes the scheduler and the controllers believe in a node. */
import { seconds } from './hollow-pod.ts';
import type { ApiObject } from './rest-client.ts';

export interface HollowNode {
  readonly name: string;
  readonly zone: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly maxPods: number;
  /** Cut off: its kubelet tells the API server nothing and hears nothing. */
  lost: boolean;
  /** Its machine goes down in good order: it says so with each report, ends what it is asked to, and takes no new pods. */
  shuttingDown: boolean;
}

export interface NodeObject extends ApiObject {
  spec?: { taints?: { key: string; effect: string }[] };
  status?: { conditions?: { type: string; status: string }[] };
}

/** A kubelet renews its lease four times in it. */
const RENEWALS_IN_A_LEASE = 4;

export const isNodeReady = (node: NodeObject): boolean =>
  node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** In the words by which a kubelet's shutdown is known: it has no field or reason of its own. */
const SHUTTING_DOWN = { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: 'node is shutting down' };
const READY = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'hollow' };

function conditions({ shuttingDown }: HollowNode, nowMs: number): object[] {
  const now = seconds(nowMs);
  const times = { lastHeartbeatTime: now, lastTransitionTime: now };
  const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure'];
  return [
    ...pressures.map((type) => ({ type, status: 'False', reason: 'KubeletHasNoPressure', ...times })),
    { ...(shuttingDown ? SHUTTING_DOWN : READY), ...times },
  ];
}

/** The body of a strategic merge patch of a node's status, and part of what it is created with. */
export const nodeStatus = (node: HollowNode, nowMs: number): object => ({
  status: { conditions: conditions(node, nowMs) },
});

export function nodeObject(node: HollowNode, nowMs: number): object {
  const resources = { cpu: '1000', memory: '4Ti', pods: String(node.maxPods), 'ephemeral-storage': '4Ti' };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'topology.kubernetes.io/zone': node.zone,
        'topology.kubernetes.io/region': 'test',
        ...node.labels,
      },
    },
    status: {
      capacity: resources,
      allocatable: resources,
      conditions: conditions(node, nowMs),
      addresses: [
        { type: 'InternalIP', address: node.ip },
        { type: 'Hostname', address: node.name },
      ],
      nodeInfo: {
        machineID: node.name,
        systemUUID: node.name,
        bootID: node.name,
        kernelVersion: 'hollow',
        osImage: 'hollow',
        containerRuntimeVersion: 'hollow://1',
        kubeletVersion: 'v1.20.2',
        kubeProxyVersion: 'v1.20.2',
        operatingSystem: 'linux',
        architecture: 'amd64',
      },
    },
  };
}

/** RFC 3339 with microseconds, as `metav1.MicroTime` wants them. */
const microTime = (wallMs: number): string => new Date(wallMs).toISOString().replace('Z', '000Z');

/** Owned by the node, so that it goes with it. */
export const nodeLease = (name: string, uid: string, renewMs: number, nowMs: number): object => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
  spec: {
    holderIdentity: name,
    leaseDurationSeconds: Math.max(1, Math.round((renewMs * RENEWALS_IN_A_LEASE) / 1_000)),
    renewTime: microTime(nowMs),
  },
});

export const leaseRenewal = (nowMs: number): object => ({ spec: { renewTime: microTime(nowMs) } });
