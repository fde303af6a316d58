/** `examples/token/redis` on a real Redis. What landed, and when, is read from the file that it would be restored from. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../control-plane/wait.ts';
import { program, whyNot } from './programs.ts';
import { startRedis } from './servers.ts';
import type { StoreServer } from './servers.ts';
import { expectOrder, raceUntilRefused } from './race.ts';
import { EXAMPLES, startWorker } from './worker.ts';

const run = promisify(execFile);
const SCRIPT = join(EXAMPLES, 'redis', 'write.lua');
const KEYS = ['{jobs}:term', '{jobs}:state'];

let store: StoreServer;

async function redis(...args: string[]): Promise<string> {
  const { stdout } = await run(program('redis-cli'), ['-e', '-u', store.env['REDIS_URL'] ?? '', ...args]);
  return stdout.trim();
}

const write = (term: number): Promise<string> =>
  redis('--eval', SCRIPT, ...KEYS, ',', String(term), `a step under term ${term}`);

/** The terms of the values, in the order in which they were set. */
function landed(): readonly number[] {
  const [file = ''] = globSync(join(store.dir, 'data', 'appendonlydir', '*.incr.aof'));
  const set = /SET\r\n\$\d+\r\n\{jobs\}:state\r\n\$\d+\r\n[^\r]* under term (\d+)\r\n/g;
  return [...readFileSync(file, 'utf8').matchAll(set)].map(([, term]) => Number(term));
}

/** One connection that tries to write again and again, whatever it is told: how often was it told that its term is over? */
async function writer(sha: string, term: number): Promise<number> {
  const child = spawn(program('redis-cli'), ['-u', store.env['REDIS_URL'] ?? ''], { stdio: 'pipe' });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stdin.end(`EVALSHA ${sha} 2 ${KEYS.join(' ')} ${term} "race under term ${term}"\n`.repeat(1_000));
  await once(child, 'close');
  return [...said.matchAll(/FENCED term/g)].length;
}

// Only where it is neither on the machine nor to be had from Debian's packages, which the level says.
describe.skipIf(whyNot('Redis') !== undefined)('Redis', { timeout: 60_000 }, () => {
  beforeEach(async () => {
    store = await startRedis();
  }, 60_000);

  afterEach(() => store.stop());

  it('refuses a lower term, and says both', async () => {
    await write(7);
    await expect(write(6)).rejects.toMatchObject({
      stderr: expect.stringContaining('FENCED term 6 is over, {jobs}:term has seen term 7'),
    });
    expect(landed()).toEqual([7]);
  });

  it('lets the same term go on, and a higher one begin', async () => {
    for (const term of [7, 7, 9, 10]) await write(term);
    expect(landed()).toEqual([7, 7, 9, 10]);
  });

  it('takes nothing of a lower term after the first of a higher one, in a race', async () => {
    const sha = await redis('SCRIPT', 'LOAD', readFileSync(SCRIPT, 'utf8'));
    const old = raceUntilRefused(4, () => writer(sha, 5));
    await until('the old term to write', () => landed().length > 100, { intervalMs: 5 });
    const young = Promise.all(Array.from({ length: 4 }, () => writer(sha, 6)));
    const [refused] = await Promise.all([young, old]);
    expectOrder(landed(), 6);
    expect(refused).toEqual([0, 0, 0, 0]);
  });

  it('refuses a worker that was frozen between its look and its write', async () => {
    const worker = await startWorker('redis', 5, store.env, { name: 'redis-cli', file: program('redis-cli') });
    try {
      await worker.wrote(2);
      await worker.freezeBeforeWrite();
      worker.replaced();
      await write(6);
      worker.wake();
      const { code, errors } = await worker.ended();
      expect(errors).toContain('FENCED term 5 is over, {jobs}:term has seen term 6');
      expect(code).toBe(1);
      expectOrder(landed(), 6);
    } finally {
      await worker.stop();
    }
  });
});
