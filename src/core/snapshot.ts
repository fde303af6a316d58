/**
 * All that a decision may see of one singleton: plain data, so that a snapshot can be logged, saved and replayed.
 *
 * Times that decisions compare are monotonic milliseconds of the process that decides; wall-clock milliseconds are
 * carried along only to be shown.
 */
import type { Role } from '../api/names.ts';
import type { PodDisruptionBudget, Service } from '../api/objects.ts';
import type { Spec, SpecProblem } from '../api/spec.ts';
import type { Status } from '../api/types.ts';
import type { HoldSet } from './hold-set.ts';
import type { Action } from './plan.ts';

export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface Snapshot {
  readonly singleton: SingletonView;
  /**
   * Pods that are owned by the singleton or that its selector selects, whatever state they are in; and who holds the Lease
   * and is neither any more, until the active has moved away from it.
   */
  readonly members: readonly Member[];
  /** Pods that carry the name label and are not ours: they must match neither term nor role. */
  readonly strangers: readonly Stranger[];
  readonly lease: Owned<LeaseView> | undefined;
  readonly service: Owned<ServiceView> | undefined;
  readonly headless: Owned<ServiceView> | undefined;
  readonly budget: Owned<BudgetView> | undefined;
  /** By node name; a node that is not here is not known (yet, or any more). */
  readonly nodes: Readonly<Record<string, NodeView>>;
  readonly nodeLoss: NodeLossView;
  /** UIDs of the pods that the EndpointSlices of the singleton's Service name as ready. */
  readonly routedUids: readonly string[];
  readonly memory: Memory;
  /** What the members' agents are made of. Absent in mode `Routing`. */
  readonly agent?: AgentPlatform;
}

/** What the operator's flags and the API server's version say of how an agent is put into a pod. */
export interface AgentPlatform {
  readonly image: string;
  /** Kubernetes 1.29 and later: an init container with restartPolicy Always. */
  readonly hasSidecars: boolean;
}

export interface SingletonView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly deleting: boolean;
  /** What is in force: the newest spec, or the last one accepted when the newest breaks a rule. */
  readonly spec: Spec | undefined;
  /** What is wrong with the newest spec. */
  readonly problems: readonly SpecProblem[];
  /** What is wrong is that an older singleton selects the same pod. */
  readonly isOverlapping?: boolean;
  /** Paths of what the spec asks for and this version does not act upon. */
  readonly notActedUpon: readonly string[];
  readonly status: Status | undefined;
  /** The annotation that asks for a switchover, as somebody wrote it; undefined when there is none. */
  readonly request: string | undefined;
}

export type Owned<T> = T & {
  /** False: an object of that name is there and belongs to somebody else. It is never written to. */
  readonly ours: boolean;
};

export interface Member {
  readonly pod: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Whether it carries the name label, with the singleton's name; otherwise no Service selects it. */
  readonly named: boolean;
  /** From the label, of an adopted one the ordinal its StatefulSet gave it; undefined when there is none. */
  readonly slot: number | undefined;
  /** Somebody else owns it: it is never created, deleted or given a slot. */
  readonly adopted?: boolean;
  /** It is none of those that the spec asks for any more. */
  readonly leaving?: boolean;
  readonly role: Role | undefined;
  readonly term: number | undefined;
  /** The PodDisruptionBudget selects it. */
  readonly guarded: boolean;
  readonly revision: string | undefined;
  readonly node: string | undefined;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly ready: boolean;
  /** Since when it is Ready, by its kubelet's clock. Good enough to prefer one member over another, for no more. */
  readonly readySinceWallMs: number | undefined;
  readonly createdWallMs: number;
  readonly terminating: boolean;
  /** It was asked to go by the eviction API (a `DisruptionTarget` condition, Kubernetes 1.26 and later). */
  readonly evicting: boolean;
  /** What a container ended or waits with, for people: `app: exit code 137 (OOMKilled)`. Absent while all run. */
  readonly crash: string | undefined;
  /** The scheduler finds no node for it. */
  readonly unschedulable: boolean;
  /** What keeps it from starting, for people: the scheduler's words, or `app: ImagePullBackOff`. */
  readonly waiting: string | undefined;
  /** `status.reason` of the pod: `Evicted`, `NodeLost`, … */
  readonly podReason: string | undefined;
  readonly noFailover: boolean;
  /** The agent beside its workload (fencing mode `Agent`), as the pod was made with it. Absent: it has none. */
  readonly agent?:
    | {
        readonly leaseDurationMs: number;
        /** It knows `onApiLoss: Hold`, and where it answers: '' while nobody knows. */
        readonly peer?: { readonly ip: string };
      }
    | undefined;
  /** Its kubelet attests that each of its containers has ended and that none is started again. */
  readonly hasStopped?: boolean;
}

export interface Stranger {
  readonly pod: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly role: string | undefined;
  readonly term: string | undefined;
  readonly guarded: string | undefined;
}

export interface LeaseView {
  readonly uid: string;
  readonly resourceVersion: string;
  /** `<podName>_<podUID>`, or empty. */
  readonly holder: string;
  readonly term: number;
  /** Whether it carries the name label, by which the operator watches it. */
  readonly named: boolean;
  /** The move that led to this holder; undefined when nobody was granted yet or the annotation was damaged. */
  readonly move: MoveRecord | undefined;
  /** The last request for a switchover that was taken up. */
  readonly switchover: SwitchoverRecord | undefined;
  // What fencing mode `Agent` writes beside it; each absent while it was never written.
  /** How long it must be seen unchanged before its holder counts as stopped: the holder has an agent. */
  readonly leaseDurationMs?: number | undefined;
  /** The last term that a holder's agent renewed, that one gave back, and that the operator asked one to give back. */
  readonly renewedTerm?: number | undefined;
  readonly releasedTerm?: number | undefined;
  readonly releaseRequested?: number | undefined;
  /** What the last release was asked for. */
  readonly release?: ReleaseRecord | undefined;
  /** Monotonic milliseconds at which this process was told of this very version; absent: it was not watching yet. */
  readonly toldAtMs?: number | undefined;
  // What `onApiLoss: Hold` writes beside that.
  /** As the operator told it last (hold-set.ts). */
  readonly members?: string | undefined;
  /** Who has to promise before the active goes on without renewing; absent: there is no such set, or an empty one. */
  readonly holdSet?: HoldSet | undefined;
}

/** A move that waits for the old active to release the Lease, so that whoever sees it released knows what for. */
export interface ReleaseRecord {
  /** Of the holder that is to release. */
  readonly term: number;
  readonly kind: MoveRecord['kind'];
  /** CamelCase. */
  readonly reason: string;
  /** A sentence for people. */
  readonly message: string;
  readonly trouble?: string;
  /** Holder identity of whom it was to be granted to. */
  readonly to: string;
  readonly detectedWallMs: number;
}

/**
 * What became of a request for a switchover. `Pending`: it was taken up. `Granted`: the move was made, and is being
 * verified. The others are the end of it.
 */
export interface SwitchoverRecord {
  /** As it was written, at most `MAX_REQUEST_LENGTH` characters of it. */
  readonly request: string;
  readonly acceptedWallMs: number;
  /** By wall clock, since it must outlive the operator. It bounds a request, and no safety rests on it. */
  readonly deadlineWallMs: number;
  readonly state: 'Pending' | 'Granted' | 'Completed' | 'RolledBack' | 'Refused';
  /** CamelCase. */
  readonly reason: string;
  /** A sentence for people. */
  readonly message: string;
  /** Holder identity of the active when it was taken up, or when it was granted. */
  readonly from: string;
  /** Holder identity that it was granted to. */
  readonly to: string | undefined;
}

/** What the Lease remembers of the grant, so that an operator that knows nothing else can finish and explain the move. */
export interface MoveRecord {
  readonly kind: 'Initial' | 'Failover' | 'Switchover';
  /** CamelCase, e.g. `ActiveCrashed`. */
  readonly reason: string;
  /** A sentence for people. */
  readonly message: string;
  /** Pod name of the old active. */
  readonly from: string | undefined;
  /** Holder identity of the new one. */
  readonly to: string;
  /** Its node: whether that is lost must be known also after its pod was deleted by force. */
  readonly node?: string | undefined;
  readonly term: number;
  readonly detectedWallMs: number;
  readonly fencedWallMs: number | undefined;
  /** When the grant was decided, the last moment before it was sent. */
  readonly grantedWallMs: number;
  /**
   * The term under which the holder is routed, when that is not the Lease's: the Lease was lost and rebuilt with a
   * higher term around a holder that never stopped being the active. Its labels stay, so that no request fails.
   */
  readonly routingTerm: number | undefined;
  /** The template's revision that failed as the active of a rollout; carried along until the template is another one. */
  readonly failedRevision?: string | undefined;
  /** How members failed as the active of late, the last at the end (failures.ts). Absent while none did. */
  readonly failures?: readonly Failure[] | undefined;
}

export interface Failure {
  /** Holder identity: a StatefulSet gives the name to the next pod, which has done nothing yet. */
  readonly holder: string;
  readonly atWallMs: number;
  /** How long it had been the active. */
  readonly reignMs: number;
}

export interface ServiceView {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: NonNullable<Service['spec']>;
}

export interface BudgetView {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: NonNullable<PodDisruptionBudget['spec']>;
}

export interface NodeView {
  readonly zone: string | undefined;
  readonly noFailover: boolean;
  /** What says that its pods shall leave it, for people: `cordoned`, `shutting down`, a taint's key. Undefined: nothing does. */
  readonly draining: string | undefined;
  /** Only those that `election.preferences` names, since a node has dozens. */
  readonly labels: Readonly<Record<string, string>>;
}

/** What is known of nodes that are lost, or may be. Nothing in it changes while all nodes are well. */
export interface NodeLossView {
  /** More nodes are dark at once than `--node-loss-brake` allows. */
  readonly isBraked: boolean;
  /** By node name: those of the members, and of the active as the status told it, that something is wrong with. */
  readonly nodes: Readonly<Record<string, NodeTrouble>>;
}

export interface NodeTrouble {
  /** Monotonic: when this process first saw its last beat. Undefined: it is not silent, but one of the following. */
  readonly silentSinceMs: number | undefined;
  /** It carries the taint `node.kubernetes.io/out-of-service`: an administrator vouches that nothing runs on it. */
  readonly outOfService: boolean;
  /** There is no Node object. */
  readonly gone: boolean;
}

export const noNodeLoss: NodeLossView = { isBraked: false, nodes: {} };

/**
 * What one operator process remembers between two looks. All of it may be lost at any time: that makes the next decision
 * slower or a message poorer, never wrong.
 */
export interface Memory {
  /** First sight of this holder (its identity in the Lease) having to hand over for this cause (`causeOf`). */
  readonly trouble: { readonly holder: string; readonly cause: string; readonly since: Instant } | undefined;
  /** The API server's verdict on the template of this revision. */
  readonly template: { readonly revision: string; readonly refusal: string | undefined } | undefined;
  /** Why the last plan stopped half-way. */
  readonly failure: { readonly kind: Action['kind']; readonly action: string; readonly message: string } | undefined;
  /** By Service name or `mendKeyOfBudget`, the last mending that was answered, and the version it was meant for. */
  readonly mends: Readonly<Record<string, { readonly resourceVersion: string; readonly patch: object }>>;
  /** How far this process saw the move to this term come. */
  readonly timeline: Timeline | undefined;
  readonly statusWrittenAtMs: number | undefined;
  /** Whether the last look found it paused, or when the first one after a pause was (monotonic). */
  readonly pause?: 'paused' | { readonly endedAtMs: number } | undefined;
  /** Candidates that are better than this holder, by UID and readiness, and since when without a break: for preemption. */
  readonly better: { readonly holder: string; readonly sinceMs: Readonly<Record<string, number>> } | undefined;
  /** First sight of this record of a request for a switchover, which `acceptedWallMs` and `request` name. */
  readonly requested:
    | { readonly request: string; readonly acceptedWallMs: number; readonly sinceMs: number }
    | undefined;
  /** Members that failed, by slot: for the backoff of their replacement. */
  readonly failures: Readonly<Record<number, SlotFailures>>;
  /** By UID: since when each member is as it is. */
  readonly sights: Readonly<Record<string, Sight>>;
  /** How the holder of the present term does. */
  readonly tenure: Tenure | undefined;
  /** Mode `Agent`: the Lease as it is, and since when this process has seen it so (monotonic). */
  readonly leaseSeen?: LeaseSight | undefined;
  /** Mode `Agent`: when this process asked for the release that the next grant waits for. */
  readonly asked?: Instant | undefined;
  /** Mode `Agent`: the holder whose kubelet was seen to attest that it has stopped, be its pod gone since. */
  readonly stopped?: string | undefined;
  /** Mode `Agent`: when this process last made sure of the agents' rights (monotonic), and for which account of the template's. */
  readonly access?: { readonly atMs: number; readonly account: string | undefined } | undefined;
}

export interface LeaseSight {
  readonly uid: string;
  readonly resourceVersion: string;
  /** First sight of this very version: whatever it says was the case before. */
  readonly sinceMs: number;
  /** Another Lease was seen before: a new one that is empty does not mean that nobody was ever granted. */
  readonly isReplaced: boolean;
  /** The highest that was granted in a Lease seen so far. */
  readonly term: number;
  /** In the Lease, or in the one before that it replaces. Absent: none. */
  readonly holdSet?: HoldSet;
}

/** Monotonic milliseconds. */
export interface Sight {
  readonly ready: boolean;
  /** First sight of it being Ready without a break, or not Ready. */
  readonly sinceMs: number;
  /** What its kubelet says: a break that was not seen shows in it. */
  readonly readySinceWallMs: number | undefined;
  /** First sight of it being unschedulable. */
  readonly unschedulableMs: number | undefined;
}

export interface Tenure {
  readonly term: number;
  /** Monotonic: first sight of this term. */
  readonly sinceMs: number;
  /** It was Ready for `update.minReadySeconds` in this term. */
  readonly isProven: boolean;
}

export interface SlotFailures {
  readonly count: number;
  /** Monotonic: first sight of the last one. */
  readonly lastAtMs: number;
  readonly uids: readonly string[];
}

/** What this process saw of a move, each for the first time; undefined is what it did not see. */
export interface Timeline {
  readonly term: number;
  readonly detected: Instant | undefined;
  /** Mode `Agent`: the old active was asked to release the Lease. Absent: it was not, by this process. */
  readonly asked?: Instant | undefined;
  /** The grant was answered. */
  readonly granted: Instant | undefined;
  readonly labelled: Instant | undefined;
  readonly flipped: Instant | undefined;
  /** The EndpointSlices name the new active. */
  readonly routed: Instant | undefined;
}

export const noMemory: Memory = {
  trouble: undefined,
  template: undefined,
  failure: undefined,
  mends: {},
  timeline: undefined,
  statusWrittenAtMs: undefined,
  better: undefined,
  requested: undefined,
  failures: {},
  sights: {},
  tenure: undefined,
};
