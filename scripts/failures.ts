/** What failed, one line each: for whoever sees no more of a long output than its end. */
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** Of vitest's JSON report, what is read here. */
export interface Report {
  readonly testResults?: readonly FileResult[];
}

interface FileResult {
  /** Its path. */
  readonly name: string;
  readonly status: string;
  /** Why the file did not load. */
  readonly message: string;
  readonly assertionResults: readonly TestResult[];
}

interface TestResult {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
  readonly status: string;
  /** Each with its stack. */
  readonly failureMessages: readonly string[];
}

/** A level may fail as a whole, and its first failures tell as much as all of them. */
const MOST_LINES = 12;
const MOST_CHARACTERS = 300;

/** `path:line titles: the error's first line`, paths from `root`. */
export const failuresIn = ({ testResults = [] }: Report, root: string): string[] =>
  testResults
    .filter(({ status }) => status === 'failed')
    .flatMap((file) => {
      const path = relative(root, file.name);
      const failed = file.assertionResults.filter(({ status }) => status === 'failed');
      // The report says nothing of hooks but that the file has failed.
      if (failed.length === 0) return [`${path}: ${firstLine(file.message) || 'a hook failed'}`];
      return failed.map((test) => failureOf(test, file.name, path));
    });

function failureOf({ ancestorTitles, title, failureMessages: [error = ''] }: TestResult, file: string, path: string) {
  // Several frames: the last is the test's own, the ones before it are of functions that it called.
  const line = error.split(`${file}:`).slice(1).at(-1)?.match(/^\d+/)?.[0];
  const place = line === undefined ? path : `${path}:${line}`;
  return `${place} ${[...ancestorTitles, title].join(' > ')}: ${firstLine(error)}`;
}

const firstLine = (text: string): string => stripVTControlCharacters(text).split('\n', 1)[0] ?? '';

/** As they are printed, each with the level's name. Nothing known of what failed: then at least that something did. */
export function failureLines(level: string, failed: number, failures: readonly string[]): string[] {
  if (failed === 0) return [];
  const known = failures.length === 0 ? ['see its output'] : failures.slice(0, MOST_LINES);
  const more = failures.length > known.length ? [`and ${failures.length - known.length} more`] : [];
  return [...known, ...more].map((failure) => `FAILED ${level}: ${failure}`.slice(0, MOST_CHARACTERS));
}
