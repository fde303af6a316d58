/**
 * The building blocks of the schema. Each says its sentence for a bad value itself, with the value found, and writes
 * default and range into the description, since `kubectl explain` shows nothing else.
 */
import { z } from 'zod';

import { anyOf, show } from './problems.ts';

type IssueWithInput = { readonly input?: unknown };

/** A sentence that ends in the value found. An absent value is told by `ruleOfIssue`, which is why undefined goes on. */
const must =
  (requirement: string) =>
  (issue: IssueWithInput): string | undefined =>
    issue.input === undefined ? undefined : `must be ${requirement}, is ${show(issue.input)}`;

const note = (text: string, values: string, byDefault?: string | number | boolean): string =>
  byDefault === undefined ? `${text} ${values}.` : `${text} ${values}; default ${byDefault}.`;

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** A whole number in a range, both ends included. */
export const wholeNumber = ({ min, max }: Range, text: string) => {
  const error = must(`between ${min} and ${max}`);
  return z
    .int({ error: must(`a whole number between ${min} and ${max}`) })
    .min(min, { error })
    .max(max, { error })
    .describe(note(text, `Range: ${min} to ${max}`));
};

export const wholeNumberOr = (range: Range & { readonly byDefault: number }, text: string) =>
  wholeNumber(range, text)
    .describe(note(text, `Range: ${range.min} to ${range.max}`, range.byDefault))
    .default(range.byDefault);

/** Seconds, whole ones: the unit that Kubernetes itself uses in its objects. `parseSpec` makes milliseconds of them. */
export const secondsOr = (range: Range & { readonly byDefault: number }, text: string) =>
  wholeNumber(range, text)
    .describe(note(text, `In seconds, ${range.min} to ${range.max}`, range.byDefault))
    .default(range.byDefault);

export const oneOf = <const T extends readonly [string, ...string[]]>(values: T, text: string) =>
  z.enum(values, { error: must(anyOf(values)) }).describe(note(text, `One of ${values.join(', ')}`));

export const oneOfOr = <const T extends readonly [string, ...string[]]>(
  values: T,
  byDefault: T[number],
  text: string,
) =>
  // Why the assertion: z.enum() has as output exactly these values, which it cannot show for a generic list.
  oneOf(values, text)
    .describe(note(text, `One of ${values.join(', ')}`, byDefault))
    .default(byDefault as never);

export const flagOr = (byDefault: boolean, text: string) =>
  z.boolean().describe(`${text} Default: ${byDefault}.`).default(byDefault);

/** A string of at most `max` characters that matches `pattern` (RE2, so no look-around); `form` says it in words. */
export const stringLike = (pattern: RegExp, max: number, form: string, text: string) => {
  const error = must(form);
  return z.string().max(max, { error }).regex(pattern, { error }).describe(text);
};

/** A string of 1 to `max` characters. */
export const text = (max: number, description: string) => z.string().min(1).max(max).describe(description);

export const DNS_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const CONTAINER_PORT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

export const portName = (text: string) =>
  stringLike(DNS_LABEL, 63, 'lower-case letters, digits and "-" (at most 63)', text);

export const portNumber = (text: string) => wholeNumber({ min: 1, max: 65_535 }, text);

/** A port's number or a container port's name. Each part has the sentence: zod tells of the part that came nearest. */
export const intOrPortName = (text: string) => {
  const error = must('a port number (1 to 65535) or the name of a container port (at most 15 characters)');
  const number = z.int({ error }).min(1, { error }).max(65_535, { error });
  const name = z.string().min(1, { error }).max(15, { error }).regex(CONTAINER_PORT_NAME, { error });
  return z.union([number, name], { error }).meta({ description: text, 'x-kubernetes-int-or-string': true });
};

/** Annotations or labels: keys and values are the API server's to judge. */
export const stringMap = (text: string) => z.record(z.string(), z.string().describe('The value.')).describe(text);

const matchExpression = <const T extends readonly [string, ...string[]]>(operators: T, what: string) =>
  z
    .object({
      key: text(317, `The ${what}'s key.`),
      operator: oneOf(operators, `How the ${what}'s value relates to values.`),
      values: z
        .array(z.string().max(63).describe('One value.'))
        .max(64)
        .optional()
        .describe('For In and NotIn at least one; for Gt and Lt exactly one whole number; for the others none.'),
    })
    .describe('One requirement. All requirements of a list must hold.');

export const LABEL_OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;
export const NODE_OPERATORS = [...LABEL_OPERATORS, 'Gt', 'Lt'] as const;

/** As `metav1.LabelSelector`. */
export const labelSelector = (text: string) =>
  z
    .object({
      matchLabels: z
        .record(z.string(), z.string().max(63).describe('The value that the label must have.'))
        .optional()
        .describe('Labels that a pod must have, each with its value.'),
      matchExpressions: z
        .array(matchExpression(LABEL_OPERATORS, 'label'))
        .max(32)
        .optional()
        .describe('Further requirements on the labels of a pod.'),
    })
    .describe(text);

/** As `core/v1.NodeSelectorTerm`, of which only the labels of the node are looked at. */
export const nodeTerm = (text: string) =>
  z
    .object({
      matchExpressions: z
        .array(matchExpression(NODE_OPERATORS, 'node label'))
        .min(1)
        .max(32)
        .describe('Requirements on the labels of the node.'),
    })
    .describe(text);
