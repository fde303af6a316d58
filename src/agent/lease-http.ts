/**
 * The Lease on the API server, over `node:https` alone: three requests, for a Kubernetes client would be most of the
 * agent's memory. No request lasts longer than its answer is worth.
 */
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lease } from '../api/objects.ts';
import { LeaseError } from './ports.ts';
import type { LeaseSource } from './ports.ts';

export interface LeaseHttpOptions {
  readonly host: string;
  readonly port: number;
  /** Of the service account: `token` and `ca.crt`. */
  readonly accountDir: string;
  readonly namespace: string;
  readonly name: string;
  /** For a whole answer to a read or a write. */
  readonly deadlineMs: number;
  /** The server ends a watch after this long, in whole seconds: what is silent for longer is dead. */
  readonly watchMs: number;
  readonly monotonicMs: () => number;
}

interface Call {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly body?: string;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Tokens are replaced in their file long before they expire. */
const TOKEN_FRESH_MS = 60_000;
/** Beyond the time that the server was asked to end a watch after. */
const WATCH_SLACK_MS = 5_000;
/** A Lease is about 1 KB; whatever is larger than this is none. */
const MAX_BYTES = 1_000_000;

export class LeaseHttp implements LeaseSource {
  readonly #options: LeaseHttpOptions;
  readonly #agent: Agent;
  readonly #path: string;
  readonly #list: string;
  #token: { readonly text: string; readonly readAtMs: number } | undefined;

  /** @param ca PEM */
  constructor(options: LeaseHttpOptions, ca: string) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, ca, maxCachedSessions: 4 });
    const { namespace, name } = options;
    this.#list = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
    this.#path = `${this.#list}/${encodeURIComponent(name)}`;
  }

  read(): Promise<Lease> {
    return this.#object({ method: 'GET', path: this.#path, deadlineMs: this.#options.deadlineMs });
  }

  replace(lease: Lease): Promise<Lease> {
    const body = JSON.stringify({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...lease });
    return this.#object({ method: 'PUT', path: this.#path, body, deadlineMs: this.#options.deadlineMs });
  }

  async watch(version: string, onLease: (lease: Lease | undefined) => void, signal: AbortSignal): Promise<void> {
    const { name, watchMs } = this.#options;
    const query = new URLSearchParams({
      watch: 'true',
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: version,
      timeoutSeconds: String(Math.ceil(watchMs / 1_000)),
    });
    const deadlineMs = watchMs + WATCH_SLACK_MS;
    await this.#send(
      { method: 'GET', path: `${this.#list}?${query.toString()}`, deadlineMs, signal },
      async (response) => {
        for await (const line of linesOf(response)) onLease(leaseIn(line));
      },
    );
  }

  close(): void {
    this.#agent.destroy();
  }

  #object(call: Call): Promise<Lease> {
    return this.#send(call, async (response) => parsed(await textOf(response)) as Lease);
  }

  /** `take` reads the whole answer; it is called for a success only. */
  async #send<T>(call: Call, take: (response: IncomingMessage) => Promise<T>): Promise<T> {
    const { host, port } = this.#options;
    const authorization = `Bearer ${this.#freshToken()}`;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const headers = {
      authorization,
      accept: 'application/json',
      'user-agent': 'singleton-agent/0.1.0',
      ...(call.body !== undefined && {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(call.body),
      }),
    };
    const fail = (error: unknown): void => reject(error instanceof LeaseError ? error : lost(error));
    const { signal, method, path } = call;
    const options = { host, port, method, path, headers, agent: this.#agent, ...(signal !== undefined && { signal }) };
    const sent = request(options, (response) => {
      const answered = isSuccess(response) ? take(response) : this.#refused(response);
      answered.then(resolve, fail);
    });
    // Whatever hangs, also in the middle of an answer: its connection is of no use any more.
    const timer = setTimeout(
      () => sent.destroy(new Error(`no whole answer in ${call.deadlineMs} ms`)),
      call.deadlineMs,
    );
    sent.on('error', fail);
    sent.end(call.body);
    return promise.finally(() => clearTimeout(timer));
  }

  async #refused(response: IncomingMessage): Promise<never> {
    const status = response.statusCode ?? 0;
    if (status === 401) this.#token = undefined;
    const text = await textOf(response);
    throw new LeaseError(status, `the API server answered ${status}: ${messageIn(text)}`);
  }

  /** Once a minute, from memory: the threads that would read it meanwhile take a megabyte. */
  #freshToken(): string {
    const nowMs = this.#options.monotonicMs();
    if (this.#token !== undefined && nowMs < this.#token.readAtMs + TOKEN_FRESH_MS) return this.#token.text;
    try {
      const text = readFileSync(join(this.#options.accountDir, 'token'), 'utf8').trim();
      this.#token = { text, readAtMs: nowMs };
      return text;
    } catch (error) {
      // While a mounted file is being replaced, the token before is still good.
      if (this.#token !== undefined) return this.#token.text;
      throw lost(error);
    }
  }
}

const lost = (error: unknown): LeaseError =>
  new LeaseError(undefined, error instanceof Error ? error.message : String(error), { cause: error });

const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300;

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    text += chunk as string;
    if (text.length > MAX_BYTES) throw new LeaseError(undefined, 'the answer is too long');
  }
  return text;
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_BYTES) throw new LeaseError(undefined, 'an event is too long');
    yield* lines.filter((line) => line !== '');
  }
}

/** Undefined: it was deleted. */
function leaseIn(line: string): Lease | undefined {
  const { type, object } = parsed(line) as {
    readonly type: string;
    readonly object: Lease & { readonly code?: number };
  };
  if (type === 'ERROR') throw new LeaseError(object.code, `the watch ended: ${messageIn(JSON.stringify(object))}`);
  return type === 'DELETED' ? undefined : object;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw lost(error);
  }
}

/** Of a `metav1.Status`, or the beginning of whatever else a proxy says. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Not JSON: as it is.
  }
  return text.slice(0, 200);
}
