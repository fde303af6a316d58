import { describe, expect, it } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import { isRefused } from '../../src/core/fence-lease.ts';
import type { FenceRules } from '../../src/core/fence-types.ts';
import { FenceWorld, ME, OTHER, RULES } from './fence-world.ts';

const active = (rules: Partial<FenceRules> = {}): FenceWorld => new FenceWorld(rules).activate();
const stoppingFor = (world: FenceWorld): string | undefined =>
  world.workload.kind === 'stopping' ? world.workload.reason : undefined;
const requestRelease = (term: number): Record<string, string> => ({ [ANNOTATION.releaseRequested]: String(term) });

describe('an agent becomes active', () => {
  it('by an acknowledged renewal of its own term, and not before', () => {
    const world = new FenceWorld();
    world.grant(ME, 3);
    expect(world.did('renew')?.lease.term).toBe(3);
    expect(world.isActive).toBe(false);
    world.answer();
    expect(world.state.told.report).toEqual({ active: true, term: 3, sinceMs: 0, untilMs: 5_000 });
    expect(world.lease.metadata.annotations).toMatchObject({ [ANNOTATION.renewedTerm]: '3' });
  });

  it('until a deadline that counts from before the renewal was sent', () => {
    const world = new FenceWorld();
    world.grant(ME, 1);
    world.answer(1_400);
    expect(world.state.told.report.untilMs).toBe(5_000);
  });

  it('never from an answer that comes after that deadline', () => {
    const world = new FenceWorld();
    world.grant(ME, 1);
    const reply = world.perform();
    world.hear({ kind: 'unanswered', id: 1 }, 1_500);
    world.hear(reply, 3_500);
    expect(world.isActive).toBe(false);
  });

  it('from an answer nobody waited for any more, for what is left of it', () => {
    const world = new FenceWorld();
    world.grant(ME, 1);
    const reply = world.perform();
    world.hear({ kind: 'unanswered', id: 1 }, 1_500);
    world.hear(reply, 1_000);
    expect(world.state.told.report).toMatchObject({ active: true, untilMs: 5_000 });
  });

  it('not when the Lease is granted to another one', () => {
    const world = new FenceWorld();
    world.grant(OTHER, 1);
    expect(world.actions.filter(({ kind }) => kind !== 'publish')).toEqual([]);
  });

  it('not when the Lease went to another one before the answer came', () => {
    const world = new FenceWorld();
    world.grant(ME, 1);
    const reply = world.perform();
    world.grant(OTHER, 2);
    world.hear(reply);
    expect(world.isActive).toBe(false);
  });

  it('not when it was asked to release before it began, and releases', () => {
    const world = new FenceWorld();
    world.grant(ME, 1, requestRelease(1));
    expect(world.did('release')?.lease.term).toBe(1);
  });
});

describe('an active agent', () => {
  it('renews after the interval, from before the last renewal was sent', () => {
    const world = active();
    expect(world.did('setTimer')?.atMs).toBe(2_000);
    expect(world.hear({ kind: 'timer' }, 2_000)[0]).toMatchObject({ kind: 'renew' });
    world.answer(10);
    expect(world.state.told.report.untilMs).toBe(7_000);
    expect(world.did('setTimer')?.atMs).toBe(4_000);
  });

  it('tries twice within the deadline when nobody answers, and stops then', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 2_000);
    world.hear({ kind: 'unanswered', id: 2 }, RULES.requestDeadlineMs);
    expect(world.did('renew')?.id).toBe(3);
    world.hear({ kind: 'timer' }, 1_500);
    expect([world.nowMs, stoppingFor(world), world.isActive]).toEqual([5_000, 'Deadline', false]);
  });

  it('reads the Lease when a renewal is refused, and renews what it read', () => {
    const world = active();
    world.write(ME, 1, { other: 'edit' });
    world.hear({ kind: 'timer' }, 2_000);
    world.answer();
    expect(world.did('read')).toBeDefined();
    world.answer();
    expect(world.did('renew')?.lease.resourceVersion).toBe(world.lease.metadata.resourceVersion);
    world.answer();
    expect(world.state.told.report.untilMs).toBe(7_000);
  });

  it('waits a moment after a request that failed', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 2_000);
    world.hear({ kind: 'failed', id: 2 });
    expect(world.did('renew')).toBeUndefined();
    expect(world.did('setTimer')?.atMs).toBe(2_200);
  });

  it('keeps the newest of several answers, in whatever order they come', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 2_000);
    const late = world.perform();
    world.hear({ kind: 'unanswered', id: 2 }, 1_500);
    world.answer();
    world.answer();
    world.answer();
    expect(world.state.told.report.untilMs).toBe(8_500);
    world.hear(late, 10);
    expect(world.state.told.report.untilMs).toBe(8_500);
  });

  it.each([
    ['Lost', (world: FenceWorld) => world.grant(OTHER, 2)],
    ['Superseded', (world: FenceWorld) => world.grant(ME, 2)],
    ['Requested', (world: FenceWorld) => world.grant(ME, 1, requestRelease(1))],
    ['Leaving', (world: FenceWorld) => world.hear({ kind: 'terminate' })],
    ['Deadline', (world: FenceWorld) => world.hear({ kind: 'probed', container: 'app' }, 5_000)],
  ])('stops: %s', (reason, happens) => {
    const world = active();
    happens(world);
    expect(stoppingFor(world)).toBe(reason);
    expect(world.actions[0]).toMatchObject({ kind: 'publish', told: { report: { active: false, term: 1 } } });
  });

  it('goes on until its deadline when the Lease was deleted', () => {
    const world = active();
    world.hear({ kind: 'seen', lease: undefined });
    expect(world.isActive).toBe(true);
    world.hear({ kind: 'timer' }, 5_000);
    expect(stoppingFor(world)).toBe('Deadline');
  });

  it('whose release of an older term was asked for goes on', () => {
    const world = new FenceWorld().activate(2);
    world.grant(ME, 2, requestRelease(1));
    expect(world.isActive).toBe(true);
  });

  it('is not misled by an older state of the Lease', () => {
    const world = new FenceWorld();
    const old = world.write(OTHER, 1);
    world.write(ME, 2);
    world.see();
    world.answer();
    world.hear({ kind: 'seen', lease: old });
    expect(world.isActive).toBe(true);
  });

  it('that was frozen beyond its deadline starts nothing that the first answer would have started', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 2_000);
    world.hear(world.perform(), 60_000);
    expect(stoppingFor(world)).toBe('Deadline');
    expect(world.isActive).toBe(false);
  });
});

describe('a release', () => {
  it('comes only after the stop was acknowledged, and the Lease is renewed until then', () => {
    const world = active();
    world.grant(ME, 1, requestRelease(1));
    expect(world.did('release')).toBeUndefined();
    world.hear({ kind: 'timer' }, 2_000);
    expect(world.did('renew')).toBeDefined();
    world.answer();
    expect(world.isActive).toBe(false);
    world.hear({ kind: 'acknowledged', term: 1 });
    expect(world.did('release')?.lease.term).toBe(1);
    world.answer();
    expect(world.lease.spec?.holderIdentity).toBe('');
    expect(world.lease.metadata.annotations).toMatchObject({ [ANNOTATION.releasedTerm]: '1' });
  });

  it('is not caused by the acknowledgement of another term', () => {
    const world = new FenceWorld().activate(2);
    world.grant(ME, 2, requestRelease(2));
    world.hear({ kind: 'acknowledged', term: 1 });
    expect(stoppingFor(world)).toBe('Requested');
  });

  it('is tried again when it is refused, and its term is not renewed again', () => {
    const world = active();
    world.hear({ kind: 'gone' });
    world.write(ME, 1, { other: 'edit' });
    world.answer();
    expect(world.did('read')).toBeDefined();
    world.answer();
    expect(world.did('release')).toBeDefined();
    world.hear({ kind: 'failed', id: world.request().id });
    world.hear({ kind: 'timer' }, RULES.retryMs);
    expect(world.did('release')).toBeDefined();
  });

  it('follows at once when the workload is seen gone', () => {
    const world = active();
    world.hear({ kind: 'gone' });
    expect(world.isActive).toBe(false);
    expect(world.did('release')).toBeDefined();
  });

  it('waits while a call to act is on its way: it may reach the process that comes next', () => {
    const world = new FenceWorld({ hooks: { activate: true, deactivate: false }, enforcement: 'Signal' }).activate();
    expect(world.did('callHook')).toMatchObject({ hook: 'activate' });
    world.hear({ kind: 'gone' });
    expect([stoppingFor(world), world.did('release')]).toEqual(['Gone', undefined]);
    expect(world.did('abortHook')).toBeDefined();
    // The call may have been heard: it takes another look to know that nothing acts.
    world.hear({ kind: 'hookFailed', hook: 'activate' });
    expect(world.did('release')).toBeUndefined();
    world.hear({ kind: 'gone' });
    expect(world.did('release')).toBeDefined();
  });

  it('waits for a renewal that is under way', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 2_000);
    const reply = world.perform();
    world.hear({ kind: 'gone' });
    expect(world.did('release')).toBeUndefined();
    world.hear(reply);
    expect(world.isActive).toBe(false);
    expect(world.did('release')).toBeDefined();
  });

  it('of a fenced workload does not come: when the API server answers again the same term goes on', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 5_000);
    world.hear({ kind: 'failed', id: world.request().id });
    world.hear({ kind: 'acknowledged', term: 1 });
    world.hear({ kind: 'timer' }, RULES.retryMs);
    expect(world.did('renew')).toBeDefined();
    world.answer();
    expect(world.state.told.report).toMatchObject({ active: true, term: 1 });
  });

  it('ends the agent that is being stopped', () => {
    const world = active();
    world.hear({ kind: 'terminate' });
    world.hear({ kind: 'acknowledged', term: 1 });
    expect(world.did('exit')).toBeUndefined();
    world.answer();
    expect(world.did('exit')).toBeDefined();
  });

  it('is not needed by a standby that is being stopped', () => {
    const world = new FenceWorld();
    world.hear({ kind: 'terminate' });
    expect(world.did('exit')).toBeDefined();
  });
});

describe('terms', () => {
  it('below the highest ever seen are refused', () => {
    const world = new FenceWorld();
    world.grant(OTHER, 7);
    world.grant(ME, 6);
    expect(world.did('renew')).toBeUndefined();
    expect(isRefused(world.state.lease, ME)).toBe(true);
  });

  it('of another holder are refused', () => {
    const world = new FenceWorld();
    world.grant(OTHER, 7);
    world.grant(ME, 7);
    expect(world.did('renew')).toBeUndefined();
  });

  it('below the highest that an earlier process has seen are refused', () => {
    const report = { active: false, term: 0, sinceMs: 0, untilMs: 0 };
    const world = new FenceWorld({}, { report, mayAct: false, highest: { term: 9, holder: OTHER } });
    world.grant(ME, 8);
    expect(world.did('renew')).toBeUndefined();
    world.grant(ME, 10);
    expect(world.did('renew')).toBeDefined();
  });

  it('too far above to have been granted are not believed', () => {
    const world = new FenceWorld();
    world.grant(OTHER, 7);
    world.grant(OTHER, 2_000_000_000);
    world.grant(ME, 8);
    expect(world.did('renew')).toBeDefined();
  });

  it('of a cluster restored from a backup stop the active, although its versions are lower', () => {
    const world = new FenceWorld();
    const backup = world.write(ME, 1);
    world.activate(2);
    world.hear({ kind: 'seen', lease: backup, askedAtMs: world.nowMs }, 10);
    expect(stoppingFor(world)).toBe('Superseded');
  });

  it('that are new and come while the old one is being stopped wait until it has', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 5_000);
    const reply = world.perform();
    world.grant(ME, 2);
    world.hear(reply);
    expect(world.did('renew')).toBeUndefined();
    world.hear({ kind: 'acknowledged', term: 1 });
    expect(world.did('renew')?.lease.term).toBe(2);
    world.answer();
    expect(world.state.told.report).toMatchObject({ active: true, term: 2 });
  });

  it('are written down when they are seen', () => {
    const world = new FenceWorld();
    world.grant(OTHER, 7);
    expect(world.did('publish')?.told.highest).toEqual({ term: 7, holder: OTHER });
  });
});

describe('hooks', () => {
  const hooks = { activate: true, deactivate: true };

  it('are called after the first renewal, again until answered, and once', () => {
    const world = active({ hooks });
    expect(world.actions.map(({ kind }) => kind)).toEqual(['publish', 'callHook', 'setTimer']);
    world.hear({ kind: 'hookFailed', hook: 'activate' });
    expect(world.did('callHook')).toBeUndefined();
    world.hear({ kind: 'timer' }, RULES.retryMs);
    expect(world.did('callHook')).toEqual({ kind: 'callHook', hook: 'activate', term: 1 });
    world.hear({ kind: 'hookAnswered', hook: 'activate' });
    world.hear({ kind: 'timer' }, 1);
    expect(world.did('callHook')).toBeUndefined();
  });

  it('acknowledge the stop, and only they do where there is one', () => {
    const world = active({ hooks });
    world.hear({ kind: 'hookAnswered', hook: 'activate' });
    world.hear({ kind: 'terminate' });
    expect(world.did('callHook')?.hook).toBe('deactivate');
    world.hear({ kind: 'acknowledged', term: 1 });
    expect(stoppingFor(world)).toBe('Leaving');
    world.hear({ kind: 'hookAnswered', hook: 'deactivate' });
    expect(world.did('release')).toBeDefined();
  });

  it('are called one after another: the one under way is ended first', () => {
    const world = active({ hooks });
    world.hear({ kind: 'terminate' });
    expect(world.did('abortHook')).toBeDefined();
    expect(world.did('callHook')).toBeUndefined();
    world.hear({ kind: 'hookFailed', hook: 'activate' });
    expect(world.did('callHook')?.hook).toBe('deactivate');
  });

  it('that say too late that it began are not taken for its end', () => {
    const world = active({ hooks });
    world.hear({ kind: 'terminate' });
    world.hear({ kind: 'hookAnswered', hook: 'activate' });
    expect(stoppingFor(world)).toBe('Leaving');
    expect(world.did('callHook')?.hook).toBe('deactivate');
  });
});

describe('a workload that does not stop', () => {
  const healthy = (world: FenceWorld, container = 'app', afterMs = 0): boolean | undefined => {
    world.hear({ kind: 'probed', container }, afterMs);
    return world.did('answerProbe')?.healthy;
  };

  it('is not alive for the kubelet from the fence deadline on, until it was restarted', () => {
    const world = active();
    expect(healthy(world)).toBe(true);
    world.hear({ kind: 'timer' }, 5_000);
    expect(healthy(world)).toBe(false);
    expect(world.workload.kind).toBe('stopping');
    expect(healthy(world, 'app', 1_000)).toBe(true);
    expect(world.workload.kind).toBe('stopped');
  });

  it('is not taken for restarted by a probe that comes right after the one that failed', () => {
    const world = active();
    world.hear({ kind: 'timer' }, 5_000);
    expect([healthy(world), healthy(world)]).toEqual([false, false]);
    expect(world.workload.kind).toBe('stopping');
  });

  it('has its grace while the Lease is held', () => {
    const world = active();
    world.hear({ kind: 'terminate' });
    expect(healthy(world)).toBe(true);
    world.hear({ kind: 'timer' }, 2_000);
    expect(healthy(world)).toBe(false);
  });

  it('of several containers is stopped when all were restarted', () => {
    const world = active({ containers: ['app', 'helper'] });
    world.hear({ kind: 'timer' }, 5_000);
    expect([healthy(world), healthy(world, 'helper')]).toEqual([false, false]);
    expect(healthy(world, 'app', 1_000)).toBe(true);
    expect(world.workload.kind).toBe('stopping');
    expect(healthy(world, 'helper')).toBe(true);
    expect(world.workload.kind).toBe('stopped');
  });

  it('is killed by the agent after its grace, once, in enforcement Signal', () => {
    const world = active({ enforcement: 'Signal' });
    world.hear({ kind: 'timer' }, 5_000);
    expect(world.did('kill')).toBeUndefined();
    expect(world.did('setTimer')?.atMs).toBeLessThanOrEqual(7_000);
    world.hear({ kind: 'timer' }, 2_000);
    expect(world.did('kill')).toBeDefined();
    world.hear({ kind: 'timer' }, 2_000);
    expect(world.did('kill')).toBeUndefined();
  });

  it('has no grace left when the agent was frozen through it', () => {
    const world = active({ enforcement: 'Signal' });
    world.hear({ kind: 'timer' }, 7_000);
    expect(world.did('kill')).toBeDefined();
  });

  it('lets its Lease expire in enforcement Cooperative, where nothing stops it', () => {
    const world = active({ enforcement: 'Cooperative' });
    world.grant(ME, 1, requestRelease(1));
    world.hear({ kind: 'timer' }, 2_000);
    expect(world.did('renew')).toBeUndefined();
    world.hear({ kind: 'timer' }, 60_000);
    expect(world.did('renew')).toBeUndefined();
  });
});

describe('a new process of the agent', () => {
  const before = {
    report: { active: true, term: 4, sinceMs: -3_000, untilMs: 2_000 },
    mayAct: true,
    highest: { term: 4, holder: ME },
  };

  it('goes on under a term that is not over, until the deadline of the process before', () => {
    const world = new FenceWorld({}, before);
    world.hear({ kind: 'timer' });
    expect(world.isActive).toBe(true);
    world.hear({ kind: 'timer' }, 2_000);
    expect(stoppingFor(world)).toBe('Deadline');
  });

  it('renews that term as it sees it', () => {
    const world = new FenceWorld({}, before);
    world.grant(ME, 4);
    world.answer();
    expect(world.state.told.report).toEqual({ active: true, term: 4, sinceMs: -3_000, untilMs: 5_000 });
  });

  it('that was made while the workload was being stopped does not take it for stopped', () => {
    const world = new FenceWorld({}, { ...before, report: { ...before.report, active: false, untilMs: 0 } });
    world.grant(ME, 4, requestRelease(4));
    expect(world.did('release')).toBeUndefined();
    expect(stoppingFor(world)).toBe('Restarted');
  });

  it('stops what nobody knows to have stopped', () => {
    const world = new FenceWorld({}, { ...before, report: { ...before.report, untilMs: -1 } });
    world.hear({ kind: 'timer' });
    expect(stoppingFor(world)).toBe('Restarted');
    world.hear({ kind: 'probed', container: 'app' });
    expect(world.did('answerProbe')?.healthy).toBe(false);
  });
});
