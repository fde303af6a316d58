/**
 * What the operator needs of the outside world. Everything that touches a network, a clock or chance comes in through
 * one of these, so that the simulator can stand in for it.
 */
import type { KubeObject } from '../api/objects.ts';

/** A kind of object as the API server addresses it. `group` is empty for the core group. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ObjectRef {
  readonly namespace?: string;
  readonly name: string;
}

export interface CallOptions {
  /** The whole call, from the first byte sent (connecting included) to the last received. Default: the adapter's. */
  readonly deadlineMs?: number;
  /** Ends the call at once. A write that was cut may have landed all the same. */
  readonly signal?: AbortSignal;
}

export interface ListQuery {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Page size. */
  readonly limit?: number;
  readonly continueToken?: string;
}

export interface ListPage<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  /** Present when there are more pages. */
  readonly continueToken?: string;
}

export interface WatchQuery extends Omit<ListQuery, 'limit' | 'continueToken'> {
  readonly resourceVersion: string;
  /** The server ends the watch after this long. */
  readonly timeoutSeconds: number;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface DeleteOptions extends CallOptions {
  /** The object is deleted only if it still is the one meant. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
}

/**
 * The Kubernetes API, one method for each request.
 *
 * Every method rejects with `ApiError` when the server answered with a failure and with `TransportError` when no whole
 * answer came. After a `TransportError` of a write nobody knows whether it landed.
 */
export interface KubernetesApi {
  get<T extends KubeObject>(type: ResourceType, ref: ObjectRef, options?: CallOptions): Promise<T>;
  list<T extends KubeObject>(type: ResourceType, query: ListQuery, options?: CallOptions): Promise<ListPage<T>>;
  /**
   * Calls `onEvent` for every event, bookmarks included. Resolves when the server ended the watch in good order; rejects
   * with `ApiError` (an ERROR event included: 410 is `Expired`) or `TransportError` (cut, silent for too long).
   */
  watch<T extends KubeObject>(
    type: ResourceType,
    query: WatchQuery,
    onEvent: (event: WatchEvent<T>) => void,
    options?: { readonly signal?: AbortSignal },
  ): Promise<void>;
  create<T extends KubeObject>(
    type: ResourceType,
    namespace: string,
    body: object,
    options?: CallOptions & { readonly dryRun?: boolean },
  ): Promise<T>;
  /**
   * JSON merge patch (RFC 7386): null removes a key, lists are replaced. `metadata.uid` and `metadata.resourceVersion`
   * in the patch are preconditions: the server answers 409 when they do not match.
   */
  mergePatch<T extends KubeObject>(
    type: ResourceType,
    ref: ObjectRef,
    patch: object,
    options?: CallOptions & { readonly subresource?: 'status' },
  ): Promise<T>;
  delete(type: ResourceType, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
  /** Any other GET, for discovery: `/apis/discovery.k8s.io`. */
  getPath<T>(path: string, options?: CallOptions): Promise<T>;
}

/** The server's own answer that it will not do it. `reason` and `message` are the server's (`metav1.Status`). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  /** From Retry-After (header or `details.retryAfterSeconds`). */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

export type TransportFailure = 'connect' | 'tls' | 'cut' | 'deadline' | 'aborted' | 'malformed';

/** No whole answer. `failure` says how far it came; a write that ended in `cut` or `deadline` may have landed. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly failure: TransportFailure;

  constructor(failure: TransportFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.failure = failure;
  }
}

export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.reason === 'Conflict';
export const isAlreadyExists = (error: unknown): boolean =>
  error instanceof ApiError && error.reason === 'AlreadyExists';
export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.status === 404;
/** The list or watch started from a version that the server no longer has. */
export const isExpired = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');

/** `monotonicMs` for every decision about time passed; `wallMs` (since 1970) only to show people and to write into objects. */
export interface Clock {
  monotonicMs(): number;
  wallMs(): number;
  /** Runs `action` once, not earlier than after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
}

/** Uniform in [0, 1). */
export type Random = () => number;

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** Fields that cost something to make are given as a function, which is called only when the line is written. */
  debug(message: string, fields?: LogFields | (() => LogFields)): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
