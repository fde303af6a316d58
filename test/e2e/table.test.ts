import { describe, expect, it } from 'vitest';
import type { Case } from './cases.ts';
import type { Verdict } from './record.ts';
import { actsTable, checksOf, closing, mayBeTheMachine, table } from './table.ts';
import { noAnswers } from './watching.ts';

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

  it('gives a second chance after what a busy machine does, too, and after nothing else', () => {
    const of = (part: Partial<Verdict>, wrong: readonly string[] = [], interrupted: readonly string[] = []) => ({
      ...result(),
      case: { ...crash, bars: { noFailure: true as const } },
      measurements: [{ fresh: { ...verdict, ...part }, kept: verdict, wrong, interrupted }],
    });
    expect(mayBeTheMachine({ ...result(), broken: ['1: waited 120 s'] })).toBe(true);
    expect(mayBeTheMachine(of({ failed: 1, errors: { timeout: 1 } }))).toBe(true);
    expect(mayBeTheMachine(of({ failed: 2, errors: { timeout: 1, ECONNREFUSED: 1 } }))).toBe(false);
    expect(mayBeTheMachine(of({ backwards: 1 }))).toBe(false);
    expect(mayBeTheMachine(of({}, [], ['one was stopped']))).toBe(true);
    expect(mayBeTheMachine(of({}, ['two acted'], ['one was stopped']))).toBe(false);
    expect(checksOf(of({}, [], ['one was stopped']))[0]).toMatchObject({
      outcome: 'failed',
      detail: 'one was stopped',
    });
  });

  it('says of what passed at the second attempt what it was before', () => {
    const before = { ...result(), broken: ['1: waited 120 s'] };
    const [ended] = checksOf({ ...result({ flippedMs: 90, routedMs: 130 }), before });
    expect(ended).toMatchObject({ outcome: 'passed', detail: expect.stringContaining('before: 1: waited 120 s') });
  });
});

describe('the table of what acted', () => {
  const acted: Case = { ...crash, name: 'agent-crash', bars: { timesP99Ms: { 'web routed': 300 } } };
  const measured = (...routed: number[]) => ({
    case: acted,
    measurements: routed.map((ms) => ({
      ...noAnswers,
      acts: { times: { 'web routed': [ms], 'web nobody': [ms - 20] }, load: 1.5, writes: 9 },
    })),
    broken: [],
    skipped: undefined,
  });

  it('has a row for each thing that was timed, and no row among the clients’', () => {
    const rows = actsTable([measured(180, 250, 200)])
      .trim()
      .split('\n');
    expect(rows[1]).toMatch(/^agent-crash web routed +3 +180 +200 +250 +250 +1\.5$/);
    expect(rows[2]).toMatch(/^agent-crash web nobody +3 +160 +180 +230 +230 +1\.5$/);
    expect(table([measured(180)]).split('\n')).toHaveLength(1);
  });

  it('holds each bar against the p99 of what it names, and fails nothing for it', () => {
    const outcomes = checksOf(measured(180, 310)).map(({ what, outcome, detail }) => [what, outcome, detail]);
    expect(outcomes[1]).toEqual(['agent-crash: web routed p99 ≤ 300 ms', 'missed', '310 ms']);
    expect(closing(checksOf(measured(180, 310)))).toBe('times: 0 met, 1 missed\n1 passed, 0 failed, 0 skipped');
  });

  it('fails for what the store’s record says is wrong', () => {
    const [first] = measured(180).measurements;
    const wrong = { ...measured(180), measurements: [{ ...first, ...noAnswers, wrong: ['a wrote after b'] }] };
    expect(checksOf(wrong)[0]).toMatchObject({ outcome: 'failed', detail: 'a wrote after b' });
  });
});
