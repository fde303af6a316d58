/** One mutation: a copy of the code with it, and seeds until a checker complains. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mutation } from './mutations.ts';
import { runSeeds } from './pool.ts';
import type { RunResult } from './simulation.ts';

const ROOT = join(import.meta.dirname, '..', '..');

export interface Catch {
  readonly mutation: Mutation;
  /** Undefined: nobody noticed. */
  readonly by: RunResult['violation'];
  /** How many it took; all of them when nobody noticed. */
  readonly seeds: number;
}

export interface Hunt {
  readonly maxSeeds: number;
  readonly jobs: number;
}

/** The text with the mutation in it. @throws when it does not fit any more, and has to be written anew */
export function mutated(mutation: Mutation, text: string): string {
  const places = text.split(mutation.find).length - 1;
  if (places !== 1) throw new Error(`${mutation.name}: ${mutation.file} has its text ${places} times instead of once`);
  return text.replace(mutation.find, () => mutation.replace);
}

export async function hunt(mutation: Mutation, { maxSeeds, jobs }: Hunt): Promise<Catch> {
  const copy = mkdtempSync(join(tmpdir(), 'singleton-mutant-'));
  try {
    for (const folder of ['src', 'test/simulation'])
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const file = join(copy, 'src', mutation.file);
    writeFileSync(file, mutated(mutation, readFileSync(file, 'utf8')));
    let by: Catch['by'];
    let seeds = 0;
    const range = {
      first: 1,
      last: maxSeeds,
      settings: mutation.mode === undefined ? {} : { mode: mutation.mode },
      jobs,
      root: copy,
    };
    await runSeeds(range, ({ violation }) => {
      if (by !== undefined) return false;
      seeds += 1;
      by = violation;
      return violation === undefined;
    });
    return { mutation, by, seeds };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
