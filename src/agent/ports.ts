/** What the agent needs of the outside world, so that a simulator can stand in for it. */
import type { Lease } from '../api/objects.ts';
import type { Refusal } from '../core/fence-hold.ts';
import type { Hook, Remembered } from '../core/fence-types.ts';
import type { Peer } from '../core/hold-set.ts';

/** The one Lease on the API server. Every method rejects with `LeaseError`. */
export interface LeaseSource {
  read(): Promise<Lease>;
  /** On condition of its resourceVersion. */
  replace(lease: Lease): Promise<Lease>;
  /** Tells every state after `resourceVersion`, undefined when it was deleted; resolves when the server ended it in good order. */
  watch(resourceVersion: string, onLease: (lease: Lease | undefined) => void, signal: AbortSignal): Promise<void>;
}

/** `status` is the server's; undefined: no whole answer came, and a write may have landed. */
export class LeaseError extends Error {
  override readonly name = 'LeaseError';
  readonly status: number | undefined;

  constructor(status: number | undefined, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

export interface HookCall {
  readonly hook: Hook;
  readonly term: number;
  /** Grows with every call, also over restarts of the agent: a call that overtook a later one is to be ignored. */
  readonly sequence: number;
}

/** The workload, and those who watch its state. */
export interface WorkloadPort {
  /** @returns false when it could not be written down: what rests on its being remembered must not be done */
  publish(told: Remembered): boolean;
  /** Resolves when it was answered with success; rejects otherwise. */
  callHook(call: HookCall, signal: AbortSignal): Promise<void>;
  kill(): void;
}

/** What the active asks of another member, `onApiLoss: Hold`. */
export interface Question {
  /** The asker's identity in the Lease. */
  readonly holder: string;
  readonly term: number;
  /** So long the promise has to last at least. */
  readonly forMs: number;
}

export interface PeerPort {
  /** Resolves with the proven answer of that very pod: undefined is its promise. Rejects when there is none. */
  ask(peer: Peer, question: Question): Promise<NoPromise | undefined>;
}

/** `Unwritten`: it could not be written down. */
export type NoPromise = Refusal | 'Unwritten';
