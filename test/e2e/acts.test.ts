import { describe, expect, it } from 'vitest';
import { handoverFrom, interruptionsOf, longestPause, wrongIn } from './acts.ts';
import type { Reign } from './acts.ts';

/** `a1 0-50`: pod a wrote under term 1 from 0 to 50 ms. */
const reigns = (...texts: string[]): Reign[] =>
  texts.map((text) => {
    const [, pod = '', term, first, last] = /^(\D+)(\d+) (\d+)-(\d+)$/.exec(text) ?? [];
    return { pod, term: Number(term), firstMs: Number(first), lastMs: Number(last), gapMs: 4, writes: 3, refused: 0 };
  });

describe('the record of a store', () => {
  it('is in order when each one that writes has a higher term than all before', () => {
    expect(wrongIn(reigns('a1 0-50', 'b2 60-90', 'a3 95-99', 'a5 100-120'))).toEqual([]);
  });

  it('is not in order when one of an older term writes after one of a newer', () => {
    expect(wrongIn(reigns('a1 0-50', 'b2 60-90', 'a1 91-92', 'b2 93-99'))).toEqual([
      'a wrote 3 times under term 1, from 31.0 to 32.0 ms after b had begun under term 2',
      // That b goes on is told too: it was interrupted.
      'b wrote 3 times under term 2, from 33.0 to 39.0 ms after b had begun under term 2',
    ]);
  });

  it('is not in order when two write under one term', () => {
    expect(wrongIn(reigns('a1 0-50', 'b1 60-90'))).toHaveLength(1);
  });

  it('says when the old one wrote last and the new one first', () => {
    const record = reigns('b1 0-5', 'a2 10-50', 'b3 70-90', 'a4 95-99');
    expect(handoverFrom(record, 'a', 40)).toEqual({ pod: 'b', lastMs: 50, firstMs: 70 });
    expect(handoverFrom(record, 'b', 80)).toEqual({ pod: 'a', lastMs: 90, firstMs: 95 });
    expect(handoverFrom(record, 'a', 96)).toBeUndefined();
  });

  it('says what interrupted whoever was to go on', () => {
    const during = { sinceMs: 100, untilMs: 200, withinMs: 5 };
    const told = (...texts: string[]) => interruptionsOf(reigns(...texts), 'a', during);
    expect(told('b1 0-9', 'a2 10-210')).toEqual([]);
    expect(told('b1 0-9', 'a2 10-150')).toEqual(['a stopped writing 50 ms after the fault']);
    expect(told('a2 10-150', 'a3 160-210')).toEqual([
      'a (term 2, -90 to 50 ms), then a (term 3, 60 to 110 ms) wrote, not a alone',
    ]);
    expect(told('a2 10-150', 'b3 160-210')).toEqual([
      'a (term 2, -90 to 50 ms), then b (term 3, 60 to 110 ms) wrote, not a alone',
    ]);
    expect(told('a2 10-90')).toEqual(['nobody wrote after the fault']);
    expect(interruptionsOf(reigns('a2 10-210'), 'a', { ...during, withinMs: 3 })).toEqual(['a wrote nothing for 4 ms']);
  });

  it('says for how long nobody wrote, of one that went on, of two, and of one that is gone', () => {
    expect(longestPause(reigns('a1 0-50', 'a2 60-99'), 55, 100)).toBe(10);
    expect(longestPause(reigns('a1 0-50', 'a2 60-99'), 70, 100)).toBe(4);
    expect(longestPause(reigns('a1 0-50', 'b2 70-99'), 40, 100)).toBe(20);
    expect(longestPause(reigns('a1 0-99'), 40, 100)).toBe(4);
    expect(longestPause(reigns('a1 0-50'), 40, 100)).toBe(50);
  });
});
