import { describe, expect, it } from 'vitest';
import { failureLines, failuresIn } from '../../scripts/failures.ts';

const FILE = '/some/project/test/core/a.test.ts';
const VITEST = '    at file:///some/project/node_modules/vitest/dist/run.js:2864:20';

const failed = (title: string, error: string) => ({
  ancestorTitles: ['a move', 'of two'],
  title,
  status: 'failed',
  failureMessages: [error],
});
const passed = { ...failed('passes', ''), status: 'passed', failureMessages: [] };
const report = (assertionResults: ReturnType<typeof failed>[], message = '') => ({
  testResults: [
    { name: '/some/project/test/b.test.ts', status: 'passed', message: '', assertionResults: [passed] },
    { name: FILE, status: 'failed', message, assertionResults },
  ],
});
const failures = (...args: Parameters<typeof report>) => failuresIn(report(...args), '/some/project');

describe('what failed is told in a line', () => {
  it('with the place in the test, whole titles, and the first line of the error', () => {
    const error = `Error: waited 30000 ms\nfor it\n    at until (/some/project/test/wait.ts:32:9)\n    at ${FILE}:178:19\n${VITEST}`;
    expect(failures([passed, failed('goes', error)])).toEqual([
      'test/core/a.test.ts:178 a move > of two > goes: Error: waited 30000 ms',
    ]);
  });

  it('with the place in the test itself, not in what it calls', () => {
    const error = `AssertionError: no\n    at healed (${FILE}:20:5)\n    at ${FILE}:41:7\n${VITEST}`;
    expect(failures([failed('goes', error)])).toEqual([
      'test/core/a.test.ts:41 a move > of two > goes: AssertionError: no',
    ]);
  });

  it('without a line where nothing has a stack, and without colours', () => {
    expect(failures([failed('throws', '\u001B[31mtext\u001B[39m')])).toEqual([
      'test/core/a.test.ts a move > of two > throws: text',
    ]);
  });

  it('when a file does not load, with the reason', () => {
    expect(failures([], "Cannot find module './b.ts'\nRequire stack")).toEqual([
      "test/core/a.test.ts: Cannot find module './b.ts'",
    ]);
  });

  it('when a hook fails, of which the report says nothing', () => {
    expect(failures([{ ...passed, status: 'skipped' }])).toEqual(['test/core/a.test.ts: a hook failed']);
  });

  it('not at all when nothing did, or the report is of another kind', () => {
    expect(failuresIn({}, '/some/project')).toEqual([]);
    expect(failuresIn({ testResults: [] }, '/some/project')).toEqual([]);
  });
});

describe('what is printed of a level', () => {
  it('is nothing when nothing failed', () => {
    expect(failureLines('test:unit', 0, [])).toEqual([]);
  });

  it('is a line for each failure, with its name', () => {
    expect(failureLines('test:unit', 2, ['a', 'b'])).toEqual(['FAILED test:unit: a', 'FAILED test:unit: b']);
  });

  it('is that something failed, where no more is known', () => {
    expect(failureLines('lint', 1, [])).toEqual(['FAILED lint: see its output']);
  });

  it('is so much that the end of the output has room for it', () => {
    const all = Array.from({ length: 500 }, (_, index) => `${index} ${'x'.repeat(1_000)}`);
    const lines = failureLines('test:unit', 500, all);
    expect(lines).toHaveLength(13);
    expect(lines.at(-1)).toBe('FAILED test:unit: and 488 more');
    expect(Math.max(...lines.map(({ length }) => length))).toBe(300);
  });
});
