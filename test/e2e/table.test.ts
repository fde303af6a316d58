import { describe, expect, it } from 'vitest';
import type { Case } from './cases.ts';
import type { Verdict } from './record.ts';
import { checksOf, closing, table } from './table.ts';

const verdict: Verdict = {
  requests: 100,
  failed: 0,
  errors: {},
  failures: [],
  longestHoleMs: 700,
  slowestMs: 5,
  overlapMs: 0,
  backwards: 0,
  unknown: 0,
  strays: [],
};

const crash: Case = {
  name: 'crash',
  what: "the active's process is killed",
  repeat: 1,
  bars: { operatorP99Ms: 100 },
  run: () => Promise.reject(new Error('not run here')),
};

const result = (...shares: readonly { flippedMs: number | undefined; routedMs: number }[]) => ({
  case: crash,
  measurements: shares.map((share) => ({
    fresh: verdict,
    kept: verdict,
    share: { grantedMs: 10, labelledMs: 20, ...share },
  })),
  broken: [],
  skipped: undefined,
});

describe('the table of the end-to-end suite', () => {
  it('has the operator’s part, up to the flip, and the time up to the EndpointSlice as columns of their own', () => {
    const [header = '', row = ''] = table([
      result({ flippedMs: 61, routedMs: 70 }, { flippedMs: 90, routedMs: 130 }),
    ]).split('\n');
    expect(header).toMatch(/operator p50 +p99 +routed p50 +p99$/);
    expect(row).toMatch(/ 61 +90 +70 +130$/);
  });

  it('holds the bar against the operator’s part, not against what a controller of Kubernetes adds', () => {
    const [bar] = checksOf(result({ flippedMs: 90, routedMs: 130 })).filter(({ what }) => what.includes('operator'));
    expect(bar).toMatchObject({ outcome: 'met', detail: '90 ms' });
  });

  it('counts a missed bar neither as passed nor as failed', () => {
    expect(closing(checksOf(result({ flippedMs: 101, routedMs: 130 })))).toBe(
      'times: 0 met, 1 missed\n2 passed, 0 failed, 0 skipped',
    );
  });
});
