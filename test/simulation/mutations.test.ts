import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AGENT_MUTATIONS } from './agent-mutations.ts';
import { HOLD_MUTATIONS } from './hold-mutations.ts';
import { hunt, mutated } from './mutant.ts';
import { MUTATIONS } from './mutations.ts';
import { PAIR_MUTATIONS } from './pair-mutations.ts';

const SRC = join(import.meta.dirname, '..', '..', 'src');
const ALL = [...MUTATIONS, ...AGENT_MUTATIONS, ...PAIR_MUTATIONS, ...HOLD_MUTATIONS];
const named = (name: string) => ALL.filter((mutation) => mutation.name === name);

describe('the mutations', () => {
  it.each(ALL)('$name fits the code as it is', (mutation) => {
    const text = readFileSync(join(SRC, mutation.file), 'utf8');
    expect(mutated(mutation, text)).not.toBe(text);
  });

  it('have names that are theirs alone', () => {
    expect(new Set(ALL.map(({ name }) => name)).size).toBe(ALL.length);
  });
});

/** A few; all of them take minutes: `npm run mutations`. */
describe('the simulation', { timeout: 120_000 }, () => {
  it.each([
    ...named('skip-the-strip'),
    ...named('labels-without-precondition'),
    ...named('lead-on-without-renewal'),
    ...named('expiry-from-before-first-sight'),
    ...named('grant-a-lost-lease-at-once'),
    ...named('label-before-the-renewal'),
  ])('notices the mutation $name', async (mutation) => {
    const { by, seeds } = await hunt(mutation, { maxSeeds: 60, jobs: 1 });
    expect(by, `nobody noticed within ${seeds} seeds that ${mutation.what}`).toBeDefined();
  });

  it.each([...AGENT_MUTATIONS, ...HOLD_MUTATIONS])('of agents notices the mutation $name', async (mutation) => {
    const { by, seeds } = await hunt(mutation, { maxSeeds: 400, jobs: 1 });
    expect(by, `nobody noticed within ${seeds} seeds that ${mutation.what}`).toBeDefined();
  });
});
