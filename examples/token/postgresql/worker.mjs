// Writes while this pod is the active one, each time under its term. PGHOST and so on say where, as psql takes them.
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onActive } from 'singleton-operator/client';

const run = promisify(execFile);
const transaction = fileURLToPath(new URL('write.sql', import.meta.url));

await onActive(async (term, signal) => {
  for (let step = 1; !signal.aborted; step += 1) {
    const variables = { ON_ERROR_STOP: 1, term, text: `step ${step}` };
    const flags = Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]);
    // What is refused throws, and that ends this process: it is not the active any more.
    await run('psql', ['-X', '-q', ...flags, '-f', transaction]);
    console.log(`wrote step ${step} under term ${term}`);
    await pause(100);
  }
});
