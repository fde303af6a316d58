// Writes while this pod is the active one, each time under its term. REDIS_URL says where.
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onActive } from 'singleton-operator/client';

const run = promisify(execFile);
const script = fileURLToPath(new URL('write.lua', import.meta.url));
const keys = ['{jobs}:term', '{jobs}:state'];

await onActive(async (term, signal) => {
  for (let step = 1; !signal.aborted; step += 1) {
    const command = ['--eval', script, ...keys, ',', String(term), `step ${step} under term ${term}`];
    // What is refused throws, and that ends this process: it is not the active any more.
    await run('redis-cli', ['-e', '-u', process.env.REDIS_URL, ...command]);
    console.log(`wrote step ${step} under term ${term}`);
    await pause(100);
  }
});
