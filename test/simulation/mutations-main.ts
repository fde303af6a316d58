/** `npm run mutations`: which checker catches which mutation, and how many seeds it takes. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { hunt } from './mutant.ts';
import { MUTATIONS } from './mutations.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '400' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

const chosen = values.only?.split(',');
const missed: string[] = [];
console.log(`${'mutation'.padEnd(32)} ${'caught by'.padEnd(10)} ${'seeds'.padStart(5)}  what it does`);
for (const mutation of MUTATIONS) {
  if (chosen?.includes(mutation.name) === false) continue;
  const { by, seeds } = await hunt(mutation, { maxSeeds: Number(values.seeds), jobs: Number(values.jobs) });
  if (by === undefined) missed.push(mutation.name);
  console.log(
    `${mutation.name.padEnd(32)} ${(by?.checker ?? 'NOBODY').padEnd(10)} ${String(seeds).padStart(5)}  ${mutation.what}`,
  );
}
if (missed.length > 0) {
  console.log(`\nnot caught: ${missed.join(', ')}`);
  process.exitCode = 1;
}
