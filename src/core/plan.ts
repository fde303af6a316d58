/** What to do, as data. `decide` returns a plan, the executor carries it out, and both can be written to a file. */
import type { EventReason } from '../api/names.ts';
import type { Status } from '../api/types.ts';
import type { HoldSet } from './hold-set.ts';
import type { MoveRecord, ReleaseRecord, SwitchoverRecord } from './snapshot.ts';

/** The object a write is meant for, in the state the decision saw. The server refuses the write when it has changed. */
export interface Expect {
  readonly uid: string;
  readonly resourceVersion: string;
}

export type Action =
  | { readonly kind: 'stripRole'; readonly pod: string; readonly expect: Expect; readonly labels: LabelPatch }
  | {
      readonly kind: 'grantLease';
      readonly lease: string;
      readonly expect: Expect;
      readonly to: { readonly pod: string; readonly uid: string };
      /** Pod to read live, with the candidate, before the grant; undefined when there was no holder. */
      readonly from: string | undefined;
      readonly term: number;
      readonly move: MoveRecord;
      /** What the grant makes of a request for a switchover, in the same write. Absent: the Lease's record stays. */
      readonly switchover?: SwitchoverRecord;
      /** Mode `Agent`: what the holder's agent goes by. Null: what a former holder went by is removed. */
      readonly leaseDurationMs?: number | null;
      /** `onApiLoss: Hold`: what the set becomes, since nobody can be active who was promised anything. Absent: it stays. */
      readonly holdSet?: HoldSet;
    }
  /** Mode `Agent`: the holder's agent is to stop the workload and to empty the Lease. */
  | {
      readonly kind: 'requestRelease';
      readonly lease: string;
      readonly expect: Expect;
      readonly release: ReleaseRecord;
    }
  /**
   * Mode `Agent`, before a grant: the status says in which Lease it is made, and the highest term before it. Should that Lease be
   * lost, nothing else may bear witness of the grant, and nobody must take the next one for the first.
   */
  | {
      readonly kind: 'noteLease';
      readonly singleton: string;
      readonly expect: Expect;
      /** UID. */
      readonly lease: string;
      readonly term: number;
    }
  | { readonly kind: 'labelActive'; readonly pod: string; readonly expect: Expect; readonly labels: LabelPatch }
  | {
      readonly kind: 'flipService';
      readonly service: string;
      readonly expect: Expect;
      readonly term: number;
      /** The selector's new value as a merge patch: null removes what somebody else put there. */
      readonly selector: LabelPatch;
    }
  /** Empty: held by nobody, with term 0. */
  | { readonly kind: 'createLease'; readonly lease: string }
  | {
      readonly kind: 'restoreLease';
      readonly lease: string;
      readonly expect: Expect;
      readonly holder: string;
      readonly term: number;
      readonly move: MoveRecord;
      /** Of a Lease that was lost, `onApiLoss: Hold`. */
      readonly holdSet?: HoldSet;
    }
  /** `onApiLoss: Hold`: the agents that can be asked for a promise, as JSON. */
  | { readonly kind: 'tellMembers'; readonly lease: string; readonly expect: Expect; readonly members: string }
  /** Mode `Agent`: the ServiceAccount, Role and RoleBinding by which the members' agents reach the Lease; read, and made or mended. */
  | {
      readonly kind: 'ensureAccess';
      readonly access: AgentAccess;
      /** The ServiceAccount that the template names. */
      readonly account: string | undefined;
    }
  /** Takes up a request for a switchover, or writes down how one ended that moved nothing. */
  | {
      readonly kind: 'recordSwitchover';
      readonly lease: string;
      readonly expect: Expect;
      readonly switchover: SwitchoverRecord;
    }
  /** Takes the annotation away that asked for it. */
  | { readonly kind: 'removeRequest'; readonly singleton: string; readonly expect: Expect }
  | { readonly kind: 'createService'; readonly service: string; readonly body: object }
  | { readonly kind: 'mendService'; readonly service: string; readonly expect: Expect; readonly patch: object }
  | { readonly kind: 'createBudget'; readonly budget: string; readonly body: object }
  | { readonly kind: 'mendBudget'; readonly budget: string; readonly expect: Expect; readonly patch: object }
  | { readonly kind: 'deleteBudget'; readonly budget: string; readonly expect: Expect }
  | { readonly kind: 'checkTemplate'; readonly revision: string; readonly body: object }
  | {
      readonly kind: 'createPod';
      readonly pod: string;
      readonly slot: number;
      readonly body: object;
      /**
       * A second member of its slot, and what for. Unlike the first of an empty slot, of which two operators that know
       * different things make at most one too many for a moment, it is one too many when somebody has made one already.
       */
      readonly surge?: 'rollout' | 'drain';
    }
  | {
      readonly kind: 'deletePod';
      readonly pod: string;
      readonly expect: Expect;
      readonly why: string;
      /** The pod that stands in for it: to be read live before, since the deletion rests on it being there. */
      readonly successor?: string | undefined;
    }
  | { readonly kind: 'mendLabels'; readonly pod: string; readonly expect: Expect; readonly labels: LabelPatch }
  | { readonly kind: 'emitEvent'; readonly event: EventAction }
  | { readonly kind: 'writeStatus'; readonly resourceVersion: string; readonly status: Status };

/** Bodies as they should be. */
export interface AgentAccess {
  /** Absent: the template names one of its own. */
  readonly serviceAccount: object | undefined;
  readonly role: object;
  readonly roleBinding: object;
  /** `onApiLoss: Hold`: the Secret of the agents' key, but for the key. */
  readonly key?: object;
}

export type LabelPatch = Readonly<Record<string, string | null>>;

export interface EventAction {
  /** What makes this event the same event when it is sent again after a crash; becomes part of its name. */
  readonly identity: string;
  readonly reason: EventReason;
  readonly type: 'Normal' | 'Warning';
  readonly message: string;
}

/** Why a move that is needed does not happen now. */
export interface Hold {
  readonly name:
    | 'Paused'
    | 'UnreadyGrace'
    | 'Backoff'
    | 'NoCandidate'
    | 'LeaseTaken'
    | 'ServiceTaken'
    | 'NodeLossBrake'
    | 'NodeLossWait'
    | 'NodeLossGrace'
    | 'Fencing';
  readonly message: string;
  /** When it is worth looking again, if nothing happens before. Absent: only an event can lift it. */
  readonly recheckAtMs?: number;
}

export interface Plan {
  readonly actions: readonly Action[];
  /** One line: what this plan is for. */
  readonly reason: string;
  readonly holds: readonly Hold[];
  /** Monotonic milliseconds: decide again then, even if nothing changed. */
  readonly recheckAtMs: number | undefined;
}

export const isGrant = (action: Action): action is Extract<Action, { kind: 'grantLease' }> =>
  action.kind === 'grantLease';

/**
 * Whether the action takes the Lease at its word: who is the active, under which term. Its own precondition says nothing
 * of the Lease, so one that is decided from an old Lease would be carried out, and bring back a former active.
 */
export function restsOnLease({ kind }: Action): boolean {
  switch (kind) {
    case 'grantLease':
    case 'stripRole':
    case 'labelActive':
    case 'flipService':
    case 'deletePod':
    // Whether an annotation is a request that was taken up already, or the same once more, the Lease alone tells.
    case 'recordSwitchover':
    case 'removeRequest':
    case 'requestRelease':
    case 'noteLease':
      return true;
    case 'createService':
    case 'createLease':
    case 'restoreLease':
    case 'tellMembers':
    case 'mendService':
    case 'createBudget':
    case 'mendBudget':
    case 'deleteBudget':
    case 'checkTemplate':
    case 'createPod':
    case 'mendLabels':
    case 'emitEvent':
    case 'writeStatus':
    case 'ensureAccess':
      return false;
    default:
      return kind satisfies never;
  }
}

/**
 * Whether it rests on what else than the Lease bears witness of the last grant, Service, labels and status: by these a Lease
 * is restored, and that there are none makes a grant the first one.
 */
export const restsOnWitnesses = (action: Action): boolean =>
  action.kind === 'restoreLease' || (isGrant(action) && action.move.kind === 'Initial');

/** A plan that is refused is refused so often at most, before it is known to be. */
const MAX_AT_ONCE = 8;

/**
 * The plan's order, as coarse as the protocol allows: the actions of one stage do not rest on each other and may be in
 * flight together; a stage begins when all of the one before it have landed.
 */
export function stagesOf(actions: readonly Action[]): readonly (readonly Action[])[] {
  const stages: Action[][] = [];
  for (const action of actions) {
    const stage = stages.at(-1);
    const [first] = stage ?? [];
    const joins = first !== undefined && stageOf(first) === stageOf(action);
    if (stage !== undefined && joins && stage.length < MAX_AT_ONCE) stage.push(action);
    else stages.push([action]);
  }
  return stages;
}

function stageOf({ kind }: Action): string {
  switch (kind) {
    // What is taken from the old active must have landed before the new one gets its label, not before it is granted.
    case 'stripRole':
    case 'grantLease':
      return 'take';
    case 'createService':
    case 'mendService':
    case 'createBudget':
    case 'mendBudget':
    case 'deleteBudget':
    case 'checkTemplate':
    case 'createPod':
    case 'deletePod':
    case 'mendLabels':
      return 'objects';
    // Before the pods that use it.
    case 'ensureAccess':
    case 'requestRelease':
    case 'noteLease':
    case 'createLease':
    case 'restoreLease':
    case 'tellMembers':
    case 'labelActive':
    case 'flipService':
    case 'recordSwitchover':
    case 'removeRequest':
    case 'emitEvent':
    case 'writeStatus':
      return kind;
    default:
      return kind satisfies never;
  }
}

/** Whether two plans would grant the same thing: the same term to the same pod, or nothing at all. */
export function sameGrant(a: Plan, b: Plan): boolean {
  const [grantA, grantB] = [a.actions.find(isGrant), b.actions.find(isGrant)];
  return grantA?.to.uid === grantB?.to.uid && grantA?.term === grantB?.term;
}

/** One line for people and logs: `stripRole db-0-x, grantLease term 4 to db-1-y, …`. */
export function describePlan(plan: Plan): string {
  const steps = plan.actions.map(describeAction).join(', ');
  const holds = plan.holds.map((hold) => `held by ${hold.name}: ${hold.message}`).join('; ');
  return [plan.reason, steps, holds].filter((part) => part !== '').join(' | ');
}

export function describeAction(action: Action): string {
  switch (action.kind) {
    case 'stripRole':
    case 'labelActive':
    case 'mendLabels':
    case 'createPod':
      return `${action.kind} ${action.pod}`;
    case 'deletePod':
      return `deletePod ${action.pod} (${action.why})`;
    case 'grantLease':
      return `grantLease term ${action.term} to ${action.to.pod}`;
    case 'createLease':
      return 'createLease term 0 holder nobody';
    case 'restoreLease':
      return `restoreLease term ${action.term} holder ${action.holder === '' ? 'nobody' : action.holder}`;
    case 'flipService':
      return `flipService to term ${action.term}`;
    case 'recordSwitchover':
      return `recordSwitchover ${action.switchover.state} ${action.switchover.request}`;
    case 'removeRequest':
    case 'ensureAccess':
    case 'noteLease':
    case 'tellMembers':
      return action.kind;
    case 'requestRelease':
      return `requestRelease of term ${action.release.term} for ${action.release.reason}`;
    case 'createService':
    case 'mendService':
      return `${action.kind} ${action.service}`;
    case 'createBudget':
    case 'mendBudget':
    case 'deleteBudget':
      return `${action.kind} ${action.budget}`;
    case 'checkTemplate':
      return `checkTemplate ${action.revision}`;
    case 'emitEvent':
      return `emitEvent ${action.event.reason}`;
    case 'writeStatus':
      return 'writeStatus';
    default:
      return action satisfies never;
  }
}
