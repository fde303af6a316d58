// Writes while this pod is the active one, each time under its term. OBJECT_URL says where.
import { setTimeout as pause } from 'node:timers/promises';
import { onActive } from 'singleton-operator/client';
import { write } from './write.mjs';

await onActive(async (term, signal) => {
  for (let step = 1; !signal.aborted; step += 1) {
    // What is refused throws, and that ends this process: it is not the active any more.
    await write(process.env.OBJECT_URL, term, () => `step ${step}`);
    console.log(`wrote step ${step} under term ${term}`);
    await pause(100);
  }
});
