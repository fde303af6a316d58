import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/plan.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import type { Memory, Snapshot } from '../../src/core/snapshot.ts';
import { Recollections, afterAction, afterLooking } from '../../src/operator/memory.ts';
import { NOW, aMove, aPod, aSnapshot, aSteadyState, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const look = (builder: SnapshotBuilder, now = NOW): Memory => afterLooking(builder.build(), now);

/** Looks again and again, remembering. */
const lookAgain = (snapshot: Snapshot, times: number, everyMs: number): Memory => {
  let memory = snapshot.memory;
  for (let n = 0; n < times; n++) memory = afterLooking({ ...snapshot, memory }, at(n * everyMs));
  return memory;
};

describe('trouble', () => {
  const troubled = aSteadyState().where(0, (pod) => pod.crashed());

  it('is remembered since it was seen first', () => {
    expect(lookAgain(troubled.build(), 5, 1_000).trouble).toEqual({
      holder: 'db-0-a_uid-db-0-a',
      cause: 'Failover',
      since: NOW,
    });
  });

  it('is forgotten when the active recovers, so that the next one begins anew', () => {
    const trouble = look(troubled).trouble;
    expect(look(aSteadyState().remembering({ trouble })).trouble).toBeUndefined();
  });

  it('of one holder is not that of the next', () => {
    const trouble = { holder: 'db-1-a_uid-db-1-a', cause: 'Failover', since: at(-9_000) };
    expect(look(troubled.remembering({ trouble })).trouble?.since).toEqual(NOW);
  });

  it('is not seen in a Lease that is not ours', () => {
    expect(look(troubled.lease({ ours: false })).trouble).toBeUndefined();
  });
});

describe('failures of a slot', () => {
  const failed = aSteadyState().where(2, (pod) => pod.failed());

  it('are counted once for each pod, however often it is seen', () => {
    expect(lookAgain(failed.build(), 9, 100).failures[2]).toEqual({
      count: 1,
      lastAtMs: NOW.monotonicMs,
      uids: ['uid-db-2-a'],
    });
  });

  it('are counted for each new pod', () => {
    const failures = look(failed).failures;
    const again = aSteadyState()
      .withoutMember(2)
      .with(aPod().slot(2).named('db-2-b').failed())
      .remembering({ failures });
    expect(look(again, at(500)).failures[2]).toMatchObject({ count: 2, lastAtMs: at(500).monotonicMs });
  });

  it('are counted once each, when many failed pods are kept by finalizers', () => {
    const pods = Array.from({ length: 9 }, (_, n) => aPod().slot(2).named(`db-2-${n}x`).failed());
    const ended = aSnapshot().with(...pods);
    const memory = lookAgain(ended.build(), 20, 1_000);
    expect(memory.failures[2]).toMatchObject({ count: 9, lastAtMs: NOW.monotonicMs });
    const deleted = aSnapshot().with(...pods.map((pod) => pod.terminating()));
    const later = lookAgain(deleted.remembering({ failures: memory.failures }).build(), 20, 1_000);
    expect(later.failures).toEqual(memory.failures);
  });

  it('are none of those that end because they are deleted or evicted', () => {
    const evicted = aSteadyState().where(2, (pod) => pod.terminating().failed());
    expect(look(evicted).failures).toEqual({});
  });

  it('are forgotten after ten quiet minutes', () => {
    const failures = { 2: { count: 5, lastAtMs: NOW.monotonicMs, uids: [] } };
    const quiet = aSteadyState().remembering({ failures });
    expect(look(quiet, at(599_999)).failures[2]?.count).toBe(5);
    expect(look(quiet, at(600_000)).failures[2]).toBeUndefined();
  });

  it('are those of the slot in the name of the pod', () => {
    expect(look(aSnapshot().with(aPod().named('db-2-a').slot(0).failed())).failures).toMatchObject({ 2: { count: 1 } });
  });
});

describe('a member that is lost with its node', () => {
  const lost = aSteadyState()
    .trouble(2, { silentMs: 30_000 })
    .where(2, (pod) => pod.terminating());

  it('is no failure of its slot, so that it is replaced at once', () => {
    expect(look(lost).failures).toEqual({});
  });

  it('is one when it replaces another that was: Kubernetes brings new pods to the dead node for some seconds more', () => {
    const again = lost.with(aPod().slot(2).named('db-2-b').onNode('node-2').created(1_000));
    expect(look(again).failures[2]).toEqual({ count: 1, lastAtMs: NOW.monotonicMs, uids: ['uid-db-2-b'] });
  });
});

describe('the timeline of a move', () => {
  it('has in mode Agent when the release was asked for, and not of the move before', () => {
    const release = { term: 1, kind: 'Switchover', reason: '', message: '', to: '', detectedWallMs: 0 } as const;
    const expects = { uid: 'u', resourceVersion: '1' };
    const ask: Action = { kind: 'requestRelease', lease: 'db-active', expect: expects, release };
    const grant = (term: number): Action => {
      const to = { pod: 'db-1-a', uid: 'u1' };
      return {
        kind: 'grantLease',
        lease: 'db-active',
        expect: expects,
        to,
        from: undefined,
        term,
        move: aMove({ term }),
      };
    };
    const moved = afterAction(afterAction(noMemory, ask, at(5)), grant(2), at(9));
    expect(moved.timeline).toMatchObject({ term: 2, asked: at(5), granted: at(9) });
    expect(afterAction(moved, grant(3), at(20)).timeline?.asked).toBeUndefined();
  });

  it('begins anew with each term', () => {
    const old = look(aSteadyState()).timeline;
    expect(look(aSteadyState().leaseHeldBy(1, 2).remembering({ timeline: old })).timeline).toMatchObject({
      term: 2,
      flipped: undefined,
      routed: undefined,
    });
  });

  it('keeps the first sight of each step', () => {
    expect(lookAgain(aSteadyState().build(), 3, 100).timeline).toMatchObject({ term: 1, flipped: NOW, routed: NOW });
  });

  it('is not routed before the EndpointSlices say so', () => {
    expect(look(aSteadyState().routed()).timeline).toMatchObject({ flipped: NOW, routed: undefined });
  });

  it('holds what this process did itself', () => {
    const expectation = { uid: 'u', resourceVersion: '1' };
    const steps: Action[] = [
      {
        kind: 'grantLease',
        lease: 'l',
        expect: expectation,
        to: { pod: 'p', uid: 'u' },
        from: undefined,
        term: 5,
        move: aMove(),
      },
      { kind: 'labelActive', pod: 'p', expect: expectation, labels: {} },
      { kind: 'flipService', service: 's', expect: expectation, term: 5, selector: {} },
    ];
    const trouble = { holder: 'x', cause: 'Failover', since: at(-5) };
    const start: Memory = { ...noMemory, trouble };
    const memory = steps.reduce<Memory>(
      (before, action) => afterAction(before, action, at(steps.indexOf(action))),
      start,
    );
    expect(memory.timeline).toEqual({
      term: 5,
      detected: at(-5),
      granted: at(0),
      labelled: at(1),
      flipped: at(2),
      routed: undefined,
    });
  });
});

describe('what a process remembers of a singleton', () => {
  it('is nothing at first, and nothing again when the singleton is gone', () => {
    const recollections = new Recollections();
    expect(recollections.get('default/db').memory).toEqual(noMemory);
    recollections.remember('default/db', { failure: { kind: 'createPod', action: 'createPod p', message: 'no' } });
    expect(recollections.get('default/db').memory.failure?.message).toBe('no');
    expect(recollections.get('default/other').memory).toEqual(noMemory);
    recollections.forget('default/db');
    expect(recollections.get('default/db').memory).toEqual(noMemory);
  });

  it('is kept where it is not changed', () => {
    const recollections = new Recollections();
    recollections.remember('k', { statusWrittenAtMs: 5 });
    recollections.update('k', { deletedUids: new Set(['u']) });
    expect(recollections.get('k')).toMatchObject({ memory: { statusWrittenAtMs: 5 }, deletedUids: new Set(['u']) });
  });
});
