/**
 * What the API server does with a custom resource by its structural schema: prunes, fills in defaults, validates.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting-and-nullable
 */
import type { SchemaNode } from '../../../src/api/crd.ts';
import { isObject, sealed } from './json.ts';
import type { JsonObject } from './json.ts';

const fieldOf = (value: unknown, key: string): unknown => (isObject(value) ? value[key] : undefined);

/**
 * Drops what the schema does not know, reads null as absent, and sets defaults. Gives `value` itself when there is
 * nothing to do.
 *
 * @param before what was there; as far as `value` is still that, it is complete
 */
export function completed(node: SchemaNode, value: unknown, before?: unknown): unknown {
  if (value === undefined || value === null) {
    return node.default === undefined ? undefined : completed(node, sealed(node.default));
  }
  if (value === before || node['x-kubernetes-preserve-unknown-fields'] === true) return value;
  const { items, additionalProperties, properties } = node;
  if (Array.isArray(value)) return items === undefined ? value : completedList(items, value);
  if (!isObject(value)) return value;
  if (additionalProperties !== undefined) return completedFields(() => additionalProperties, value, [], before);
  return properties === undefined
    ? value
    : completedFields((key) => properties[key], value, defaultedIn(properties), before);
}

const defaultedIn = (properties: Readonly<Record<string, SchemaNode>>): string[] =>
  Object.keys(properties).filter((key) => properties[key]?.default !== undefined);

function completedList(node: SchemaNode, value: readonly unknown[]): unknown {
  const items = value.map((item) => completed(node, item));
  return items.every((item, index) => item === value[index]) ? value : Object.freeze(items);
}

function completedFields(
  nodeOf: (key: string) => SchemaNode | undefined,
  value: JsonObject,
  defaulted: readonly string[],
  before: unknown,
): JsonObject {
  const result: Record<string, unknown> = {};
  const missing = defaulted.filter((key) => !Object.hasOwn(value, key));
  let isChanged = missing.length > 0;
  for (const key of [...Object.keys(value), ...missing]) {
    const node = nodeOf(key);
    const field = node === undefined ? undefined : completed(node, value[key], fieldOf(before, key));
    isChanged ||= field !== value[key];
    if (field !== undefined) result[key] = field;
  }
  return isChanged ? Object.freeze(result) : value;
}

/**
 * `path: what is wrong`, for each thing that is. Of formats, and of unions but int-or-string, nothing is checked.
 *
 * @param before what was there; as far as `value` is still that, nothing is wrong with it
 */
export function problemsOf(node: SchemaNode, value: unknown, path: string, before?: unknown): string[] {
  if (value === before) return [];
  if (node['x-kubernetes-int-or-string'] === true) {
    return typeof value === 'string' || Number.isInteger(value)
      ? []
      : [wrong(path, value, 'must be of type int-or-string')];
  }
  if (!isOfType(node.type, value)) return [wrong(path, value, `${path} in body must be of type ${node.type}`)];
  const found = limitProblems(node, value).map((text) => wrong(path, value, `${path} in body ${text}`));
  if (Array.isArray(value)) {
    const { items } = node;
    return items === undefined
      ? found
      : [...found, ...value.flatMap((item, index) => problemsOf(items, item, `${path}[${index}]`))];
  }
  return isObject(value) ? [...found, ...fieldProblems(node, value, path, before)] : found;
}

function fieldProblems(node: SchemaNode, value: JsonObject, path: string, before: unknown): string[] {
  const required = (node['required'] as readonly string[] | undefined) ?? [];
  const missing = required.filter((key) => !Object.hasOwn(value, key)).map((key) => `${path}.${key}: Required value`);
  const inside = Object.entries(value).flatMap(([key, field]) => {
    const child = node.properties?.[key] ?? node.additionalProperties;
    return child === undefined ? [] : problemsOf(child, field, `${path}.${key}`, fieldOf(before, key));
  });
  return [...missing, ...inside];
}

const wrong = (path: string, value: unknown, why: string): string =>
  `${path}: Invalid value: ${JSON.stringify(value)}: ${why}`;

function isOfType(type: string | undefined, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case undefined:
      return true;
    default:
      return typeof value === type;
  }
}

type Limit = (value: unknown, limit: never) => boolean;

/** Whether a value keeps to the keyword; those of another type than the keyword is about do. */
const LIMITS: Readonly<Record<string, Limit>> = {
  enum: (value, limit: readonly unknown[]) => limit.includes(value),
  minimum: (value, limit: number) => typeof value !== 'number' || value >= limit,
  maximum: (value, limit: number) => typeof value !== 'number' || value <= limit,
  minLength: (value, limit: number) => typeof value !== 'string' || value.length >= limit,
  maxLength: (value, limit: number) => typeof value !== 'string' || value.length <= limit,
  pattern: (value, limit: string) => typeof value !== 'string' || expressionOf(limit).test(value),
  minItems: (value, limit: number) => !Array.isArray(value) || value.length >= limit,
  maxItems: (value, limit: number) => !Array.isArray(value) || value.length <= limit,
};

const expressions = new Map<string, RegExp>();

function expressionOf(pattern: string): RegExp {
  const expression = expressions.get(pattern) ?? new RegExp(pattern);
  expressions.set(pattern, expression);
  return expression;
}

interface Check {
  readonly text: string;
  readonly holds: (value: unknown) => boolean;
}

/** Schemas do not change, and are asked with every write. */
const checks = new WeakMap<SchemaNode, readonly Check[]>();

function checksOf(node: SchemaNode): readonly Check[] {
  const known = checks.get(node);
  if (known !== undefined) return known;
  const those = Object.entries(LIMITS)
    .filter(([keyword]) => node[keyword] !== undefined)
    .map(([keyword, holds]) => {
      const limit = node[keyword] as never;
      return { text: `breaks ${keyword} ${JSON.stringify(limit)}`, holds: (value: unknown) => holds(value, limit) };
    });
  checks.set(node, those);
  return those;
}

const limitProblems = (node: SchemaNode, value: unknown): string[] =>
  checksOf(node)
    .filter(({ holds }) => !holds(value))
    .map(({ text }) => text);
