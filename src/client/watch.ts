/** The agent's state as a stream, over `node:http` alone. */
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';

export interface State {
  readonly active: boolean;
  readonly term: number;
  readonly sequence: number;
  /** Until the fence deadline, from now. */
  leftMs(): number;
  /** This workload does not act under `term` any more. */
  acknowledge(): void;
}

export interface WatchOptions {
  /** Of `/v1/state`. */
  readonly url: string;
  readonly name: string;
  readonly onState: (state: State | undefined) => void;
  /** Waited for before the connection is ended: its end says that this workload is gone. */
  readonly settled: () => Promise<void>;
}

interface Text {
  readonly active: boolean;
  readonly term: number;
  readonly expiresInMs: number;
  readonly sequence: number;
}

const RETRY_MS = 200;
const NS_PER_MS = 1e6;
const US_PER_MS = 1_000;

const monotonicMs = (): number => Number(process.hrtime.bigint()) / NS_PER_MS;

/** Connects again and again until `signal` is aborted. */
export async function watchState(options: WatchOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // The agent starts beside the workload, and is restarted by itself.
    await follow(options, signal).catch(() => undefined);
    if (signal.aborted) break;
    options.onState(undefined);
    await options.settled();
    await pause(RETRY_MS, signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function follow(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const url = new URL(`watch?workload=${options.name}`, options.url);
  const sent = request(url, { agent: false }, (response) => {
    read(response, options).then(resolve, reject);
  });
  const end = (): void => void options.settled().then(() => sent.destroy());
  signal.addEventListener('abort', end);
  sent.on('error', reject);
  sent.end();
  return promise.finally(() => signal.removeEventListener('abort', end));
}

async function read(response: IncomingMessage, options: WatchOptions): Promise<void> {
  if (response.statusCode !== 200) throw new Error(`the agent answered ${response.statusCode}`);
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data: ')) options.onState(stateOf(line.slice(6), options));
  }
}

/**
 * The agent's clock is this machine's monotonic one, and so it tells how old a state is: a process that was frozen does
 * not take it for a fresh one. (A clock that is behind the agent's is another one, and tells nothing.)
 */
function stateOf(line: string, { url, name }: WatchOptions): State {
  const { active, term, expiresInMs, sequence } = JSON.parse(line) as Text;
  const heardAtMs = monotonicMs();
  const saidAtMs = sequence / US_PER_MS;
  const fromMs = saidAtMs <= heardAtMs ? saidAtMs : heardAtMs;
  return {
    active,
    term,
    sequence,
    leftMs: () => fromMs + expiresInMs - monotonicMs(),
    acknowledge: () => {
      const sent = request(new URL(`stopped?workload=${name}&term=${term}&sequence=${sequence}`, url), {
        method: 'POST',
        agent: false,
      });
      // An agent that is gone hears nothing, and does not need to.
      sent.on('error', () => undefined);
      sent.on('response', (response) => response.resume());
      sent.end();
    },
  };
}
