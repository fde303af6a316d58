/** Label and field selectors: from their text to a test of one object. */
import type { KubeObject } from '../../../src/api/objects.ts';
import { badRequest } from './errors.ts';

export type Selection = (object: KubeObject) => boolean;

/** The fields by which a kind can be selected: `spec.nodeName` → how to read it; absent is ''. */
export type SelectableFields = Readonly<Record<string, (object: KubeObject) => string | undefined>>;

type Labels = Readonly<Record<string, string>>;

const NO_LABELS: Labels = {};
const KEY = /^[A-Za-z0-9][-A-Za-z0-9_./]*$/;
const REQUIREMENT = /^(?<key>[^\s=!,()]+)(?:\s*(?<operator>==|=|!=)\s*(?<value>[^\s=!,()]*))?$/;
const SET_REQUIREMENT = /^(?<key>[^\s=!,()]+)\s+(?<operator>in|notin)\s*\((?<values>[^()]*)\)$/;

/**
 * `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, all of them joined by commas.
 *
 * @throws ApiError 400 for anything else
 */
export function parseLabelSelector(text: string): (labels: Labels | undefined) => boolean {
  const tests = text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => labelTest(part));
  return (labels) => tests.every((test) => test(labels ?? NO_LABELS));
}

function labelTest(part: string): (labels: Labels) => boolean {
  const set = SET_REQUIREMENT.exec(part)?.groups;
  if (set !== undefined) {
    const [key, values] = [keyOf(set['key']), (set['values'] ?? '').split(',').map((value) => value.trim())];
    const isOneOf = (labels: Labels): boolean => Object.hasOwn(labels, key) && values.includes(labels[key] ?? '');
    return set['operator'] === 'in' ? isOneOf : (labels) => !isOneOf(labels);
  }
  if (part.startsWith('!')) {
    const key = keyOf(part.slice(1).trim());
    return (labels) => !Object.hasOwn(labels, key);
  }
  const { key: rawKey, operator, value = '' } = REQUIREMENT.exec(part)?.groups ?? {};
  const key = keyOf(rawKey);
  if (operator === undefined) return (labels) => Object.hasOwn(labels, key);
  return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
}

function keyOf(key: string | undefined): string {
  if (key === undefined || !KEY.test(key)) throw badRequest('unable to parse requirement: invalid label key');
  return key;
}

/**
 * `metadata.name=a,spec.nodeName!=b`
 *
 * @throws ApiError 400 for a field that the kind does not offer
 */
export function parseFieldSelector(text: string, fields: SelectableFields): Selection {
  const tests = text
    .split(',')
    .filter((part) => part !== '')
    .map((part): Selection => {
      const {
        field = '',
        operator,
        value = '',
      } = /^(?<field>[^=!]+)(?<operator>==|=|!=)(?<value>.*)$/.exec(part)?.groups ?? {};
      if (operator === undefined) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      const read = Object.hasOwn(fields, field) ? fields[field] : undefined;
      if (read === undefined) throw badRequest(`field label not supported: ${field}`);
      return operator === '!='
        ? (object) => (read(object) ?? '') !== value
        : (object) => (read(object) ?? '') === value;
    });
  return (object) => tests.every((test) => test(object));
}

export interface SelectionQuery {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** @throws ApiError 400 */
export function selectionOf(query: SelectionQuery, fields: SelectableFields): Selection {
  const { namespace, labelSelector = '', fieldSelector = '' } = query;
  const label = labelSelector === '' ? undefined : parseLabelSelector(labelSelector);
  const field = fieldSelector === '' ? undefined : parseFieldSelector(fieldSelector, fields);
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    label?.(object.metadata.labels) !== false &&
    field?.(object) !== false;
}
