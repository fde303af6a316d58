/** What people and their tools are told: the status, its conditions, and the events, from a snapshot and what holds it. */
import { CONDITION, EVENT, LABEL, MAX_REPLICAS, ROLE } from '../api/names.ts';
import type { ConditionType } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { toIso } from '../api/time.ts';
import type { ActiveStatus, MemberStatus, Move, Status } from '../api/types.ts';
import { eligibility } from './candidates.ts';
import { sameJson, shortHash } from './hash.ts';
import { isHolder, parseTerm, routingTerm } from './lease.ts';
import { isFinished } from './membership.ts';
import type { Need } from './move.ts';
import { notTaken, templateRevision } from './objects.ts';
import type { Action, EventAction, Hold } from './plan.ts';
import { slotOf } from './slots.ts';
import type { Instant, LeaseView, Member, Snapshot, Timeline } from './snapshot.ts';

const MOVES_KEPT = 10;
/** How long the status waits for the EndpointSlices to name the new active, so that a move costs one status write. */
const ROUTING_PATIENCE_MS = 1_000;
/** Changes that nobody waits for (how many are ready) are written at most this often. */
const MINOR_INTERVAL_MS = 500;

export interface Report {
  readonly actions: readonly Action[];
  readonly recheckAtMs: number | undefined;
}

export interface Situation {
  readonly snapshot: Snapshot;
  readonly need: Need | undefined;
  readonly holds: readonly Hold[];
  readonly now: Instant;
}

/** The events and the one status write that are due; nothing when the status already says it all (invariant I8). */
export function report(situation: Situation): Report {
  const { snapshot, now } = situation;
  const patienceOverAtMs = routingPatienceOverAtMs(situation);
  if (patienceOverAtMs > now.monotonicMs) return { actions: [], recheckAtMs: patienceOverAtMs };
  const status = nextStatus(situation);
  const { status: before, resourceVersion } = snapshot.singleton;
  if (sameJson(status, before ?? {})) return { actions: [], recheckAtMs: undefined };
  const dueAtMs = isMinorChange(before, status)
    ? (snapshot.memory.statusWrittenAtMs ?? -Infinity) + MINOR_INTERVAL_MS
    : 0;
  if (dueAtMs > now.monotonicMs) return { actions: [], recheckAtMs: dueAtMs };
  const events = eventsBetween(snapshot, before, status).map((event): Action => ({ kind: 'emitEvent', event }));
  const write: Action = { kind: 'writeStatus', resourceVersion, status };
  // Events first, since they are told from what the status did not say yet; unless they are what is refused.
  const isRefused = snapshot.memory.failure?.kind === 'emitEvent';
  return { actions: isRefused ? [write, ...events] : [...events, write], recheckAtMs: undefined };
}

export function nextStatus(situation: Situation): Status {
  const { snapshot, now } = situation;
  const { singleton, lease } = snapshot;
  const before = singleton.status;
  const members = memberStatuses(snapshot);
  const lastMove = lastMoveOf(snapshot, now) ?? before?.lastMove;
  const isNew = lastMove !== undefined && lastMove.term !== before?.lastMove?.term;
  const moves = isNew ? [lastMove, ...(before?.moves ?? [])].slice(0, MOVES_KEPT) : before?.moves;
  const alive = snapshot.members.filter((member) => !member.terminating && !isFinished(member));
  const ready = alive.filter((member) => member.ready).length;
  const { spec } = singleton;
  const active = activeStatus(snapshot, lastMove);
  return withoutUndefined({
    observedGeneration: singleton.generation,
    replicas: alive.length,
    readyReplicas: ready,
    eligibleReplicas: alive.filter((member) => eligibility(member, snapshot).eligible).length,
    updatedReplicas:
      spec === undefined ? 0 : alive.filter((member) => member.revision === templateRevision(spec)).length,
    ready: `${ready}/${singleton.problems.length > 0 || spec === undefined ? alive.length : spec.replicas}`,
    selector: `${LABEL.name}=${singleton.name}`,
    active,
    // Not the Lease's own number, which somebody may have edited.
    term: Math.max(lease?.ours === true ? (lease.move?.term ?? lease.term) : 0, before?.term ?? 0),
    members,
    lastMove,
    moves,
    conditions: conditions(situation),
  });
}

/** Undefined fields would be left out by JSON, and would then look like a difference for ever. */
const withoutUndefined = (status: { [K in keyof Status]: Status[K] | undefined }): Status =>
  JSON.parse(JSON.stringify(status)) as Status;

/** The caches list them in the order in which they changed last, which says nothing. */
function bySlot({ members, singleton }: Snapshot): Member[] {
  const place = (member: Member): number => slotOf(member, singleton) ?? MAX_REPLICAS;
  return [...members].sort(
    (a, b) => place(a) - place(b) || a.createdWallMs - b.createdWallMs || (a.uid < b.uid ? -1 : 1),
  );
}

const memberStatuses = (snapshot: Snapshot): MemberStatus[] =>
  bySlot(snapshot).map((member) => {
    const { eligible, reason } = eligibility(member, snapshot);
    const zone = member.node === undefined ? undefined : snapshot.nodes[member.node]?.zone;
    const slot = slotOf(member, snapshot.singleton);
    return {
      pod: member.pod,
      ...(slot !== undefined && { slot }),
      role: isActive(snapshot, member) ? ROLE.active : ROLE.standby,
      ...(member.node !== undefined && { node: member.node }),
      ...(zone !== undefined && { zone }),
      ready: member.ready,
      eligible,
      ...(!eligible && { reason }),
    };
  });

const ourLease = (snapshot: Snapshot): LeaseView | undefined =>
  snapshot.lease?.ours === true ? snapshot.lease : undefined;

function isActive(snapshot: Snapshot, member: Member): boolean {
  const lease = ourLease(snapshot);
  return lease !== undefined && isHolder(lease, member);
}

export const activeMember = (snapshot: Snapshot): Member | undefined =>
  snapshot.members.find((member) => isActive(snapshot, member));

function activeStatus(snapshot: Snapshot, lastMove: Move | undefined): ActiveStatus | undefined {
  const member = activeMember(snapshot);
  const lease = ourLease(snapshot);
  if (member === undefined || lease === undefined) return undefined;
  const zone = member.node === undefined ? undefined : snapshot.nodes[member.node]?.zone;
  const slot = slotOf(member, snapshot.singleton);
  const since = lastMove?.to === member.pod ? (lastMove.routedAt ?? lastMove.grantedAt) : undefined;
  return {
    pod: member.pod,
    uid: member.uid,
    ...(slot !== undefined && { slot }),
    ...(member.node !== undefined && { node: member.node }),
    ...(zone !== undefined && { zone }),
    term: lease.term,
    ...(since !== undefined && { since }),
  };
}

/** The Lease's move as the status tells it, once; undefined when the status has it already or no traffic moved. */
function lastMoveOf(snapshot: Snapshot, now: Instant): Move | undefined {
  const lease = ourLease(snapshot);
  const move = lease?.move;
  if (move === undefined || move.routingTerm !== undefined || move.to === '') return undefined;
  if (snapshot.singleton.status?.lastMove?.term === move.term) return undefined;
  const timeline = snapshot.memory.timeline?.term === move.term ? snapshot.memory.timeline : undefined;
  const routed = timeline?.routed ?? timeline?.flipped ?? now;
  // By the monotonic clock where this process saw both ends.
  const tookMs =
    timeline?.detected === undefined
      ? routed.wallMs - move.detectedWallMs
      : routed.monotonicMs - timeline.detected.monotonicMs;
  return {
    kind: move.kind,
    reason: move.reason,
    message: move.message,
    ...(move.from !== undefined && { from: move.from }),
    to: move.to.split('_')[0] ?? move.to,
    term: move.term,
    detectedAt: toIso(move.detectedWallMs),
    ...(move.fencedWallMs !== undefined && { fencedAt: toIso(move.fencedWallMs) }),
    grantedAt: toIso(move.grantedWallMs),
    ...(timeline?.labelled !== undefined && { labelledAt: toIso(timeline.labelled.wallMs) }),
    routedAt: toIso(routed.wallMs),
    milliseconds: Math.max(0, Math.round(tookMs)),
  };
}

const isFlipped = (snapshot: Snapshot, lease: LeaseView): boolean =>
  parseTerm(snapshot.service?.spec.selector?.[LABEL.term]) === routingTerm(lease);

const isRouted = (snapshot: Snapshot, member: Member): boolean => snapshot.routedUids.includes(member.uid);

/** A Ready active that was just flipped to is in the EndpointSlices within milliseconds: wait for them that long. */
function routingPatienceOverAtMs({ snapshot }: Situation): number {
  const lease = ourLease(snapshot);
  const member = activeMember(snapshot);
  if (lease === undefined || member === undefined || !isFlipped(snapshot, lease)) return 0;
  if (!member.ready || member.terminating || isRouted(snapshot, member)) return 0;
  const timeline = snapshot.memory.timeline;
  const flipped = timeline?.term === lease.term ? timeline.flipped : undefined;
  return flipped === undefined ? 0 : flipped.monotonicMs + ROUTING_PATIENCE_MS;
}

type Verdict = readonly [status: 'True' | 'False', reason: string, message: string];

function conditions(situation: Situation): NonNullable<Status['conditions']> {
  const { snapshot, now } = situation;
  const before = snapshot.singleton.status?.conditions ?? [];
  const verdicts: Record<ConditionType, Verdict> = {
    Ready: readyVerdict(situation),
    SpecAccepted: specVerdict(snapshot),
    StandbyReady: standbyVerdict(snapshot),
    Progressing: progressVerdict(situation),
    Paused:
      snapshot.singleton.spec?.paused === true
        ? ['True', 'PausedBySpec', 'spec.paused is true: no grant and no pod changes']
        : ['False', 'NotPaused', 'spec.paused is false'],
    Blocked: blockedVerdict(situation),
  };
  return Object.values(CONDITION).map((type) => {
    const [status, reason, message] = verdicts[type];
    const old = before.find((condition) => condition.type === type);
    const lastTransitionTime = old?.status === status ? old.lastTransitionTime : undefined;
    return {
      type,
      status,
      reason,
      message,
      lastTransitionTime: lastTransitionTime ?? toIso(now.wallMs),
      observedGeneration: snapshot.singleton.generation,
    };
  });
}

function readyVerdict({ snapshot, need }: Situation): Verdict {
  const { service, singleton } = snapshot;
  if (snapshot.lease?.ours === false)
    return ['False', 'LeaseTaken', `Lease ${singleton.name}-active belongs to somebody else`];
  if (service?.ours === false) return ['False', 'ServiceTaken', `Service ${singleton.name} belongs to somebody else`];
  const lease = ourLease(snapshot);
  const member = activeMember(snapshot);
  if (lease === undefined || lease.holder === '') return ['False', 'NoActive', 'no member is active yet'];
  if (member === undefined) return ['False', 'ActiveGone', need?.message ?? 'the active pod is gone'];
  if (!member.ready) return ['False', 'ActiveNotReady', `the active pod ${member.pod} is not Ready`];
  if (member.terminating) return ['False', 'ActiveTerminating', `the active pod ${member.pod} is being deleted`];
  if (!isFlipped(snapshot, lease))
    return ['False', 'NotRouted', `the Service does not select term ${routingTerm(lease)} yet`];
  if (!isRouted(snapshot, member)) {
    return [
      'False',
      'NotRouted',
      `no EndpointSlice of the Service names pod ${member.pod}; is kube-controller-manager running?`,
    ];
  }
  return ['True', 'ActiveRouted', `pod ${member.pod} is active with term ${lease.term} and the Service routes to it`];
}

function specVerdict(snapshot: Snapshot): Verdict {
  const { problems, spec, notActedUpon } = snapshot.singleton;
  if (problems.length > 0) {
    return [
      'False',
      'Invalid',
      `${problems.map(({ path, rule }) => `${path}: ${rule}`).join('; ')}. What runs is left as it is`,
    ];
  }
  const refusal = snapshot.memory.template?.refusal;
  if (spec !== undefined && refusal !== undefined && snapshot.memory.template?.revision === templateRevision(spec)) {
    return [
      'False',
      'TemplateRefused',
      `spec.template: the API server refuses a pod made from it: ${refusal}. What runs is left as it is`,
    ];
  }
  const advice =
    spec === undefined
      ? ''
      : adviceFor(snapshot, spec)
          .map((sentence) => `; advice: ${sentence}`)
          .join('');
  if (notActedUpon.length > 0) {
    return [
      'True',
      'AcceptedInPart',
      `accepted, but this version does not act upon ${notActedUpon.join(', ')}${advice}`,
    ];
  }
  return ['True', 'Accepted', `the spec is accepted${advice}`];
}

/** What the spec may say and will be regretted. */
function adviceFor(snapshot: Snapshot, spec: Spec): string[] {
  const containers = spec.template?.spec.containers ?? [];
  const isProbed = containers.length === 0 || containers.some(({ readinessProbe }) => readinessProbe !== undefined);
  const ignored = notTaken(snapshot);
  return [
    ...(isProbed ? [] : ['no container of the template has a readinessProbe, so an active that hangs looks healthy']),
    ...(ignored.length === 0 ? [] : [`the API server did not take ${ignored.join(', ')}; is it too old for that?`]),
  ];
}

function standbyVerdict(snapshot: Snapshot): Verdict {
  const others = bySlot(snapshot).filter((member) => !isActive(snapshot, member) && !member.terminating);
  const ready = others.filter((member) => eligibility(member, snapshot).eligible);
  if (ready.length > 0)
    return ['True', 'CandidateReady', `${ready.length} of ${others.length} other members can take over at once`];
  if (snapshot.singleton.spec?.replicas === 1)
    return ['False', 'SingleReplica', 'spec.replicas is 1: a failover has to wait for a new pod'];
  const why = others.map((member) => `${member.pod}: ${eligibility(member, snapshot).reason}`).join(', ');
  return ['False', 'NoCandidate', why === '' ? 'there is no other member' : `no other member can take over (${why})`];
}

function progressVerdict({ snapshot, need, holds }: Situation): Verdict {
  const { failure } = snapshot.memory;
  if (failure !== undefined && failure.kind !== 'emitEvent')
    return ['True', 'Retrying', `${failure.action} failed and is tried again: ${failure.message}`];
  if (need !== undefined) return ['True', holds.length > 0 ? 'MoveWaits' : 'Moving', need.message];
  const { spec } = snapshot.singleton;
  const alive = snapshot.members.filter((member) => !member.terminating && !isFinished(member));
  if (spec !== undefined && !spec.paused && alive.length !== spec.replicas) {
    return ['True', 'Scaling', `${alive.length} members exist, ${spec.replicas} are wanted`];
  }
  return ['False', 'Settled', 'nothing is under way'];
}

function blockedVerdict({ holds }: Situation): Verdict {
  const [hold] = holds;
  return hold === undefined ? ['False', 'NotBlocked', 'no move waits'] : ['True', hold.name, hold.message];
}

/** Whether only the counts and lists of members changed, which nobody waits for. */
function isMinorChange(before: Status | undefined, after: Status): boolean {
  const essence = (status: Status) => ({
    generation: status.observedGeneration,
    active: status.active?.uid,
    term: status.term,
    move: status.lastMove?.term,
    conditions: status.conditions?.map(({ type, status: value }) => [type, value]),
  });
  return before !== undefined && sameJson(essence(before), essence(after));
}

function eventsBetween(snapshot: Snapshot, before: Status | undefined, after: Status): EventAction[] {
  const events: EventAction[] = [];
  const move = after.lastMove;
  if (move !== undefined && move.term !== before?.lastMove?.term) events.push(moveEvent(snapshot, move));
  const turned = (type: ConditionType): Verdict | undefined => transition(type, before, after);
  const rejected = turned(CONDITION.specAccepted);
  if (rejected?.[0] === 'False') events.push(conditionEvent(snapshot, EVENT.specRejected, 'Warning', rejected[2]));
  const paused = turned(CONDITION.paused);
  if (paused?.[0] === 'True') events.push(conditionEvent(snapshot, EVENT.paused, 'Normal', paused[2]));
  if (paused?.[0] === 'False' && before?.conditions !== undefined) {
    events.push(
      conditionEvent(snapshot, EVENT.resumed, 'Normal', 'spec.paused is false again: moves and pod changes go on'),
    );
  }
  const blocked = turned(CONDITION.blocked);
  if (blocked?.[0] === 'True' && after.lastMove !== undefined) {
    const reason = blocked[1] === 'UnreadyGrace' ? EVENT.failoverStarted : EVENT.moveBlocked;
    events.push(conditionEvent(snapshot, reason, 'Warning', blocked[2]));
  }
  return events;
}

/** What a condition turned into; undefined when it says what it said. A rejected spec that changes is a new rejection. */
function transition(type: ConditionType, before: Status | undefined, after: Status): Verdict | undefined {
  const old = before?.conditions?.find((condition) => condition.type === type);
  const next = after.conditions?.find((condition) => condition.type === type);
  if (next === undefined) return undefined;
  const sameMessage = type !== CONDITION.specAccepted || old?.message === next.message;
  if (old?.status === next.status && sameMessage) return undefined;
  return [next.status === 'True' ? 'True' : 'False', next.reason ?? '', next.message ?? ''];
}

const conditionEvent = (
  snapshot: Snapshot,
  reason: EventAction['reason'],
  type: EventAction['type'],
  message: string,
): EventAction => ({
  // The stored status names the moment before the change: sent again after a crash, it is the same event.
  identity: shortHash([snapshot.singleton.uid, reason, message, snapshot.singleton.resourceVersion], 10),
  reason,
  type,
  message,
});

function moveEvent(snapshot: Snapshot, move: Move): EventAction {
  const identity = shortHash([snapshot.singleton.uid, 'move', move.term], 10);
  if (move.kind === 'Initial') {
    return {
      identity,
      reason: EVENT.granted,
      type: 'Normal',
      message: `pod ${move.to} is active with term ${move.term}`,
    };
  }
  const [reason, type] =
    move.kind === 'Failover'
      ? ([EVENT.failoverCompleted, 'Warning'] as const)
      : ([EVENT.switchoverCompleted, 'Normal'] as const);
  const took = move.milliseconds === undefined ? '' : `, ${move.milliseconds} ms after it was noticed`;
  const from = move.from === undefined ? '' : ` from ${move.from}`;
  return {
    identity,
    reason,
    type,
    message: `moved${from} to ${move.to} with term ${move.term}${took}: ${move.message}`,
  };
}

/**
 * Milliseconds of each phase of a move, for the metrics; undefined where this process did not see both ends. `detect` is
 * from the first sight of the trouble to the decision: holds make it long. Nothing is fenced in mode Routing.
 */
export function phasesOf(
  timeline: Timeline,
  decidedWallMs: number,
): Record<'detect' | 'grant' | 'label' | 'route', number | undefined> {
  const { detected, granted, labelled, routed } = timeline;
  const between = (from: Instant | undefined, to: Instant | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : Math.max(0, to.monotonicMs - from.monotonicMs);
  return {
    detect: detected === undefined ? undefined : Math.max(0, decidedWallMs - detected.wallMs),
    grant: granted === undefined ? undefined : Math.max(0, granted.wallMs - decidedWallMs),
    label: between(granted, labelled),
    route: between(labelled, routed),
  };
}
