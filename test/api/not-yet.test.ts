import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

import { customResourceDefinition } from '../../src/api/crd.ts';
import {
  NOT_YET,
  NOT_YET_BEGIN,
  NOT_YET_END,
  notYetActedUpon,
  notYetMarkdown,
  withNotYetList,
} from '../../src/api/not-yet.ts';
import { type Spec, parseSpec } from '../../src/api/spec.ts';
import { aSpec } from './specs.ts';

const accepted = (raw: unknown): Spec => {
  const parsed = parseSpec(raw, { name: 'echo' });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.spec;
};

/** For each path of the list, a spec that sets it. */
const SET: readonly (readonly [string, object])[] = [];

describe('what is accepted and not acted upon', () => {
  test('is nothing in a spec of defaults, also when they are written out', () => {
    expect(notYetActedUpon(accepted(aSpec()))).toEqual([]);
    const written = aSpec({
      election: { strategy: 'Oldest', leaseDurationSeconds: 10, priorities: [] },
      failover: { nodeLoss: { afterSeconds: 30, policy: 'PromoteAfter' } },
      disruptionBudget: true,
    });
    expect(notYetActedUpon(accepted(written))).toEqual([]);
  });

  test('is told, each path of it', () => {
    for (const [path, raw] of SET) expect(notYetActedUpon(accepted(raw))).toContain(path);
  });

  test('is nothing of how the active is fenced', () => {
    expect(notYetActedUpon(accepted(aSpec({ fencing: { mode: 'Agent', onApiLoss: 'Hold' } })))).toEqual([]);
    expect(
      notYetActedUpon(accepted(aSpec({ replicas: 5, paused: true, failover: { unreadyGraceSeconds: 1 } }))),
    ).toEqual([]);
  });

  test('is nothing of how a candidate is chosen', () => {
    const matchExpressions = [{ key: 'zone', operator: 'In', values: ['a'] }];
    const preferences = [{ weight: 1, preference: { matchExpressions } }];
    const election = { strategy: 'Priority', priorities: [1, 2], preferences };
    expect(notYetActedUpon(accepted(aSpec({ election })))).toEqual([]);
  });

  test('is covered here in every entry', () => {
    expect(NOT_YET.map(({ path }) => path)).toEqual(SET.map(([path]) => path));
  });

  test('is said by kubectl explain', () => {
    const crd = JSON.stringify(customResourceDefinition('portable'));
    for (const { path, sentence } of NOT_YET) {
      if (path.startsWith('spec.')) expect(crd).toContain(`NOT YET IN THIS VERSION: ${sentence}`);
    }
  });

  const readme = new URL('../../README.md', import.meta.url);
  // Skipped only while there is no README at all.
  test.skipIf(!existsSync(readme))('is listed in the README, word for word: if not, npm run generate', () => {
    const text = readFileSync(readme, 'utf8');
    expect(text).toContain(NOT_YET_BEGIN);
    expect(withNotYetList(text)).toBe(text);
  });
});

describe('the list in a text', () => {
  test('replaces what stands between the markers and leaves the rest', () => {
    const text = `before ${NOT_YET_BEGIN} old ${NOT_YET_END} after`;
    const updated = withNotYetList(text) ?? '';
    expect(updated).toBe(`before ${NOT_YET_BEGIN}\n\n${notYetMarkdown()}\n${NOT_YET_END} after`);
    expect(withNotYetList(updated)).toBe(updated);
  });

  test('is not written where a marker is missing', () => {
    expect(withNotYetList(`only ${NOT_YET_BEGIN}`)).toBeUndefined();
    expect(withNotYetList(`${NOT_YET_END} ${NOT_YET_BEGIN}`)).toBeUndefined();
  });
});
