/**
 * A client for tests, run in a pod: sends requests all the time, on a new connection each and on connections that it
 * keeps, and records every answer.
 *
 *   /start?host=…&port=…&everyMs=…&kept=…&keptEveryMs=…&timeoutMs=…   begins with an empty record
 *   /stop                                                             ends, and answers with the record
 */
import { Agent, createServer, get } from 'node:http';
import { connect } from 'node:net';

const PORT = 8080;
/** So that a client that nobody stops ends, and its memory with it. */
const MAX_MS = 10 * 60_000;
const MAX_REQUESTS = 400_000;
const MAX_IN_FLIGHT = 2_000;

interface Target {
  readonly host: string;
  readonly port: number;
  readonly everyMs: number;
  readonly kept: number;
  readonly keptEveryMs: number;
  readonly timeoutMs: number;
}

/** Columns: when it was sent and how long it took (ms), and an index into `pods`, or -1 - an index into `errors`. */
interface Column {
  readonly sentMs: number[];
  readonly tookMs: number[];
  readonly answer: number[];
}

class Run {
  readonly startedWallMs = performance.timeOrigin + performance.now();
  readonly fresh: Column = { sentMs: [], tookMs: [], answer: [] };
  readonly kept: Column = { sentMs: [], tookMs: [], answer: [] };
  readonly pods: string[] = [];
  readonly errors: string[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #agents: Agent[] = [];
  readonly #startMs = performance.now();
  #inFlight = 0;

  constructor(target: Target) {
    this.#timers.push(setInterval(() => this.#once(this.fresh, (done) => askAnew(target, done)), target.everyMs));
    for (let index = 0; index < target.kept; index++) {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      this.#agents.push(agent);
      let isWaiting = false;
      const ask = (done: Done): void => {
        isWaiting = true;
        askOn(agent, target, (error, uid) => {
          isWaiting = false;
          done(error, uid);
        });
      };
      const timer = setInterval(() => !isWaiting && this.#once(this.kept, ask), target.keptEveryMs);
      this.#timers.push(timer);
    }
    this.#timers.push(setTimeout(() => this.stop(), MAX_MS));
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const agent of this.#agents) agent.destroy();
  }

  #once(column: Column, ask: (done: Done) => void): void {
    if (this.#inFlight >= MAX_IN_FLIGHT || column.sentMs.length >= MAX_REQUESTS) return;
    const sentMs = performance.now();
    this.#inFlight += 1;
    ask((error, uid) => {
      this.#inFlight -= 1;
      column.sentMs.push(tenths(sentMs - this.#startMs));
      column.tookMs.push(tenths(performance.now() - sentMs));
      column.answer.push(error === undefined ? indexIn(this.pods, uid) : -1 - indexIn(this.errors, error));
    });
  }
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;

function indexIn(list: string[], text: string): number {
  const index = list.indexOf(text);
  return index >= 0 ? index : list.push(text) - 1;
}

type Done = (error: string | undefined, uid: string) => void;

/** Called as often as things go wrong, tells the first only. */
function once(done: Done): Done {
  let isDone = false;
  return (error, uid) => {
    if (isDone) return;
    isDone = true;
    done(error, uid);
  };
}

const uidIn = (text: string): string => /"uid":"([^"]+)"/.exec(text)?.[1] ?? '';

/**
 * Each connection from another port, none of them again for minutes. The kernel would soon take one again at random, and
 * then the node's connection tracking may still lead it to where the last one from that port went: a pod that is gone.
 */
const FIRST_PORT = 10_000;
const LAST_PORT = 65_000;
let nextPort = FIRST_PORT;

function takePort(): number {
  nextPort = nextPort >= LAST_PORT ? FIRST_PORT : nextPort + 1;
  return nextPort;
}

/** HTTP/1.0: the server closes, so the ports that wait for stray packets are on its side. */
function askAnew(target: Target, tell: Done): void {
  const { host, port, timeoutMs } = target;
  const socket = connect({ host, port, noDelay: true, localPort: takePort() });
  const timer = setTimeout(() => end('timeout'), timeoutMs);
  const done = once(tell);
  const end = (error: string | undefined, uid = ''): void => {
    clearTimeout(timer);
    socket.destroy();
    done(error, uid);
  };
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => (text += chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') return end(error.code ?? error.message);
    // Somebody else in the pod has that port.
    clearTimeout(timer);
    return askAnew(target, done);
  });
  socket.on('end', () => (uidIn(text) === '' ? end('no answer') : end(undefined, uidIn(text))));
  socket.write('GET / HTTP/1.0\r\n\r\n');
}

function askOn(agent: Agent, { host, port, timeoutMs }: Target, tell: Done): void {
  const done = once(tell);
  const request = get({ host, port, agent, timeout: timeoutMs }, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => (text += chunk));
    response.on('end', () => (uidIn(text) === '' ? done('no answer', '') : done(undefined, uidIn(text))));
    response.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message, ''));
  });
  request.on('timeout', () => request.destroy(Object.assign(new Error('timeout'), { code: 'timeout' })));
  request.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message, ''));
}

let run: Run | undefined;

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://client');
  const numberOf = (name: string): number => Number(searchParams.get(name));
  if (pathname === '/start') {
    run?.stop();
    run = new Run({
      host: searchParams.get('host') ?? '',
      port: numberOf('port'),
      everyMs: numberOf('everyMs'),
      kept: numberOf('kept'),
      keptEveryMs: numberOf('keptEveryMs'),
      timeoutMs: numberOf('timeoutMs'),
    });
    response.end('{}');
  } else if (pathname === '/stop' && run !== undefined) {
    run.stop();
    const { startedWallMs, pods, errors, fresh, kept } = run;
    run = undefined;
    response.end(JSON.stringify({ startedWallMs, pods, errors, fresh, kept }));
  } else {
    response.statusCode = pathname === '/' ? 200 : 404;
    response.end('{}');
  }
});
server.listen(PORT);
process.once('SIGTERM', () => process.exit(0));
