/** From the caches to the snapshot that one decision is made of. */
import { ANNOTATION, LABEL, PLURAL, budgetName, headlessServiceName, leaseName, serviceName } from '../api/names.ts';
import { notYetActedUpon } from '../api/not-yet.ts';
import { present } from '../api/present.ts';
import type { EndpointSlice, Lease } from '../api/objects.ts';
import { parseSpec } from '../api/spec.ts';
import type { ParsedSpec, Spec } from '../api/spec.ts';
import type { SingletonService } from '../api/types.ts';
import { isFencing } from '../core/fencing.ts';
import { memoized, memoizedWith } from '../core/memo.ts';
import { labelKeys } from '../core/node-terms.ts';
import { activesNode } from '../core/node-loss.ts';
import type {
  AgentPlatform,
  LeaseView,
  Member,
  NodeLossView,
  NodeTrouble,
  NodeView,
  SingletonView,
  Snapshot,
} from '../core/snapshot.ts';
import { noNodeLoss } from '../core/snapshot.ts';
import { belonging, judgedByOthers } from './belonging.ts';
import { refOf } from './caches.ts';
import type { Caches, Key } from './caches.ts';
import type { Recollection } from './memory.ts';
import type { LeaseSights } from './lease-sights.ts';
import { budgetView, controllerOf, leaseView, nodeView, readyUids, serviceView } from './views.ts';

export interface Observation {
  readonly snapshot: Snapshot;
  /** What the object itself says, for the recollection. */
  readonly parsed: ParsedSpec;
}

/** What is known of nodes beside their objects (`NodeBeats`). */
export interface NodeTroubles {
  readonly isBraked: boolean;
  troubleOf(node: string): NodeTrouble | undefined;
}

/** What is not in the caches. */
export interface Surroundings {
  readonly troubles?: NodeTroubles | undefined;
  /** For fencing mode `Agent`. */
  readonly agent?: AgentPlatform | undefined;
  readonly sights?: LeaseSights | undefined;
}

/** Undefined when there is no such SingletonService. */
export function observe(
  key: Key,
  caches: Caches,
  recollection: Recollection,
  { troubles, agent, sights }: Surroundings = {},
): Observation | undefined {
  const { namespace, name } = refOf(key);
  const object = caches.singletons.get(namespace, name);
  if (object === undefined) return undefined;
  const { uid } = object.metadata;
  const lease = caches.leases.get(namespace, leaseName(name));
  const service = caches.services.get(namespace, serviceName(name));
  const headless = caches.services.get(namespace, headlessServiceName(name));
  const budget = caches.budgets.get(namespace, budgetName(name));
  const pods = caches.pods.byIndex('singleton', key);
  const written = parsedSpecOf(object);
  const parsed = judgedByOthers(written, object, caches);
  const hasRunBefore = lease !== undefined;
  const hasOwnPods = pods.some((pod) => controllerOf(pod)?.uid === uid);
  const spec = specInForce(object, parsed, recollection, { hasRunBefore, hasOwnPods });
  const { members: present, strangers } = belonging(pods, object, { spec, caches });
  const members = present.map((member) =>
    recollection.deletedUids.has(member.uid) ? { ...member, terminating: true } : member,
  );
  const snapshot: Snapshot = {
    singleton: { ...singletonView(object, parsed, spec), ...(written.ok && !parsed.ok && { isOverlapping: true }) },
    members,
    strangers,
    lease:
      lease === undefined ? undefined : { ...leaseView(lease, uid), ...(isFencing(spec) && toldOf(lease, sights)) },
    service: service === undefined ? undefined : serviceView(service, uid),
    headless: headless === undefined ? undefined : serviceView(headless, uid),
    budget: budget === undefined ? undefined : budgetView(budget, uid),
    nodes: nodesOf(members, caches, spec),
    nodeLoss: noNodeLoss,
    routedUids: readyUids(caches.slices.byIndex('singleton', key).filter(isOf(serviceName(name)))),
    memory: recollection.memory,
    ...(isFencing(spec) && agent !== undefined && { agent }),
  };
  return { snapshot: { ...snapshot, nodeLoss: nodeLossOf(snapshot, troubles) }, parsed };
}

function toldOf(lease: Lease, sights: LeaseSights | undefined): Pick<LeaseView, 'toldAtMs'> {
  const toldAtMs = sights?.toldAtMs(lease);
  return present({ toldAtMs });
}

/** A status that was written comes with the spec that the cache had (see caches.ts). */
const parsedByName = memoizedWith((spec: object, name: string): ParsedSpec => parseSpec(spec, { name }));

export const parsedSpecOf = memoized(({ spec, metadata: { name } }: SingletonService): ParsedSpec => {
  const raw: unknown = spec;
  return typeof raw === 'object' && raw !== null ? parsedByName(raw, name) : parseSpec(raw, { name });
});

const notActedUponOf = memoized((object: SingletonService): readonly string[] => {
  const parsed = parsedSpecOf(object);
  return parsed.ok ? notYetActedUpon(parsed.spec) : [];
});

/** The headless Service has slices of its own, which say nothing of where traffic goes. */
const isOf =
  (service: string) =>
  (slice: EndpointSlice): boolean =>
    slice.metadata.labels?.['kubernetes.io/service-name'] === service;

function singletonView(object: SingletonService, parsed: ParsedSpec, spec: Spec | undefined): SingletonView {
  const { metadata } = object;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    generation: metadata.generation ?? 0,
    deleting: metadata.deletionTimestamp !== undefined,
    spec,
    problems: parsed.ok ? [] : parsed.problems,
    notActedUpon: notActedUponOf(object),
    status: object.status,
    request: metadata.annotations?.[ANNOTATION.switchover],
  };
}

/**
 * A spec that breaks a rule changes nothing of what runs, and a failover goes on working: under the last accepted spec
 * or, after a restart that forgot it, under defaults that keep every slot. But whoever pauses means it, whatever else is
 * wrong.
 */
function specInForce(
  object: SingletonService,
  parsed: ParsedSpec,
  { accepted }: Recollection,
  before: Before,
): Spec | undefined {
  if (parsed.ok) return parsed.spec;
  const asWritten: unknown = object.spec;
  const spec = accepted ?? (before.hasRunBefore ? specOfLastResort(object, before) : undefined);
  const isPaused = (asWritten as { paused?: unknown } | undefined)?.paused === true;
  return spec === undefined || !isPaused ? spec : { ...spec, paused: true };
}

interface Before {
  readonly hasRunBefore: boolean;
  readonly hasOwnPods: boolean;
}

/** A singleton that names a selector and has made no pod has adopted those that carry its name. */
function specOfLastResort({ spec, metadata }: SingletonService, { hasOwnPods }: Before): Spec | undefined {
  const asWritten = spec as { selector?: unknown } | undefined;
  const hasAdopted = asWritten?.selector !== undefined && !hasOwnPods;
  if (SPEC_OF_LAST_RESORT === undefined || !hasAdopted) return SPEC_OF_LAST_RESORT;
  return { ...SPEC_OF_LAST_RESORT, template: undefined, selector: { matchLabels: { [LABEL.name]: metadata.name } } };
}

const SPEC_OF_LAST_RESORT: Spec | undefined = (() => {
  const container = { name: 'unknown', ports: [{ containerPort: 1 }] };
  const parsed = parseSpec({ replicas: 32, template: { spec: { containers: [container] } } }, { name: PLURAL });
  return parsed.ok ? parsed.spec : undefined;
})();

/** Of the nodes that somebody runs on, and of the active's when its pod is gone. */
function nodeLossOf(snapshot: Snapshot, troubles: NodeTroubles | undefined): NodeLossView {
  if (troubles === undefined) return noNodeLoss;
  const nodes: Record<string, NodeTrouble> = {};
  for (const name of [...snapshot.members.map(({ node }) => node), activesNode(snapshot)]) {
    const trouble = name === undefined ? undefined : troubles.troubleOf(name);
    if (name !== undefined && trouble !== undefined) nodes[name] = trouble;
  }
  return { isBraked: troubles.isBraked, nodes };
}

function nodesOf(members: readonly Member[], caches: Caches, spec: Spec | undefined): Record<string, NodeView> {
  const keys = labelKeys((spec?.election.preferences ?? []).map(({ preference }) => preference));
  const nodes: Record<string, NodeView> = {};
  for (const { node: name } of members) {
    const node = name === undefined ? undefined : caches.nodes.get(undefined, name);
    if (name !== undefined && node !== undefined) nodes[name] = nodeView(node, keys);
  }
  return nodes;
}
