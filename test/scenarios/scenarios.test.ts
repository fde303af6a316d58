/**
 * Scripts and what the operator makes of them, decision by decision, after etcd-io/raft's testdata: a command after `>`,
 * then the trace and the state that it led to. A trace that changed is a decision that changed: look at it, and if it is
 * meant, rewrite the files with `UPDATE_SCENARIOS=1 npx vitest run test/scenarios`.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from './commands.ts';
import { World } from './world.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const isUpdating = process.env['UPDATE_SCENARIOS'] === '1';

/** The script's own lines: comments and commands. What stands between them is what is compared. */
const isScript = (line: string): boolean => line.startsWith('>') || line.startsWith('#');

export function play(script: string): string {
  const world = new World();
  const blocks: string[] = [];
  for (const line of script.split('\n').filter(isScript)) {
    if (line.startsWith('#')) {
      blocks.push(line);
      continue;
    }
    const from = world.lines.length;
    run(world, line.slice(1).trim());
    blocks.push([line, ...world.lines.slice(from), world.state(), ''].join('\n'));
  }
  return `${blocks.join('\n').trimEnd()}\n`;
}

describe('the scenario', () => {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.txt'));

  it.each(files)('%s goes as it is written', (file) => {
    const path = join(FOLDER, file);
    const text = readFileSync(path, 'utf8');
    const played = play(text);
    if (isUpdating) writeFileSync(path, played);
    else expect(played).toBe(text);
  });

  it('files are many, and each begins by saying what it shows', () => {
    expect(files.length).toBeGreaterThanOrEqual(20);
    for (const file of files) expect(readFileSync(join(FOLDER, file), 'utf8')).toMatch(/^# [A-Z]/);
  });

  it('gives the same trace each time', { timeout: 60_000 }, () => {
    for (const file of files) {
      const text = readFileSync(join(FOLDER, file), 'utf8');
      expect(play(text)).toBe(play(text));
    }
  });
});
