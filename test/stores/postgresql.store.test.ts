/** `examples/token/postgresql` on a real PostgreSQL. What landed, and when, is read from its log of changes. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../control-plane/wait.ts';
import { program, whyNot } from './programs.ts';
import { startPostgresql } from './servers.ts';
import type { StoreServer } from './servers.ts';
import { expectOrder, raceUntilRefused } from './race.ts';
import { EXAMPLES, startWorker } from './worker.ts';

const run = promisify(execFile);
const SCHEMA = join(EXAMPLES, 'postgresql', 'schema.sql');
const WRITE = join(EXAMPLES, 'postgresql', 'write.sql');
const ISOLATION = ['read committed', 'repeatable read', 'serializable'];

let store: StoreServer;
const env = () => ({ ...process.env, ...store.env });

async function psql(...args: string[]): Promise<string> {
  const { stdout } = await run(program('psql'), ['-XqAt', '-v', 'ON_ERROR_STOP=1', ...args], { env: env() });
  return stdout;
}

const write = (term: number, text: string): Promise<string> =>
  psql('-v', `term=${term}`, '-v', `text=${text}`, '-f', WRITE);

/** The terms of the rows, in the order of the commits, as a replica would hear of them. */
async function landed(): Promise<readonly number[]> {
  const changes = await psql('-c', `SELECT data FROM pg_logical_slot_peek_changes('history', NULL, NULL)`);
  return [...changes.matchAll(/public\.jobs: INSERT: .*term\[bigint\]:(\d+)/g)].map(([, term]) => Number(term));
}

/** One connection that tries to write again and again, whatever it is told: how often was it told that its term is over? */
async function writer(term: number, isolation: string): Promise<number> {
  const options = { ...env(), PGOPTIONS: `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}` };
  const variables = ['-v', `term=${term}`, '-v', 'text=race'];
  const child = spawn(program('psql'), ['-XqAt', ...variables], { env: options, stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdin.end(`\\i ${WRITE}\n`.repeat(50));
  await once(child, 'close');
  return [...errors.matchAll(/fenced: term/g)].length;
}

// Only where it is neither on the machine nor to be had from Debian's packages, which the level says.
describe.skipIf(whyNot('PostgreSQL') !== undefined)('PostgreSQL', { timeout: 60_000 }, () => {
  beforeAll(async () => {
    store = await startPostgresql();
    await psql('-f', SCHEMA);
  }, 60_000);

  afterAll(() => store.stop());

  beforeEach(async () => {
    await psql('-c', 'TRUNCATE fence, jobs');
    await psql('-c', `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots`);
    await psql('-c', `SELECT pg_create_logical_replication_slot('history', 'test_decoding')`);
  });

  it('refuses a lower term, and says both', async () => {
    await write(7, 'first');
    await expect(write(6, 'late')).rejects.toThrow('ERROR:  fenced: term 6 is over, jobs has seen term 7');
    expect(await landed()).toEqual([7]);
  });

  it('lets the same term go on, and a higher one begin', async () => {
    for (const term of [7, 7, 9]) await write(term, 'a step');
    expect(await landed()).toEqual([7, 7, 9]);
  });

  it.each(ISOLATION)('takes nothing of a lower term after the first of a higher one, in a race: %s', async (level) => {
    const old = raceUntilRefused(4, () => writer(5, level));
    await until('the old term to write', async () => (await landed()).length > 10, { intervalMs: 5 });
    const young = Promise.all(Array.from({ length: 4 }, () => writer(6, level)));
    const [refused] = await Promise.all([young, old]);
    expectOrder(await landed(), 6);
    expect(refused).toEqual([0, 0, 0, 0]);
  });

  it('refuses a worker that was frozen between its look and its write', async () => {
    const worker = await startWorker('postgresql', 5, store.env, { name: 'psql', file: program('psql') });
    try {
      await worker.wrote(2);
      await worker.freezeBeforeWrite();
      worker.replaced();
      await write(6, 'the next one');
      worker.wake();
      const { code, errors } = await worker.ended();
      expect(errors).toContain('fenced: term 5 is over, jobs has seen term 6');
      expect(code).toBe(1);
      expectOrder(await landed(), 6);
    } finally {
      await worker.stop();
    }
  });
});
