import { describe, expect, it } from 'vitest';
import type { LabelSelector } from '../../src/api/spec.ts';
import { selectorText, selects } from '../../src/core/label-selector.ts';
import { parseLabelSelector } from '../simulation/api-server/selectors.ts';

const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values?: string[],
): LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values !== undefined && { values }) }],
});

const SELECTORS: LabelSelector[] = [
  { matchLabels: { app: 'web' } },
  { matchLabels: { tier: 'front', app: 'web' } },
  expression('app', 'In', ['web', 'api']),
  expression('app', 'NotIn', ['web']),
  expression('app', 'Exists'),
  expression('app', 'DoesNotExist'),
  { matchLabels: { app: 'web' }, ...expression('tier', 'NotIn', ['back']) },
  { matchLabels: Object.fromEntries([['constructor', 'web']]) },
];

const LABELS: (Record<string, string> | undefined)[] = [
  undefined,
  {},
  { app: 'web' },
  { app: 'api' },
  { app: 'web', tier: 'front' },
  { app: 'web', tier: 'back' },
];

describe('a label selector', () => {
  it.each(SELECTORS)('%j selects what the API server selects by its text', (selector) => {
    const server = parseLabelSelector(selectorText(selector));
    for (const labels of LABELS) expect(selects(selector, labels)).toBe(server(labels));
  });

  it('has one text, in whatever order its labels were written', () => {
    expect(selectorText({ matchLabels: { b: '2', a: '1' } })).toBe('a=1,b=2');
    expect(selectorText({ matchLabels: { a: '1', b: '2' } })).toBe('a=1,b=2');
  });
});
