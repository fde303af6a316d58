import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { proofOf } from '../../src/core/fencing.ts';
import { MAX_TERM } from '../../src/core/lease.ts';
import { isGrant } from '../../src/core/plan.ts';
import { nextStatus } from '../../src/core/status.ts';
import { AN_AGENT, NOW, aFencedState, aLease, aPod, aSnapshot } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

/** Members with agents are Ready, and nobody was ever granted. */
const fresh = aFencedState()
  .but({ members: [], routedUids: [] })
  .with(...[0, 1].map((slot) => aPod().slot(slot).ready(slot).withAgent()))
  .lease({ ...aLease(), leaseDurationMs: undefined, renewedTerm: undefined })
  .serviceSelecting(0)
  .remembering({ leaseSeen: undefined })
  .status(undefined);

const planOf = (builder: SnapshotBuilder) => decide(builder.build(), NOW).actions;
const kindsOf = (builder: SnapshotBuilder): string[] => planOf(builder).map(({ kind }) => kind);
const restoredIn = (builder: SnapshotBuilder) => planOf(builder).find(({ kind }) => kind === 'restoreLease');

describe('the first grant in mode Agent', () => {
  it('is made when the status tells in which Lease', () => {
    expect(planOf(fresh)[0]).toEqual({
      kind: 'noteLease',
      singleton: 'db',
      expect: { uid: 'uid-db', resourceVersion: '1' },
      lease: 'uid-lease',
      term: 0,
    });
    expect(planOf(fresh).some(isGrant)).toBe(false);
    expect(planOf(fresh.status({ lease: 'uid-lease' })).find(isGrant)).toMatchObject({ term: 1 });
  });

  it('is not made again in a Lease that takes the place of one of which nothing else bears witness', () => {
    const lost = fresh.status({ lease: 'uid-of-the-lost-one' });
    expect(kindsOf(lost)).not.toContain('grantLease');
    expect(restoredIn(lost)).toMatchObject({ term: 1000, holder: '' });
  });

  it('waits, then, until whoever may have been granted has stopped', () => {
    const lost = fresh.status({ lease: 'uid-of-the-lost-one' });
    const restored = restoredIn(lost);
    if (restored?.kind !== 'restoreLease') throw new Error('not restored');
    const snapshot = lost.lease({ term: restored.term, holder: restored.holder, move: restored.move }).build();
    const lease = snapshot.lease ?? aLease();
    expect(proofOf({ snapshot, lease, now: NOW })).toBeUndefined();
  });

  it('is noted anew with each term so far above what was told that a lost Lease would begin below it', () => {
    const released = { holder: '', releasedTerm: 1000, term: 1000 };
    const restored = aFencedState({ term: 1000 }).lease(released);
    const note = (told: number) => planOf(restored.status({ lease: 'uid-of-the-lost-one', term: told }))[0];
    expect(note(0)).toMatchObject({ kind: 'noteLease', lease: 'uid-lease', term: 1000 });
    expect(note(1)?.kind).not.toBe('noteLease');
  });

  it('is not taken for made in a Lease that somebody else has made meanwhile', () => {
    const foreign = fresh.status({ lease: 'uid-of-the-lost-one' }).lease({ term: 3 });
    expect(restoredIn(foreign)).toMatchObject({ term: 1003, holder: '' });
  });

  it('needs no such note where a higher term was told of, nor in mode Routing', () => {
    expect(kindsOf(aFencedState())).toEqual([]);
    const routing = aSnapshot().with(aPod().slot(0).ready()).leaseHeldByNobody().serviceSelecting(0);
    expect(kindsOf(routing)).toContain('grantLease');
    expect(kindsOf(routing)).not.toContain('noteLease');
    expect(kindsOf(routing.status({ lease: 'another' }))).toContain('grantLease');
  });

  it('leaves the note in the status for good', () => {
    const snapshot = aFencedState()
      .butSingleton({ status: { lease: 'uid-lease' } })
      .but({ agent: AN_AGENT })
      .build();
    expect(nextStatus({ snapshot, need: undefined, holds: [], now: NOW }).lease).toBe('uid-lease');
  });
});

describe('a term that was not taken up', () => {
  const silent = aFencedState({ term: 4, seenMs: 10_000 });
  const grantOf = (builder: SnapshotBuilder) => planOf(builder).find(isGrant);

  it('may be refused, since a higher one was seen before etcd was restored: the next is far above it', () => {
    expect(grantOf(silent.lease({ renewedTerm: 3 }))).toMatchObject({ term: 1004 });
  });

  it('is told from one that was', () => {
    expect(grantOf(silent)).toMatchObject({ term: 5 });
  });

  it('is no cause for more terms than there are', () => {
    const term = MAX_TERM - 9;
    const last = aFencedState({ term, seenMs: 10_000 }).lease({ renewedTerm: 3 });
    expect(grantOf(last)?.term).toBe(term + 1);
  });
});

describe('an older Lease that was put back', () => {
  const old = aFencedState({ term: 2 }).status({ term: 2, lease: 'uid-lease' });

  it('is restored above the term that this process has seen, though nobody was told of it yet', () => {
    const sight = { uid: 'uid-lease', resourceVersion: '29', sinceMs: 0, isReplaced: false, term: 3 };
    expect(restoredIn(old.remembering({ leaseSeen: sight }))).toMatchObject({ term: 1003, holder: '' });
    expect(restoredIn(old.remembering({ leaseSeen: { ...sight, term: 2 } }))).toBeUndefined();
  });
});

describe('a holder whose pod is gone', () => {
  const gone = aFencedState({ term: 1 }).withoutMember(0);
  const proof = (builder: SnapshotBuilder): string | undefined => {
    const snapshot = builder.build();
    return proofOf({ snapshot, lease: snapshot.lease ?? aLease(), now: NOW })?.name;
  };

  it('had an agent, also when somebody took the duration and the term out of the Lease', () => {
    expect(proof(gone.lease({ leaseDurationMs: undefined, term: 21 }))).toBeUndefined();
    expect(proof(gone.lease({ leaseDurationMs: undefined, renewedTerm: undefined }))).toBe('NoAgent');
  });
});
