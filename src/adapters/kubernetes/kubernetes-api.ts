/** The KubernetesApi port over the wire. */
import type { KubeObject } from '../../api/objects.ts';
import {
  ApiError,
  TransportError,
  type CallOptions,
  type DeleteOptions,
  type KubernetesApi,
  type ListPage,
  type ResourceType,
  type WatchEvent,
  type WatchQuery,
} from '../ports.ts';
import { responseError } from './api-error.ts';
import type { TransportRequest } from './connection.ts';
import { createPath, listPath, objectPath, watchPath } from './paths.ts';
import { apiVersionOf } from './resources.ts';
import { TokenBucket } from './token-bucket.ts';
import { createTransport, type Transport, type TransportOptions, type TransportResponse } from './transport.ts';
import { LineSplitter, parseWatchEvent } from './watch-stream.ts';

export interface RequestRecord {
  /** As Kubernetes names it: get, list, watch, create, patch, delete. */
  readonly verb: string;
  /** `pods`, `leases`; `pods/status` for a subresource; the path for `getPath`. */
  readonly resource: string;
  /** The HTTP status, or how the transport failed: `deadline`, `cut` … */
  readonly code: number | string;
  /** From the call to its last byte, waiting and retries included; for a watch its whole life. */
  readonly durationMs: number;
}

export interface KubernetesApiOptions extends TransportOptions {
  /** For each call that names none; default 10 s. */
  readonly deadlineMs?: number;
  /** `singleton-operator/<version>` */
  readonly userAgent?: string;
  /** `--kube-api-qps`: at most so many requests a second, with bursts of twice as many. Absent: no limit. */
  readonly qps?: number;
  /** After each call, for metrics. */
  readonly onRequest?: (record: RequestRecord) => void;
  /**
   * Over HTTP/1.1 a watch without a byte for so long is cut: there is no ping to tell quiet from dead. Servers send a
   * bookmark about once a minute, though older ones none before the first event. Default 150 s.
   */
  readonly watchSilenceMs?: number;
}

export interface ClosableKubernetesApi extends KubernetesApi {
  /** Final; what is in flight fails as 'aborted'. */
  close(): void;
}

const DEFAULT_DEADLINE_MS = 10_000;
const DEFAULT_WATCH_SILENCE_MS = 150_000;
/** How much later than it promised the server may end a watch. */
const WATCH_END_SLACK_MS = 15_000;
/** Retries of a read that the server put off; its deadline ends them in any case. */
const MAX_READ_RETRIES = 5;

export function createKubernetesApi(options: KubernetesApiOptions): ClosableKubernetesApi {
  const client = new Client(options);
  return {
    get: async (type, ref, call) => await client.json('get', type.plural, get(objectPath(type, ref)), call),
    async list<T extends KubeObject>(
      type: ResourceType,
      query: Parameters<KubernetesApi['list']>[1],
      call?: CallOptions,
    ) {
      return listPage<T>(type, await client.json<RawList<T>>('list', type.plural, get(listPath(type, query)), call));
    },
    watch: (type, query, onEvent, call) => client.watch(type, query, onEvent, call?.signal),
    create: (type, namespace, body, call) =>
      client.json(
        'create',
        type.plural,
        withBody('POST', createPath(type, namespace, call?.dryRun === true), 'application/json', body),
        call,
      ),
    async mergePatch(type, ref, patch, call) {
      const path = objectPath(type, ref, call?.subresource);
      const resource = call?.subresource === undefined ? type.plural : `${type.plural}/${call.subresource}`;
      try {
        return await client.json(
          'patch',
          resource,
          withBody('PATCH', path, 'application/merge-patch+json', patch),
          call,
        );
      } catch (error) {
        throw uidConflict(error) ?? error;
      }
    },
    async delete(type, ref, call = {}) {
      await client.json(
        'delete',
        type.plural,
        withBody('DELETE', objectPath(type, ref), 'application/json', deleteBody(call)),
        call,
      );
    },
    getPath: (path, call) => client.json('get', path, get(path), call),
    close: () => client.close(),
  };
}

// --- requests ---------------------------------------------------------------------------------------------------------

const get = (path: string): TransportRequest => ({ method: 'GET', path, headers: {} });

const withBody = (
  method: 'POST' | 'PATCH' | 'DELETE',
  path: string,
  contentType: string,
  body: object,
): TransportRequest => ({
  method,
  path,
  headers: { 'content-type': contentType },
  body: JSON.stringify(body),
});

function deleteBody(options: DeleteOptions): object {
  const preconditions = {
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
  };
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    ...(options.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: options.gracePeriodSeconds }),
  };
}

/**
 * Another `metadata.resourceVersion` in a patch is answered 409, but another `metadata.uid` 422, "field is immutable" (the
 * server compares it while validating). The port promises 409 for both.
 */
function uidConflict(error: unknown): ApiError | undefined {
  const isUid =
    error instanceof ApiError && error.status === 422 && error.message.includes('metadata.uid: Invalid value');
  return isUid ? new ApiError(409, 'Conflict', error.message) : undefined;
}

interface RawList<T> {
  readonly items?: T[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/** The items of a list carry neither kind nor apiVersion; those of a watch do. Here they all do. */
function listPage<T extends KubeObject>(type: ResourceType, list: RawList<T>): ListPage<T> {
  const resourceVersion = list.metadata?.resourceVersion;
  if (resourceVersion === undefined)
    throw new TransportError('malformed', `the list of ${type.plural} has no resourceVersion`);
  const named = { apiVersion: apiVersionOf(type), kind: type.kind };
  const items = (list.items ?? []).map((item) => (item.kind === undefined ? { ...named, ...item } : item));
  const continueToken = list.metadata?.continue;
  return { items, resourceVersion, ...(continueToken === undefined || continueToken === '' ? {} : { continueToken }) };
}

// --- the client -------------------------------------------------------------------------------------------------------

class Client {
  readonly #options: KubernetesApiOptions;
  readonly #transport: Transport;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #bucket: TokenBucket | undefined;

  constructor(options: KubernetesApiOptions) {
    this.#options = options;
    this.#transport = createTransport(options);
    this.#headers = { accept: 'application/json', 'user-agent': options.userAgent ?? 'singleton-operator' };
    const { qps } = options;
    this.#bucket = qps === undefined ? undefined : new TokenBucket(qps, Math.max(1, qps * 2), () => performance.now());
  }

  close(): void {
    this.#transport.close();
  }

  /** @throws ApiError, TransportError */
  async json<T>(verb: string, resource: string, request: TransportRequest, call: CallOptions = {}): Promise<T> {
    return await this.#recorded(verb, resource, async (onStatus) => {
      const endsAtMs = performance.now() + (call.deadlineMs ?? this.#options.deadlineMs ?? DEFAULT_DEADLINE_MS);
      for (let retries = 0; ; retries += 1) {
        const response = await this.#once(request, endsAtMs, call.signal);
        onStatus(response.status);
        if (response.status >= 200 && response.status < 300) return parseBody(response, request) as T;
        const error = responseError(response, `${request.method} ${request.path}`, Date.now());
        const pauseMs = request.method === 'GET' && retries < MAX_READ_RETRIES ? pauseBeforeRetry(error) : undefined;
        if (pauseMs === undefined || performance.now() + pauseMs >= endsAtMs) throw error;
        await pause(pauseMs, call.signal);
      }
    });
  }

  /** Resolves when the server ended the watch in good order. @throws ApiError, TransportError */
  async watch<T extends KubeObject>(
    type: ResourceType,
    query: WatchQuery,
    onEvent: (event: WatchEvent<T>) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const request = { ...get(watchPath(type, query)), headers: this.#headers };
    const headDeadlineMs = this.#options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const lines = new LineSplitter((line) => onEvent(parseWatchEvent<T>(line)));
    await this.#recorded('watch', type.plural, async (onStatus) => {
      await this.#throttle(performance.now() + headDeadlineMs, signal);
      const limits = {
        headDeadlineMs,
        bodyDeadlineMs: query.timeoutSeconds * 1000 + WATCH_END_SLACK_MS,
        silenceMs: this.#options.watchSilenceMs ?? DEFAULT_WATCH_SILENCE_MS,
        signal,
      };
      const response = await this.#transport.stream(request, limits, (chunk) => lines.push(chunk));
      onStatus(response.status);
      if (response.status !== 200) throw responseError(response, `watch ${request.path}`, Date.now());
      if (lines.pending) throw new TransportError('cut', `the watch of ${type.plural} ended in the middle of an event`);
    });
  }

  async #once(
    request: TransportRequest,
    endsAtMs: number,
    signal: AbortSignal | undefined,
  ): Promise<TransportResponse> {
    await this.#throttle(endsAtMs, signal);
    const headers = { ...this.#headers, ...request.headers };
    const deadlineMs = Math.max(0, endsAtMs - performance.now());
    return await this.#transport.call({ ...request, headers }, { deadlineMs, signal });
  }

  /** Waits for its turn, or fails at once when that comes after the deadline. */
  async #throttle(endsAtMs: number, signal: AbortSignal | undefined): Promise<void> {
    const waitMs = this.#bucket?.reserve() ?? 0;
    if (waitMs === 0) return;
    if (performance.now() + waitMs >= endsAtMs) {
      this.#bucket?.giveBack();
      throw new TransportError(
        'deadline',
        'the limit of requests a second (--kube-api-qps) left no room before the deadline',
      );
    }
    await pause(waitMs, signal);
  }

  async #recorded<T>(
    verb: string,
    resource: string,
    work: (onStatus: (status: number) => void) => Promise<T>,
  ): Promise<T> {
    const startMs = performance.now();
    let code: number | string = 'error';
    try {
      return await work((status) => {
        code = status;
      });
    } catch (error) {
      if (error instanceof TransportError) code = error.failure;
      else if (error instanceof ApiError) code = error.status;
      throw error;
    } finally {
      this.#options.onRequest?.({ verb, resource, code, durationMs: performance.now() - startMs });
    }
  }
}

/** 429, and 503 that names a time: the server asks to come again. */
function pauseBeforeRetry(error: ApiError): number | undefined {
  if (error.status === 429) return error.retryAfterMs ?? 1_000;
  return error.status === 503 ? error.retryAfterMs : undefined;
}

function parseBody(response: TransportResponse, request: TransportRequest): unknown {
  try {
    return JSON.parse(response.body.toString('utf8'));
  } catch (error) {
    const what = `${request.method} ${request.path} was answered ${response.status} with a body that is not JSON`;
    throw new TransportError('malformed', what, { cause: error });
  }
}

function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(new TransportError('aborted', 'aborted while waiting for its turn', { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, delayMs);
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}
