/** Which pods to create, delete or mend, so that every slot has one living member. */
import { EVENT, LABEL, ROLE, holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { isOnDrainingNode } from './avoidance.ts';
import { doubles, doublesRecheckAtMs, drainSurge } from './doubles.ts';
import { agentAccess } from './agent-access.ts';
import { ownAccount } from './agent-pod.ts';
import { isExpired } from './expiry.ts';
import { isFencing } from './fencing.ts';
import { shortHash } from './hash.ts';
import { podOf } from './lease.ts';
import { avoidingNodes } from './avoid-nodes.ts';
import { isLost } from './node-loss.ts';
import { memberLabels, memberPod, templateRevision } from './objects.ts';
import type { Action, EventAction } from './plan.ts';
import { isOutdated } from './revision.ts';
import { recheckAtMs as recheckOfStep, rolloutStep } from './rollout.ts';
import type { RolloutStep } from './rollout.ts';
import { slotInName, slotOf } from './slots.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

/** A member that fails again and again is replaced after 1, 2, 4, … 60 s. The first time at once. */
const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** At most. It costs three reads. */
const ACCESS_CHECKED_EVERY_MS = 10_000;

export interface MembershipPlan {
  readonly actions: readonly Action[];
  readonly recheckAtMs: number | undefined;
}

export const isFinished = (member: Member): boolean => member.phase === 'Failed' || member.phase === 'Succeeded';

export interface MembershipQuestion {
  /**
   * Holder identities of whoever is the active while the plan is carried out: the one that holds the Lease, and the one it
   * is granted to. Undefined: nobody can tell, since the Lease is not in order.
   */
  readonly active: readonly string[] | undefined;
  readonly now: Instant;
}

/**
 * The replacement of a failed, finished or terminating member is created at once, under a new name, and never waits for
 * the old pod to be gone: a pod that is stuck Terminating on a dead node blocks nobody. No member is deleted while it
 * may be the active (invariant I7).
 */
export function planMembership(given: Snapshot, spec: Spec, { active, now }: MembershipQuestion): MembershipPlan {
  const isRefused = given.singleton.problems.length > 0;
  if (isRefused || spec.paused || spec.template === undefined) return { actions: [], recheckAtMs: undefined };
  // One that somebody else owns is here only while it is the active, until a member of the operator's own takes over.
  const snapshot = { ...given, members: given.members.filter(({ adopted }) => adopted !== true) };
  const isActive = (member: Member): boolean =>
    active === undefined || active.includes(holderIdentity(member.pod, member.uid));
  const lost = new Set(snapshot.members.filter((member) => isLost(member, snapshot, now)));
  const alive = snapshot.members.filter((member) => !member.terminating && !isFinished(member) && !lost.has(member));
  const outside = outsideSlots(snapshot, spec, alive);
  const spare = [
    ...doubles(snapshot, spec, { alive, isActive, now }).filter(({ member }) => !outside.includes(member)),
    ...outside.map((member) => ({ member, kept: undefined })),
  ];
  const step = rolloutStep(snapshot, spec, now);
  const second = active === undefined ? undefined : secondMember(snapshot, spec, { step, now });
  const { creations, recheckAtMs } = planCreations(snapshot, spec, { step, second, alive, lost, now });
  const replaced = step?.kind === 'replace' ? [step] : [];
  const over = snapshot.members.filter(
    (member) =>
      (isFinished(member) || lost.has(member)) &&
      !member.terminating &&
      isReplaced(snapshot, member, { spec, creations, alive }),
  );
  // Before the Lease is in order no forged term has been stripped, and a name put back could make it match.
  const mends =
    active === undefined ? [] : snapshot.members.flatMap((member) => mendedLabels(snapshot, member, isActive(member)));
  const isDeletable = (member: Member): boolean =>
    !isActive(member) &&
    // Of one without a name no watch tells that it is gone: first its labels, and at the next look the deletion.
    !mends.some(({ pod }) => pod === member.pod);
  return {
    actions: [
      ...accessFor(snapshot, spec, { creations, now }),
      ...creations,
      ...spare
        .filter(({ member }) => isDeletable(member))
        .map(({ member, kept }) => deletion(member, 'no slot for it', kept?.pod)),
      ...replaced
        .filter(({ old }) => isDeletable(old) && !spare.some(({ member }) => member === old))
        .map(({ old, successor }) => deletion(old, 'it is of an older template', successor?.pod)),
      ...over.filter(isDeletable).map((member) => deletion(member, endOf(member))),
      ...mends,
      // Last, so that an event that is refused keeps nothing from being done.
      ...creationEvents(snapshot, creations, lost),
    ],
    recheckAtMs: earliest(
      recheckAtMs,
      recheckOfStep(step, snapshot, spec, now),
      doublesRecheckAtMs(snapshot, spec, now),
    ),
  };
}

/**
 * The agents' rights: before any pod that needs them, once by each operator process, and again when an agent is silent,
 * which may be for lack of them.
 */
function accessFor(
  snapshot: Snapshot,
  spec: Spec,
  { creations, now }: { readonly creations: readonly Action[]; readonly now: Instant },
): Action[] {
  if (!isFencing(spec)) return [];
  const { singleton, memory, lease } = snapshot;
  const account = ownAccount(spec);
  const madeAtMs = memory.access?.account === account ? memory.access?.atMs : undefined;
  const isSilent = lease !== undefined && lease.holder !== '' && isExpired(snapshot, lease, now);
  const isOld = madeAtMs !== undefined && madeAtMs + ACCESS_CHECKED_EVERY_MS <= now.monotonicMs;
  const isDue = madeAtMs === undefined || (isOld && (isSilent || creations.length > 0));
  return isDue ? [{ kind: 'ensureAccess', access: agentAccess(singleton, spec), account }] : [];
}

interface Second {
  readonly slot: number;
  readonly dueAtMs: number;
  readonly surge: 'rollout' | 'drain';
}

/** The slot that is to have two members for a while: for a rollout, or for a drain. */
function secondMember(
  snapshot: Snapshot,
  spec: Spec,
  { step, now }: { readonly step: RolloutStep | undefined; readonly now: Instant },
): Second | undefined {
  if (step?.kind === 'surge') return { slot: step.slot, dueAtMs: 0, surge: 'rollout' };
  const forDrain = drainSurge(snapshot, spec, now);
  return forDrain && { ...forDrain, surge: 'drain' };
}

const earliest = (...times: (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
};

/**
 * A failed pod stays until its replacement is due: so the replacement knows whose name it must not have, and people can
 * read the log of what failed.
 */
function isReplaced(
  snapshot: Snapshot,
  member: Member,
  { spec, creations, alive }: { spec: Spec; creations: readonly Action[]; alive: readonly Member[] },
): boolean {
  const slot = slotOf(member, snapshot.singleton);
  if (slot === undefined || slot >= spec.replicas) return true;
  if (creations.some((action) => action.kind === 'createPod' && action.slot === slot)) return true;
  return alive.some((other) => slotOf(other, snapshot.singleton) === slot);
}

/** Of one that is over, why. */
const endOf = (member: Member): string =>
  isFinished(member) ? (member.podReason ?? member.phase) : `node ${member.node} is lost`;

interface Counted {
  readonly step: RolloutStep | undefined;
  readonly second: Second | undefined;
  readonly alive: readonly Member[];
  readonly lost: ReadonlySet<Member>;
  readonly now: Instant;
}

function planCreations(snapshot: Snapshot, spec: Spec, { step, second, alive, lost, now }: Counted) {
  const creations: Action[] = [];
  let recheckAtMs: number | undefined;
  const revision = templateRevision(spec);
  const { agent } = snapshot;
  // Without what an agent is made of a member would be one that nobody can stop.
  if (isFencing(spec) && agent === undefined) return { creations, recheckAtMs };
  const verdict = snapshot.memory.template?.revision === revision ? snapshot.memory.template : undefined;
  if (verdict?.refusal !== undefined) return { creations, recheckAtMs };
  for (let slot = 0; slot < spec.replicas; slot++) {
    const isFilled = alive.some((member) => slotOf(member, snapshot.singleton) === slot);
    if (isFilled && second?.slot !== slot) continue;
    const dueAtMs = Math.max(replacementDueAtMs(snapshot, slot), isFilled ? (second?.dueAtMs ?? 0) : 0);
    if (dueAtMs > now.monotonicMs) {
      recheckAtMs = Math.min(dueAtMs, recheckAtMs ?? Infinity);
      continue;
    }
    const pod = memberName(snapshot, slot);
    const body = avoidingNodes(
      memberPod(snapshot.singleton, spec, { slot, name: pod, agent }),
      nodesInTrouble(snapshot, lost),
    );
    creations.push({ kind: 'createPod', pod, slot, body, ...(isFilled && second && { surge: second.surge }) });
  }
  // A quota is asked after the server has looked at the pod itself.
  const isRoomless = step?.kind === 'replace' && step.successor === undefined;
  const known = verdict !== undefined || isRoomless || snapshot.members.some((member) => member.revision === revision);
  if (creations.length === 0 && recheckAtMs === undefined && !known) {
    // No pod of this template exists and none is due: ask the server about it now, not at the next failure.
    const body = memberPod(snapshot.singleton, spec, { slot: 0, name: `${snapshot.singleton.name}-0-check`, agent });
    creations.push({ kind: 'checkTemplate', revision, body });
  }
  return { creations, recheckAtMs };
}

/** Where a new member had better not be, though Kubernetes may not know it yet: of a machine that shuts down it hears late, too. */
function nodesInTrouble(snapshot: Snapshot, lost: ReadonlySet<Member>): string[] {
  const there = snapshot.members.filter((member) => lost.has(member) || isOnDrainingNode(member, snapshot));
  return [...new Set(there.map(({ node }) => node).filter((node) => node !== undefined))];
}

function replacementDueAtMs(snapshot: Snapshot, slot: number): number {
  const failures = snapshot.memory.failures[slot];
  if (failures === undefined || failures.count <= 1) return 0;
  return failures.lastAtMs + Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures.count - 2));
}

/** One event for all that are new, and one for all that replace somebody. */
function creationEvents(snapshot: Snapshot, creations: readonly Action[], lost: ReadonlySet<Member>): Action[] {
  const created = creations.filter((action) => action.kind === 'createPod');
  const replacing = created.filter(({ slot }) => predecessorsOf(snapshot, slot).length > 0);
  const isNew = created.filter((action) => !replacing.includes(action));
  const event = (reason: EventAction['reason'], pods: typeof created, message: string): Action[] => {
    if (pods.length === 0) return [];
    const identity = shortHash([snapshot.singleton.uid, reason, pods.map(({ pod }) => pod)], 10);
    return [{ kind: 'emitEvent', event: { identity, reason, type: 'Normal', message } }];
  };
  return [
    ...event(EVENT.memberCreated, isNew, `created ${isNew.map(({ pod }) => pod).join(', ')}`),
    ...event(
      EVENT.memberReplaced,
      replacing,
      replacing.map(({ pod, slot }) => replacement(snapshot, pod, slot, lost)).join('; '),
    ),
  ];
}

function replacement(snapshot: Snapshot, pod: string, slot: number, lost: ReadonlySet<Member>): string {
  const old = snapshot.members.filter((member) => slotOf(member, snapshot.singleton) === slot);
  const those = old
    .map((member) => `${member.pod} (${whyReplaced(member, snapshot, lost)})`)
    .sort()
    .join(', ');
  return `${pod} replaces ${those === '' ? `${predecessorsOf(snapshot, slot).join(', ')} (gone)` : those}`;
}

function whyReplaced(member: Member, snapshot: Snapshot, lost: ReadonlySet<Member>): string {
  if (isFinished(member) || lost.has(member)) return endOf(member);
  if (member.terminating) return 'being deleted';
  const { spec } = snapshot.singleton;
  return spec !== undefined && isOutdated(member, spec) ? 'of an older template' : 'to leave its node';
}

/**
 * The name follows from whom the member replaces, so that two operators, or one with a cache that lags behind its own
 * writes, come to the same name: the second create is refused, and no slot gets two members.
 */
function memberName(snapshot: Snapshot, slot: number): string {
  const { name, uid } = snapshot.singleton;
  return `${name}-${slot}-${shortHash([uid, slot, predecessorsOf(snapshot, slot)], 5)}`;
}

/** Names of the pods that had the slot, as far as pods, status and Lease tell. */
function predecessorsOf({ members, singleton, lease }: Snapshot, slot: number): string[] {
  const seen = members.filter((member) => slotOf(member, singleton) === slot).map(({ pod }) => pod);
  const told = (singleton.status?.members ?? []).filter((member) => member.slot === slot).map(({ pod }) => pod);
  const actives = [lease && podOf(lease.holder), lease?.move?.from].filter((pod) => pod !== undefined);
  const held = actives.filter((pod) => slotInName(singleton.name, pod) === slot);
  return [...new Set([...seen, ...told, ...held])].sort();
}

const outsideSlots = ({ singleton }: Snapshot, spec: Spec, alive: readonly Member[]): Member[] =>
  alive.filter((member) => (slotOf(member, singleton) ?? 0) >= spec.replicas);

const deletion = (member: Member, why: string, successor?: string): Action => ({
  kind: 'deletePod',
  pod: member.pod,
  expect: { uid: member.uid, resourceVersion: member.resourceVersion },
  why,
  ...(successor !== undefined && { successor }),
});

/** Puts back the labels that a member was created with. Role and term of the active are the move's. */
function mendedLabels(
  snapshot: Snapshot,
  member: Member,
  isActive: boolean,
): Extract<Action, { kind: 'mendLabels' }>[] {
  const { name } = snapshot.singleton;
  const slot = slotOf(member, snapshot.singleton);
  if (member.terminating || slot === undefined) return [];
  const wanted = memberLabels(name, slot);
  const labels = {
    ...(!member.named && { [LABEL.name]: name }),
    ...(member.slot !== slot && { [LABEL.slot]: wanted[LABEL.slot] ?? null }),
    ...(member.role === undefined && !isActive && { [LABEL.role]: ROLE.standby }),
  };
  if (Object.keys(labels).length === 0) return [];
  return [
    {
      kind: 'mendLabels',
      pod: member.pod,
      expect: { uid: member.uid, resourceVersion: member.resourceVersion },
      labels,
    },
  ];
}
