import { describe, expect, it } from 'vitest';
import { labelKeys, matches } from '../../src/core/node-terms.ts';
import type { NodeTerm } from '../../src/core/node-terms.ts';

type Requirement = NodeTerm['matchExpressions'][number];

const LABELS = { zone: 'a', cores: '8', empty: '', padded: '007', huge: '99999999999999999999' };

const needs = (key: string, operator: Requirement['operator'], ...values: string[]): Requirement =>
  values.length === 0 ? { key, operator } : { key, operator, values };

describe('a node term', () => {
  it.each<[boolean, Requirement]>([
    [true, needs('zone', 'In', 'b', 'a')],
    [false, needs('zone', 'In', 'b')],
    [false, needs('rack', 'In', 'a')],
    [true, needs('empty', 'In', '')],
    [false, needs('rack', 'In', '')],
    [false, needs('zone', 'NotIn', 'b', 'a')],
    [true, needs('zone', 'NotIn', 'b')],
    [true, needs('rack', 'NotIn', 'a')],
    [true, needs('zone', 'Exists')],
    [true, needs('empty', 'Exists')],
    [false, needs('rack', 'Exists')],
    [false, needs('zone', 'DoesNotExist')],
    [true, needs('rack', 'DoesNotExist')],
    [true, needs('cores', 'Gt', '7')],
    [false, needs('cores', 'Gt', '8')],
    [true, needs('cores', 'Gt', '-1')],
    [true, needs('cores', 'Lt', '9')],
    [true, needs('cores', 'Lt', '16')],
    [false, needs('cores', 'Lt', '8')],
    [true, needs('padded', 'Lt', '8')],
    [false, needs('zone', 'Gt', '0')],
    [false, needs('zone', 'Lt', '0')],
    [false, needs('empty', 'Lt', '1')],
    [false, needs('rack', 'Gt', '0')],
    [false, needs('rack', 'Lt', '0')],
    [false, needs('huge', 'Gt', '0')],
    [false, needs('huge', 'Lt', '0')],
    [false, needs('toString', 'Exists')],
    [true, needs('constructor', 'DoesNotExist')],
  ])('is met (%s) by a node for which %o', (expected, requirement) => {
    expect(matches({ matchExpressions: [requirement] }, LABELS)).toBe(expected);
  });

  it('tells large numbers apart that a floating-point number would not', () => {
    const term = { matchExpressions: [needs('n', 'Gt', '900719925474099200')] };
    expect(matches(term, { n: '900719925474099201' })).toBe(true);
    expect(matches(term, { n: '900719925474099200' })).toBe(false);
  });

  it('is met only when all of its requirements are', () => {
    const term = { matchExpressions: [needs('zone', 'In', 'a'), needs('cores', 'Gt', '4')] };
    expect(matches(term, LABELS)).toBe(true);
    expect(matches(term, { ...LABELS, cores: '4' })).toBe(false);
    expect(matches(term, { ...LABELS, zone: 'b' })).toBe(false);
  });

  it('names the labels that it looks at, each once', () => {
    const term = { matchExpressions: [needs('zone', 'Exists'), needs('cores', 'Gt', '4')] };
    expect(labelKeys([term, { matchExpressions: [needs('zone', 'In', 'a')] }])).toEqual(['zone', 'cores']);
    expect(labelKeys([])).toEqual([]);
  });
});
