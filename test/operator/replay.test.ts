import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/adapters/logger.ts';
import { decide } from '../../src/core/decide.ts';
import { describePlan } from '../../src/core/plan.ts';
import type { Snapshot } from '../../src/core/snapshot.ts';
import { replay } from '../../scripts/replay.ts';
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
    const [replayed] = replay(`starting\n${logged(snapshot)}`);
    expect(replayed?.plan).toContain('grantLease term 2');
    expect(replayed?.plan).toBe(replayed?.logged);
  });

  it('tells which invariants are broken in it', () => {
    const snapshot = steady.where(1, (pod) => pod.active(1)).build();
    const [replayed] = replay(logged(snapshot));
    expect(replayed?.violations.map((violation) => violation.slice(0, 2))).toEqual(['I2', 'I3']);
    expect(replayed?.plan).toContain('stripRole');
    expect(replayed?.plan).toBe(replayed?.logged);
  });

  it('is asked for when there is none', () => {
    expect(() => replay('{"msg":"starting"}\n')).toThrow('no line with a snapshot');
  });
});
