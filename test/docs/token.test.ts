/** What docs/token.md shows is what is tested: the text of the examples. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const inProject = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string): string => readFileSync(inProject(path), 'utf8');

/** The code after a line that links to the file that it is. */
const shown = [...read('docs/token.md').matchAll(/^\[`(examples\/token\/[^`]+)`\]\(.*\)\n\n```\w+\n([^]*?)```$/gm)].map(
  ([, file = '', code = '']) => ({ file, code }),
);

describe('docs/token.md', () => {
  it('shows an example for each kind of store, and no other code', () => {
    const folders = globSync('examples/token/*/', { cwd: inProject('.') }).map(
      (folder) => `${folder.replace(/\/$/, '')}/`,
    );
    expect(folders.length).toBeGreaterThan(3);
    expect(folders.filter((folder) => !shown.some(({ file }) => file.startsWith(folder)))).toEqual([]);
    expect(read('docs/token.md').match(/^```\w+$/gm)).toHaveLength(shown.length);
  });

  it.each(shown)('has $file as it is', ({ file, code }) => {
    expect(code).toBe(read(file));
  });
});
