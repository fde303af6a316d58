/** Whether the labels of a node meet a term, as the Kubernetes scheduler judges `NodeSelectorTerm.matchExpressions`. */
import type { Preference } from '../api/spec.ts';

export type NodeTerm = Preference['preference'];
type Requirement = NodeTerm['matchExpressions'][number];
type Labels = Readonly<Record<string, string>>;

export const matches = ({ matchExpressions }: NodeTerm, labels: Labels): boolean =>
  matchExpressions.every((requirement) => holds(requirement, labels));

/** The keys of all labels that the terms look at. */
export const labelKeys = (terms: readonly NodeTerm[]): string[] => [
  ...new Set(terms.flatMap(({ matchExpressions }) => matchExpressions.map(({ key }) => key))),
];

/** A label that is not there fulfils NotIn too, as everywhere in Kubernetes. */
function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  // Own only: `constructor` may be a label's key.
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return compared(value, values[0], (label, bound) => label > bound);
    case 'Lt':
      return compared(value, values[0], (label, bound) => label < bound);
    default:
      return operator satisfies never;
  }
}

const INT64_BITS = 64;

/** What is no 64-bit whole number is neither greater nor less. */
function compared(
  value: string | undefined,
  bound: string | undefined,
  relation: (label: bigint, bound: bigint) => boolean,
): boolean {
  const [a, b] = [wholeNumber(value), wholeNumber(bound)];
  return a !== undefined && b !== undefined && relation(a, b);
}

function wholeNumber(text: string | undefined): bigint | undefined {
  if (text === undefined || !/^-?\d+$/.test(text)) return undefined;
  const number = BigInt(text);
  return BigInt.asIntN(INT64_BITS, number) === number ? number : undefined;
}
