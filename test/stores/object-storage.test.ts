/** `examples/token/object-storage`, against a server with conditional writes that is made for the test. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../control-plane/wait.ts';
import { ObjectServer } from './object-server.ts';
import { expectOrder, raceUntilRefused } from './race.ts';
import { EXAMPLES, startWorker } from './worker.ts';

type Write = (url: string, term: number, change: (value: unknown) => unknown) => Promise<void>;
const { write } = (await import(`${EXAMPLES}object-storage/write.mjs`)) as { readonly write: Write };

let server: ObjectServer;

beforeEach(async () => {
  server = await new ObjectServer().start();
});

afterEach(() => server.stop());

/** The terms of the contents, in the order in which they were written. */
const landed = (): readonly number[] =>
  server.contents.map((content) => (JSON.parse(content) as { readonly term: number }).term);

const count = (value: unknown): number => Number(value ?? 0) + 1;

describe('an object', { timeout: 30_000 }, () => {
  it('refuses a lower term, and the error says both', async () => {
    await write(server.url, 7, count);
    await expect(write(server.url, 6, count)).rejects.toThrow(/^fenced: term 6 is over, http.* has seen term 7$/);
    expect(server.contents).toEqual(['{"term":7,"value":1}']);
  });

  it('lets the same term go on, and a higher one begin, from what is there', async () => {
    for (const term of [7, 7, 10]) await write(server.url, term, count);
    expect(server.contents).toEqual(['{"term":7,"value":1}', '{"term":7,"value":2}', '{"term":10,"value":3}']);
  });

  it('takes nothing of a lower term after the first of a higher one, in a race, and loses no change', async () => {
    const writer = async (term: number): Promise<number> => {
      const tries = Array.from({ length: 5 }, () => write(server.url, term, count));
      return (await Promise.allSettled(tries)).filter(({ status }) => status === 'rejected').length;
    };
    const old = raceUntilRefused(4, () => writer(5));
    await until('the old term to write', () => landed().length > 20, { intervalMs: 1 });
    const [refused] = await Promise.all([Promise.all([writer(6), writer(6)]), old]);
    expect(refused).toEqual([0, 0]);
    expectOrder(landed(), 6);
    expect(server.contents.at(-1)).toBe(JSON.stringify({ term: 6, value: server.contents.length }));
    expect(server.refusedWrites).toBeGreaterThan(0);
  });

  it('takes nothing of a lower term that has looked before a higher one wrote the same', async () => {
    const same = (): string => 'the same';
    await write(server.url, 5, same);
    server.onRead = async () => {
      server.onRead = () => undefined;
      await write(server.url, 6, same);
    };
    await expect(write(server.url, 5, () => 'late')).rejects.toThrow('fenced: term 5 is over');
    expect(landed()).toEqual([5, 6]);
  });

  it('refuses a worker that was frozen between its look and its write', async () => {
    const worker = await startWorker('object-storage', 5, { OBJECT_URL: server.url });
    try {
      await worker.wrote(2);
      server.onRead = () => {
        server.onRead = () => undefined;
        process.kill(-worker.group, 'SIGSTOP');
      };
      await until('the worker to be frozen', () => worker.isFrozen());
      worker.replaced();
      await write(server.url, 6, () => 'the next one');
      const refusedBefore = server.refusedWrites;
      worker.wake();
      const { code, errors } = await worker.ended();
      // Its write came, for it had looked before; then it looked again.
      expect(server.refusedWrites).toBe(refusedBefore + 1);
      expect(errors).toMatch(/fenced: term 5 is over, http\S* has seen term 6/);
      expect(code).toBe(1);
      expectOrder(landed(), 6);
    } finally {
      await worker.stop();
    }
  });
});
