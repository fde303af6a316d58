/** Many seeds on several cores: each process takes the next seed when it has done one, so that order is the only chance. */
import { fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunOptions, RunResult } from './simulation.ts';

export type Settings = Omit<RunOptions, 'seed' | 'print'>;

export interface SeedRange {
  readonly first: number;
  readonly last: number;
  readonly settings: Settings;
  readonly jobs: number;
  /** Where the code is; default: here. */
  readonly root?: string;
}

const ROOT = join(import.meta.dirname, '..', '..');

/** Seeds that a worker is given at once: an answer costs more than some of them. */
const AT_ONCE = 4;

/** Types are stripped and code is compiled once for each content of a file: most of what a worker does before its first seed. */
const COMPILED = { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache') };

export interface Job {
  readonly seeds: readonly number[];
  readonly settings: Settings;
}

/** @param onResult false: no more seeds are begun */
export async function runSeeds(range: SeedRange, onResult: (result: RunResult) => boolean): Promise<void> {
  let next = range.first;
  let isOver = false;
  const takeJob = (): Job | undefined => {
    const count = isOver ? 0 : Math.min(AT_ONCE, range.last - next + 1);
    const seeds = Array.from({ length: Math.max(0, count) }, (_, index) => next + index);
    next += seeds.length;
    return seeds.length === 0 ? undefined : { seeds, settings: range.settings };
  };
  const take = (result: RunResult): void => {
    if (!onResult(result)) isOver = true;
  };
  const jobs = Math.max(1, Math.min(range.jobs, range.last - range.first + 1));
  await Promise.all(Array.from({ length: jobs }, () => work(range.root ?? ROOT, takeJob, take)));
}

function work(root: string, takeJob: () => Job | undefined, onResult: (result: RunResult) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = fork(join(root, 'test', 'simulation', 'worker.ts'), {
      stdio: 'inherit',
      env: { ...COMPILED, ...process.env },
    });
    const give = (): void => {
      const job = takeJob();
      if (job === undefined) worker.disconnect();
      else worker.send(job);
    };
    worker.on('message', (results: RunResult[]) => {
      results.forEach(onResult);
      give();
    });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`))));
    give();
  });
}
