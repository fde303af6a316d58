/** What goes into the agent's step function and what comes out of it (core/fence.ts). All times are milliseconds of the agent's monotonic clock. */
import type { Enforcement } from '../api/timing.ts';
import type { Given, HoldRules, HoldState, Refusal } from './fence-hold.ts';
import type { LeaseKnowledge, Sight } from './fence-lease.ts';
import type { HoldSet, Peer } from './hold-set.ts';

export interface FenceRules {
  /** `<podName>_<podUID>` of this agent's pod. */
  readonly holder: string;
  readonly renewIntervalMs: number;
  /** So long after a renewal was sent its term is over, unless a later one was acknowledged. */
  readonly fenceDeadlineMs: number;
  readonly stopGraceMs: number;
  readonly enforcement: Enforcement;
  /** So long a request may take; two of them fit between a renewal's time and the deadline. */
  readonly requestDeadlineMs: number;
  /** After one that failed. */
  readonly retryMs: number;
  /** The calls that the workload wants. Without `deactivate` it acknowledges a stop by itself, or it never does. */
  readonly hooks: { readonly activate: boolean; readonly deactivate: boolean };
  /** Whose liveness probes the agent answers. */
  readonly containers: readonly string[];
  /** `onApiLoss: Hold`; absent: `Fence`. */
  readonly hold?: HoldRules;
}

export type StopReason =
  /** No renewal was acknowledged in time. */
  | 'Deadline'
  /** Somebody else has the Lease, or nobody. */
  | 'Lost'
  /** The Lease says that we hold another term than the workload was started with. */
  | 'Superseded'
  | 'Requested'
  /** It has ended, and a call that tells it to act is on its way to whatever process comes next. */
  | 'Gone'
  /** The agent is being stopped. */
  | 'Leaving'
  /** A new process of the agent cannot vouch for what the one before it had started. */
  | 'Restarted';

/** The workload, as far as the agent knows. */
export type Workload =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'active'; readonly term: number; readonly sinceMs: number; readonly untilMs: number }
  | {
      readonly kind: 'stopping';
      readonly term: number;
      readonly reason: StopReason;
      readonly askedAtMs: number;
      readonly untilMs: number;
      readonly killed: boolean;
      /** Containers whose liveness probe was answered with failure: the kubelet probes again only what it has restarted. */
      readonly failed: readonly { readonly container: string; readonly atMs: number }[];
      readonly restarted: readonly string[];
    };

export type RequestKind = 'read' | 'renew' | 'release';
export type Hook = 'activate' | 'deactivate';

export interface Request {
  readonly id: number;
  readonly kind: RequestKind;
  /** 0 of a read. */
  readonly term: number;
  readonly sentAtMs: number;
  /** Nobody waits for its answer any more, which may still come. */
  readonly overdue: boolean;
}

export interface FenceState {
  readonly rules: FenceRules;
  readonly lease: LeaseKnowledge;
  readonly workload: Workload;
  readonly requests: readonly Request[];
  readonly lastId: number;
  readonly renewAtMs: number;
  /** No request before it. */
  readonly retryAtMs: number;
  /** A write was refused: what it was decided from is old. */
  readonly mustRead: boolean;
  /** A term that this agent will release and never renew again: its workload has ended by itself. */
  readonly givenUpTerm: number;
  /** SIGTERM. */
  readonly leaving: boolean;
  readonly hook: {
    readonly inFlight: Hook | undefined;
    /** Answered, since the workload was last started or asked to stop. */
    readonly isDone: boolean;
    readonly retryAtMs: number;
  };
  readonly timerAtMs: number | undefined;
  /** As it was published last. */
  readonly told: Remembered;
  /** `onApiLoss: Hold` (fence-hold.ts); absent: `Fence`. */
  readonly hold?: HoldState;
}

/** What the workload is told. Whoever reads it later must look at `untilMs` too. */
export interface Report {
  readonly active: boolean;
  /** 0: none yet. */
  readonly term: number;
  /** Since when it is so. */
  readonly sinceMs: number;
  /** The fence deadline; 0 when not active. */
  readonly untilMs: number;
}

/** What an agent writes down so that its next process, on the same machine since it was booted, knows it. */
export interface Remembered {
  readonly report: Report;
  /** The workload was started and is not known to have stopped. */
  readonly mayAct: boolean;
  readonly highest: LeaseKnowledge['highest'];
  /** The last that was given. */
  readonly promise?: Given;
}

export type FenceEvent =
  /** The Lease was watched, or read without being asked (`askedAtMs`: before that was sent). Undefined: it is gone. */
  | { readonly kind: 'seen'; readonly lease: Sight | undefined; readonly askedAtMs?: number }
  /** A request was answered with the Lease as it is after it. It may be one whose answer was not waited for. */
  | { readonly kind: 'replied'; readonly id: number; readonly lease: Sight }
  /** A write was refused, since the Lease is another one by now (409), or is gone. */
  | { readonly kind: 'refused'; readonly id: number }
  /** It has ended without an answer, or with the server's failure. A write may have landed. */
  | { readonly kind: 'failed'; readonly id: number }
  /** Not answered in time; it may still be. */
  | { readonly kind: 'unanswered'; readonly id: number }
  | { readonly kind: 'timer' }
  | { readonly kind: 'hookAnswered'; readonly hook: Hook }
  | { readonly kind: 'hookFailed'; readonly hook: Hook }
  /** The workload says by itself that it has stopped acting under this term. */
  | { readonly kind: 'acknowledged'; readonly term: number }
  /** The workload's process is seen gone, or the connection that it promised to keep as long as it lives. */
  | { readonly kind: 'gone' }
  /** The kubelet asks whether this container is alive. */
  | { readonly kind: 'probed'; readonly container: string }
  /** The active of a term, by its own proven word, asks for a promise of at least so long. */
  | { readonly kind: 'asked'; readonly holder: string; readonly term: number; readonly forMs: number }
  /** The member `uid` has promised; `askedAtMs`: before it was asked. */
  | { readonly kind: 'promised'; readonly uid: string; readonly term: number; readonly askedAtMs: number }
  /** SIGTERM. */
  | { readonly kind: 'terminate' };

export type FenceAction =
  | { readonly kind: 'read'; readonly id: number }
  /** Replace the Lease by `renewedLease(lease)`, on condition of its resourceVersion; `releasedLease` to release. */
  | { readonly kind: 'renew' | 'release'; readonly id: number; readonly lease: Sight; readonly holdSet?: HoldSet }
  /** Each for a promise, as the holder of this term. */
  | { readonly kind: 'ask'; readonly peers: readonly Peer[]; readonly term: number; readonly askedAtMs: number }
  /** Undefined: it is promised, as soon as that is written down. */
  | { readonly kind: 'answerQuestion'; readonly refusal: Refusal | undefined }
  /** Tell the workload, and write it down. */
  | { readonly kind: 'publish'; readonly told: Remembered }
  | { readonly kind: 'callHook'; readonly hook: Hook; readonly term: number }
  /** End the call that is under way, for another is due; said again until it has ended, which is reported as always. */
  | { readonly kind: 'abortHook' }
  /** The workload's processes, at once. */
  | { readonly kind: 'kill' }
  | { readonly kind: 'answerProbe'; readonly container: string; readonly healthy: boolean }
  /** Instead of the timer that was set before; undefined: none. */
  | { readonly kind: 'setTimer'; readonly atMs: number | undefined }
  | { readonly kind: 'exit' };
