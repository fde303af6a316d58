/** What the agent's bundle loads of Node. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withLazyBuiltins } from '../../scripts/builtins.ts';

describe('imports of modules of Node', () => {
  it('take only what they name, by the name that the code has for it', () => {
    const code = 'import { createServer, request as request$1 } from "node:http";\nimport { x } from "./other.js";\n';
    expect(withLazyBuiltins(code)).toBe(
      'const { createServer, request: request$1 } = process.getBuiltinModule("node:http");\nimport { x } from "./other.js";\n',
    );
  });
});

describe("the agent's bundle", { timeout: 60_000 }, () => {
  let dir: string;

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'bundle-'));
    execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build.ts', import.meta.url)), dir]);
  }, 60_000);

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('imports nothing', () => {
    const code = readFileSync(join(dir, 'agent-main.js'), 'utf8');
    expect(code).toContain('process.getBuiltinModule("node:https")');
    expect(code.match(/^(import .*|.*\bimport\().*$/gm) ?? []).toEqual([]);
  });

  it('loads neither fetch nor WebSockets', () => {
    // It ends by itself, for its environment is empty, after all its modules were loaded.
    const tell = `process.on('exit', () => console.log(JSON.stringify(process.moduleLoadList)))`;
    const program = join(dir, 'agent-main.js');
    const run = `${tell}; await import(${JSON.stringify(program)})`;
    const loaded = told(run);
    expect(loaded).toContain('NativeModule https');
    expect(loaded.filter((name) => name.includes('undici'))).toEqual([]);
    expect(told(`${tell}; await import('node:http')`).some((name) => name.includes('undici'))).toBe(true);
  });
});

/** What a program's last line says, whatever it ends with. */
function told(program: string): readonly string[] {
  const command = ['--input-type=module', '--eval', program];
  try {
    return JSON.parse(execFileSync(process.execPath, command, { encoding: 'utf8', env: {}, stdio: 'pipe' }));
  } catch (error) {
    return JSON.parse((error as { readonly stdout: string }).stdout);
  }
}
