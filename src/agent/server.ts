/**
 * The agent's own HTTP interface. `/v1/…` is for the workload, over loopback only; the probes are for the kubelet, which
 * comes from outside the pod's network.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { StateText } from './state.ts';
import type { Watchers } from './watchers.ts';

export interface ServerOptions {
  /** 0: any. */
  readonly port: number;
  readonly state: () => StateText;
  readonly watchers: Watchers;
  /** Whether the kubelet may leave this container running. */
  readonly probe: (container: string) => boolean;
  /** The same for whoever else asks, who changes nothing by asking. */
  readonly isStopping: () => boolean;
}

export interface AgentServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects when the port is taken. */
export async function serveAgent(options: ServerOptions): Promise<AgentServer> {
  const server = createServer((incoming, response) => answer(options, incoming, response));
  // Those who watch stay for as long as they live.
  server.requestTimeout = 0;
  await listen(server, options.port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () => closeServer(server),
  };
}

/** With all who are connected. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Rejects when the port is taken. */
export function listen(server: Server, port: number, host?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && host !== '' && { host }) }, resolve);
  });
}

function answer(options: ServerOptions, incoming: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://agent');
  const [, area, what, rest] = pathname.split('/');
  const route = `${incoming.method} /${area}${what === undefined ? '' : `/${what}`}`;
  if (area === 'v1' && !isLocal(incoming)) return send(response, 403, { error: 'only from within the pod' });
  switch (route) {
    case 'GET /livez':
      return send(response, 200, { ok: true });
    case 'GET /probe/liveness':
      return probe(options, incoming, response, rest ?? searchParams.get('container') ?? '');
    case 'GET /v1/state':
      return send(response, 200, options.state());
    case 'GET /v1/watch':
      return options.watchers.add(response, searchParams.get('workload') ?? undefined);
    case 'POST /v1/stopped': {
      const [term, sequence] = ['term', 'sequence'].map((name) => Number(searchParams.get(name) ?? NaN));
      if (!isCount(term) || !isCount(sequence))
        return send(response, 400, { error: 'by which state? ?term=<its term>&sequence=<its sequence>' });
      options.watchers.acknowledge(term, sequence, searchParams.get('workload') ?? undefined);
      return send(response, 200, options.state());
    }
    default:
      return send(response, 404, { error: 'not found' });
  }
}

function probe(options: ServerOptions, incoming: IncomingMessage, response: ServerResponse, container: string): void {
  // A kubelet that asks again has restarted the container. Others may ask as often as they like.
  const isKubelet = incoming.headers['user-agent']?.startsWith('kube-probe/') === true;
  const isHealthy = isKubelet ? options.probe(container) : !options.isStopping();
  send(response, isHealthy ? 200 : 503, { healthy: isHealthy });
}

const isCount = (value: number | undefined): value is number => Number.isSafeInteger(value);

const isLocal = ({ socket }: IncomingMessage): boolean => /^(127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? '');

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}
