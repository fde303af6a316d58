import { describe, expect, it } from 'vitest';
import { EVENT as EVENTS } from '../../src/adapters/kubernetes/resources.ts';
import { createMetrics } from '../../src/adapters/metrics.ts';
import type { KubeObject } from '../../src/api/objects.ts';
import { TransportError } from '../../src/adapters/ports.ts';
import type { Violation } from '../../src/core/invariants.ts';
import { ViolationTeller } from '../../src/operator/violations.ts';
import { whileLeading } from '../../src/operator/while-leading.ts';
import { aSteadyState } from '../builders.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { FakeCluster } from './fake-cluster.ts';

const KEY = 'default/db';
const twoSelected: Violation = { invariant: 'I2', message: 'the Service selects db-0-a and db-1-a' };
const twoActive: Violation = { invariant: 'I3', message: 'db-0-a and db-1-a have the role active' };
const look = {
  snapshot: aSteadyState().build(),
  now: { monotonicMs: 0, wallMs: 0 },
  plan: { actions: [], reason: 'in order', holds: [], recheckAtMs: undefined },
};

class Stage {
  readonly cluster = new FakeCluster();
  readonly metrics = createMetrics();
  readonly lead = new AbortController();
  isLeading = true;
  teller = this.restarted();

  /** As another process, which remembers nothing. */
  restarted(): ViolationTeller {
    const api = whileLeading(this.cluster, () => (this.isLeading ? this.lead.signal : undefined));
    return new ViolationTeller({
      api,
      clock: new ManualClock(),
      logger: this.cluster.logger,
      metrics: this.metrics,
    });
  }

  async sees(...violations: Violation[]): Promise<void> {
    this.teller.seen(KEY, violations, look);
    // The event is on its way; a fake answers within a few turns.
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }

  get events(): (KubeObject & { reason?: string; type?: string; message?: string })[] {
    return this.cluster.all(EVENTS);
  }

  logged(level: string) {
    return this.cluster.logger.lines.filter((line) => line.level === level);
  }

  async counted(): Promise<number> {
    const { values } = await this.metrics.invariantViolations.get();
    return values.reduce((sum, { value }) => sum + value, 0);
  }
}

describe('a broken invariant', () => {
  it('is a metric, an error with the snapshot, and a warning event on the singleton', async () => {
    const stage = new Stage();
    await stage.sees(twoSelected);
    expect(await stage.counted()).toBe(1);
    const [line] = stage.logged('error');
    expect(line?.message).toBe('an invariant is broken: I2: the Service selects db-0-a and db-1-a');
    expect(line?.fields).toMatchObject({ singleton: KEY, snapshot: look.snapshot });
    expect(stage.events).toHaveLength(1);
    expect(stage.events[0]).toMatchObject({
      reason: 'InvariantViolated',
      type: 'Warning',
      involvedObject: { name: 'db', uid: look.snapshot.singleton.uid },
    });
    expect(stage.events[0]?.message).toMatch(/^I2: the Service selects db-0-a and db-1-a/);
  });

  it('that lasts is told once', async () => {
    const stage = new Stage();
    for (let n = 0; n < 5; n++) await stage.sees(twoSelected);
    expect(await stage.counted()).toBe(1);
    expect(stage.cluster.requests).toHaveLength(1);
  });

  it('that joins another is told beside it', async () => {
    const stage = new Stage();
    await stage.sees(twoSelected);
    await stage.sees(twoSelected, twoActive);
    expect(await stage.counted()).toBe(2);
    expect(stage.events).toHaveLength(2);
  });

  it('that comes back is counted and logged again, and is the same event', async () => {
    const stage = new Stage();
    await stage.sees(twoActive);
    await stage.sees();
    await stage.sees(twoActive);
    expect(await stage.counted()).toBe(2);
    expect(stage.events).toHaveLength(1);
    expect(stage.logged('warn')).toEqual([]);
  });

  it('that another process sees again is the same event', async () => {
    const stage = new Stage();
    await stage.sees(twoActive);
    stage.teller = stage.restarted();
    await stage.sees(twoActive);
    expect(stage.events).toHaveLength(1);
  });

  it('is no event of a replica that does not lead, and no crash', async () => {
    const stage = new Stage();
    stage.isLeading = false;
    await stage.sees(twoActive);
    expect(stage.cluster.requests).toEqual([]);
    expect(stage.logged('error')).toHaveLength(1);
  });

  it('whose event can’t be written is a warning, and no crash', async () => {
    const stage = new Stage();
    stage.cluster.onRequest = () => {
      throw new TransportError('cut', 'gone');
    };
    await stage.sees(twoActive);
    expect(stage.logged('warn').map(({ message }) => message)).toEqual([
      'the event of a broken invariant could not be written',
    ]);
  });
});
