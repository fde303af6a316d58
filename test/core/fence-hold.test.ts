import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import { promiseMs } from '../../src/api/timing.ts';
import type { HoldRules } from '../../src/core/fence-hold.ts';
import type { Remembered } from '../../src/core/fence-types.ts';
import { boundTo, parseHoldSet, parsePeers, peersText, wantedSet } from '../../src/core/hold-set.ts';
import { FenceWorld, ME, OTHER } from './fence-world.ts';

/** Fence deadline 5 s, the kubelet's 2 s, grace 2 s, margin 0.5 s. */
const PROMISE_MS = 9_500;
const HOLD: HoldRules = { uid: 'uid-0', promiseMs: PROMISE_MS };
const TERM_OF_OTHER = { kind: 'asked', holder: OTHER, term: 1, forMs: PROMISE_MS } as const;
const FRESH: Remembered = {
  report: { active: false, term: 0, sinceMs: 0, untilMs: 0 },
  mayAct: false,
  highest: { term: 0, holder: '' },
};

const peer = (number: number) => ({ pod: `web-${number}`, uid: `uid-${number}`, ip: `10.0.0.${number}` });
const told = (...numbers: number[]) => ({ [ANNOTATION.members]: peersText(numbers.map(peer)) });
const setOf = (...numbers: number[]) => ({ [ANNOTATION.holdSet]: numbers.map((number) => `uid-${number}`).join(' ') });
const setIn = ({ lease }: FenceWorld): string | undefined => lease.metadata.annotations?.[ANNOTATION.holdSet];
const untilMs = ({ state }: FenceWorld): number => state.told.report.untilMs;

const standby = (remembered: Remembered | undefined = FRESH): FenceWorld => new FenceWorld({ hold: HOLD }, remembered);

/** Active, with a set in the Lease that is confirmed. It renewed last at 2 s. */
function holder(...numbers: number[]): FenceWorld {
  const world = standby();
  world.write('', 0, told(...numbers));
  world.activate();
  world.hear({ kind: 'timer' }, 2_000);
  world.answer();
  return world;
}

/** The renewal that is due at 4 s is sent and lost; at 5.5 s it asks. */
function holderAlone(...numbers: number[]): FenceWorld {
  const world = holder(...numbers);
  world.hear({ kind: 'timer' }, 2_000);
  world.hear({ kind: 'timer' }, 1_500);
  return world;
}

const promises = (world: FenceWorld, number: number, askedAtMs: number, afterMs = 0): void =>
  void world.hear({ kind: 'promised', uid: `uid-${number}`, term: 1, askedAtMs }, afterMs);

describe('a promise', () => {
  it('lasts for the fence deadline, what enforces the stop, its grace, and the margin of the clocks', () => {
    const input = {
      leaseDurationMs: 10_000,
      renewIntervalMs: 2_000,
      stopGraceMs: 2_000,
      enforcement: 'Probe',
    } as const;
    expect(promiseMs(input)).toBe(PROMISE_MS);
    expect(promiseMs({ ...input, enforcement: 'Signal' })).toBe(PROMISE_MS - 2_000);
  });

  it('is given by a standby, and written down with the answer', () => {
    const world = standby();
    world.hear(TERM_OF_OTHER, 100);
    expect(world.actions.map(({ kind }) => kind)).toEqual(['publish', 'answerQuestion']);
    expect(world.did('answerQuestion')?.refusal).toBeUndefined();
    expect(world.did('publish')?.told.promise).toEqual({ holder: OTHER, term: 1, untilMs: 100 + PROMISE_MS });
  });

  it.each<[string, string, (world: FenceWorld) => void]>([
    ['Active', 'it is active', (world) => void world.activate()],
    ['LaterTerm', 'it has seen a later term', (world) => void world.grant(OTHER, 2)],
    ['LaterTerm', 'it has promised a later term', (world) => void world.hear({ ...TERM_OF_OTHER, term: 2 })],
    ['OtherHolder', 'it has seen that term with another holder', (world) => void world.grant('web-2_uid-2', 1)],
    ['OtherHolder', 'it holds that term itself, and is not active yet', (world) => void world.grant(ME, 1)],
  ])('is refused (%s) when %s', (refusal, _when, prepare) => {
    const world = standby();
    prepare(world);
    world.hear(TERM_OF_OTHER);
    expect(world.did('answerQuestion')?.refusal).toBe(refusal);
  });

  it('is refused while the workload is being stopped, and when it is to last longer than its own do', () => {
    const stopping = standby().activate();
    stopping.grant(OTHER, 2);
    stopping.hear({ ...TERM_OF_OTHER, term: 2 });
    expect(stopping.did('answerQuestion')?.refusal).toBe('Stopping');
    const world = standby();
    world.hear({ ...TERM_OF_OTHER, forMs: PROMISE_MS + 1 });
    expect(world.did('answerQuestion')?.refusal).toBe('TooLong');
  });

  it('is given by nobody without Hold', () => {
    const world = new FenceWorld();
    world.hear(TERM_OF_OTHER);
    expect(world.did('answerQuestion')?.refusal).toBe('Fence');
  });
});

describe('a member that has promised', () => {
  it('does not take up a term before the promise lapses, and then does', () => {
    const world = standby();
    world.hear(TERM_OF_OTHER);
    world.grant(ME, 2, setOf(0, 1));
    expect(world.did('renew')).toBeUndefined();
    expect(world.did('setTimer')?.atMs).toBe(PROMISE_MS);
    expect(world.hear({ kind: 'timer' }, PROMISE_MS)[0]).toMatchObject({ kind: 'renew' });
    world.answer();
    expect(world.isActive).toBe(true);
  });

  it('looks at it again when the renewal was answered, and is not active', () => {
    const world = standby();
    world.write(ME, 2, setOf(0, 1));
    world.see();
    const reply = world.perform();
    // As if it had promised after it sent that.
    const given = { holder: OTHER, term: 1, untilMs: 9_000 };
    const { state } = world;
    if (state.hold === undefined) throw new Error('no Hold');
    world.state = { ...state, hold: { ...state.hold, given } };
    world.hear(reply);
    expect(world.isActive).toBe(false);
    expect(world.did('setTimer')?.atMs).toBe(9_000);
  });

  it('keeps it as a new process', () => {
    const before = standby();
    before.hear(TERM_OF_OTHER);
    const world = standby(before.state.told);
    world.grant(ME, 2, setOf(0, 1));
    expect(world.did('renew')).toBeUndefined();
  });

  it('and remembers nothing waits for as long, when it stands in the set', () => {
    const world = new FenceWorld({ hold: HOLD });
    world.grant(ME, 2, setOf(0, 1));
    expect(world.did('renew')).toBeUndefined();
    expect(world.hear({ kind: 'timer' }, PROMISE_MS)[0]).toMatchObject({ kind: 'renew' });
  });

  it.each([
    ['empty', setOf()],
    ['one without it', setOf(1, 2)],
    ['none', {}],
  ])('begins at once when the set is %s: then it was granted on proof', (_what, annotations) => {
    for (const world of [standby(), new FenceWorld({ hold: HOLD })]) {
      world.hear(TERM_OF_OTHER);
      world.grant(ME, 2, annotations);
      expect(world.did('renew')).toBeDefined();
    }
  });

  it('releases a term that it was granted without waiting', () => {
    const world = standby();
    world.hear(TERM_OF_OTHER);
    world.grant(ME, 2, { ...setOf(0, 1), [ANNOTATION.releaseRequested]: '2' });
    expect(world.did('release')).toBeDefined();
  });
});

describe('the hold set', () => {
  it('is left as it is by the renewal that makes active, and becomes the members with the next', () => {
    const world = standby();
    world.write('', 0, { ...told(0, 1, 2), ...setOf(1, 3) });
    world.activate();
    expect(setIn(world)).toBe('uid-1 uid-3');
    world.hear({ kind: 'timer' }, 2_000);
    world.answer();
    expect(setIn(world)).toBe('uid-0 uid-1 uid-2');
  });

  it('is empty when there is nobody to ask, or the members are not known', () => {
    expect(setIn(holder(0))).toBe('');
    expect(setIn(holder(1, 2))).toBe('');
    expect(wantedSet([peer(0), peer(1)], 'uid-0')).toEqual(['uid-0', 'uid-1']);
  });

  it('is nothing that an agent without Hold writes', () => {
    const world = new FenceWorld();
    world.write('', 0, told(0, 1));
    world.activate();
    world.hear({ kind: 'timer' }, 2_000);
    world.answer();
    expect(setIn(world)).toBeUndefined();
  });

  it('binds everybody when it is no set, and nobody when there is none', () => {
    expect(parseHoldSet('a, b')).toEqual(['unknown']);
    expect([undefined, ''].map(parseHoldSet)).toEqual([[], []]);
    expect([undefined, '{', '[1]', '[{"pod":"a","uid":"a b","ip":""}]'].map(parsePeers)).toEqual([[], [], [], []]);
  });

  it.each([
    { isTakenUp: true, isExpiry: true, bound: true, when: 'the Lease has only expired' },
    { isTakenUp: true, isExpiry: false, bound: false, when: 'the holder, who took up its term, is proven stopped' },
    {
      isTakenUp: false,
      isExpiry: false,
      bound: true,
      when: 'the holder never took up its term: that proves nothing of who was before it',
    },
    { isTakenUp: false, isExpiry: true, bound: true, when: 'neither' },
  ])('binds a grant: $bound when $when', ({ isTakenUp, isExpiry, bound }) => {
    expect(boundTo({ set: ['a', 'b'], isTakenUp, isExpiry })).toEqual(bound ? ['a', 'b'] : undefined);
    expect(boundTo({ set: [], isTakenUp, isExpiry })).toBeUndefined();
  });
});

describe('an active that cannot renew', () => {
  it('asks all others when a renewal has had its time, and goes on from before it asked', () => {
    const world = holderAlone(0, 1, 2);
    expect(world.did('ask')).toEqual({ kind: 'ask', peers: [peer(1), peer(2)], term: 1, askedAtMs: 5_500 });
    promises(world, 1, 5_500);
    expect(untilMs(world)).toBe(7_000);
    promises(world, 2, 5_500, 400);
    expect(untilMs(world)).toBe(5_500 + 5_000);
  });

  it('stops when one does not promise', () => {
    const world = holderAlone(0, 1, 2);
    promises(world, 1, 5_500);
    world.hear({ kind: 'timer' }, 1_500);
    expect(world.isActive).toBe(false);
    promises(world, 2, 5_500);
    expect(world.isActive).toBe(false);
  });

  it('asks again who has not answered, and each before its promise is needed anew', () => {
    const world = holderAlone(0, 1, 2);
    promises(world, 1, 5_500);
    world.hear({ kind: 'timer' }, 500);
    expect(world.did('ask')?.peers).toEqual([peer(2)]);
    promises(world, 2, 6_000);
    world.hear({ kind: 'timer' }, 1_500);
    expect(world.did('ask')?.peers).toEqual([peer(1)]);
  });

  it('counts no promise to another term', () => {
    const world = holderAlone(0, 1);
    world.hear({ kind: 'promised', uid: 'uid-1', term: 2, askedAtMs: 5_500 });
    expect(untilMs(world)).toBe(7_000);
  });

  it('needs those of a set that it sent and never heard of, too', () => {
    const world = holder(0, 1);
    world.write(ME, 1, told(0, 1, 2));
    world.see();
    expect(world.hear({ kind: 'timer' }, 2_000)[0]).toMatchObject({ holdSet: ['uid-0', 'uid-1', 'uid-2'] });
    world.hear({ kind: 'timer' }, 1_500);
    expect(world.did('ask')?.peers).toEqual([peer(1), peer(2)]);
    promises(world, 1, 5_500);
    expect(untilMs(world)).toBe(7_000);
    promises(world, 2, 5_500);
    expect(untilMs(world)).toBe(10_500);
  });

  it('needs no promise of who is in no set any more, once that is confirmed', () => {
    const world = holder(0, 1, 2);
    world.write(ME, 1, told(0, 1));
    world.see();
    world.hear({ kind: 'timer' }, 2_000);
    world.answer();
    world.hear({ kind: 'timer' }, 3_500);
    expect(world.did('ask')?.peers).toEqual([peer(1)]);
  });

  it.each([
    ['is alone', () => holderAlone(0)],
    [
      'has no set in the Lease yet',
      () => {
        const world = standby();
        world.write('', 0, told(0, 1));
        world.activate();
        world.hear({ kind: 'timer' }, 2_000);
        world.hear({ kind: 'timer' }, 1_500);
        return world;
      },
    ],
  ])('stops when it %s', (_what, make) => {
    const world = make();
    promises(world, 1, world.nowMs);
    world.hear({ kind: 'timer' }, 1_500);
    expect(world.isActive).toBe(false);
  });

  it('asks nobody while it renews', () => {
    const world = holder(0, 1, 2);
    world.hear({ kind: 'timer' }, 2_000);
    world.answer(1_400);
    expect(world.state.hold?.askedAtMs).toEqual({});
  });

  it('keeps no list of what it has sent through an outage', () => {
    const world = holderAlone(0, 1);
    for (let round = 0; round < 20; round += 1) {
      for (const { id } of world.state.requests) world.hear({ kind: 'failed', id });
      world.hear({ kind: 'promised', uid: 'uid-1', term: 1, askedAtMs: world.nowMs }, 500);
    }
    expect(world.isActive).toBe(true);
    expect(world.state.hold?.sent).toHaveLength(1);
  });
});

describe('whoever has promised, and whenever', () => {
  it('the active goes on for no longer than the oldest of the latest promises gives', () => {
    const answers = fc.array(
      fc.record({ number: fc.constantFrom(1, 2, 3), lateMs: fc.nat(3_000), afterMs: fc.nat(700) }),
    );
    fc.assert(
      fc.property(answers, (all) => {
        const world = holderAlone(0, 1, 2, 3);
        const latest = new Map<number, number>();
        for (const { number, lateMs, afterMs } of all) {
          const askedAtMs = Math.max(5_500, world.nowMs - lateMs);
          const wasActive = world.isActive;
          promises(world, number, askedAtMs, afterMs);
          if (wasActive) latest.set(number, Math.max(latest.get(number) ?? 0, askedAtMs));
          const oldest = latest.size < 3 ? -Infinity : Math.min(...latest.values());
          if (world.isActive) expect(untilMs(world)).toBeLessThanOrEqual(Math.max(7_000, oldest + 5_000));
        }
      }),
    );
  });

  it('no member becomes active while a promise stands', () => {
    const acts = fc.array(
      fc.tuple(
        fc.constantFrom('ask', 'grant', 'answer', 'timer', 'restart'),
        fc.constantFrom(0, 1, 400, 2_000, 9_499, 9_500),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(acts, (all) => {
        let world = standby();
        let term = 1;
        let promisedUntilMs = -Infinity;
        for (const [act, afterMs] of all) {
          const wasActive = world.isActive;
          if (act === 'ask') {
            world.hear({ ...TERM_OF_OTHER, term }, afterMs);
            if (world.did('answerQuestion')?.refusal === undefined) promisedUntilMs = world.nowMs + PROMISE_MS;
          } else if (act === 'grant') {
            term += 1;
            world.nowMs += afterMs;
            world.grant(term % 2 === 0 ? ME : OTHER, term, setOf(0, 1));
          } else if (act === 'answer' && world.did('renew') !== undefined) world.answer(afterMs);
          else if (act === 'restart') {
            const again = new FenceWorld({ hold: HOLD }, world.state.told);
            Object.assign(again, { nowMs: world.nowMs, lease: world.lease, version: world.version });
            world = again;
            world.see();
          } else world.hear({ kind: 'timer' }, afterMs);
          if (world.isActive && !wasActive) expect(world.nowMs).toBeGreaterThanOrEqual(promisedUntilMs);
        }
      }),
    );
  });
});
