// Sends while this pod is the active one, its term in each message. REDIS_URL says where.
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { onActive } from 'singleton-operator/client';

const run = promisify(execFile);

await onActive(async (term, signal) => {
  for (let step = 1; !signal.aborted; step += 1) {
    const message = ['producer', 'planner', 'term', String(term), 'text', `step ${step}`];
    // The queue takes whatever it is given: the consumer looks at the term.
    await run('redis-cli', ['-e', '-u', process.env.REDIS_URL, 'XADD', 'jobs', '*', ...message]);
    console.log(`sent step ${step} under term ${term}`);
    await pause(100);
  }
});
