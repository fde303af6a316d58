/** Style as a test: what CONTRIBUTING.md asks for, where a program can tell. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(ROOT, path)));

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const under = (...folders: string[]): string[] =>
  tracked.filter((path) => path.endsWith('.ts') && folders.some((folder) => path.startsWith(`${folder}/`)));

/** The code without comments and texts, in which words are only words. */
const code = (path: string): string =>
  read(path)
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replaceAll(/(?<!:)\/\/.*$/gm, '');

/** `path:line: text` for every line that matches, so that a failure says where to look. */
const linesWith = (pattern: RegExp, paths: readonly string[], textOf = read): string[] =>
  paths.flatMap((path) =>
    textOf(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );

const importsOf = (path: string): string[] =>
  [...read(path).matchAll(/(?:from|import)\s+'([^']+)'/g)].map(([, source]) => source ?? '');

/** Where a relative import leads, from the root; a package's name as it is. */
const target = (path: string, source: string): string =>
  source.startsWith('.') ? normalize(join(dirname(path), source)) : source;

const foreignImports = (folder: string, allowed: (target: string) => boolean): string[] =>
  under(folder).flatMap((path) =>
    importsOf(path)
      .filter((source) => !allowed(target(path, source)))
      .map((source) => `${path} imports ${source}`),
  );

describe('src/core', () => {
  it('knows no time, no chance, no waiting and no process', () => {
    const words =
      /\bDate\b|Math\.random|\basync\b|\bawait\b|\bPromise\b|setTimeout|setInterval|setImmediate|queueMicrotask|\bprocess\b|\bperformance\b|\bconsole\b|\bglobalThis\b/;
    expect(linesWith(words, under('src/core'), code)).toEqual([]);
  });

  it('imports only itself and src/api', () => {
    expect(foreignImports('src/core', (to) => /^src\/(core|api)\//.test(to))).toEqual([]);
  });

  it('is there', () => {
    expect(under('src/core').length).toBeGreaterThan(8);
  });
});

describe('the layers', () => {
  it('src/api imports only itself and zod', () => {
    expect(foreignImports('src/api', (to) => to === 'zod' || to.startsWith('src/api/'))).toEqual([]);
  });

  it('src/adapters import nothing of core and operator', () => {
    expect(foreignImports('src/adapters', (to) => !/^src\/(core|operator)\//.test(to))).toEqual([]);
  });

  it('src imports no test', () => {
    expect(foreignImports('src', (to) => !/^(test|bench|demo)\//.test(to))).toEqual([]);
  });

  it('only the programs read the environment and arguments, and exit', () => {
    // The client runs in the workload, and reads the one variable that the operator sets there.
    const libraries = under('src').filter((path) => !path.endsWith('-main.ts') && path !== 'src/client/client.ts');
    const words = /process\.(env|argv|exit|exitCode|on|once|kill|abort|stdin|cwd|chdir)\b/;
    expect(linesWith(words, libraries, code)).toEqual([]);
  });

  it('every import of ours ends in .ts', () => {
    const ours = (path: string): string[] => importsOf(path).filter((source) => source.startsWith('.'));
    const wrong = under('src', 'test').flatMap((path) =>
      ours(path)
        .filter((source) => !/\.(ts|json)$/.test(source))
        .map((source) => `${path} imports ${source}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('exceptions have a reason', () => {
  const all = under('src', 'test', 'bench', 'demo', 'scripts').filter((path) => path !== 'test/tidy.test.ts');

  it('a disabled rule says why in the same line', () => {
    const disabled = linesWith(/(oxlint|eslint)-disable|@ts-(ignore|expect-error|nocheck)/, all);
    expect(disabled.filter((line) => !/ -- \S/.test(line))).toEqual([]);
  });

  it('an `any` says why in the same line', () => {
    const used = linesWith(/(:|as|<|\||&)\s*any\b/, all, code);
    expect(used).toEqual([]);
  });

  it('a skipped test says why in the same line, and none stands alone', () => {
    const skipped = linesWith(/\b(it|test|describe)\.(skip|todo|fails)\b/, all);
    expect(skipped.filter((line) => !/\/\/ \S/.test(line))).toEqual([]);
    expect(linesWith(/\b(it|test|describe)\.only\b/, all)).toEqual([]);
  });
});

describe('tests', () => {
  const files = tracked.filter((path) => path.endsWith('.test.ts'));
  const TITLE = /^(\s*)(?:(describe|it|test)\b.*?\(|\S*\]\)\(|`\)\(|\}\)\()\s*(['"`])((?:(?!\3)[^\\]|\\.)*)\3/;

  /** Titles with those of the blocks around them, by indentation, which the formatter guarantees. */
  const titlesOf = (path: string): string[] => {
    const around: { indent: number; title: string }[] = [];
    const titles: string[] = [];
    for (const line of read(path).split('\n')) {
      const [, indent = '', kind, , title] = TITLE.exec(line) ?? [];
      // A name that is all placeholder is told apart by its table.
      if (title === undefined || /^[%$]\S+$/.test(title)) continue;
      while ((around.at(-1)?.indent ?? -1) >= indent.length) around.pop();
      const full = [...around.map((block) => block.title), title].join(' > ');
      if (kind === 'describe') around.push({ indent: indent.length, title });
      else titles.push(full);
    }
    return titles;
  };

  it('have names that are theirs alone within a file', () => {
    const twice = files.flatMap((path) => {
      const titles = titlesOf(path);
      return titles.filter((title, index) => titles.indexOf(title) !== index).map((title) => `${path}: ${title}`);
    });
    expect(twice).toEqual([]);
  });

  it('are found by their names', () => {
    expect(titlesOf('test/tidy.test.ts')).toContain('tests > are found by their names');
  });

  it('of the unit level do not sleep', () => {
    const units = files.filter((path) => /^test\/(core|operator|scenarios|api)\//.test(path));
    expect(linesWith(/\bsetTimeout\(|\bsleep\(/, units)).toEqual([]);
  });
});

describe('no file says where or how it was written', () => {
  // In pieces, so that this file does not say it either.
  const FORBIDDEN = [
    ['/wo', 'rk/'],
    ['/ro', 'ot/.'],
    ['/ho', 'me/'],
    ['/Us', 'ers/'],
    ['../sh', 'ared'],
    ['npm', 'js.org'],
    ['npm', 'js.com'],
    ['arti', 'factory'],
    ['BEGIN RSA PRIV', 'ATE KEY'],
  ].map((pieces) => pieces.join(''));

  const texts = tracked.filter((path) => !/\.(png|svg|ico|gif|woff2?)$/.test(path));

  // CI alone may know that a kit for kind lies beside the repository.
  const isAllowed = (path: string, word: string): boolean => path === '.ci/run' && word.endsWith('shared');

  it.each(FORBIDDEN)('such as %s', (word) => {
    expect(texts.filter((path) => read(path).includes(word) && !isAllowed(path, word))).toEqual([]);
  });
});

describe('a file fits a reader’s head', () => {
  const LIMIT = { src: 400, test: 620, other: 400 };
  /** Larger ones, at the size they have: a number here only ever goes down. */
  const RATCHET: Readonly<Record<string, number>> = {};

  const limitOf = (path: string): number => {
    if (path.startsWith('src/')) return LIMIT.src;
    return path.startsWith('test/') ? LIMIT.test : LIMIT.other;
  };
  const lengthOf = (path: string): number => read(path).split('\n').length - 1;

  it('or is one of the few that are larger, and do not grow', () => {
    const large = under('src', 'test', 'bench', 'demo', 'scripts')
      .filter((path) => lengthOf(path) > (RATCHET[path] ?? limitOf(path)))
      .map((path) => `${path} has ${lengthOf(path)} lines`);
    expect(large).toEqual([]);
  });

  it('and those that became small are not on the list of large ones', () => {
    const small = Object.keys(RATCHET).filter((path) => !tracked.includes(path) || lengthOf(path) <= limitOf(path) / 2);
    expect(small).toEqual([]);
  });
});
