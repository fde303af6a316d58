/** What the Services need: a plan for everything about them that does not move traffic. */
import type { Spec } from '../api/spec.ts';
import { routingTerm } from './lease.ts';
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
import type { Action } from './plan.ts';
import { activeMember } from './situation.ts';
import type { LeaseView, Snapshot } from './snapshot.ts';

export interface ServicesQuestion {
  /** When it is in order. */
  readonly lease: LeaseView | undefined;
  /** What stands before in the plan. */
  readonly moves: readonly Action[];
  /** What stands after it. */
  readonly members: readonly Action[];
}

/** The two Services: made when they are missing, brought to what the spec says when they differ. The flip is the move's. */
export function planServices(snapshot: Snapshot, spec: Spec, { lease, moves, members }: ServicesQuestion): Action[] {
  const { singleton, service, headless } = snapshot;
  if (singleton.problems.length > 0) return [];
  const term = termOnceMoved(snapshot, lease, moves);
  const mayMend = isTemplateTaken(snapshot, spec, members);
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
function isTemplateTaken(snapshot: Snapshot, spec: Spec, members: readonly Action[]): boolean {
  const { template, failure } = snapshot.memory;
  const revision = templateRevision(spec);
  if (template?.revision === revision) return template.refusal === undefined;
  if (snapshot.members.some((member) => member.revision === revision)) return true;
  const isBeingAsked = members.some(({ kind }) => kind === 'checkTemplate' || kind === 'createPod');
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
