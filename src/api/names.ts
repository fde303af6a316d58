/**
 * Every name that users, their tooling and tests outside this repository rely on: extend, never rename.
 * Reasons of conditions and events stand here too, so that a reader finds all of them in one place.
 */

export const GROUP = 'singleton-operator.io';
export const VERSION = 'v1alpha1';
export const KIND = 'SingletonService';
export const PLURAL = 'singletonservices';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** Labels that the operator owns. A template that sets one of them is refused. */
export const LABEL = {
  name: `${GROUP}/name`,
  slot: `${GROUP}/slot`,
  role: `${GROUP}/role`,
  term: `${GROUP}/term`,
  /** "true" on whom no drain may take: the active, and the old one until the Service routes to the new one. */
  guarded: `${GROUP}/guarded`,
  revision: `${GROUP}/revision`,
} as const;

export const ANNOTATION = {
  /** On a SingletonService: a requested switchover. On the Lease: what became of the last one, as JSON. */
  switchover: `${GROUP}/switchover`,
  /** On the Lease: the move that led to the present holder, as JSON (see core/lease.ts). */
  move: `${GROUP}/move`,
  /** On the operator replicas' own Lease: how long after a renewal which holder stops (see core/leadership.ts). */
  stopsAfter: `${GROUP}/stops-after`,
  /** On the Lease, mode `Agent`, by the holder's agent: the term that it renewed last. */
  renewedTerm: `${GROUP}/renewed-term`,
  /** On the Lease, mode `Agent`, by the holder's agent: the term that it released. */
  releasedTerm: `${GROUP}/released-term`,
  /** On the Lease, mode `Agent`, by the operator: the term whose holder is asked to fence and release. */
  releaseRequested: `${GROUP}/release-requested`,
  /** On the Lease, by the operator: what the release is asked for, as JSON (see core/release.ts). */
  release: `${GROUP}/release`,
  /** On the Lease, mode `Agent` with `onApiLoss: Hold`, by the operator: the members and where their agents answer, as JSON. */
  members: `${GROUP}/members`,
  /** On the Lease, the same mode, by the active's agent: who has to promise before it goes on without renewing (core/hold-set.ts). */
  holdSet: `${GROUP}/hold-set`,
} as const;

/** The container that the operator puts beside the workload in fencing mode `Agent`, and the volume that they share. */
export const AGENT_CONTAINER = 'singleton-agent';
export const STATE_VOLUME = 'singleton-state';
/** With the agents' key, and the one entry of its Secret. */
export const KEY_VOLUME = 'singleton-agent-key';
export const KEY_ENTRY = 'key';

/** Environment of the agent, and of the workload beside it. */
export const AGENT_ENV = {
  name: 'SINGLETON_NAME',
  namespace: 'SINGLETON_NAMESPACE',
  lease: 'SINGLETON_LEASE',
  podName: 'SINGLETON_POD_NAME',
  podUid: 'SINGLETON_POD_UID',
  port: 'SINGLETON_AGENT_PORT',
  agentStateFile: 'SINGLETON_AGENT_STATE_FILE',
  stateFile: 'SINGLETON_STATE_FILE',
  stateUrl: 'SINGLETON_STATE_URL',
  leaseDurationMs: 'SINGLETON_LEASE_DURATION_MS',
  renewIntervalMs: 'SINGLETON_RENEW_INTERVAL_MS',
  stopGraceMs: 'SINGLETON_STOP_GRACE_MS',
  enforcement: 'SINGLETON_ENFORCEMENT',
  onApiLoss: 'SINGLETON_ON_API_LOSS',
  podIp: 'SINGLETON_POD_IP',
  peerPort: 'SINGLETON_PEER_PORT',
  keyFile: 'SINGLETON_KEY_FILE',
  onActivateUrl: 'SINGLETON_ON_ACTIVATE_URL',
  onDeactivateUrl: 'SINGLETON_ON_DEACTIVATE_URL',
} as const;

/** On a pod (label or annotation) or a node (label or annotation), with the value "true": never a candidate. */
export const NO_FAILOVER = `${GROUP}/no-failover`;

/** Kubernetes' own taint by which an administrator vouches that nothing runs on a node any more (1.24 and later act on it). */
export const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';
/** Where kubelets renew a Lease each, named after their node. */
export const NODE_LEASE_NAMESPACE = 'kube-node-lease';

/** The only value of the label `guarded`. */
export const GUARDED = 'true';

export const ROLE = { active: 'active', standby: 'standby' } as const;
export type Role = (typeof ROLE)[keyof typeof ROLE];

export const leaseName = (singleton: string): string => `${singleton}-active`;
export const serviceName = (singleton: string): string => singleton;
export const budgetName = (singleton: string): string => singleton;
/** ServiceAccount, Role and RoleBinding of the members' agents. */
export const agentAccessName = (singleton: string): string => `${singleton}-agent`;
/** Secret with the key by which the members' agents know each other, `onApiLoss: Hold`. */
export const agentKeyName = (singleton: string): string => `${singleton}-agent-key`;
export const headlessServiceName = (singleton: string): string => `${singleton}-members`;

/**
 * The longest name a SingletonService can have: `<name>-<slot>-<5 characters>` must fit the 63 characters of a pod's
 * host name, and `<name>-members` those of a Service.
 */
export const MAX_NAME_LENGTH = 54;
export const MAX_REPLICAS = 32;

/** `Lease.spec.holderIdentity` of a member. */
export const holderIdentity = (podName: string, podUid: string): string => `${podName}_${podUid}`;

export const CONDITION = {
  ready: 'Ready',
  specAccepted: 'SpecAccepted',
  standbyReady: 'StandbyReady',
  progressing: 'Progressing',
  paused: 'Paused',
  blocked: 'Blocked',
} as const;
export type ConditionType = (typeof CONDITION)[keyof typeof CONDITION];

export const EVENT = {
  granted: 'Granted',
  failoverStarted: 'FailoverStarted',
  failoverCompleted: 'FailoverCompleted',
  switchoverStarted: 'SwitchoverStarted',
  switchoverCompleted: 'SwitchoverCompleted',
  switchoverRolledBack: 'SwitchoverRolledBack',
  switchoverRefused: 'SwitchoverRefused',
  memberCreated: 'MemberCreated',
  memberReplaced: 'MemberReplaced',
  memberQuarantined: 'MemberQuarantined',
  moveBlocked: 'MoveBlocked',
  specRejected: 'SpecRejected',
  paused: 'Paused',
  resumed: 'Resumed',
  invariantViolated: 'InvariantViolated',
} as const;
export type EventReason = (typeof EVENT)[keyof typeof EVENT];
