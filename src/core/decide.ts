/**
 * The decision: what one singleton needs now, from what is known of it. Pure: no clock, no chance, no network; the same
 * snapshot and time give the same plan, so every decision can be replayed.
 *
 * The order of a plan's actions is the protocol's. The executor runs them in that order and stops at the first that
 * fails, so whatever stands first protects what stands after it:
 *
 *   1. the Lease exists and says what its last grant said
 *   2. the move: strip the old active → grant the new one → label it → flip the Service
 *   3. the Services exist and say what the spec says
 *   4. the members: create, replace, delete, mend
 *   5. events and status: what people are told may be late, never wrong
 */
import { holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { mendedLease, recreatedLease, routingTerm } from './lease.ts';
import { planMembership } from './membership.ts';
import { planMove } from './move.ts';
import type { MovePlan } from './move.ts';
import {
  headlessService,
  headlessServiceDrift,
  objectNames,
  routingService,
  routingServiceDrift,
  templateRevision,
  wasInVain,
} from './objects.ts';
import { isGrant } from './plan.ts';
import type { Action, Hold, Plan } from './plan.ts';
import type { Instant, LeaseView, Snapshot } from './snapshot.ts';
import { activeMember, report } from './status.ts';

export function decide(snapshot: Snapshot, now: Instant): Plan {
  const { singleton } = snapshot;
  if (singleton.deleting) return nothingToDo('the SingletonService is being deleted');
  const { spec } = singleton;
  if (spec === undefined) {
    // Never accepted: nothing runs for it. (What runs for a spec that was accepted once goes on under that one.)
    const { actions, recheckAtMs } = report({ snapshot, need: undefined, holds: [], now });
    return { actions, reason: 'the spec is not accepted', holds: [], recheckAtMs };
  }
  const lease = planLease(snapshot, now);
  const move = lease.inOrder === undefined ? nobodyMoves : planMove(snapshot, spec, lease.inOrder, now);
  const active = lease.inOrder === undefined ? undefined : [lease.inOrder.holder, ...grantedTo(move.actions)];
  const membership = singleton.problems.length > 0 ? undefined : planMembership(snapshot, spec, { active, now });
  const urgent = [...lease.actions, ...move.actions];
  const services = planServices(snapshot, spec, {
    term: termOnceMoved(snapshot, lease.inOrder, move.actions),
    mayMend: isTemplateTaken(snapshot, spec, membership?.actions ?? []),
  });
  const work = oneWriteEach([...urgent, ...services, ...(membership?.actions ?? [])]);
  const holds = [move.hold, ...takenNames(snapshot)].filter((hold) => hold !== undefined);
  const told = report({ snapshot, need: move.need, holds, now });
  return {
    actions: inOrder(snapshot.memory.failure?.kind, { work, urgent: urgent.length, told: told.actions }),
    reason: move.need?.message ?? (work.length > 0 ? 'bringing objects in order' : 'in order'),
    holds,
    recheckAtMs: earliest(
      move.hold?.recheckAtMs,
      membership?.recheckAtMs,
      work.length > 0 ? undefined : told.recheckAtMs,
    ),
  };
}

const grantedTo = (actions: readonly Action[]): string[] =>
  actions.filter(isGrant).map(({ to }) => holderIdentity(to.pod, to.uid));

/** A second write to an object would be refused, since the first has changed it: it is left to the next look. */
function oneWriteEach(actions: readonly Action[]): Action[] {
  const written = new Set<string>();
  return actions.filter((action) => {
    if (!('expect' in action) || action.kind === 'deletePod') return true;
    if (written.has(action.expect.uid)) return false;
    written.add(action.expect.uid);
    return true;
  });
}

interface Work {
  readonly work: readonly Action[];
  /** How many actions of `work`, from its beginning, are the Lease's and the move's. */
  readonly urgent: number;
  readonly told: readonly Action[];
}

/**
 * The status tells of a state that stands, so it waits until the work is done, and a move costs one status write. Work
 * that failed may fail for long: then people are told before it is tried again. But a failover waits neither for people
 * to be told nor for other work that failed.
 */
function inOrder(failed: Action['kind'] | undefined, { work, urgent, told }: Work): readonly Action[] {
  if (work.length === 0) return told;
  if (failed === undefined || failed === 'emitEvent' || failed === 'writeStatus') return work;
  const failedBefore = URGENT.has(failed) ? 0 : urgent;
  return [...work.slice(0, failedBefore), ...told, ...work.slice(failedBefore)];
}

const URGENT: ReadonlySet<Action['kind']> = new Set([
  'createLease',
  'restoreLease',
  'stripRole',
  'grantLease',
  'labelActive',
  'flipService',
]);

interface LeasePlan {
  readonly actions: readonly Action[];
  /** The Lease when it is there, ours, and says what it should: only then may anything be granted. */
  readonly inOrder: LeaseView | undefined;
}

function planLease(snapshot: Snapshot, now: Instant): LeasePlan {
  const { lease, singleton } = snapshot;
  const name = objectNames(singleton.name).lease;
  if (lease === undefined) {
    return {
      actions: [{ kind: 'createLease', lease: name, ...recreatedLease(snapshot, now.wallMs) }],
      inOrder: undefined,
    };
  }
  if (!lease.ours) return { actions: [], inOrder: undefined };
  const mended = mendedLease(snapshot, lease, now.wallMs);
  if (mended === undefined || mended.move === undefined) return { actions: [], inOrder: lease };
  const expect = { uid: lease.uid, resourceVersion: lease.resourceVersion };
  return { actions: [{ kind: 'restoreLease', lease: name, expect, ...mended, move: mended.move }], inOrder: undefined };
}

interface ServicesPlan {
  /** For a Service that is missing: the term it selects. */
  readonly term: number;
  /** Whether one that is there is brought to what the spec says. */
  readonly mayMend: boolean;
}

function planServices(snapshot: Snapshot, spec: Spec, { term, mayMend }: ServicesPlan): Action[] {
  const { singleton, service, headless } = snapshot;
  if (singleton.problems.length > 0) return [];
  const names = objectNames(singleton.name);
  const actions: Action[] = [];
  const mend = (name: string, view: typeof service, patch: object | undefined): void => {
    if (!mayMend || view === undefined || patch === undefined || wasInVain(snapshot, view, patch)) return;
    const expect = { uid: view.uid, resourceVersion: view.resourceVersion };
    actions.push({ kind: 'mendService', service: name, expect, patch });
  };
  if (service === undefined) {
    actions.push({ kind: 'createService', service: names.service, body: routingService(singleton, spec, term) });
  } else if (service.ours) {
    mend(names.service, service, routingServiceDrift(singleton, spec, service));
  }
  if (headless === undefined) {
    actions.push({ kind: 'createService', service: names.headless, body: headlessService(singleton, spec) });
  } else if (headless.ours) {
    mend(names.headless, headless, headlessServiceDrift(singleton, spec, headless));
  }
  return actions;
}

/**
 * The Service's ports may come from the template. While the server refuses that, or is about to be asked, the Services
 * stay as those who run need them.
 */
function isTemplateTaken(snapshot: Snapshot, spec: Spec, membership: readonly Action[]): boolean {
  const { template, failure } = snapshot.memory;
  const revision = templateRevision(spec);
  if (template?.revision === revision) return template.refusal === undefined;
  if (snapshot.members.some((member) => member.revision === revision)) return true;
  const isBeingAsked = membership.some(({ kind }) => kind === 'checkTemplate' || kind === 'createPod');
  // Neither taken nor refused for long, as when a quota is in the way: then the Services need not wait.
  return !isBeingAsked || failure !== undefined;
}

/**
 * What a Service that was deleted comes back with: the term that the active carries once the move's actions, which stand
 * before it, are done; 0, which nobody carries, while there is no active or the Lease is not in order.
 */
function termOnceMoved(snapshot: Snapshot, lease: LeaseView | undefined, moves: readonly Action[]): number {
  const grant = moves.find(isGrant);
  if (grant !== undefined) return grant.term;
  return lease === undefined || activeMember(snapshot) === undefined ? 0 : routingTerm(lease);
}

function takenNames(snapshot: Snapshot): Hold[] {
  const names = objectNames(snapshot.singleton.name);
  const holds: Hold[] = [];
  const taken = (name: Hold['name'], what: string): void => {
    holds.push({
      name,
      message: `${what} exists and is not owned by this SingletonService; delete or rename one of them`,
    });
  };
  if (snapshot.lease?.ours === false) taken('LeaseTaken', `Lease ${names.lease}`);
  if (snapshot.service?.ours === false) taken('ServiceTaken', `Service ${names.service}`);
  if (snapshot.headless?.ours === false) taken('ServiceTaken', `Service ${names.headless}`);
  return holds;
}

const nobodyMoves: MovePlan = { actions: [], need: undefined, hold: undefined };

const nothingToDo = (reason: string): Plan => ({ actions: [], reason, holds: [], recheckAtMs: undefined });

function earliest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
