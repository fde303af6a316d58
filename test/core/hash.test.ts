import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, sameJson, shortHash } from '../../src/core/hash.ts';

describe('canonical JSON', () => {
  it.each<[unknown, string]>([
    [{ b: 1, a: [{ d: 2, c: 3 }] }, '{"a":[{"c":3,"d":2}],"b":1}'],
    [{ a: undefined, b: null }, '{"b":null}'],
    [[undefined, 'x'], '[null,"x"]'],
    [undefined, 'null'],
    ['"', '"\\""'],
  ])('of %j is %s', (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it('says what JSON says', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('two values', () => {
  it('are the same whatever the order of their keys', () => {
    expect(sameJson({ a: 1, b: { c: 2, d: 3 } }, { b: { d: 3, c: 2 }, a: 1 })).toBe(true);
  });

  it('are the same whether a field is undefined or absent', () => {
    expect(sameJson({ a: undefined }, {})).toBe(true);
  });

  it('differ when a list is in another order', () => {
    expect(sameJson([1, 2], [2, 1])).toBe(false);
  });

  it('are the same when their canonical texts are', () => {
    const leaf = fc.constantFrom<unknown>(undefined, null, 0, 1, '', 'a', [], {});
    const { value } = fc.letrec<{ value: unknown; list: unknown[]; map: object }>((tie) => ({
      list: fc.array(tie('value'), { maxLength: 2 }),
      map: fc.dictionary(fc.constantFrom('a', 'b', 'toString', '__proto__'), tie('value'), { maxKeys: 2 }),
      value: fc.oneof({ depthSize: 'small' }, leaf, tie('list'), tie('map')),
    }));
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(sameJson(a, b)).toBe(canonicalJson(a) === canonicalJson(b));
        expect(sameJson(a, structuredClone(a))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a short hash', () => {
  it('is as long as asked for, and made of letters and digits that a name may have', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 13 }), (value, length) => {
        expect(shortHash(value, length)).toMatch(new RegExp(`^[b-z2-9]{${length}}$`));
      }),
    );
  });

  it('is the same in every process and every version: names of running pods depend on it', () => {
    expect(shortHash(['uid', 0, []], 5)).toBe(shortHash(['uid', 0, []], 5));
    expect([shortHash('a', 8), shortHash({ template: { spec: 1 } }, 8)]).toMatchInlineSnapshot(`
      [
        "8skckpfp",
        "wbrcgjcc",
      ]
    `);
  });

  it('differs for values that differ little', () => {
    const hashes = Array.from({ length: 20_000 }, (_, n) => shortHash(['uid', n], 8));
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});
