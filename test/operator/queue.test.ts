import { describe, expect, it } from 'vitest';
import { WorkQueue } from '../../src/operator/queue.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

/** A worker that ends when the test says so. */
class Bench {
  readonly clock = new ManualClock();
  readonly begun: string[] = [];
  readonly depths: number[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly queue: WorkQueue;

  constructor({ concurrency = 4, random = 1 } = {}) {
    this.queue = new WorkQueue({
      concurrency,
      clock: this.clock,
      random: () => random,
      onDepth: (depth) => this.depths.push(depth),
      work: (key) => {
        this.begun.push(key);
        return new Promise((resolve) => this.#ends.set(key, resolve));
      },
    });
  }

  async end(key: string): Promise<void> {
    const end = this.#ends.get(key);
    if (end === undefined) throw new Error(`${key} is not being worked on`);
    this.#ends.delete(key);
    end();
    await settle();
  }

  get running(): string[] {
    return [...this.#ends.keys()];
  }
}

describe('a work queue', () => {
  it('works on a key as soon as it is added', () => {
    const { queue, begun } = new Bench();
    queue.add('a');
    expect(begun).toEqual(['a']);
  });

  it('works on a key by one worker at a time, and once more for all that came meanwhile', async () => {
    const bench = new Bench();
    for (let n = 0; n < 5; n++) bench.queue.add('a');
    expect(bench.begun).toEqual(['a']);
    await bench.end('a');
    expect(bench.begun).toEqual(['a', 'a']);
    await bench.end('a');
    expect(bench.begun).toEqual(['a', 'a']);
  });

  it('works on different keys at once, as many as there are workers', async () => {
    const bench = new Bench({ concurrency: 2 });
    for (const key of ['a', 'b', 'c', 'c', 'd']) bench.queue.add(key);
    expect(bench.running).toEqual(['a', 'b']);
    await bench.end('b');
    expect(bench.running).toEqual(['a', 'c']);
    await bench.end('a');
    await bench.end('c');
    expect(bench.begun).toEqual(['a', 'b', 'c', 'd']);
  });

  it('tells how much is waiting and under way', async () => {
    const bench = new Bench({ concurrency: 1 });
    bench.queue.add('a');
    bench.queue.add('b');
    expect(bench.queue.depth).toBe(2);
    await bench.end('a');
    await bench.end('b');
    expect(bench.queue.depth).toBe(0);
    expect(bench.depths.at(-1)).toBe(0);
  });

  it('adds a key at its time, and of several times at the earliest', async () => {
    const { queue, clock, begun } = new Bench();
    queue.addAt('a', 500);
    queue.addAt('a', 200);
    queue.addAt('a', 900);
    await clock.advance(199);
    expect(begun).toEqual([]);
    await clock.advance(1);
    expect(begun).toEqual(['a']);
    expect(clock.pending).toBe(0);
  });

  it('adds a key at once when its time is past', async () => {
    const { queue, clock, begun } = new Bench();
    await clock.advance(1_000);
    queue.addAt('a', 10);
    await clock.advance(0);
    expect(begun).toEqual(['a']);
  });
});

describe('a key whose work failed', () => {
  const delays = async (times: number, random: number): Promise<number[]> => {
    const bench = new Bench({ random });
    const found: number[] = [];
    for (let n = 0; n < times; n++) {
      bench.queue.addAfterFailure('a');
      found.push(bench.clock.nextInMs ?? -1);
      await bench.clock.advance(60_000);
      await bench.end('a');
    }
    return found;
  };

  it('comes back later and later, up to 30 s', async () => {
    expect(await delays(13, 1)).toEqual([
      20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 30_000, 30_000,
    ]);
  });

  it('comes back after half of that at the earliest, by chance', async () => {
    expect(await delays(3, 0)).toEqual([10, 20, 40]);
  });

  it('does not wait longer than the caller wants, and not shorter than the server asks', () => {
    const { queue, clock } = new Bench();
    for (let n = 0; n < 12; n++) queue.addAfterFailure('a', { maxMs: 2_000 });
    queue.forget('a');
    for (let n = 0; n < 12; n++) queue.addAfterFailure('b', { maxMs: 2_000 });
    expect(clock.nextInMs).toBe(20);
    queue.forget('b');
    queue.addAfterFailure('c', { minMs: 7_000 });
    expect(clock.nextInMs).toBe(7_000);
  });

  it('starts again with a short wait after it succeeded', async () => {
    const bench = new Bench();
    for (let n = 0; n < 5; n++) {
      bench.queue.addAfterFailure('a');
      await bench.clock.advance(60_000);
      await bench.end('a');
    }
    bench.queue.succeeded('a');
    bench.queue.addAfterFailure('a');
    expect(bench.clock.nextInMs).toBe(20);
  });

  it('does not make other keys wait', () => {
    const { queue, clock } = new Bench();
    for (let n = 0; n < 9; n++) queue.addAfterFailure('a');
    queue.forget('a');
    queue.addAfterFailure('b');
    expect(clock.nextInMs).toBe(20);
  });

  it('is worked on at once when something happens meanwhile', () => {
    const { queue, begun } = new Bench();
    queue.addAfterFailure('a');
    queue.add('a');
    expect(begun).toEqual(['a']);
  });
});

describe('a key that is gone', () => {
  it('leaves no timer behind', () => {
    const { queue, clock } = new Bench();
    queue.addAt('a', 500);
    queue.forget('a');
    expect(clock.pending).toBe(0);
  });
});

describe('a queue that stops', () => {
  it('waits for what is under way and begins nothing else', async () => {
    const bench = new Bench({ concurrency: 1 });
    for (const key of ['a', 'a', 'b']) bench.queue.add(key);
    bench.queue.addAt('c', 100);
    let hasStopped = false;
    const stopping = bench.queue.stop().then(() => (hasStopped = true));
    bench.queue.add('d');
    bench.queue.addAt('e', 50);
    bench.queue.addAfterFailure('f');
    await bench.clock.advance(1_000);
    expect(hasStopped).toBe(false);
    await bench.end('a');
    await stopping;
    expect(bench.begun).toEqual(['a']);
    expect(bench.clock.pending).toBe(0);
  });

  it('ends at once when nothing is under way', async () => {
    await new Bench().queue.stop();
  });
});
