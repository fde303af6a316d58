/**
 * A tiny client of the Kubernetes API for the test world. On purpose it shares nothing with the product's client: a
 * bug there must not hide itself by being in the tests as well.
 */
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseKubeconfig } from './credentials.ts';
import type { Connection } from './credentials.ts';

/** What this client knows of any object; read the rest as the type you expect. */
export interface ApiObject {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid: string;
    resourceVersion: string;
    deletionTimestamp?: string;
    deletionGracePeriodSeconds?: number;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
}

export interface ApiList<T> {
  metadata: { resourceVersion: string };
  items: T[];
}

export interface WatchEvent {
  readonly type: string;
  readonly object: ApiObject;
}

export type Query = Readonly<Record<string, string>>;
export type PatchType = 'merge' | 'strategic-merge' | 'json';

/** The server's answer that it did not do it. */
export class RestError extends Error {
  override readonly name = 'RestError';
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(`${status} ${reason}: ${message}`);
    this.status = status;
    this.reason = reason;
  }
}

export const hasStatus = (error: unknown, status: number): boolean =>
  error instanceof RestError && error.status === status;

export interface DeleteOptions {
  readonly uid?: string;
  readonly gracePeriodSeconds?: number;
}

/** Paths are those of the API: `/api/v1/namespaces/default/pods`. Every call rejects with `RestError` or Node's error. */
export interface RestClient {
  readonly connection: Connection;
  get<T = ApiObject>(path: string, query?: Query): Promise<T>;
  list<T = ApiObject>(path: string, query?: Query): Promise<ApiList<T>>;
  create<T = ApiObject>(path: string, body: object): Promise<T>;
  patch<T = ApiObject>(path: string, patch: object, type?: PatchType): Promise<T>;
  delete(path: string, options?: DeleteOptions): Promise<void>;
  /** One watch, from `query.resourceVersion`. Resolves when the server ends it. */
  watch(path: string, query: Query, onEvent: (event: WatchEvent) => void, signal?: AbortSignal): Promise<void>;
  /** Lists, then watches, for ever: `onList` has all there is, and comes again whenever events were missed. */
  follow<T extends ApiObject>(
    path: string,
    query: Query,
    handler: { onList(items: T[]): void; onEvent(type: string, object: T): void },
    signal: AbortSignal,
  ): Promise<void>;
  /** Closes the kept connections. */
  close(): void;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: object | undefined;
  readonly contentType?: string;
  readonly agent: Agent;
  readonly signal: AbortSignal | undefined;
}

const CALL_TIMEOUT_MS = 30_000;

function open(connection: Connection, call: Call): Promise<IncomingMessage> {
  const payload = call.body === undefined ? undefined : JSON.stringify(call.body);
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      new URL(call.path, connection.server),
      {
        method: call.method,
        agent: call.agent,
        ca: connection.ca,
        ...(call.signal === undefined ? {} : { signal: call.signal }),
        headers: {
          authorization: `Bearer ${connection.token}`,
          accept: 'application/json',
          'user-agent': 'control-plane-test',
          ...(payload === undefined
            ? {}
            : { 'content-type': call.contentType ?? 'application/json', 'content-length': Buffer.byteLength(payload) }),
        },
      },
      resolve,
    );
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}

async function answerOf(response: IncomingMessage): Promise<unknown> {
  const text = await textOf(response);
  const status = response.statusCode ?? 0;
  const isJson = response.headers['content-type']?.startsWith('application/json') === true;
  if (status >= 200 && status < 300) return isJson ? JSON.parse(text) : text;
  const { reason = 'Unknown', message = text } = isJson
    ? (JSON.parse(text) as { reason?: string; message?: string })
    : {};
  throw new RestError(status, reason, message);
}

const withQuery = (path: string, query: Query = {}): string => {
  const search = new URLSearchParams(query).toString();
  return search === '' ? path : `${path}?${search}`;
};

async function watchOnce(connection: Connection, call: Call, onEvent: (event: WatchEvent) => void): Promise<void> {
  const response = await open(connection, call);
  if (response.statusCode !== 200) return void (await answerOf(response));
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as WatchEvent;
      if (event.type === 'ERROR') {
        const { code, reason, message } = event.object as unknown as { code: number; reason: string; message: string };
        throw new RestError(code, reason, message);
      }
      onEvent(event);
    }
  }
}

/** More calls in flight make an API server on two cores no faster. */
export const MAX_CONNECTIONS = 32;

/** A client for one user, whose calls share up to `MAX_CONNECTIONS` kept connections. */
export function restClient(connection: Connection): RestClient {
  const calls = new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS });
  const watches = new Agent({ keepAlive: false });
  const call = async (method: string, path: string, body?: object, contentType?: string): Promise<unknown> => {
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const options = contentType === undefined ? {} : { contentType };
    return answerOf(await open(connection, { method, path, body, agent: calls, signal, ...options }));
  };
  const client: RestClient = {
    connection,
    get: async <T>(path: string, query?: Query) => (await call('GET', withQuery(path, query))) as T,
    list: async <T>(path: string, query?: Query) => (await call('GET', withQuery(path, query))) as ApiList<T>,
    create: async <T>(path: string, body: object) => (await call('POST', path, body)) as T,
    patch: async <T>(path: string, patch: object, type: PatchType = 'merge') =>
      (await call('PATCH', path, patch, `application/${type}-patch+json`)) as T,
    async delete(path, { uid, gracePeriodSeconds } = {}) {
      const body = {
        ...(uid === undefined ? {} : { preconditions: { uid } }),
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      };
      await call('DELETE', path, body);
    },
    watch: (path, query, onEvent, signal) =>
      watchOnce(
        connection,
        { method: 'GET', path: withQuery(path, { ...query, watch: '1' }), agent: watches, signal },
        onEvent,
      ),
    follow: (path, query, handler, signal) => follow(client, path, query, handler, signal),
    close() {
      calls.destroy();
      watches.destroy();
    },
  };
  return client;
}

/** @param path of a kubeconfig that a control plane of this folder wrote */
export const restClientFromKubeconfig = (path: string): RestClient =>
  restClient(parseKubeconfig(readFileSync(path, 'utf8')));

const FOLLOW_RETRY_MS = 200;

async function follow<T extends ApiObject>(
  client: RestClient,
  path: string,
  query: Query,
  handler: { onList(items: T[]): void; onEvent(type: string, object: T): void },
  signal: AbortSignal,
): Promise<void> {
  let resourceVersion: string | undefined;
  while (!signal.aborted) {
    try {
      if (resourceVersion === undefined) {
        const list = await client.list<T>(path, query);
        resourceVersion = list.metadata.resourceVersion;
        handler.onList(list.items);
      }
      const from: Query = { ...query, resourceVersion, allowWatchBookmarks: 'true', timeoutSeconds: '300' };
      const onEvent = ({ type, object }: WatchEvent) => {
        resourceVersion = object.metadata.resourceVersion;
        if (type !== 'BOOKMARK') handler.onEvent(type, object as T);
      };
      await client.watch(path, from, onEvent, signal);
    } catch (error) {
      // Cut and refused connections have a code; what has none is a mistake in a handler.
      if (!(error instanceof RestError) && (error as { code?: unknown }).code === undefined) throw error;
      // After a cut the watch goes on from where it was; only the server can say that this is no longer possible.
      if (error instanceof RestError) resourceVersion = undefined;
      await sleep(FOLLOW_RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}
