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
  cel: [
    {
      at: 'selector',
      rule: `!has(self.matchLabels) || self.matchLabels.all(key, !key.startsWith('${OF_OUR_GROUP}'))`,
      message: `must not look at labels of ${GROUP}, which the operator sets itself`,
    },
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

export const SELECTOR_RULES: readonly Rule[] = [selectorSelects, selectorOfOthersLabels];
