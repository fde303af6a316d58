import { describe, expect, it } from 'vitest';
import { answersOf, judge } from './record.ts';
import type { Answer } from './record.ts';

/** `a 0-5`: asked at 0 ms, answered by pod a at 5 ms; `! 0-5`: refused. */
const answers = (...texts: string[]): Answer[] =>
  texts.map((text) => {
    const [, who = '', sent, done] = /^(\S+) (\d+)-(\d+)$/.exec(text) ?? [];
    return {
      sentMs: Number(sent),
      doneMs: Number(done),
      pod: who === '!' ? undefined : who,
      error: who === '!' ? 'ECONNREFUSED' : undefined,
    };
  });

const TERMS = new Map([
  ['a', [1, 4]],
  ['b', [2]],
  ['c', [3]],
]);
const verdict = (...texts: string[]) => judge(answers(...texts), TERMS);

describe('what a client recorded', () => {
  it('has a hole as long as the longest time without an answer, however many were refused in it', () => {
    expect(verdict('a 0-5', 'a 4-9', '! 10-11', '! 20-21', 'b 30-40')).toMatchObject({
      requests: 5,
      failed: 2,
      errors: { ECONNREFUSED: 2 },
      failures: ['ECONNREFUSED at 0.01 s', 'ECONNREFUSED at 0.02 s'],
      longestHoleMs: 31,
      slowestMs: 10,
    });
  });

  it('has a hole that no answer ends when the client is stopped in it, or none begins', () => {
    expect(verdict('a 0-5', 'a 4-9', '! 10-11', '! 90-91').longestHoleMs).toBe(81);
    expect(verdict('! 0-5', '! 40-41', 'a 60-64').longestHoleMs).toBe(64);
    expect(verdict('! 0-5', '! 40-41').longestHoleMs).toBe(40);
  });

  it('is in order when terms rise', () => {
    expect(verdict('a 0-5', 'b 5-9', 'c 10-12', 'a 13-15')).toMatchObject({ backwards: 0, unknown: 0, overlapMs: 0 });
  });

  it('is in order when answers cross on their way', () => {
    expect(verdict('a 0-50', 'b 5-9', 'a 8-60').backwards).toBe(0);
  });

  it('is not in order when an older term answers what was asked after a newer one had answered', () => {
    expect(verdict('b 0-5', 'c 6-10', 'b 30-31')).toMatchObject({ backwards: 1, overlapMs: 20 });
  });

  it('takes the lowest term that fits for a pod that was granted several', () => {
    expect(verdict('a 0-5', 'b 6-10', 'a 12-14', 'c 15-17')).toMatchObject({ backwards: 1 });
  });

  it('says when a pod answers that was never granted a term', () => {
    expect(verdict('x 0-5').unknown).toBe(1);
  });
});

it('reads the columns that a client sends, in the order of sending', () => {
  const columns = { sentMs: [5, 0], tookMs: [1, 9], answer: [0, -1] };
  const record = { startedWallMs: 0, pods: ['a'], errors: ['timeout'], fresh: columns, kept: columns };
  expect(answersOf(record, columns)).toEqual([
    { sentMs: 0, doneMs: 9, pod: undefined, error: 'timeout' },
    { sentMs: 5, doneMs: 6, pod: 'a', error: undefined },
  ]);
});
