/** `onApiLoss: Hold`, the operator's part: whom it tells agents of, and whom it grants. */
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { leaseSeen } from '../../src/core/expiry.ts';
import { peersText } from '../../src/core/hold-set.ts';
import { violationsOf } from '../../src/core/invariants.ts';
import { describePlan, isGrant } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import { afterAction, afterOutage } from '../../src/operator/memory.ts';
import { NOW, aFencedState, aLease, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const LEASE_MS = 10_000;
const uidOf = (slot: number): string => `uid-db-${slot}-a`;
const peer = (slot: number) => ({ pod: `db-${slot}-a`, uid: uidOf(slot), ip: `10.0.0.${slot}` });
const told = (...slots: number[]): string => peersText(slots.map(peer));
const setOf = (...slots: number[]): string[] => slots.map(uidOf);

function aHeldState({ seenMs = 0, set = [0, 1] } = {}): SnapshotBuilder {
  let state = aFencedState({ seenMs }).lease({
    members: told(0, 1, 2),
    ...(set.length > 0 && { holdSet: setOf(...set) }),
  });
  for (const slot of [0, 1, 2]) state = state.where(slot, (pod) => pod.but({ agent: agentAt(`10.0.0.${slot}`) }));
  return state;
}

const agentAt = (ip: string) => ({ leaseDurationMs: LEASE_MS, peer: { ip } });
const planOf = (builder: SnapshotBuilder) => decide(builder.build(), NOW);
const grantOf = (builder: SnapshotBuilder) => planOf(builder).actions.find(isGrant);
const members = (builder: SnapshotBuilder) => planOf(builder).actions.find(({ kind }) => kind === 'tellMembers');
const restored = (builder: SnapshotBuilder) => planOf(builder).actions.find(({ kind }) => kind === 'restoreLease');

describe('a Lease that has expired', () => {
  const expired = (set: number[]) => aHeldState({ seenMs: LEASE_MS, set });

  it('goes only to who stands in its set', () => {
    expect(grantOf(expired([0, 1]))).toMatchObject({ to: { pod: 'db-1-a' } });
    expect(grantOf(expired([0, 2]))).toMatchObject({ to: { pod: 'db-2-a' } });
    expect(grantOf(expired([]))).toMatchObject({ to: { pod: 'db-1-a' } });
  });

  it('keeps its set: whoever was the active may go on by it', () => {
    expect(grantOf(expired([0, 2]))).not.toHaveProperty('holdSet');
  });

  it('goes to nobody when none of its set can take over, and says what is waited for', () => {
    const state = expired([0, 2]).where(2, (pod) => pod.notReady());
    expect(grantOf(state)).toBeUndefined();
    expect(planOf(state).holds).toMatchObject([{ name: 'Fencing' }]);
    expect(describePlan(planOf(state))).toMatch(/promised to stay standby.*hold-set/);
  });

  it('in a plan that gives it to another one breaks I5', () => {
    const snapshot = expired([0, 2]).build();
    const plan = decide(expired([0, 1]).build(), NOW);
    expect(violationsOf(plan, snapshot, NOW).map(({ invariant }) => invariant)).toEqual(['I5']);
    expect(violationsOf(plan, expired([0, 1]).build(), NOW)).toEqual([]);
  });
});

describe('proof that the holder has stopped', () => {
  const ended = aHeldState({ set: [0, 2] }).where(0, (pod) => pod.stopped());
  const released = aHeldState({ set: [0, 2] }).lease({ holder: '', releasedTerm: 1 });

  it.each([
    ['its end', ended],
    ['its release', released],
  ])('by %s lets anybody be granted, and takes the set away', (_what, state) => {
    expect(grantOf(state)).toMatchObject({ to: { pod: 'db-1-a' }, holdSet: [] });
  });

  it.each([
    ['its end', ended],
    ['its release', released],
  ])('by %s proves nothing of who was before it, when it never took up its term', (_what, state) => {
    const grant = grantOf(state.lease({ renewedTerm: 0 }));
    expect(grant).toMatchObject({ to: { pod: 'db-2-a' } });
    expect(grant).not.toHaveProperty('holdSet');
  });
});

describe('what the Lease says of the members', () => {
  it('is written when it is news, and not again', () => {
    expect(members(aHeldState())).toBeUndefined();
    expect(members(aHeldState().lease({ members: undefined }))).toEqual({
      kind: 'tellMembers',
      lease: 'db-active',
      expect: { uid: 'uid-lease', resourceVersion: '30' },
      members: told(0, 1, 2),
    });
  });

  it.each<[string, number[], (state: SnapshotBuilder) => SnapshotBuilder]>([
    ['one without an address yet', [0, 1], (state) => state.where(2, (pod) => pod.but({ agent: agentAt('') }))],
    ['one that is deleted', [0, 1], (state) => state.where(2, (pod) => pod.terminating())],
    ['one that has failed', [0, 1], (state) => state.where(2, (pod) => pod.failed())],
    ['one whose agent does not know Hold', [0, 1], (state) => state.where(2, (pod) => pod.withAgent())],
  ])('leaves out %s', (_who, left, change) => {
    expect(members(change(aHeldState()))).toMatchObject({ members: told(...left) });
  });

  it('keeps one that is not Ready', () => {
    expect(members(aHeldState().where(2, (pod) => pod.notReady()))).toBeUndefined();
  });

  it('is nothing at all while no agent knows Hold', () => {
    expect(members(aFencedState())).toBeUndefined();
    expect(members(aFencedState().lease({ members: told(0) }))).toMatchObject({ members: '[]' });
  });

  it('is not written together with a grant or a request for a release', () => {
    const unknown = (state: SnapshotBuilder): SnapshotBuilder => state.lease({ members: undefined });
    expect(members(unknown(aHeldState({ seenMs: LEASE_MS })))).toBeUndefined();
    expect(members(unknown(aHeldState().where(0, (pod) => pod.crashed())))).toBeUndefined();
  });

  it('delays no expiry', () => {
    const { memory } = aHeldState({ seenMs: 4_000 }).build();
    const action: Action = {
      kind: 'tellMembers',
      lease: 'db-active',
      expect: { uid: 'uid-lease', resourceVersion: '30' },
      members: '[]',
    };
    expect(afterAction(memory, action, at(5), '31').leaseSeen).toMatchObject({
      resourceVersion: '31',
      sinceMs: NOW.monotonicMs - 4_000,
    });
  });
});

describe('after an outage', () => {
  const seen = (state: SnapshotBuilder) => {
    const { memory } = state.build();
    const leaseMemory = leaseSeen(state.build(), NOW);
    return afterOutage({ ...memory, leaseSeen: leaseMemory });
  };

  it('a Lease with a set counts anew, since its active may have gone on', () => {
    const state = aHeldState({ seenMs: 60_000 }).lease({ resourceVersion: '31' });
    const memory = seen(state);
    const counted = leaseSeen(state.remembering({ leaseSeen: memory.leaseSeen }).build(), at(30_000));
    expect(counted).toMatchObject({ sinceMs: NOW.monotonicMs + 30_000, isReplaced: false });
  });

  it('one without counts on', () => {
    const state = aFencedState({ seenMs: 60_000 });
    expect(seen(state).leaseSeen?.sinceMs).toBe(NOW.monotonicMs - 60_000);
  });
});

describe('a Lease that was lost', () => {
  const empty = {
    ...aLease(),
    leaseDurationMs: undefined,
    renewedTerm: undefined,
    holdSet: undefined,
    members: undefined,
  };
  const lost = aHeldState().lease(empty);
  const sight = { uid: 'uid-lease', resourceVersion: '30', sinceMs: 0, term: 1 };

  it('has its set again when this process has seen it', () => {
    const state = lost.remembering({ leaseSeen: { ...sight, isReplaced: true, holdSet: setOf(0, 2) } });
    expect(restored(state)).toMatchObject({ holdSet: setOf(0, 2) });
  });

  it('has none when there was none', () => {
    expect(restored(lost.remembering({ leaseSeen: { ...sight, isReplaced: true } }))).toMatchObject({ holdSet: [] });
  });

  it('binds everybody when nobody knows', () => {
    expect(restored(lost.remembering({ leaseSeen: { ...sight, isReplaced: false } }))).toMatchObject({
      holdSet: ['unknown'],
    });
  });

  it('says nothing of sets without Hold', () => {
    expect(restored(aFencedState().lease(empty))).not.toHaveProperty('holdSet');
  });

  it('is remembered with its set when another one takes its place', () => {
    const before = aHeldState({ set: [0, 2] });
    const memory = leaseSeen(before.lease({ resourceVersion: '31' }).build(), NOW);
    const after = lost.lease({ uid: 'another', resourceVersion: '40' }).remembering({ leaseSeen: memory });
    expect(leaseSeen(after.build(), NOW)).toMatchObject({ isReplaced: true, holdSet: setOf(0, 2) });
  });
});
