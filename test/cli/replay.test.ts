import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/adapters/logger.ts';
import { dataText } from '../../src/cli/terminal.ts';
import { decide } from '../../src/core/decide.ts';
import { describePlan } from '../../src/core/plan.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { replay } from '../../src/cli/replay.ts';
import { NOW, aSteadyState } from '../builders.ts';

/** As the operator logs a broken invariant. */
function logged(snapshot: Snapshot): string {
  let text = '';
  const logger = createLogger({ level: 'error', format: 'json', write: (line) => (text += line) });
  const plan = describePlan(decide(snapshot, NOW));
  logger.error('an invariant is broken: I3: two', { singleton: 'default/db', snapshot, now: NOW, plan });
  return text;
}

describe('a snapshot from a log line', () => {
  const steady = aSteadyState();

  it('gives the plan again that it gave then', () => {
    const snapshot = steady.where(0, (pod) => pod.crashed()).build();
    const [replayed] = replay(`starting\n${logged(snapshot)}`, 'log');
    expect(replayed?.plan).toContain('grantLease term 2');
    expect(replayed?.plan).toBe(replayed?.logged);
  });

  it('tells which invariants are broken in it', () => {
    const snapshot = steady.where(1, (pod) => pod.active(1)).build();
    const [replayed] = replay(logged(snapshot), 'log');
    expect(replayed?.violations.map((violation) => violation.slice(0, 2))).toEqual(['I2', 'I3']);
    expect(replayed?.plan).toContain('stripRole');
    expect(replayed?.plan).toBe(replayed?.logged);
  });

  it('is asked for when there is none', () => {
    expect(() => replay('{"msg":"starting"}\n', 'log')).toThrow('log has no snapshot in it');
  });
});

describe('a snapshot in a document of its own', () => {
  const snapshot = aSteadyState()
    .where(0, (pod) => pod.crashed())
    .build();
  const plan = describePlan(decide(snapshot, NOW));

  it.each(['json', 'yaml'] as const)('gives the plan again that was saved with it (%s)', (format) => {
    const [replayed, ...others] = replay(dataText({ plan, now: NOW, snapshot }, format), 'file');
    expect(others).toEqual([]);
    expect(replayed?.plan).toBe(plan);
    expect(replayed?.logged).toBe(plan);
  });

  it('that was cut off is refused in one line', () => {
    const cut = dataText({ plan, now: NOW, snapshot }, 'json').slice(0, 500);
    expect(() => replay(cut, 'file')).toThrow('file is neither JSON nor YAML, or was cut off');
  });

  it('that is none is refused in one line', () => {
    expect(() => replay('{"snapshot":{"members":3}}', 'file')).toThrow(
      /^file has a snapshot that this version can't read/,
    );
    expect(() => replay('a: 1', 'file')).toThrow('file has no snapshot in it');
  });
});
