import { describe, expect, it } from 'vitest';
import { toIso, toMicroTime } from '../../src/api/time.ts';

const TIMES = [0, 1, 999, 59_999, 3_599_999, 3_600_000, 951_782_400_000, 1_767_225_599_999, 1_767_225_600_000.7, 4e14];

describe('times', () => {
  it('are written as Date writes them, in whatever order they come', () => {
    for (const wallMs of [...TIMES, ...TIMES.toReversed(), -1, -3_600_001])
      expect(toIso(wallMs)).toBe(new Date(wallMs).toISOString());
  });

  it('have microseconds where a Lease wants them', () => {
    expect(toMicroTime(1_767_225_600_042)).toBe('2026-01-01T00:00:00.042000Z');
  });

  it('that are none are refused', () => {
    expect(() => toIso(NaN)).toThrow(RangeError);
    expect(() => toIso(Infinity)).toThrow(RangeError);
  });
});
