import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CLIENT = fileURLToPath(new URL('../../src/client/client.ts', import.meta.url));

/** As if the package were installed beside the examples in `dir`. */
export function installClient(dir: string): void {
  const installed = join(dir, 'node_modules', 'singleton-operator');
  mkdirSync(installed, { recursive: true });
  writeFileSync(join(installed, 'package.json'), '{"type":"module","exports":{"./client":"./client.js"}}');
  writeFileSync(join(installed, 'client.js'), `export * from ${JSON.stringify(CLIENT)};\n`);
}
