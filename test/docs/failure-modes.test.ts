/** A document that names its proofs is worth what they are: each must be there. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const inProject = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const page = readFileSync(inProject('docs/failure-modes.md'), 'utf8');
const proofs = [...page.matchAll(/`(test\/[^`]+\.test\.ts)` "([^"]+)"/g)].map(([, file = '', title = '']) => ({
  file,
  title,
}));

test('docs/failure-modes.md names proofs', () => {
  expect(proofs.length).toBeGreaterThan(15);
});

test.each(proofs)('"$title" is a test of $file', ({ file, title }) => {
  const source = readFileSync(inProject(file), 'utf8');
  const titles = [...source.matchAll(/(?:test|it|describe)(?:\.each[^]*?\))?\(\s*(['"`])([^]*?)\1/g)].map(
    ([, , name = '']) => name,
  );
  expect(titles.some((name) => name === title || name.startsWith(title))).toBe(true);
});
