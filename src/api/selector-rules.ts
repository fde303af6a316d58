/** What a selector of pods to adopt must be. */
import { GROUP } from './names.ts';
import { type Problem, problem, show } from './problems.ts';
import type { Rule } from './rules.ts';

const selectorSelects: Rule = {
  name: 'the selector names something',
  reads: ['selector'],
  cel: [
    {
      at: 'selector',
      rule:
        '(has(self.matchLabels) && self.matchLabels.size() > 0) || ' +
        '(has(self.matchExpressions) && self.matchExpressions.size() > 0)',
      message: 'must not be empty: it would adopt every pod of the namespace',
    },
  ],
  check({ spec: { selector } }) {
    if (selector === undefined) return [];
    const terms = Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions?.length ?? 0);
    return terms > 0 ? [] : [problem(['selector'], 'must not be empty: it would adopt every pod of the namespace')];
  },
};

const OF_OUR_GROUP = `${GROUP}/`;

const selectorOfOthersLabels: Rule = {
  name: 'the selector looks at none of the labels that the operator sets',
  reads: ['selector'],
  // Of matchLabels CEL does not look at the keys: the map has no bounds, and a rule may cost only so much.
  cel: [
    {
      at: 'selector',
      rule: `!has(self.matchExpressions) || self.matchExpressions.all(e, !e.key.startsWith('${OF_OUR_GROUP}'))`,
      message: `must not look at labels of ${GROUP}, which the operator sets itself`,
    },
  ],
  check({ spec: { selector } }) {
    const problemAt = (keys: readonly PropertyKey[], key: string): Problem[] =>
      key.startsWith(OF_OUR_GROUP)
        ? [problem(['selector', ...keys], `must not look at ${show(key)}: the operator sets such labels itself`)]
        : [];
    return [
      ...Object.keys(selector?.matchLabels ?? {}).flatMap((key) => problemAt(['matchLabels', key], key)),
      ...(selector?.matchExpressions ?? []).flatMap(({ key }, index) =>
        problemAt(['matchExpressions', index, 'key'], key),
      ),
    ];
  },
};

const NAME = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const KEY = new RegExp(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?${NAME}$`);
const VALUE = new RegExp(`^(${NAME})?$`);

/** What the API server would refuse as the selector of a watch, so that nobody ever heard of the pods. */
const labelSyntax: Rule = {
  name: 'the selector is made of what labels can be',
  reads: ['selector'],
  cel: 'the keys of matchLabels are a map without bounds, and a rule may cost only so much',
  check({ spec: { selector } }) {
    const keyProblem = (keys: readonly PropertyKey[], key: string): Problem[] =>
      KEY.test(key) ? [] : [problem(['selector', ...keys], `must have a label's key, ${show(key)} is none`)];
    const valueProblem = (keys: readonly PropertyKey[], value: string): Problem[] =>
      VALUE.test(value) ? [] : [problem(['selector', ...keys], `must be a label's value, ${show(value)} is none`)];
    return [
      ...Object.entries(selector?.matchLabels ?? {}).flatMap(([key, value]) => [
        ...keyProblem(['matchLabels', key], key),
        ...valueProblem(['matchLabels', key], value),
      ]),
      ...(selector?.matchExpressions ?? []).flatMap(({ key, values = [] }, index) => [
        ...keyProblem(['matchExpressions', index, 'key'], key),
        ...values.flatMap((value, place) => valueProblem(['matchExpressions', index, 'values', place], value)),
      ]),
    ];
  },
};

export const SELECTOR_RULES: readonly Rule[] = [selectorSelects, selectorOfOthersLabels, labelSyntax];
