/** What the Services need: a plan for everything about them that does not move traffic. */
import type { Spec } from '../api/spec.ts';
import { isHolder } from './lease.ts';
import {
  headlessService,
  headlessServiceDrift,
  objectNames,
  routingService,
  routingServiceDrift,
  templateRevision,
  wasInVain,
} from './objects.ts';
import type { ServicePatch } from './objects.ts';
import type { Action } from './plan.ts';
import { isOutdated } from './revision.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * The two Services: made when they are missing, brought to what the spec says when they differ. The flip is the move's.
 *
 * A Service is made with term 0, which nobody carries, and flipped at the next look: a creation has no precondition, so
 * one that arrives late, from a leader that was frozen, would route to a former active.
 *
 * @param members what stands after it in the plan
 */
export function planServices(snapshot: Snapshot, spec: Spec, members: readonly Action[]): Action[] {
  const { singleton, service, headless } = snapshot;
  if (singleton.problems.length > 0) return [];
  const mayMend = isTemplateTaken(snapshot, spec, members);
  const names = objectNames(singleton.name);
  const actions: Action[] = [];
  const mend = (name: string, view: typeof service, patch: object | undefined): void => {
    if (!mayMend || view === undefined || patch === undefined || wasInVain(snapshot, view, patch)) return;
    const expect = { uid: view.uid, resourceVersion: view.resourceVersion };
    actions.push({ kind: 'mendService', service: name, expect, patch });
  };
  if (service === undefined) {
    actions.push({ kind: 'createService', service: names.service, body: routingService(singleton, spec, 0) });
  } else if (service.ours) {
    const drift = routingServiceDrift(singleton, spec, service);
    mend(names.service, service, isActiveOutdated(snapshot, spec) ? withoutPorts(drift) : drift);
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

/** Its successor may listen on other ports: the Service gets them when it is the active. */
const isActiveOutdated = ({ lease, members }: Snapshot, spec: Spec): boolean =>
  spec.template !== undefined &&
  members.some((member) => lease !== undefined && isHolder(lease, member) && isOutdated(member, spec));

function withoutPorts(patch: ServicePatch | undefined): ServicePatch | undefined {
  const { ports: _ports, ...fields } = patch?.spec ?? {};
  const { spec: _spec, ...rest } = patch ?? {};
  const kept = { ...rest, ...(Object.keys(fields).length > 0 && { spec: fields }) };
  return Object.keys(kept).length === 0 ? undefined : kept;
}
