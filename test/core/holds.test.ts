import { describe, expect, it } from 'vitest';
import { firstHold } from '../../src/core/holds.ts';
import type { Need } from '../../src/core/move.ts';
import type { Hold } from '../../src/core/plan.ts';
import { NOW, aPod, aSpec, aSteadyState, at } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const need = (fields: Partial<Need> = {}): Need => ({
  kind: 'Failover',
  reason: 'ActiveUnready',
  message: 'pod db-0-a is not Ready',
  since: NOW,
  ...fields,
});

interface Question {
  readonly builder?: SnapshotBuilder;
  readonly paused?: boolean;
  readonly graceSeconds?: number;
  readonly need?: Need;
  readonly alone?: boolean;
  readonly nowMs?: number;
  readonly disruptionBudget?: boolean;
}

const hold = (question: Question = {}): Hold | undefined => {
  const { builder = aSteadyState(), paused = false, graceSeconds = 0, alone = false, nowMs = 0 } = question;
  return firstHold({
    snapshot: builder.build(),
    spec: aSpec({
      paused,
      disruptionBudget: question.disruptionBudget ?? true,
      failover: { unreadyGraceSeconds: graceSeconds },
    }),
    need: question.need ?? need(),
    candidates: alone ? [] : [aPod().slot(1).build()],
    now: at(nowMs),
  });
};

const taken = aSteadyState().service({ ours: false });

describe('a move that is needed', () => {
  it('is not held back when nothing speaks against it', () => {
    expect(hold()).toBeUndefined();
  });

  it.each<[string, Question, Hold['name'], string]>([
    [
      'while paused',
      { paused: true },
      'Paused',
      'pod db-0-a is not Ready; spec.paused is true, so nothing moves: set it to false, and another member takes over',
    ],
    [
      'while the Service is somebody else’s',
      { builder: taken },
      'ServiceTaken',
      'Service db exists and is not owned by this SingletonService; delete or rename it',
    ],
    [
      'while an unready active has its grace',
      { graceSeconds: 10 },
      'UnreadyGrace',
      'pod db-0-a is not Ready; it is given 10 s to recover (failover.unreadyGraceSeconds)',
    ],
    [
      'while nobody can take over',
      { alone: true },
      'NoCandidate',
      'pod db-0-a is not Ready; no other member can take over: the first that becomes Ready will',
    ],
  ])('is held back %s', (_when, question, name, message) => {
    expect(hold(question)).toMatchObject({ name, message });
  });

  it.each([
    [true, 'no member on another node can take over, so the drain has to wait: the first that becomes Ready will'],
    [false, 'no member on another node can take over: the first that becomes Ready will'],
  ])('by a lack of candidates tells whether a drain waits for it (with a budget: %s)', (disruptionBudget, why) => {
    const draining = need({ kind: 'Switchover', reason: 'NodeDraining', message: 'node n is being drained' });
    expect(hold({ alone: true, need: draining, disruptionBudget })?.message).toBe(`node n is being drained; ${why}`);
  });

  it.each<[string, Question, Hold['name']]>([
    ['Paused before all others', { paused: true, builder: taken, graceSeconds: 10, alone: true }, 'Paused'],
    ['ServiceTaken before the grace', { builder: taken, graceSeconds: 10, alone: true }, 'ServiceTaken'],
    ['the grace before the missing candidate', { graceSeconds: 10, alone: true }, 'UnreadyGrace'],
  ])('tells the first reason: %s', (_order, question, name) => {
    expect(hold(question)?.name).toBe(name);
  });
});

describe('the grace of an unready active', () => {
  it('begins anew after a pause', () => {
    const builder = aSteadyState().remembering({ pause: { endedAtMs: at(60_000).monotonicMs } });
    expect(hold({ builder, graceSeconds: 10, nowMs: 69_000 })).toMatchObject({
      name: 'UnreadyGrace',
      recheckAtMs: at(70_000).monotonicMs,
    });
    expect(hold({ builder, graceSeconds: 10, nowMs: 70_000 })).toBeUndefined();
  });

  it.each<[number, boolean]>([
    [0, true],
    [9_999, true],
    [10_000, false],
    [60_000, false],
  ])('of 10 s holds after %i ms: %s', (nowMs, holds) => {
    expect(hold({ graceSeconds: 10, nowMs })?.name).toBe(holds ? 'UnreadyGrace' : undefined);
  });

  it('says when it is over', () => {
    expect(hold({ graceSeconds: 10, nowMs: 4_000 })?.recheckAtMs).toBe(NOW.monotonicMs + 10_000);
  });

  it('counts from the first sight of the trouble', () => {
    expect(hold({ graceSeconds: 10, need: need({ since: at(-10_000) }) })).toBeUndefined();
  });

  it.each<[Need['reason'], boolean]>([
    ['ActiveUnready', true],
    ['ActiveCrashed', true],
    ['ActiveDeleted', false],
    ['ActiveEvicted', false],
    ['ActiveFailed', false],
    ['ActiveFinished', false],
    ['ActiveVanished', false],
    ['ActiveReleased', false],
    ['ScaledDown', false],
    ['FirstGrant', false],
  ])('is for %s: %s', (reason, has) => {
    expect(hold({ graceSeconds: 10, need: need({ reason }) })?.name).toBe(has ? 'UnreadyGrace' : undefined);
  });
});
