/** Two small HTTP servers: Prometheus metrics and health probes. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Routes = Readonly<Record<string, () => Promise<Answer> | Answer>>;

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `:8080` is all interfaces, `127.0.0.1:0` a free port on one, `[::1]:8080` an IPv6 one. */
export function parseAddress(text: string): { host: string | undefined; port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  const host = match[1] ?? match[2];
  return { host: host === '' ? undefined : host, port };
}

/** Rejects with a sentence that names the address when it can't be listened on. */
export async function serveHttp(
  address: { host: string | undefined; port: number },
  routes: Routes,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const route = routes[(request.url ?? '/').split('?')[0] ?? '/'];
    const answer = route === undefined ? { status: 404, body: 'not found\n' } : route();
    void Promise.resolve(answer)
      .catch((error: unknown) => ({ status: 500, body: `${String(error)}\n` }))
      .then(({ status, body, ...rest }: Answer) => {
        response.writeHead(status, { 'content-type': rest.contentType ?? 'text/plain; charset=utf-8' });
        response.end(body);
      });
  });
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, { host, port }: { host: string | undefined; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new Error(`cannot listen on ${host ?? ''}:${port}: ${error.message}`, { cause: error }));
    });
    server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  });
}
