/** Which pods a `metav1.LabelSelector` selects. */
import type { LabelSelector } from '../api/spec.ts';
import { matches } from './node-terms.ts';

type Labels = Readonly<Record<string, string>>;

/** As the API server judges it. A selector without requirements selects everything; rules.ts refuses those. */
export const selects = ({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels = {}): boolean =>
  // Own only: `constructor` may be a label's key.
  Object.entries(matchLabels).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value) &&
  matches({ matchExpressions }, labels);

/** As the `labelSelector` parameter of a list or watch. The same selector gives the same text. */
export function selectorText({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const equalities = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`);
  return [...equalities.sort(), ...matchExpressions.map(requirementText)].join(',');
}

function requirementText({
  key,
  operator,
  values = [],
}: NonNullable<LabelSelector['matchExpressions']>[number]): string {
  switch (operator) {
    case 'In':
      return `${key} in (${values.join(',')})`;
    case 'NotIn':
      return `${key} notin (${values.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
    default:
      return operator satisfies never;
  }
}
