/** What the suite reads of the cluster's objects. */
import type { Obj } from './api.ts';

export interface Pod extends Obj {
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly ready: boolean;
      readonly restartCount: number;
      readonly state?: { readonly terminated?: object; readonly running?: object };
    }[];
  };
}

export interface Lease extends Obj {
  readonly spec?: { readonly holderIdentity?: string; readonly leaseTransitions?: number };
}

export interface Service extends Obj {
  readonly spec: { readonly clusterIP?: string; readonly selector?: Readonly<Record<string, string>> };
}

export interface Slice extends Obj {
  readonly endpoints?: readonly {
    readonly conditions?: { readonly ready?: boolean };
    readonly targetRef?: { readonly uid?: string };
  }[];
}

export interface Singleton extends Obj {
  readonly status?: {
    readonly active?: { readonly pod: string; readonly node?: string; readonly term: number; readonly since?: string };
    readonly readyReplicas?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly lastMove?: { readonly kind: string; readonly reason?: string; readonly milliseconds?: number };
    readonly switchover?: { readonly outcome: string };
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

export interface NodeObject extends Obj {
  readonly spec: { readonly unschedulable?: boolean };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

export interface EventObject extends Obj {
  readonly involvedObject: { readonly name: string };
  readonly reason: string;
  readonly message?: string;
  readonly lastTimestamp?: string;
}

const isTrue = (conditions: readonly { type: string; status: string }[] | undefined, type: string): boolean =>
  conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;

export const isReady = (object: Pod | Singleton | NodeObject): boolean => isTrue(object.status?.conditions, 'Ready');

/** The annotation that asks for a move; it goes when that is taken up. */
export const SWITCHOVER = 'singleton-operator.io/switchover';

/** Somebody has asked for a move that is not over yet. */
export const isMoving = ({ metadata, status }: Singleton): boolean =>
  metadata.annotations?.[SWITCHOVER] !== undefined || status?.switchover?.outcome === 'Pending';

export const restarts = (pod: Pod): number =>
  (pod.status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);

export const readyUids = (slice: Slice): string[] =>
  (slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ targetRef }) => targetRef?.uid ?? []);
