import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from '../../src/core/decide.ts';
import { violationsBetween, violationsIn, violationsOf } from '../../src/core/invariants.ts';
import { LABEL } from '../../src/api/names.ts';
import { isGrant } from '../../src/core/plan.ts';
import { isHolder } from '../../src/core/lease.ts';
import type { Member, Snapshot } from '../../src/core/snapshot.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import { NOW } from '../builders.ts';
import { anySnapshot } from './arbitrary.ts';
import { carryOut, settle } from './effects.ts';

/** More for a search: `RUNS=20000 npx vitest run test/core/decide.properties.test.ts --testTimeout=0`. */
const RUNS = { numRuns: Number(process.env['RUNS'] ?? 100) };
/** A machine that is busy with other things is no failure. */
const PATIENCE_MS = 60_000;

describe('whatever the snapshot', { timeout: PATIENCE_MS }, () => {
  it('a decision is made, and nothing is thrown', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => void decide(snapshot, NOW)),
      RUNS,
    );
  });

  it('a plan breaks no invariant: one grant at most, above every term, not while paused, no active deleted, in order', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const plan = decide(snapshot, NOW);
        expect(violationsOf(plan, snapshot, NOW)).toEqual([]);
        expect(plan.actions.filter(isGrant).length).toBeLessThanOrEqual(1);
      }),
      RUNS,
    );
  });

  it('nothing moves away from a silent node, nor is deleted or replaced there, under the brake or without the proof it waits for', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const { nodes, isBraked } = snapshot.nodeLoss;
        const { members, lease, singleton } = snapshot;
        const silent = (member: Member): boolean => {
          const trouble = nodes[member.node ?? ''];
          const hasEnded = member.phase === 'Failed' || member.phase === 'Succeeded';
          return trouble !== undefined && !trouble.gone && !trouble.outOfService && !hasEnded;
        };
        const waits = isBraked || singleton.spec?.failover.nodeLoss.policy === 'Wait';
        const { actions } = decide(snapshot, NOW);
        const holder = members.find((member) => lease?.ours === true && isHolder(lease, member));
        if (waits && holder !== undefined && silent(holder) && lease?.move?.to === lease?.holder)
          expect(actions.filter(isGrant)).toEqual([]);
        if (!isBraked) return;
        const lost = actions.filter((action) => action.kind === 'deletePod' && action.why.includes('is lost'));
        const spared = members.filter(silent).map(({ pod }) => pod);
        expect(lost.filter((action) => action.kind === 'deletePod' && spared.includes(action.pod))).toEqual([]);
      }),
      RUNS,
    );
  });

  it('the decision does not depend on the order in which the pods are listed', () => {
    const shuffled = anySnapshot.chain((snapshot) =>
      fc
        .shuffledSubarray([...snapshot.members], { minLength: snapshot.members.length })
        .map((members) => [snapshot, { ...snapshot, members }] as const),
    );
    fc.assert(
      fc.property(shuffled, ([a, b]) => {
        const [planA, planB] = [decide(a, NOW), decide(b, NOW)];
        expect(planB.actions.find(isGrant)).toEqual(planA.actions.find(isGrant));
        expect(new Set(planB.actions.map((action) => JSON.stringify(action)))).toEqual(
          new Set(planA.actions.map((action) => JSON.stringify(action))),
        );
      }),
      RUNS,
    );
  });

  it('a plan writes no object twice, since the second write would be refused', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const written = decide(snapshot, NOW).actions.flatMap((action) =>
          'expect' in action ? [action.expect.uid] : [],
        );
        expect(written).toEqual([...new Set(written)]);
      }),
      RUNS,
    );
  });

  it('decisions come to rest within a few rounds', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        const run = settle(snapshot, { now: NOW });
        expect(
          run.settled,
          run.plans
            .slice(-3)
            .map((plan) => JSON.stringify(plan))
            .join('\n'),
        ).toBe(true);
      }),
      RUNS,
    );
  });

  it('no write of the operator adds to what is broken, and when it rests I2 and I3 hold', () => {
    fc.assert(
      fc.property(anySnapshot, (snapshot) => {
        fc.pre(snapshot.singleton.spec !== undefined && !snapshot.singleton.deleting);
        fc.pre(snapshot.lease?.ours !== false && snapshot.service?.ours !== false);
        const run = settle(snapshot, { now: NOW });
        // A selector without a term selects every pod there will be, until it is mended.
        const isBroad = (state: Snapshot): boolean =>
          state.service !== undefined && state.service.spec.selector?.[LABEL.term] === undefined;
        run.states.forEach((state, place) => {
          const before = run.states[place - 1];
          if (before === undefined || isBroad(before)) return;
          expect(violationsIn(state).length).toBeLessThanOrEqual(violationsIn(before).length);
        });
        expect(violationsIn(run.last)).toEqual([]);
      }),
      RUNS,
    );
  });

  it('cut after any write and decided anew without memory, it comes to the same rest', () => {
    const cut = fc.record({ snapshot: anySnapshot, after: fc.nat({ max: 12 }) });
    fc.assert(
      fc.property(cut, ({ snapshot, after }) => {
        fc.pre(snapshot.lease?.ours !== false && snapshot.service?.ours !== false);
        const plan = decide(snapshot, NOW);
        const crashed = carryOut(snapshot, plan.actions.slice(0, after), NOW).states.at(-1) ?? snapshot;
        const run = settle({ ...crashed, memory: noMemory }, { now: NOW });
        expect(run.settled).toBe(true);
        for (const [place, state] of run.states.entries()) {
          const before = run.states[place - 1];
          if (before !== undefined) expect(violationsBetween(before, state)).toEqual([]);
        }
      }),
      RUNS,
    );
  });
});
