/**
 * What the API server would make of an action, on a snapshot: enough of it to see where a series of decisions leads.
 * Preconditions count: a write that was decided from an older state is refused, as the server answers 409.
 */
import { AGENT_CONTAINER, AGENT_ENV, GUARDED, LABEL, ROLE, holderIdentity } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import { decide } from '../../src/core/decide.ts';
import { selectedPods } from '../../src/core/invariants.ts';
import { parseTerm } from '../../src/core/lease.ts';
import type { Action, Expect, LabelPatch, Plan } from '../../src/core/plan.ts';
import type { BudgetView, Instant, Member, Owned, ServiceView, Snapshot } from '../../src/core/snapshot.ts';
import { afterAction, afterLooking } from '../../src/operator/memory.ts';
import { aLease, budgetMadeFrom, serviceMadeFrom } from '../builders.ts';

/** Undefined: the server refuses it, since it was decided from a state that is no more. */
export function apply(snapshot: Snapshot, action: Action, now: Instant): Snapshot | undefined {
  const next = effect(snapshot, action, now);
  if (next === undefined) return undefined;
  return withEndpoints({ ...next, memory: afterAction(next.memory, action, now, next.lease?.resourceVersion) });
}

/** kube-controller-manager's part: whoever is selected and Ready is an endpoint. */
export function withEndpoints(snapshot: Snapshot): Snapshot {
  const selected = new Set(selectedPods(snapshot));
  const routedUids = snapshot.members
    .filter((member) => selected.has(member.pod) && member.ready && !member.terminating)
    .map(({ uid }) => uid);
  return { ...snapshot, routedUids };
}

/** One more than any version in the snapshot. */
export function nextVersion({ singleton, members, strangers, lease, service, headless, budget }: Snapshot): string {
  const all = [singleton, lease, service, headless, budget, ...members, ...strangers];
  return String(1 + Math.max(...all.map((object) => Number(object?.resourceVersion ?? 0))));
}

function effect(snapshot: Snapshot, action: Action, now: Instant): Snapshot | undefined {
  const resourceVersion = nextVersion(snapshot);
  const { singleton, lease, service, headless } = snapshot;
  switch (action.kind) {
    case 'stripRole':
    case 'labelActive':
    case 'mendLabels':
      return labelPod(snapshot, action, resourceVersion);
    case 'grantLease':
      if (lease === undefined || !isMeant(lease, action.expect)) return undefined;
      return {
        ...snapshot,
        lease: {
          ...lease,
          resourceVersion,
          holder: holderIdentity(action.to.pod, action.to.uid),
          term: action.term,
          move: action.move,
          switchover: action.switchover ?? lease.switchover,
          named: true,
          ...(typeof action.leaseDurationMs === 'number' && { leaseDurationMs: action.leaseDurationMs }),
        },
      };
    case 'requestRelease':
      if (lease === undefined || !isMeant(lease, action.expect)) return undefined;
      return {
        ...snapshot,
        lease: { ...lease, resourceVersion, releaseRequested: action.release.term, release: action.release },
      };
    case 'recordSwitchover':
      if (lease === undefined || !isMeant(lease, action.expect)) return undefined;
      return { ...snapshot, lease: { ...lease, resourceVersion, switchover: action.switchover } };
    case 'removeRequest':
      if (!isMeant(singleton, action.expect)) return undefined;
      return { ...snapshot, singleton: { ...singleton, resourceVersion, request: undefined } };
    case 'noteLease':
      if (!isMeant(singleton, action.expect)) return undefined;
      return {
        ...snapshot,
        singleton: {
          ...singleton,
          resourceVersion,
          status: { ...singleton.status, lease: action.lease, term: action.term },
        },
      };
    case 'restoreLease': {
      if (lease === undefined || !isMeant(lease, action.expect)) return undefined;
      const { holder, term, move } = action;
      return { ...snapshot, lease: { ...lease, resourceVersion, holder, term, move, named: true } };
    }
    case 'createLease': {
      if (lease !== undefined) return undefined;
      const empty = { holder: '', term: 0, move: undefined };
      return { ...snapshot, lease: aLease({ uid: `uid-lease-${resourceVersion}`, resourceVersion, ...empty }) };
    }
    case 'flipService': {
      if (service === undefined || !isMeant(service, action.expect)) return undefined;
      const selector = merged(service.spec.selector ?? {}, action.selector) as Record<string, string>;
      return { ...snapshot, service: { ...service, resourceVersion, spec: { ...service.spec, selector } } };
    }
    case 'createService': {
      const made = serviceMadeFrom(action.body, `uid-${action.service}-${resourceVersion}`, resourceVersion);
      if (action.service === singleton.name) return service === undefined ? { ...snapshot, service: made } : undefined;
      return headless === undefined ? { ...snapshot, headless: made } : undefined;
    }
    case 'mendService': {
      const isRouting = action.service === singleton.name;
      const mended = mendService(isRouting ? service : headless, action, resourceVersion);
      if (mended === undefined) return undefined;
      return { ...snapshot, ...(isRouting ? { service: mended } : { headless: mended }) };
    }
    case 'createBudget':
    case 'mendBudget':
    case 'deleteBudget':
      return changeBudget(snapshot, action, resourceVersion);
    case 'createPod':
      return createPod(snapshot, action, now);
    case 'deletePod':
      return deletePod(snapshot, action, resourceVersion);
    case 'writeStatus':
      if (singleton.resourceVersion !== action.resourceVersion) return undefined;
      return { ...snapshot, singleton: { ...singleton, resourceVersion, status: action.status } };
    case 'checkTemplate':
    case 'emitEvent':
    case 'tellMembers':
    case 'ensureAccess':
      return snapshot;
    default:
      return action satisfies never;
  }
}

const isMeant = (object: Expect, expect: Expect): boolean =>
  object.uid === expect.uid && object.resourceVersion === expect.resourceVersion;

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === 'object' && target !== null && !Array.isArray(target);
  const result = new Map<string, unknown>(isObject ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, merged(result.get(key), value));
  }
  return Object.fromEntries(result);
}

interface LabelAction {
  readonly pod: string;
  readonly expect: Expect;
  readonly labels: LabelPatch;
}

function labelPod(snapshot: Snapshot, { expect, labels }: LabelAction, resourceVersion: string): Snapshot | undefined {
  const member = snapshot.members.find((member) => isMeant(member, expect));
  if (member !== undefined) {
    const next: Member = { ...member, resourceVersion, ...labelFields(labels, snapshot.singleton.name) };
    return { ...snapshot, members: snapshot.members.map((other) => (other === member ? next : other)) };
  }
  const stranger = snapshot.strangers.find((stranger) => isMeant(stranger, expect));
  if (stranger === undefined) return undefined;
  // Without the name no watch tells of it any more.
  if (labels[LABEL.name] === null)
    return { ...snapshot, strangers: snapshot.strangers.filter((other) => other !== stranger) };
  const next = {
    ...stranger,
    resourceVersion,
    ...(LABEL.role in labels && { role: labels[LABEL.role] ?? undefined }),
    ...(LABEL.term in labels && { term: labels[LABEL.term] ?? undefined }),
    ...(LABEL.guarded in labels && { guarded: labels[LABEL.guarded] ?? undefined }),
  };
  return { ...snapshot, strangers: snapshot.strangers.map((other) => (other === stranger ? next : other)) };
}

function labelFields(labels: LabelPatch, singleton: string): Partial<Member> {
  const role = labels[LABEL.role];
  return {
    ...(LABEL.name in labels && { named: labels[LABEL.name] === singleton }),
    ...(LABEL.slot in labels && { slot: parseTerm(labels[LABEL.slot] ?? undefined) }),
    ...(LABEL.term in labels && { term: parseTerm(labels[LABEL.term] ?? undefined) }),
    ...(LABEL.guarded in labels && { guarded: labels[LABEL.guarded] === GUARDED }),
    ...(LABEL.role in labels && { role: role === ROLE.active || role === ROLE.standby ? role : undefined }),
  };
}

function mendService(
  view: Owned<ServiceView> | undefined,
  { expect, patch }: Extract<Action, { kind: 'mendService' }>,
  resourceVersion: string,
): Owned<ServiceView> | undefined {
  if (view === undefined || !isMeant(view, expect)) return undefined;
  const { spec, metadata } = patch as { spec?: object; metadata?: { annotations: object; labels: object } };
  return {
    ...view,
    resourceVersion,
    spec: merged(view.spec, spec ?? {}) as ServiceView['spec'],
    annotations: merged(view.annotations, metadata?.annotations ?? {}) as Record<string, string>,
    labels: merged(view.labels, metadata?.labels ?? {}) as Record<string, string>,
  };
}

function changeBudget(
  snapshot: Snapshot,
  action: Extract<Action, { kind: 'createBudget' | 'mendBudget' | 'deleteBudget' }>,
  resourceVersion: string,
): Snapshot | undefined {
  const { budget } = snapshot;
  if (action.kind === 'createBudget') {
    const made = budgetMadeFrom(action.body, `uid-budget-${resourceVersion}`, resourceVersion);
    return budget === undefined ? { ...snapshot, budget: made } : undefined;
  }
  if (budget === undefined || !isMeant(budget, action.expect)) return undefined;
  if (action.kind === 'deleteBudget') return { ...snapshot, budget: undefined };
  const { spec, metadata } = action.patch as { spec?: object; metadata?: { labels: object } };
  const mended: Owned<BudgetView> = {
    ...budget,
    resourceVersion,
    spec: merged(budget.spec, spec ?? {}) as BudgetView['spec'],
    labels: merged(budget.labels, metadata?.labels ?? {}) as Record<string, string>,
  };
  return { ...snapshot, budget: mended };
}

function createPod(
  snapshot: Snapshot,
  action: Extract<Action, { kind: 'createPod' }>,
  now: Instant,
): Snapshot | undefined {
  if (snapshot.members.some(({ pod }) => pod === action.pod)) return undefined;
  const { labels } = (action.body as { metadata: { labels: Record<string, string> } }).metadata;
  const resourceVersion = nextVersion(snapshot);
  const member: Member = {
    pod: action.pod,
    uid: `uid-${action.pod}-${resourceVersion}`,
    resourceVersion,
    named: labels[LABEL.name] === snapshot.singleton.name,
    slot: parseTerm(labels[LABEL.slot]),
    role: labels[LABEL.role] === ROLE.standby ? ROLE.standby : undefined,
    term: parseTerm(labels[LABEL.term]),
    guarded: labels[LABEL.guarded] === GUARDED,
    revision: labels[LABEL.revision],
    node: undefined,
    phase: 'Pending',
    ready: false,
    readySinceWallMs: undefined,
    createdWallMs: now.wallMs,
    terminating: false,
    evicting: false,
    crash: undefined,
    unschedulable: false,
    waiting: undefined,
    podReason: undefined,
    noFailover: false,
    ...agentMadeIn(action.body),
  };
  return { ...snapshot, members: [...snapshot.members, member] };
}

function agentMadeIn(body: object): Pick<Member, 'agent'> {
  const { initContainers = [], containers = [] } = ((body as Pod).spec ?? {}) satisfies Pod['spec'];
  const agent = [...initContainers, ...containers].find(({ name }) => name === AGENT_CONTAINER);
  const text = agent?.env?.find(({ name }) => name === AGENT_ENV.leaseDurationMs)?.value;
  return text === undefined ? {} : { agent: { leaseDurationMs: Number(text) } };
}

/** What has a node is only marked; its kubelet lets it go. */
function deletePod(
  snapshot: Snapshot,
  { expect }: Extract<Action, { kind: 'deletePod' }>,
  resourceVersion: string,
): Snapshot | undefined {
  const doomed = snapshot.members.find((member) => member.uid === expect.uid);
  if (doomed === undefined || !isMeant(doomed, expect)) return undefined;
  const isGone = doomed.node === undefined || doomed.phase === 'Failed' || doomed.phase === 'Succeeded';
  const others = snapshot.members.filter((member) => member !== doomed);
  return { ...snapshot, members: isGone ? others : [...others, { ...doomed, resourceVersion, terminating: true }] };
}

export interface Run {
  /** Every state, the first and the last included. */
  readonly states: readonly Snapshot[];
  readonly plans: readonly Plan[];
  readonly actions: readonly Action[];
  /** Whether it came to rest: a plan without actions. */
  readonly settled: boolean;
  readonly last: Snapshot;
  readonly now: Instant;
}

const later = (now: Instant, ms: number): Instant => ({
  monotonicMs: now.monotonicMs + ms,
  wallMs: now.wallMs + ms,
});

/**
 * Decides and carries out until nothing is left to do, as the reconciler would. Time goes on only when a plan asks to be
 * made again later, and one millisecond a round.
 */
export function settle(start: Snapshot, { now: startNow, rounds = 40 }: { now: Instant; rounds?: number }): Run {
  const states = [start];
  const plans: Plan[] = [];
  const actions: Action[] = [];
  let [snapshot, now] = [withEndpoints(start), startNow];
  for (let round = 0; round < rounds; round++) {
    snapshot = { ...snapshot, memory: afterLooking(snapshot, now) };
    const plan = decide(snapshot, now);
    plans.push(plan);
    if (plan.actions.length === 0 && plan.recheckAtMs === undefined) {
      return { states, plans, actions, settled: true, last: snapshot, now };
    }
    const done = carryOut(snapshot, plan.actions, now);
    states.push(...done.states);
    actions.push(...done.actions);
    snapshot = done.states.at(-1) ?? snapshot;
    const wait = plan.actions.length === 0 ? (plan.recheckAtMs ?? 0) - now.monotonicMs : 1;
    now = later(now, Math.max(1, wait));
  }
  return { states, plans, actions, settled: false, last: snapshot, now };
}

/** Up to the first action that is refused. */
export function carryOut(
  start: Snapshot,
  planned: readonly Action[],
  now: Instant,
): { states: Snapshot[]; actions: Action[] } {
  const states: Snapshot[] = [];
  const actions: Action[] = [];
  let snapshot = start;
  for (const action of planned) {
    const next = apply(snapshot, action, now);
    if (next === undefined) break;
    snapshot = next;
    states.push(next);
    actions.push(action);
  }
  return { states, actions };
}
