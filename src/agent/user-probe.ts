/**
 * The liveness probe that the user gave a container, asked by the agent in the kubelet's place: the container's own probe
 * is the agent now. Its answers count as the kubelet would count them.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';

/** As in a pod's spec, with ports as numbers. */
export interface UserProbeSpec {
  readonly httpGet?: {
    readonly port: number;
    readonly path?: string;
    readonly scheme?: 'HTTP' | 'HTTPS';
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number };
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly failureThreshold?: number;
}

const DEFAULTS = { initialDelaySeconds: 0, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };
const LOOPBACK = '127.0.0.1';

export class UserProbe {
  readonly #spec: UserProbeSpec & typeof DEFAULTS;
  readonly #monotonicMs: () => number;
  #failures = 0;
  #dueAtMs: number | undefined;
  #isAsking = false;

  constructor(spec: UserProbeSpec, monotonicMs: () => number) {
    this.#spec = { ...DEFAULTS, ...spec };
    this.#monotonicMs = monotonicMs;
  }

  /** How it stands now. Asks again when it is time to, and does not wait for the answer. */
  get isHealthy(): boolean {
    const nowMs = this.#monotonicMs();
    const { initialDelaySeconds, failureThreshold } = this.#spec;
    this.#dueAtMs ??= nowMs + initialDelaySeconds * 1_000;
    if (nowMs >= this.#dueAtMs && !this.#isAsking) void this.#askNow(nowMs);
    if (this.#failures < failureThreshold) return true;
    // The kubelet probes again only what it has restarted.
    this.#failures = 0;
    this.#dueAtMs = undefined;
    return false;
  }

  async #askNow(nowMs: number): Promise<void> {
    this.#isAsking = true;
    this.#dueAtMs = nowMs + this.#spec.periodSeconds * 1_000;
    const isAlive = await ask(this.#spec, this.#spec.timeoutSeconds * 1_000).catch(() => false);
    this.#failures = isAlive ? 0 : this.#failures + 1;
    this.#isAsking = false;
  }
}

/** @throws (rejects) when there is no answer */
export function ask({ httpGet, tcpSocket }: UserProbeSpec, timeoutMs: number): Promise<boolean> {
  if (httpGet !== undefined) return askHttp(httpGet, timeoutMs);
  return tcpSocket === undefined ? Promise.resolve(true) : askTcp(tcpSocket.port, timeoutMs);
}

function askHttp(probe: NonNullable<UserProbeSpec['httpGet']>, timeoutMs: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const { port, path = '/', scheme = 'HTTP', httpHeaders = [] } = probe;
  const headers = Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value]));
  const send = scheme === 'HTTPS' ? httpsRequest : httpRequest;
  // As the kubelet: a certificate proves nothing about being alive.
  const options = { host: LOOPBACK, port, path, headers, rejectUnauthorized: false, agent: false as const };
  const sent = send(options, (response) => {
    response.resume();
    const { statusCode = 0 } = response;
    resolve(statusCode >= 200 && statusCode < 400);
  });
  const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), timeoutMs);
  sent.on('error', reject);
  sent.end();
  return promise.finally(() => clearTimeout(timer));
}

function askTcp(port: number, timeoutMs: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect({ host: LOOPBACK, port }, () => resolve(true));
  const timer = setTimeout(() => reject(new Error('no answer in time')), timeoutMs);
  socket.on('error', reject);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}
