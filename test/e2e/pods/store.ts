/**
 * A store for tests, outside the cluster: takes every write, and stamps it with its one clock as it comes.
 *
 *   POST /write?singleton=…&pod=…&term=…   409 for a term below the highest that it has seen: the term is a fencing token.
 *                                          Answers with the milliseconds that the writer is to wait
 *   POST /pace?everyMs=…                   sets these
 *   GET /record                            who wrote, one after another, by singleton
 */
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';

const PORT = 8080;

/** Writes of one pod under one term with none of anybody else's in between. Times in ms since 1970. */
interface Reign {
  readonly pod: string;
  readonly term: number;
  readonly firstMs: number;
  lastMs: number;
  /** The longest time between two of them. */
  gapMs: number;
  writes: number;
  refused: number;
}

const reigns = new Map<string, Reign[]>();
const highest = new Map<string, number>();

function write(singleton: string, pod: string, term: number): boolean {
  const atMs = performance.timeOrigin + performance.now();
  const isRefused = term < (highest.get(singleton) ?? 0);
  if (!isRefused) highest.set(singleton, term);
  const list = reigns.get(singleton) ?? [];
  reigns.set(singleton, list);
  let last = list.at(-1);
  if (last?.pod !== pod || last.term !== term) {
    last = { pod, term, firstMs: atMs, lastMs: atMs, gapMs: 0, writes: 0, refused: 0 };
    list.push(last);
  }
  last.gapMs = Math.max(last.gapMs, atMs - last.lastMs);
  last.lastMs = atMs;
  last.writes += 1;
  if (isRefused) last.refused += 1;
  return !isRefused;
}

let everyMs = '5';

function answer(response: ServerResponse, status: number, body = ''): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

const server = createServer((request, response) => {
  request.resume();
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://store');
  const of = (name: string): string => searchParams.get(name) ?? '';
  switch (pathname) {
    case '/write':
      return answer(response, write(of('singleton'), of('pod'), Number(of('term'))) ? 200 : 409, everyMs);
    case '/pace':
      everyMs = of('everyMs');
      return answer(response, 200);
    case '/record':
      return answer(response, 200, JSON.stringify(Object.fromEntries(reigns)));
    default:
      return answer(response, pathname === '/' ? 200 : 404);
  }
});
server.keepAliveTimeout = 120_000;
server.listen(PORT);
process.once('SIGTERM', () => process.exit(0));
