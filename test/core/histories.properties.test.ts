/**
 * Histories: a healthy singleton, then anything that may happen to it, with an operator that dies after any write and is
 * replaced by one that knows nothing. Unlike in decide.properties.test.ts every state here is one that a cluster can come
 * to, so all of the protocol is asked for in all of them.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Spec } from '../../src/api/spec.ts';
import { candidates, fitness } from '../../src/core/candidates.ts';
import { decide } from '../../src/core/decide.ts';
import { recordGrant, selectedPods, violationsIn, violationsOf } from '../../src/core/invariants.ts';
import type { Grants } from '../../src/core/invariants.ts';
import { isHolder } from '../../src/core/lease.ts';
import type { Action } from '../../src/core/plan.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import type { Instant, Member, Snapshot } from '../../src/core/snapshot.ts';
import { afterLooking } from '../../src/operator/memory.ts';
import { aSpec, aSteadyState, aTemplate, at } from '../builders.ts';
import { apply, nextVersion, settle, withEndpoints } from './effects.ts';

const RUNS = { numRuns: Number(process.env['RUNS'] ?? 60) };
/** A machine that is busy with other things is no failure. */
const PATIENCE_MS = 60_000;

type Step = (snapshot: Snapshot) => Snapshot;

interface Happening {
  readonly name: string;
  readonly step: Step;
}

const changeMember =
  (place: number, change: (member: Member) => Partial<Member>): Step =>
  (snapshot) => {
    const member = snapshot.members[place % Math.max(1, snapshot.members.length)];
    if (member === undefined) return snapshot;
    const next = { ...member, ...change(member), resourceVersion: nextVersion(snapshot) };
    return { ...snapshot, members: snapshot.members.map((other) => (other === member ? next : other)) };
  };

const READY: Partial<Member> = { phase: 'Running', node: 'node-a', ready: true, readySinceWallMs: 0, crash: undefined };
const changeLease =
  (change: Partial<NonNullable<Snapshot['lease']>>): Step =>
  (snapshot) =>
    snapshot.lease === undefined
      ? snapshot
      : { ...snapshot, lease: { ...snapshot.lease, ...change, resourceVersion: nextVersion(snapshot) } };

const changeSpec =
  (change: Partial<Spec>): Step =>
  (snapshot) => {
    const { singleton } = snapshot;
    if (singleton.spec === undefined) return snapshot;
    return { ...snapshot, singleton: { ...singleton, spec: { ...singleton.spec, ...change } } };
  };

const ask =
  (request: string | undefined): Step =>
  (snapshot) => ({
    ...snapshot,
    singleton: { ...snapshot.singleton, request, resourceVersion: nextVersion(snapshot) },
  });

const isRunning = ({ phase, terminating }: Member): boolean =>
  !terminating && phase !== 'Failed' && phase !== 'Succeeded';

const happening: fc.Arbitrary<Happening> = fc.nat({ max: 5 }).chain((place) =>
  fc.constantFrom<Happening>(
    { name: `ready ${place}`, step: changeMember(place, (member) => (isRunning(member) ? READY : {})) },
    { name: `ready ${place}`, step: changeMember(place, (member) => (isRunning(member) ? READY : {})) },
    { name: `unready ${place}`, step: changeMember(place, () => ({ ready: false })) },
    { name: `crash ${place}`, step: changeMember(place, () => ({ ready: false, crash: 'app: exit code 1' })) },
    { name: `fail ${place}`, step: changeMember(place, () => ({ ready: false, phase: 'Failed' })) },
    { name: `delete ${place}`, step: changeMember(place, () => ({ terminating: true })) },
    {
      name: `vanish ${place}`,
      step: (snapshot) => ({
        ...snapshot,
        members: snapshot.members.filter((_, index) => index !== place % Math.max(1, snapshot.members.length)),
      }),
    },
    {
      name: 'reap',
      step: (snapshot) => ({ ...snapshot, members: snapshot.members.filter((member) => !member.terminating) }),
    },
    { name: 'delete lease', step: (snapshot) => ({ ...snapshot, lease: undefined }) },
    { name: 'edit holder', step: changeLease({ holder: 'db-9-x_nobody' }) },
    { name: 'empty holder', step: changeLease({ holder: '' }) },
    { name: 'lower term', step: changeLease({ term: 0 }) },
    { name: 'delete service', step: (snapshot) => ({ ...snapshot, service: undefined }) },
    { name: `lose name ${place}`, step: changeMember(place, () => ({ named: false })) },
    { name: `lose role ${place}`, step: changeMember(place, () => ({ role: undefined })) },
    { name: `lose term ${place}`, step: changeMember(place, () => ({ term: undefined })) },
    { name: `edit slot ${place}`, step: changeMember(place, () => ({ slot: 7 })) },
    { name: `no-failover ${place}`, step: changeMember(place, ({ noFailover }) => ({ noFailover: !noFailover })) },
    { name: 'scale to 1', step: changeSpec({ replicas: 1 }) },
    { name: 'scale to 3', step: changeSpec({ replicas: 3 }) },
    { name: 'elect by ring', step: changeSpec({ election: aSpec({ election: { strategy: 'Ring' } }).election }) },
    {
      name: 'elect by priority',
      step: changeSpec({ election: aSpec({ election: { strategy: 'Priority', priorities: [1, 2, 3] } }).election }),
    },
    { name: 'new template', step: changeSpec({ template: aSpec({ template: aTemplate('2') }).template }) },
    { name: 'old template', step: changeSpec({ template: aSpec().template }) },
    { name: 'switch over by hand', step: changeSpec({ update: { ...aSpec().update, switchover: 'Manual' } }) },
    {
      name: 'all ready',
      step: (snapshot) => ({
        ...snapshot,
        members: snapshot.members.map((member) =>
          isRunning(member) && !member.ready ? { ...member, ...READY, resourceVersion: nextVersion(snapshot) } : member,
        ),
      }),
    },
    {
      name: 'elect by priority with preemption',
      step: changeSpec({
        election: aSpec({
          election: { strategy: 'Priority', priorities: [1, 2, 3], preemption: 'AfterStable', stableSeconds: 5 },
        }).election,
      }),
    },
    { name: 'request any', step: ask('any') },
    { name: `request slot ${place}`, step: ask(`slot:${place}`) },
    { name: 'request nonsense', step: ask('?') },
    { name: 'take the request back', step: ask(undefined) },
    { name: 'pause', step: changeSpec({ paused: true }) },
    { name: 'resume', step: changeSpec({ paused: false }) },
  ),
);

interface Moment {
  readonly happenings: readonly Happening[];
  /** The operator dies after so many writes of its next plan; of strip and grant, in flight together, only these land. */
  readonly diesAfter: number | undefined;
  readonly strips: boolean;
}

const history: fc.Arbitrary<Moment[]> = fc.array(
  fc.record({
    happenings: fc.array(happening, { minLength: 1, maxLength: 3 }),
    diesAfter: fc.option(fc.nat({ max: 5 }), { nil: undefined }),
    strips: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);

const described = (moments: readonly Moment[]): string =>
  moments
    .map(({ happenings, diesAfter, strips }) => {
      const what = happenings.map(({ name }) => name).join('; ');
      return diesAfter === undefined
        ? what
        : `${what} (dies after ${diesAfter}${strips ? '' : ', without the strips'})`;
    })
    .join('\n');

/** Carries a history through, asking for the invariants at each write. */
class Witness {
  snapshot = aSteadyState().build();
  now: Instant = at(0);
  #grants: Grants = new Map([[1, this.snapshot.lease?.holder ?? '']]);

  live({ happenings, diesAfter, strips }: Moment): void {
    this.snapshot = withEndpoints(happenings.reduce((before, { step }) => step(before), this.snapshot));
    this.now = at(this.now.monotonicMs - at(0).monotonicMs + 1_000);
    if (diesAfter !== undefined) this.#dieAfter(diesAfter, strips);
    const run = settle(this.snapshot, { now: this.now });
    expect(run.settled, 'it never comes to rest').toBe(true);
    this.#judge(run.states, run.actions);
    this.snapshot = run.last;
    this.now = run.now;
    this.#judgeRest();
  }

  #dieAfter(writes: number, strips: boolean): void {
    this.snapshot = { ...this.snapshot, memory: afterLooking(this.snapshot, this.now) };
    const { actions } = decide(this.snapshot, this.now);
    const landed = actions.slice(0, writes);
    const hasMoved = landed.some(({ kind }) => kind === 'labelActive');
    // The strips may be in flight beside the grant, but must have landed before the label.
    const chosen = strips || hasMoved ? landed : landed.filter(({ kind }) => kind !== 'stripRole');
    const states = [this.snapshot];
    const done: Action[] = [];
    for (const action of chosen) {
      const next = apply(states.at(-1) ?? this.snapshot, action, this.now);
      if (next === undefined) break;
      states.push(next);
      done.push(action);
    }
    this.#judge(states, done);
    this.snapshot = { ...(states.at(-1) ?? this.snapshot), memory: noMemory };
  }

  #judge(states: readonly Snapshot[], actions: readonly Action[]): void {
    states.forEach((state, place) => {
      const worse = violationsIn(state).length > violationsIn(states[place - 1] ?? state).length;
      expect(worse ? violationsIn(state) : []).toEqual([]);
    });
    actions.forEach((action, place) => this.#judgeRollout(action, states[place] ?? this.snapshot));
    for (const action of actions) {
      const { grants, violations } = recordGrant(this.#grants, action);
      expect(violations).toEqual([]);
      this.#grants = grants;
    }
  }

  /** No candidate goes before its successor stands, and no version is tried again that failed as the active. */
  #judgeRollout(action: Action, { members, lease }: Snapshot): void {
    if (action.kind === 'deletePod' && action.why.includes('older template')) {
      const old = members.find(({ uid }) => uid === action.expect.uid);
      const successor = members.find(({ pod }) => pod === action.successor);
      expect(old?.ready === true && successor?.ready !== true, `${action.pod} goes too early`).toBe(false);
    }
    if (action.kind === 'grantLease' && action.move.reason === 'Rollout') {
      const target = members.find(({ uid }) => uid === action.to.uid);
      expect(target?.revision, 'a failed version is granted again').not.toBe(lease?.move?.failedRevision);
    }
  }

  /** I6: whoever can be the active is, alone, routed, and stays. */
  #judgeRest(): void {
    const { members, lease, singleton } = this.snapshot;
    expect(violationsIn(this.snapshot)).toEqual([]);
    const plan = decide(this.snapshot, this.now);
    expect(plan.actions).toEqual([]);
    expect(singleton.request, 'a request is not taken up').toBeUndefined();
    expect(lease?.switchover?.state).not.toBe('Pending');
    expect(violationsOf(plan, this.snapshot, this.now)).toEqual([]);
    if (singleton.spec === undefined || lease === undefined || singleton.spec.paused) return;
    const holder = members.find((member) => isHolder(lease, member));
    const isFit = holder !== undefined && fitness(holder, this.snapshot).eligible;
    const others = candidates(this.snapshot, singleton.spec, this.now);
    if (!isFit) expect(others, 'a candidate waits while there is no fit active').toEqual([]);
    else {
      expect(selectedPods(this.snapshot)).toEqual([holder.pod]);
      expect(this.snapshot.routedUids).toEqual([holder.uid]);
      expect(holder.role).toBe('active');
      const guarded = members.filter((member) => member.guarded && !member.terminating);
      expect(guarded.map(({ pod }) => pod)).toEqual([holder.pod]);
      expect(singleton.status?.conditions?.find(({ type }) => type === 'Ready')?.status).toBe('True');
    }
  }
}

describe('whatever happens to a healthy singleton, and wherever the operator dies', { timeout: PATIENCE_MS }, () => {
  it('all invariants hold at every write, and it comes to rest with one active that is routed, if anyone can be', () => {
    fc.assert(
      fc.property(history, (moments) => {
        const witness = new Witness();
        try {
          for (const moment of moments) witness.live(moment);
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          throw new Error(`${why}\nafter:\n${described(moments)}`, { cause: error });
        }
      }),
      RUNS,
    );
  });
});
