/**
 * A workload for tests in fencing mode `Agent`: while it acts, it writes to a store outside the cluster, with its
 * pod and its term, as often as the store's answers say. MANNERS says how it takes being told to stop:
 *
 *   client     by the client library
 *   deaf       it begins when it is told to, and then hears nothing any more: not the agent, not SIGTERM
 *   offspring  the same, and a process that it has started writes as well, and outlives it
 */
import { spawn } from 'node:child_process';
import { Agent, createServer, get, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { STORE_URL = '', SINGLETON = '', POD_NAME = '', MANNERS = 'client' } = process.env;
const { SINGLETON_STATE_URL = '', POD_UID = '', INHERITED_TERM } = process.env;
const PORT = 8080;
const WRITE_TIMEOUT_MS = 1_000;
const RETRY_MS = 100;
/** Where the operator's image has the client. */
const CLIENT = '/app/client.js';

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Resolves with the milliseconds to the next one: when it was answered, or when nobody knows whether it arrived. */
function write(term: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const query = new URLSearchParams({ singleton: SINGLETON, pod: POD_NAME, term: String(term) });
  const options = { method: 'POST', agent, timeout: WRITE_TIMEOUT_MS };
  const sent = request(`${STORE_URL}/write?${query.toString()}`, options, (response) => {
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk.toString()));
    response.on('end', () => resolve(Number(text)));
  });
  sent.on('timeout', () => sent.destroy());
  sent.on('error', () => resolve(RETRY_MS));
  sent.on('close', () => resolve(RETRY_MS));
  sent.end();
  return promise;
}

async function writeWhile(term: number, mayAct: () => boolean): Promise<void> {
  while (mayAct()) {
    await sleep(await write(term));
  }
}

const forever = (): boolean => true;

type WhileActive = (term: number, signal: AbortSignal) => Promise<void>;

async function byClient(): Promise<void> {
  const { onActive } = (await import(CLIENT)) as { onActive: (run: WhileActive) => Promise<void> };
  await onActive((term, signal) => writeWhile(term, () => !signal.aborted));
}

/** The first term that the agent says this pod may act under. */
function firstTerm(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const sent = get(SINGLETON_STATE_URL.replace(/state$/, 'watch'), { agent: false }, (response) => {
    let rest = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      const states = lines
        .filter((line) => line.startsWith('data: '))
        .map((line) => JSON.parse(line.slice(6)) as State);
      const found = states.find(({ active }) => active);
      if (found === undefined) return;
      resolve(found.term);
      response.destroy();
    });
    response.on('close', () => reject(new Error('the agent has gone')));
  });
  sent.on('error', reject);
  return promise;
}

interface State {
  readonly active: boolean;
  readonly term: number;
}

async function toldOnce(): Promise<number> {
  for (;;) {
    const term = await firstTerm().catch(() => undefined);
    if (term !== undefined) return term;
    await sleep(RETRY_MS);
  }
}

function startOffspring(term: number): void {
  const args = [...process.execArgv, ...process.argv.slice(1)];
  spawn(process.execPath, args, {
    env: { ...process.env, INHERITED_TERM: String(term) },
    detached: true,
    stdio: 'ignore',
  }).unref();
}

async function deaf(): Promise<void> {
  process.on('SIGTERM', () => undefined);
  // As the offspring it has its term from its parent.
  const term = INHERITED_TERM === undefined ? await toldOnce() : Number(INHERITED_TERM);
  if (INHERITED_TERM === undefined && MANNERS === 'offspring') startOffspring(term);
  await writeWhile(term, forever);
}

if (INHERITED_TERM === undefined) {
  const answer = JSON.stringify({ uid: POD_UID, pod: POD_NAME });
  createServer((incoming, response) => {
    incoming.resume();
    response.end(answer);
  }).listen(PORT);
}
if (MANNERS === 'client') {
  process.once('SIGTERM', () => process.exit(0));
  await byClient();
} else await deaf();
