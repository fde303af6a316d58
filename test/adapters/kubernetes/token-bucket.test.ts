import { expect, it } from 'vitest';
import { TokenBucket } from '../../../src/adapters/kubernetes/token-bucket.ts';

function makeBucket(qps: number, burst: number) {
  let nowMs = 0;
  const bucket = new TokenBucket(qps, burst, () => nowMs);
  return { bucket, pass: (ms: number): void => void (nowMs += ms) };
}

it('lets a burst through, then one after another, in order of arrival', () => {
  const { bucket, pass } = makeBucket(10, 3);
  expect(Array.from({ length: 6 }, () => bucket.reserve())).toEqual([0, 0, 0, 100, 200, 300]);
  pass(300);
  expect(bucket.reserve()).toBeCloseTo(100);
});

it('saves up no more than a burst', () => {
  const { bucket, pass } = makeBucket(10, 2);
  pass(60_000);
  expect(Array.from({ length: 3 }, () => bucket.reserve())).toEqual([0, 0, 100]);
});

it('does not charge for what was given back', () => {
  const { bucket } = makeBucket(1, 1);
  bucket.reserve();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    expect(bucket.reserve()).toBe(1_000);
    bucket.giveBack();
  }
});

it('refuses a rate or a burst that would never let anything through', () => {
  expect(() => makeBucket(0, 1)).toThrow(RangeError);
  expect(() => makeBucket(Number.NaN, 1)).toThrow(RangeError);
  expect(() => makeBucket(1, 0.5)).toThrow(RangeError);
});
