/** `npm run mutations`: which checker catches which mutation, and how many seeds it takes. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { AGENT_MUTATIONS } from './agent-mutations.ts';
import { HOLD_MUTATIONS } from './hold-mutations.ts';
import { hunt } from './mutant.ts';
import { MUTATIONS } from './mutations.ts';
import { PAIR_MUTATIONS } from './pair-mutations.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '400' },
    'max-minutes': { type: 'string', default: 'Infinity' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

const ALL = [...MUTATIONS, ...AGENT_MUTATIONS, ...PAIR_MUTATIONS, ...HOLD_MUTATIONS];
const chosen = ALL.filter(({ name }) => values.only?.split(',').includes(name) ?? true);
const endMs = performance.now() + Number(values['max-minutes']) * 60_000;
const startedMs = performance.now();
const missed: string[] = [];
let tried = 0;
console.log(`${'mutation'.padEnd(32)} ${'caught by'.padEnd(10)} ${'seeds'.padStart(5)}  what it does`);
for (const mutation of chosen) {
  if (performance.now() >= endMs) break;
  tried += 1;
  const { by, seeds } = await hunt(mutation, { maxSeeds: Number(values.seeds), jobs: Number(values.jobs) });
  if (by === undefined) missed.push(mutation.name);
  console.log(
    `${mutation.name.padEnd(32)} ${(by?.checker ?? 'NOBODY').padEnd(10)} ${String(seeds).padStart(5)}  ${mutation.what}`,
  );
}
if (missed.length > 0) console.log(`\nnot caught: ${missed.join(', ')}`);
if (tried < chosen.length) console.log(`\nout of time: ${tried} of ${chosen.length} mutations were tried`);
console.log(`\n${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
console.log(`${tried - missed.length} passed, ${missed.length} failed`);
process.exitCode = missed.length === 0 ? 0 : 1;
