/** `npm run simulate`: one seed, many, or as many as there is time for; a violation is printed with its trace and state. */
import { parseArgs } from 'node:util';
import { availableParallelism } from 'node:os';
import { runSeeds } from './pool.ts';
import type { RunResult } from './simulation.ts';
import { simulatorFor } from './simulator.ts';

const USAGE = `npm run simulate -- [options]
  --seed N        one run, with every fault printed
  --mode agent    agents and workloads of fencing mode Agent, with a model of the operator
  --mode pair     the same with the operator that ships
  --mode hold     as agent, with onApiLoss: Hold: agents that ask each other
  --seeds A..B    all of these, on all cores (default 1..100)
  --minutes M     of virtual time with faults (default 3)
  --replicas R    of the operator (default: 1 to 3, by seed)
  --verbose       print the whole trace: every fault, write and lead
  --every S       seconds from one fault to the next, on average (default: 0.7 to 7, by seed)
  --quiet         no faults at all: for measuring
  --jobs J        processes (default: as many as there are cores)
  --keep-going    do not stop at the first violation
  --max-minutes N of real time: begins no more seeds then
`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1..100' },
    minutes: { type: 'string' },
    replicas: { type: 'string' },
    mode: { type: 'string' },
    every: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    verbose: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    'max-minutes': { type: 'string', default: 'Infinity' },
    help: { type: 'boolean', default: false },
  },
});

const MODES = { agent: 'Agent', pair: 'Pair', hold: 'Hold' } as const;
const isMode = (text: string): text is keyof typeof MODES => Object.hasOwn(MODES, text);
if (values.mode !== undefined && !isMode(values.mode)) throw new Error(`--mode ${values.mode}: agent, pair or hold`);
const mode = values.mode === undefined ? undefined : MODES[values.mode];

const settings = {
  ...(values.minutes !== undefined && { minutes: Number(values.minutes) }),
  ...(values.replicas !== undefined && { replicas: Number(values.replicas) }),
  ...(values.every !== undefined && { faultEverySeconds: Number(values.every) }),
  ...(mode !== undefined && { mode }),
  quiet: values.quiet,
};

function report({ seed, violation, tail, state }: RunResult): void {
  if (violation === undefined) return;
  const { checker, message, atMs } = violation;
  const objects = state.map((object) => JSON.stringify(object)).join('\n');
  console.log(`\n${objects}\n\nthe trace's end:\n${tail.join('\n')}`);
  console.log(`\nseed ${seed}: ${checker} is violated at ${(atMs / 1000).toFixed(3)} s: ${message}`);
  console.log(`again: npm run simulate -- --seed ${seed}${sameSettings()}`);
}

const sameSettings = (): string =>
  Object.entries({ minutes: values.minutes, replicas: values.replicas, every: values.every, mode: values.mode })
    .map(([name, value]) => (value === undefined ? '' : ` --${name} ${value}`))
    .join('');

async function one(seed: number): Promise<readonly RunResult[]> {
  const print = (line: string): void => {
    if (values.verbose || / (fault|heal|rest|lead|VIOLATION) /.test(line)) console.log(line);
  };
  // The many are run by workers, and this process need not load all that they do.
  const simulate = await simulatorFor(settings.mode);
  const result = await simulate({ seed, ...settings, print });
  console.log(`trace hash ${result.hash}`);
  return [result];
}

async function many(range: string): Promise<readonly RunResult[]> {
  const [first = 1, last = first] = range.split('..').map(Number);
  const results: RunResult[] = [];
  const endMs = performance.now() + Number(values['max-minutes']) * 60_000;
  let lastToldMs = performance.now();
  await runSeeds({ first, last, settings, jobs: Number(values.jobs) }, (result) => {
    results.push(result);
    if (
      result.violation !== undefined &&
      (values['keep-going'] || results.every((one) => one === result || one.violation === undefined))
    )
      report(result);
    if (performance.now() - lastToldMs > 10_000) {
      lastToldMs = performance.now();
      console.log(`${results.length} of ${last - first + 1} seeds`);
    }
    return (values['keep-going'] || result.violation === undefined) && performance.now() < endMs;
  });
  if (performance.now() >= endMs) console.log(`out of time: ${results.length} of ${last - first + 1} seeds were run`);
  return results;
}

if (values.help) console.log(USAGE);
else {
  const startedMs = performance.now();
  const results = values.seed === undefined ? await many(values.seeds) : await one(Number(values.seed));
  if (values.seed !== undefined) results.forEach(report);
  const realSeconds = (performance.now() - startedMs) / 1000;
  const minutes = results.reduce((sum, { virtualMs }) => sum + virtualMs, 0) / 60_000;
  const bad = results.filter(({ violation }) => violation !== undefined);
  const jobs = values.seed === undefined ? Number(values.jobs) : 1;
  console.log(
    `${results.length} seeds, ${bad.length} violated${bad.length === 0 ? '' : ` (${bad.map(({ seed, violation }) => `${seed}: ${violation?.checker ?? ''}`).join(', ')})`}; ` +
      `${minutes.toFixed(0)} simulated minutes in ${realSeconds.toFixed(1)} s with ${jobs} at once: ` +
      `${(minutes / realSeconds / jobs).toFixed(0)} a second and process`,
  );
  console.log(`${results.length - bad.length} passed, ${bad.length} failed`);
  process.exitCode = bad.length === 0 ? 0 : 1;
}
