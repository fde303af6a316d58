/** `examples/token/queue` on a real stream of Redis: what the consumer took is held against what the stream has. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../control-plane/wait.ts';
import { program, whyNot } from './programs.ts';
import { expectOrder } from './race.ts';
import { startRedis } from './servers.ts';
import type { StoreServer } from './servers.ts';
import { ENDS_WITH_TEST, EXAMPLES, startWorker } from './worker.ts';

const run = promisify(execFile);

let store: StoreServer;
let stops: (() => Promise<unknown>)[] = [];

const stateFile = (): string => join(store.dir, 'consumer.json');
const url = (): string => store.env['REDIS_URL'] ?? '';
const send = (term: number, producer = 'planner') =>
  run(program('redis-cli'), [
    '-e',
    '-u',
    url(),
    'XADD',
    'jobs',
    '*',
    'producer',
    producer,
    'term',
    `${term}`,
    'text',
    'x',
  ]);

/** Of all messages, in the stream's order. */
async function sent(): Promise<readonly number[]> {
  const { stdout } = await run(program('redis-cli'), ['-e', '--json', '-u', url(), 'XRANGE', 'jobs', '-', '+']);
  return (JSON.parse(stdout) as [string, string[]][]).map(([, fields]) => Number(fields[fields.indexOf('term') + 1]));
}

interface Consumer {
  /** Terms, in the order in which they were taken. */
  readonly taken: () => readonly number[];
  readonly said: { taken: string; dropped: string };
  /** Resolves when so many messages were taken or dropped. */
  heard(count: number): Promise<unknown>;
  kill(): Promise<unknown>;
}

function consume(): Consumer {
  const PATH = `${join(program('redis-cli'), '..')}:${process.env['PATH']}`;
  const env = { PATH, REDIS_URL: url(), CONSUMER_STATE: stateFile() };
  const file = join(EXAMPLES, 'queue', 'consumer.mjs');
  // A group of its own: with it ends the client that waits for messages.
  const child = spawn(process.execPath, [...ENDS_WITH_TEST, file], { env, stdio: 'pipe', detached: true });
  const said = { taken: '', dropped: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.taken += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.dropped += text));
  const closed = once(child, 'close');
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const kill = async () => {
    if (!isOver()) process.kill(-(child.pid ?? 0), 'SIGKILL');
    await closed;
  };
  stops.push(kill);
  const taken = () => [...said.taken.matchAll(/planner, term (\d+)/g)].map(([, term]) => Number(term));
  const lines = (): number => (said.taken + said.dropped).split('\n').length - 1;
  return { said, taken, kill, heard: (count) => until(`${count} messages`, () => lines() >= count) };
}

// Only where it is neither on the machine nor to be had from Debian's packages, which the level says.
describe.skipIf(whyNot('Redis') !== undefined)('a queue', { timeout: 60_000 }, () => {
  beforeEach(async () => {
    stops = [];
    store = await startRedis();
  }, 60_000);

  afterEach(async () => {
    for (const stop of stops.toReversed()) await stop();
    await store.stop();
  });

  it('is full of two terms, and none of the lower is taken after the first of the higher', async () => {
    const consumer = consume();
    const term = (index: number): number => (index < 10 ? 5 : 5 + (index % 2));
    // Many at once: the order is the stream's.
    await Promise.all(Array.from({ length: 10 }, (_, index) => send(term(index))));
    await Promise.all(Array.from({ length: 60 }, (_, index) => send(term(index + 10))));
    await consumer.heard(70);
    const all = await sent();
    const first = all.indexOf(6);
    expect(all.slice(first)).toContain(5);
    expectOrder(consumer.taken(), 6);
    expect(consumer.taken()).toEqual(all.filter((one, index) => index < first || one === 6));
    expect(consumer.said.dropped.split('\n')[0]).toBe('dropped: term 5 is over, planner has term 6');
  });

  it('has producers with terms of their own', async () => {
    const consumer = consume();
    await send(9, 'billing');
    await send(3);
    await consumer.heard(2);
    expect(consumer.said).toEqual({ taken: 'billing, term 9: x\nplanner, term 3: x\n', dropped: '' });
  });

  it('is dropped from by a consumer that begins again, too', async () => {
    const before = consume();
    await send(5);
    await send(6);
    await before.heard(2);
    await until('the last message to be written down', () => readFileSync(stateFile(), 'utf8').includes('"planner":6'));
    await before.kill();
    const after = consume();
    await send(5);
    await send(6);
    await after.heard(2);
    expect(after.taken()).toEqual([6]);
  });

  it('has what a worker sends that was frozen between its look and its write, and the consumer drops it', async () => {
    const worker = await startWorker('queue', 5, store.env, { name: 'redis-cli', file: program('redis-cli') });
    stops.push(() => worker.stop());
    const consumer = consume();
    await worker.wrote(2);
    await worker.freezeBeforeWrite();
    worker.replaced();
    await send(6);
    worker.wake();
    await until('the late message', async () => (await sent()).at(-1) === 5);
    await consumer.heard((await sent()).length);
    expectOrder(consumer.taken(), 6);
    expect(consumer.said.dropped).toBe('dropped: term 5 is over, planner has term 6\n');
  });
});
