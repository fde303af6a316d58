import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { RULES } from '../../src/api/rules.ts';
import { expirySumBroken, renewalSumBroken, timingOf } from '../../src/api/timing.ts';

const DEFAULTS = { leaseDurationMs: 10_000, renewIntervalMs: 2_000, stopGraceMs: 2_000, enforcement: 'Probe' } as const;

test('the defaults leave room for two renewals and for stopping', () => {
  expect(renewalSumBroken(DEFAULTS)).toBeUndefined();
  expect(expirySumBroken(DEFAULTS)).toBeUndefined();
});

test('the shortest lease that a spec can ask for is possible', () => {
  const shortest = {
    leaseDurationMs: 5_000,
    renewIntervalMs: 1_000,
    stopGraceMs: 2_000,
    enforcement: 'Signal',
  } as const;
  expect(renewalSumBroken(shortest)).toBeUndefined();
  expect(expirySumBroken(shortest)).toBeUndefined();
});

test('the old active is dead before its lease can be taken for expired, also when the clocks run 5 % apart', () => {
  const seconds = (min: number, max: number) => fc.integer({ min, max }).map((value) => value * 1000);
  fc.assert(
    fc.property(
      seconds(5, 300),
      seconds(1, 60),
      seconds(0, 120),
      fc.constantFrom('Probe' as const, 'Signal' as const),
      (leaseDurationMs, renewIntervalMs, stopGraceMs, enforcement) => {
        const input = { leaseDurationMs, renewIntervalMs, stopGraceMs, enforcement };
        fc.pre(expirySumBroken(input) === undefined);
        const { fenceDeadlineMs, enforcementDelayMs } = timingOf(input);
        const deadAfterMs = fenceDeadlineMs + stopGraceMs + enforcementDelayMs;
        expect(deadAfterMs).toBeLessThan(leaseDurationMs * 0.95);
      },
    ),
  );
});

test('each rule has a name of its own, and is in CEL or says why not', () => {
  expect(new Set(RULES.map(({ name }) => name)).size).toBe(RULES.length);
  for (const { cel } of RULES) expect(cel.length).toBeGreaterThan(0);
});
