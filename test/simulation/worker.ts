/** Runs the seeds that its parent sends it. */
import type { Job } from './pool.ts';
import { simulatorFor } from './simulator.ts';

async function run({ seeds, settings }: Job): Promise<void> {
  const results = [];
  const simulate = await simulatorFor(settings.mode);
  for (const seed of seeds) results.push(await simulate({ seed, ...settings }));
  process.send?.(results);
}

// A run makes thousands of errors, as part of its world, and nobody reads where.
Error.stackTraceLimit = 0;

process.on('message', (job: Job) => void run(job));
