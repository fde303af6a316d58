/** How a rule that a spec breaks is told to people: where, and in one sentence with the value that was found. */
import type { z } from 'zod';

export interface Problem {
  /** As a person would write it: `spec.service.ports[0].name`. */
  readonly path: string;
  /** A sentence without its subject, which is the path: `must be between 1 and 32, is 33`. */
  readonly rule: string;
}

const SHOWN_CHARACTERS = 60;

/** The value as JSON, cut to a length that a condition's message can bear. */
export const show = (value: unknown): string => {
  const json = value === undefined ? 'absent' : JSON.stringify(value);
  return json.length <= SHOWN_CHARACTERS ? json : `${json.slice(0, SHOWN_CHARACTERS)}…`;
};

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `['spec', 'ports', 0, 'a.b/c']` → `spec.ports[0][a.b/c]`, the form that the API server uses in its own messages. */
export const pathOf = (keys: readonly PropertyKey[]): string =>
  keys.reduce<string>((path, key) => {
    if (typeof key === 'string' && PLAIN_KEY.test(key)) return path === '' ? key : `${path}.${key}`;
    return `${path}[${String(key)}]`;
  }, '');

/** Of what stands at `keys` within the spec. */
export const problem = (keys: readonly PropertyKey[], rule: string): Problem => ({
  path: pathOf(['spec', ...keys]),
  rule,
});

/** `['A', 'B', 'C']` → `A, B or C`. */
export const anyOf = (values: readonly unknown[]): string => {
  const words = values.map(String);
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
};

const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  record: 'an object',
  string: 'a string',
};

/** For what has a length; numbers say their range themselves (fields.ts). */
const sizeRule = (limit: string, { input }: { readonly input?: unknown }): string | undefined => {
  if (typeof input === 'string') return `must have ${limit} characters, has ${input.length}`;
  return Array.isArray(input) ? `must have ${limit} items, has ${input.length}` : undefined;
};

/** The sentence for an issue that the schema gave no sentence of its own; undefined leaves zod's. */
export const ruleOfIssue = (issue: z.core.$ZodRawIssue): string | undefined => {
  if (issue.input === undefined) return 'is required';
  if (issue.code === 'invalid_type') {
    return `must be ${TYPE_WORDS[issue.expected] ?? issue.expected}, is ${show(issue.input)}`;
  }
  if (issue.code === 'invalid_value') return `must be ${anyOf(issue.values)}, is ${show(issue.input)}`;
  if (issue.code === 'too_small') return sizeRule(`at least ${issue.minimum}`, issue);
  if (issue.code === 'too_big') return sizeRule(`at most ${issue.maximum}`, issue);
  return undefined;
};
