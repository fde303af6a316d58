/** What people and their tools are told: the next status, and whether it is time to write it. */
import { LABEL, ROLE } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { toIso } from '../api/time.ts';
import type { ActiveStatus, MemberStatus, Move, Status } from '../api/types.ts';
import { isAdopting } from './adoption.ts';
import { avoidance } from './avoidance.ts';
import { standing } from './candidates.ts';
import { conditions } from './conditions.ts';
import { eventsBetween } from './events.ts';
import { awaitsRenewal } from './fencing.ts';
import { sameJson } from './hash.ts';
import { podOf } from './lease.ts';
import { isNodeLossHold } from './node-loss.ts';
import { templateRevision } from './objects.ts';
import type { Action } from './plan.ts';
import { activeMember, aliveMembers, bySlot, isActive, isFlipped, isRouted, ourLease } from './situation.ts';
import type { Situation } from './situation.ts';
import { slotOf } from './slots.ts';
import type { Instant, Member, Snapshot, Timeline } from './snapshot.ts';
import { switchoverStatus } from './switchover-status.ts';

const MOVES_KEPT = 10;
/** How long the status waits for the EndpointSlices to name the new active, so that a move costs one status write. */
const ROUTING_PATIENCE_MS = 1_000;
/** The same for an old active that stops, and for the new one's agent. */
const FENCING_PATIENCE_MS = 1_000;
/** Changes that nobody waits for (how many are ready) are written at most this often. */
const MINOR_INTERVAL_MS = 500;

export interface Report {
  readonly actions: readonly Action[];
  readonly recheckAtMs: number | undefined;
}

export const nothingToTell: Report = { actions: [], recheckAtMs: undefined };

/** The events and the one status write that are due; nothing when the status already says it all (invariant I8). */
export function report(situation: Situation): Report {
  const { snapshot, now } = situation;
  const patienceOverAtMs = Math.max(routingPatienceOverAtMs(situation), fencingPatienceOverAtMs(situation));
  if (patienceOverAtMs > now.monotonicMs) return { actions: [], recheckAtMs: patienceOverAtMs };
  const status = nextStatus(situation);
  const { status: before, resourceVersion } = snapshot.singleton;
  if (sameJson(status, before ?? {})) return { actions: [], recheckAtMs: avoidanceOverAtMs(snapshot, now) };
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

/** When the first member is no longer avoided by itself; there is more to tell then. */
function avoidanceOverAtMs(snapshot: Snapshot, now: Instant): number | undefined {
  const { spec } = snapshot.singleton;
  if (spec === undefined) return undefined;
  const ends = snapshot.members.flatMap((member) => avoidance(member, { snapshot, spec, now })?.overAtWallMs ?? []);
  return ends.length === 0 ? undefined : now.monotonicMs + Math.min(...ends) - now.wallMs;
}

export function nextStatus(situation: Situation): Status {
  const { snapshot, now } = situation;
  const { singleton, lease } = snapshot;
  const before = singleton.status;
  const members = memberStatuses(snapshot, now);
  const lastMove = lastMoveOf(snapshot, now) ?? before?.lastMove;
  const isNew = lastMove !== undefined && lastMove.term !== before?.lastMove?.term;
  const moves = isNew ? [lastMove, ...(before?.moves ?? [])].slice(0, MOVES_KEPT) : before?.moves;
  const alive = aliveMembers(snapshot, now);
  const ready = alive.filter((member) => member.ready).length;
  const { spec } = singleton;
  // One whose pod was deleted from a silent node may act on: it is told of, with its node, until that is settled.
  const isWaited = situation.holds.some((hold) => isNodeLossHold(hold) || hold.name === 'Fencing');
  const active = activeStatus(snapshot, lastMove) ?? (isWaited ? before?.active : undefined);
  return withoutUndefined({
    observedGeneration: singleton.generation,
    replicas: alive.length,
    readyReplicas: ready,
    eligibleReplicas: alive.filter((member) => standing(member, snapshot, now).eligible).length,
    updatedReplicas: updatedReplicas(alive, spec),
    // How many of them are adopted is for their owner to say.
    ready: `${ready}/${singleton.problems.length > 0 || spec === undefined || isAdopting(spec) ? alive.length : spec.replicas}`,
    selector: `${LABEL.name}=${singleton.name}`,
    active,
    // Not the Lease's own number, which somebody may have edited.
    term: Math.max(lease?.ours === true ? (lease.move?.term ?? lease.term) : 0, before?.term ?? 0),
    lease: before?.lease,
    members,
    lastMove,
    moves,
    switchover: switchoverStatus(situation),
    conditions: conditions(situation),
  });
}

/** What is adopted is made from a template of its owner's, of which nothing is known here. */
function updatedReplicas(alive: readonly Member[], spec: Spec | undefined): number {
  if (spec === undefined) return 0;
  return isAdopting(spec) ? alive.length : alive.filter((member) => member.revision === templateRevision(spec)).length;
}

/** Undefined fields would be left out by JSON. The parts of a status are made without any. */
const withoutUndefined = (status: { [K in keyof Status]: Status[K] | undefined }): Status =>
  Object.fromEntries(Object.entries(status).filter(([, field]) => field !== undefined));

const memberStatuses = (snapshot: Snapshot, now: Instant): MemberStatus[] =>
  bySlot(snapshot).map((member) => {
    const { eligible, reason } = standing(member, snapshot, now);
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
  if (lease !== undefined && awaitsRenewal(snapshot, lease)) return undefined;
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
    to: podOf(move.to),
    term: move.term,
    detectedAt: toIso(move.detectedWallMs),
    ...(move.fencedWallMs !== undefined && { fencedAt: toIso(move.fencedWallMs) }),
    grantedAt: toIso(move.grantedWallMs),
    ...(timeline?.labelled !== undefined && { labelledAt: toIso(timeline.labelled.wallMs) }),
    routedAt: toIso(routed.wallMs),
    milliseconds: Math.max(0, Math.round(tookMs)),
  };
}

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

/**
 * Mode `Agent`: an active that is to hand over stops within a moment, and a new one takes up its term within another. That
 * is no wait that anybody has to be told of.
 */
function fencingPatienceOverAtMs({ snapshot, need, holds }: Situation): number {
  const lease = ourLease(snapshot);
  if (lease === undefined) return 0;
  if (need === undefined) {
    const sinceMs = snapshot.memory.leaseSeen?.sinceMs;
    return awaitsRenewal(snapshot, lease) && sinceMs !== undefined ? sinceMs + FENCING_PATIENCE_MS : 0;
  }
  return holds[0]?.name === 'Fencing' ? need.since.monotonicMs + FENCING_PATIENCE_MS : 0;
}

/** Whether only the counts and lists of members changed, which nobody waits for. */
function isMinorChange(before: Status | undefined, after: Status): boolean {
  const essence = (status: Status) => ({
    generation: status.observedGeneration,
    active: status.active?.uid,
    term: status.term,
    move: status.lastMove?.term,
    switchover: [status.switchover?.requestedAt, status.switchover?.request, status.switchover?.outcome],
    conditions: status.conditions?.map(({ type, status: value }) => [type, value]),
  });
  return before !== undefined && sameJson(essence(before), essence(after));
}

/**
 * Milliseconds of each phase of a move, for the metrics; undefined where this process did not see both ends. `detect` is
 * from the first sight of the trouble to the decision: holds make it long. In mode Agent `fence` is the end of that: from when
 * the old active was asked to release the Lease, or else was needed to have stopped, until this was proven.
 *
 * @param fencedWallMs of the move's record
 */
export function phasesOf(
  timeline: Timeline,
  decidedWallMs: number,
  fencedWallMs?: number,
): Partial<Record<'detect' | 'fence' | 'grant' | 'label' | 'route', number | undefined>> {
  const { detected, asked, granted, labelled, routed } = timeline;
  const between = (from: Instant | undefined, to: Instant | undefined): number | undefined =>
    from === undefined || to === undefined ? undefined : Math.max(0, to.monotonicMs - from.monotonicMs);
  const until = (from: Instant | undefined, toWallMs: number): number | undefined =>
    from === undefined ? undefined : Math.max(0, toWallMs - from.wallMs);
  const needed = detected && (asked ?? detected);
  return {
    ...(fencedWallMs === undefined
      ? { detect: until(detected, decidedWallMs) }
      : { detect: between(detected, needed), fence: until(needed, fencedWallMs) }),
    grant: granted === undefined ? undefined : Math.max(0, granted.wallMs - decidedWallMs),
    label: between(granted, labelled),
    route: between(labelled, routed),
  };
}
