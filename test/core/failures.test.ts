import { describe, expect, it } from 'vitest';
import { backoffOverAtMs, failuresWith, quarantineOverAtWallMs } from '../../src/core/failures.ts';
import type { Need } from '../../src/core/move.ts';
import type { Failure } from '../../src/core/snapshot.ts';
import { NOW, WALL_MS, aMove, aSpec, aSteadyState, at } from '../builders.ts';

const SECOND_MS = 1_000;

/** Seconds before now, each after a reign of a minute unless told otherwise. */
const failed = (pod: string, secondsAgo: number, reignMs = 60_000): Failure => ({
  holder: `${pod}_uid-${pod}`,
  atWallMs: WALL_MS - secondsAgo * SECOND_MS,
  reignMs,
});

const remembering = (failures: readonly Failure[], grantedSecondsAgo = 60) =>
  aSteadyState()
    .lease({
      move: {
        ...aMove({ term: 1, to: 'db-0-a_uid-db-0-a' }),
        grantedWallMs: WALL_MS - grantedSecondsAgo * SECOND_MS,
        failures,
      },
    })
    .build();

const need = (reason: Need['reason']): Need => ({ kind: 'Failover', reason, message: 'it crashed', since: NOW });

describe('quarantine', () => {
  const until = (failures: readonly Failure[], quarantine: object = {}, now = NOW): number | undefined => {
    const snapshot = remembering(failures);
    const [, member] = snapshot.members;
    if (member === undefined) throw new Error('no member');
    const overAt = quarantineOverAtWallMs(member, snapshot, aSpec({ failover: { quarantine } }), now);
    return overAt === undefined ? undefined : (overAt - now.wallMs) / SECOND_MS;
  };
  const of = (...secondsAgo: number[]): Failure[] => secondsAgo.map((seconds) => failed('db-1-a', seconds));

  it.each<[string, Failure[], object, number | undefined]>([
    ['no failure', [], {}, undefined],
    ['two failures of three', of(20, 10), {}, undefined],
    ['three failures within the window', of(30, 20, 10), {}, 290],
    ['three failures, the first of them just within the window', of(610, 300, 10), {}, 290],
    ['three failures over more than a window', of(611, 300, 10), {}, undefined],
    ['three failures long ago', of(330, 320, 300), {}, undefined],
    ['three failures, and a single one after them that lengthens nothing', of(880, 850, 290, 5), {}, 10],
    [
      'three failures of pods that had its name before',
      of(3, 2, 1).map((failure) => ({ ...failure, holder: 'db-1-a_uid-of-another' })),
      {},
      undefined,
    ],
    ['three failures of others', [failed('db-2-a', 3), failed('db-2-a', 2), failed('db-0-a', 1)], {}, undefined],
    ['one failure, where one is enough', of(10), { failures: 1, durationSeconds: 60 }, 50],
    ['any number of failures, switched off', of(3, 2, 1), { durationSeconds: 0 }, undefined],
  ])('with %s', (_what, failures, quarantine, seconds) => {
    expect(until(failures, quarantine)).toBe(seconds);
  });

  it('is no longer than its duration when the clock was set back', () => {
    expect(until(of(30, 20, 10), {}, at(-3_600_000))).toBe(300);
  });
});

describe('backoff', () => {
  const waitMs = (
    reigns: readonly number[],
    reason: Need['reason'] = 'ActiveCrashed',
    failover: object = {},
  ): number => {
    const failures = reigns.map((reignMs) => failed('db-1-a', 60, reignMs));
    const over = backoffOverAtMs(remembering(failures, 1), aSpec({ failover }), need(reason));
    return over === 0 ? 0 : over - NOW.monotonicMs;
  };
  const short = (count: number): number[] => Array.from({ length: count }, () => 1_000);

  it.each<[string, number[], number]>([
    ['the first eight short-lived actives in a row', short(7), 0],
    ['the ninth', short(8), 1_000],
    ['the eleventh', short(10), 4_000],
    ['very many', short(60), 30_000],
    ['as many, with one that lasted among them', [...short(8), 5_000, ...short(7)], 0],
  ])('after %s', (_what, reigns, expected) => {
    expect(waitMs(reigns)).toBe(expected);
  });

  it('is nothing for an active that was deleted: nobody says it failed', () => {
    expect(waitMs(short(20), 'ActiveDeleted')).toBe(0);
  });

  it('can be switched off', () => {
    expect(waitMs(short(20), 'ActiveCrashed', { backoffMaxSeconds: 0 })).toBe(0);
  });
});

describe('the history of failures', () => {
  const after = (failures: readonly Failure[], reason: Need['reason']) => {
    const snapshot = remembering(failures, 30);
    if (snapshot.lease === undefined) throw new Error('no Lease');
    return failuresWith(snapshot, aSpec(), snapshot.lease, need(reason));
  };

  it('grows by the active that failed, and how long it was the active', () => {
    expect(after([failed('db-1-a', 5)], 'ActiveUnready')).toEqual([
      failed('db-1-a', 5),
      { holder: 'db-0-a_uid-db-0-a', atWallMs: WALL_MS, reignMs: 30_000 },
    ]);
  });

  it.each<Need['reason']>(['ActiveDeleted', 'ActiveEvicted', 'NodeDraining', 'ScaledDown'])(
    'does not hold %s against the active',
    (reason) => {
      expect(after([], reason)).toBeUndefined();
      expect(after([failed('db-1-a', 5)], reason)).toEqual([failed('db-1-a', 5)]);
    },
  );

  it('forgets what is too old for any quarantine', () => {
    expect(after([failed('db-1-a', 900), failed('db-1-a', 899)], 'ActiveDeleted')).toEqual([failed('db-1-a', 899)]);
  });

  it('stays small whatever happens', () => {
    const many = Array.from({ length: 500 }, (_, index) => failed('db-1-a', 500 - index));
    expect(after(many, 'ActiveCrashed')).toHaveLength(64);
  });
});
