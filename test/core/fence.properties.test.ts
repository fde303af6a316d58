/** Whatever happens to an agent, in whatever order: what must hold after every step. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import type { Sight } from '../../src/core/fence-lease.ts';
import { step } from '../../src/core/fence.ts';
import type { FenceAction, FenceEvent } from '../../src/core/fence-types.ts';
import { FenceWorld, ME, OTHER, RULES } from './fence-world.ts';

type Act =
  | { readonly kind: 'grant'; readonly holder: string; readonly leap: number; readonly ask: boolean }
  | { readonly kind: 'old' | 'answer' | 'lose'; readonly which: number; readonly lands: boolean }
  | { readonly kind: 'tell'; readonly event: FenceEvent };

const told = (event: FenceEvent): fc.Arbitrary<Act> => fc.constant({ kind: 'tell', event });
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    kind: fc.constant('grant' as const),
    holder: fc.constantFrom(ME, ME, OTHER, ''),
    leap: fc.constantFrom(-1, 0, 1, 1),
    ask: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom('answer' as const, 'answer' as const, 'answer' as const, 'lose' as const, 'old' as const),
    which: fc.nat(3),
    lands: fc.boolean(),
  }),
  told({ kind: 'timer' }),
  told({ kind: 'gone' }),
  told({ kind: 'probed', container: 'app' }),
  told({ kind: 'hookAnswered', hook: 'activate' }),
  told({ kind: 'hookAnswered', hook: 'deactivate' }),
  told({ kind: 'hookFailed', hook: 'deactivate' }),
  fc.nat(4).map((term): Act => ({ kind: 'tell', event: { kind: 'acknowledged', term } })),
  told({ kind: 'seen', lease: undefined }),
);
const history = fc.array(fc.tuple(act, fc.constantFrom(0, 0, 1, 300, 1_500, 2_000, 6_000)), { maxLength: 60 });
const rules = fc.record({
  enforcement: fc.constantFrom('Probe' as const, 'Signal' as const, 'Cooperative' as const),
  hooks: fc.record({ activate: fc.boolean(), deactivate: fc.boolean() }),
});

type Sent = FenceAction & { readonly kind: 'read' | 'renew' | 'release' };
const isRequest = (action: FenceAction): action is Sent => ['read', 'renew', 'release'].includes(action.kind);

/** A world that remembers what it has acknowledged, by itself. */
class Run extends FenceWorld {
  sent: { readonly request: Sent; readonly atMs: number }[] = [];
  readonly sights: Sight[] = [this.sight];
  /** Latest end of what was acknowledged, by term. */
  readonly acknowledgedUntilMs = new Map<number, number>();
  /** What was said to have stopped since it was last active. */
  hasStopped = true;

  act(one: Act, afterMs: number): void {
    if (one.kind === 'tell') this.#tell(one.event, afterMs);
    else if (one.kind === 'grant') {
      const term = Math.max(0, this.sight.term + one.leap);
      this.sights.push(this.write(one.holder, term, one.ask ? { [ANNOTATION.releaseRequested]: String(term) } : {}));
      this.#tell({ kind: 'seen', lease: this.sight }, afterMs);
    } else if (one.kind === 'old')
      this.#tell({ kind: 'seen', lease: this.sights[one.which % this.sights.length] }, afterMs);
    else this.#end(one.which, one.kind === 'lose', one.lands, afterMs);
  }

  answerAll(): void {
    for (let one = this.actions.find(isRequest); one !== undefined; one = this.actions.find(isRequest))
      this.hear(this.perform(one));
  }

  #end(which: number, isLost: boolean, lands: boolean, afterMs: number): void {
    const [one] = this.sent.splice(which % Math.max(1, this.sent.length), 1);
    if (one === undefined) return;
    const { id, kind } = one.request;
    const answer = isLost && !lands ? undefined : this.perform(one.request);
    if (answer?.kind === 'replied') this.sights.push(answer.lease);
    const event: FenceEvent = isLost || answer === undefined ? { kind: 'failed', id } : answer;
    if (event.kind === 'replied' && kind === 'renew') {
      const { term } = one.request.lease;
      const untilMs = one.atMs + RULES.fenceDeadlineMs;
      this.acknowledgedUntilMs.set(term, Math.max(untilMs, this.acknowledgedUntilMs.get(term) ?? 0));
    }
    this.#tell(event, afterMs);
  }

  #tell(event: FenceEvent, afterMs: number): void {
    const before = this.state.workload.kind;
    this.hear(event, afterMs);
    if (this.state.workload.kind === 'stopped' || before === 'stopped') this.hasStopped = true;
    if (this.state.workload.kind !== 'stopped') this.hasStopped = false;
    for (const request of this.actions.filter(isRequest)) this.sent.push({ request, atMs: this.nowMs });
  }
}

const always = (check: (run: Run) => void): void =>
  fc.assert(
    fc.property(rules, history, (rules, acts) => {
      const run = new Run(rules);
      for (const [one, afterMs] of acts) {
        run.act(one, afterMs);
        check(run);
      }
    }),
    { numRuns: 2_000 },
  );

describe('after any history', () => {
  it('an agent that says it is active holds an acknowledgement of this term that is not over', () => {
    always((run) => {
      const { active, term, untilMs } = run.state.told.report;
      if (!active) return;
      expect(untilMs).toBeLessThanOrEqual(run.acknowledgedUntilMs.get(term) ?? -1);
      expect(run.nowMs).toBeLessThan(untilMs);
    });
  });

  it('nothing is released while the workload may act', () => {
    always((run) => {
      if (run.did('release') !== undefined) expect(run.hasStopped).toBe(true);
    });
  });

  it('no term is renewed below the highest that was seen, nor another one than the workload may act under', () => {
    always((run) => {
      const { workload, lease } = run.state;
      const renewed = run.did('renew')?.lease.term;
      if (renewed === undefined) return;
      expect(renewed).toBe(lease.highest.term);
      if (workload.kind !== 'stopped') expect(renewed).toBe(workload.term);
    });
  });

  it('at most one request is waited for', () => {
    always((run) => expect(run.state.requests.filter(({ overdue }) => !overdue).length).toBeLessThan(2));
  });

  it('another look at the same time does nothing more, but for a call that has to end', () => {
    always((run) => {
      const [state, actions] = step(run.state, { kind: 'timer' }, run.nowMs);
      const repeated = actions.filter(({ kind }) => kind !== 'abortHook' && kind !== 'setTimer');
      expect(repeated).toEqual([]);
      expect({ ...state, timerAtMs: 0 }).toEqual({ ...run.state, timerAtMs: 0 });
    });
  });

  it('a timer lies ahead, and while the workload acts no later than its deadline', () => {
    always((run) => {
      const { timerAtMs, workload } = run.state;
      if (timerAtMs !== undefined) expect(timerAtMs).toBeGreaterThan(run.nowMs);
      if (workload.kind === 'active') expect(timerAtMs ?? Infinity).toBeLessThanOrEqual(workload.untilMs);
    });
  });

  it('when faults stop and it is granted a new term, it is active under it', () => {
    fc.assert(
      fc.property(rules, history, ({ hooks }, acts) => {
        const run = new Run({ hooks, enforcement: 'Probe' });
        for (const [one, afterMs] of acts) run.act(one, afterMs);
        const term = run.state.lease.highest.term + 1;
        run.write(ME, term, { [ANNOTATION.releaseRequested]: '0' });
        run.see();
        for (const { id } of run.state.requests) run.hear({ kind: 'failed', id });
        for (let round = 0; round < 40 && !run.isActive; round += 1) {
          if (run.state.hook.inFlight !== undefined) run.hear({ kind: 'hookAnswered', hook: run.state.hook.inFlight });
          run.answerAll();
          run.hear({ kind: 'probed', container: 'app' }, 200);
          run.answerAll();
        }
        expect(run.state.told.report).toMatchObject({ active: true, term });
      }),
      { numRuns: 2_000 },
    );
  });
});
