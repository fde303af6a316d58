/**
 * A requested switchover is a transaction. Its record stands in the Lease and changes with what it speaks of, in one write:
 *
 *   1. The request is taken up: the Lease says `Pending`. Then the annotation is removed. Only when that is seen to be gone
 *      does anything follow, so that an annotation that is there is either the one that was taken up or a new request.
 *   2. It is checked. What cannot be done is refused with the reason, which moves nothing.
 *   3. It is granted, and the Lease says `Granted` in the same write.
 *   4. It is verified. Completed is what the status calls so, when the new active is Ready and routed. One that fails
 *      before, or is not routed by the deadline, is moved back from, if the old one can take it back.
 *
 * The deadline is by wall clock, since the next operator must know it as well; and by each operator's own first sight of
 * the record, so that one whose clock is behind does not wait for ever. Nothing but a request hangs on it: by a clock that
 * is ahead it ends early, which is told.
 */
import { LABEL, holderIdentity, leaseName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { toIso } from '../api/time.ts';
import { avoidance } from './avoidance.ts';
import { candidates, eligibility, fitness } from './candidates.ts';
import { isHolder, lastHolder, parseTerm, podOf, routingTerm } from './lease.ts';
import type { Action } from './plan.ts';
import type { Wish } from './planned.ts';
import { slotOf } from './slots.ts';
import type { Instant, LeaseView, Member, Memory, Snapshot, SwitchoverRecord } from './snapshot.ts';
import { willing } from './willing.ts';

/** Longer than any pod's name. */
export const MAX_REQUEST_LENGTH = 300;

export interface SwitchoverQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly lease: LeaseView;
  readonly now: Instant;
}

export type Target =
  | { readonly kind: 'any' }
  | { readonly kind: 'slot'; readonly slot: number }
  | { readonly kind: 'pod'; readonly pod: string };

/** `any`, `slot:<n>` or a pod's name; undefined: none of them. */
export function parseTarget(request: string): Target | undefined {
  if (request === 'any') return { kind: 'any' };
  const slot = /^slot:(\d{1,2})$/.exec(request)?.[1];
  if (slot !== undefined) return { kind: 'slot', slot: Number(slot) };
  const isName = request.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(request);
  return isName ? { kind: 'pod', pod: request } : undefined;
}

// --- what is written -------------------------------------------------------------------------------------------------------

export interface RequestPlan {
  /** Of the Lease and of the annotation, in this order. */
  readonly actions: readonly Action[];
  readonly recheckAtMs: number | undefined;
}

const NOTHING: RequestPlan = { actions: [], recheckAtMs: undefined };

/** Takes requests up, and writes down how those end that move nothing. */
export function planRequest(question: SwitchoverQuestion): RequestPlan {
  const { snapshot, lease } = question;
  const asked = askedFor(question);
  if (asked !== undefined) {
    const taking = asked === lease.switchover ? [] : [write(question, asked)];
    return { actions: [...taking, removal(snapshot)], recheckAtMs: undefined };
  }
  const record = lease.switchover;
  if (record === undefined || !isOpen(record, snapshot)) return NOTHING;
  const end = record.state === 'Pending' ? endOfPending(record, question) : endOfGranted(record, question);
  if (end !== undefined) return { actions: [write(question, { ...record, ...end })], recheckAtMs: undefined };
  return { actions: [], recheckAtMs: isLate(record, question) ? undefined : deadlineAtMs(record, question) };
}

type End = Pick<SwitchoverRecord, 'state' | 'reason' | 'message'>;

/**
 * What the annotation says, as a record: the Lease's own when it was taken up already, and a new one when it was not.
 * Undefined when there is none, or when it has to wait, since the move for the one before it is being verified.
 */
function askedFor({ snapshot, spec, lease, now }: SwitchoverQuestion): SwitchoverRecord | undefined {
  const request = snapshot.singleton.request?.slice(0, MAX_REQUEST_LENGTH);
  const record = lease.switchover;
  if (request === undefined || (record?.state === 'Granted' && isOpen(record, snapshot))) return undefined;
  if (record?.state === 'Pending' && record.request === request) return record;
  return {
    request,
    // Never that of the one before it: the two name a request.
    acceptedWallMs: record?.acceptedWallMs === now.wallMs ? now.wallMs + 1 : now.wallMs,
    deadlineWallMs: now.wallMs + spec.switchover.deadlineMs,
    state: 'Pending',
    reason: 'Accepted',
    message: `a switchover to ${request} was requested`,
    from: lease.holder,
    to: undefined,
  };
}

const write = ({ snapshot, lease }: SwitchoverQuestion, switchover: SwitchoverRecord): Action => ({
  kind: 'recordSwitchover',
  lease: leaseName(snapshot.singleton.name),
  expect: { uid: lease.uid, resourceVersion: lease.resourceVersion },
  switchover,
});

const removal = ({ singleton: { name, uid, resourceVersion } }: Snapshot): Action => ({
  kind: 'removeRequest',
  singleton: name,
  expect: { uid, resourceVersion },
});

/**
 * What the grant of a move to `to` makes of the record; undefined: nothing. A request that nobody has taken up yet is by
 * the grant: so `any` is not moved for once more after a failover, nor is whoever the failover went to.
 */
export function recordAfterGrant(
  question: SwitchoverQuestion,
  { reason, message, trouble }: { readonly reason: string; readonly message: string; readonly trouble?: string },
  to: string,
): SwitchoverRecord | undefined {
  const { snapshot, lease } = question;
  const record = lease.switchover;
  const asked = askedFor(question);
  if (asked !== undefined) return asked === record ? undefined : asked;
  if (record?.state === 'Pending' && reason === 'Requested')
    return { ...record, state: 'Granted', reason, message, from: lastHolder(lease), to };
  if (record?.state !== 'Granted') return undefined;
  if (!isOpen(record, snapshot)) return { ...record, state: 'Completed' };
  const where = to === record.from ? `moved back to ${podOf(to)}` : `moved on to ${podOf(to)}`;
  const why = trouble ?? (reason === 'SwitchoverRolledBack' ? 'NotRouted' : reason);
  return { ...record, state: 'RolledBack', reason: why, message: `${message}; ${where}` };
}

// --- how far it is ---------------------------------------------------------------------------------------------------------

/** Whether its outcome is still to come. What the status told of is over, whatever happens then. */
export function isOpen(record: SwitchoverRecord, { singleton: { status } }: Snapshot): boolean {
  if (record.state !== 'Pending' && record.state !== 'Granted') return false;
  const told = status?.switchover;
  const isTold = told?.requestedAt === toIso(record.acceptedWallMs) && told.request === record.request;
  return !(isTold && told.outcome !== 'Pending');
}

const isSame = (a: Pick<SwitchoverRecord, 'request' | 'acceptedWallMs'>, b: SwitchoverRecord): boolean =>
  a.request === b.request && a.acceptedWallMs === b.acceptedWallMs;

/** Since when this operator knows of the request that is open; to be remembered. */
export function requestSeen(snapshot: Snapshot, now: Instant): Memory['requested'] {
  const record = snapshot.lease?.ours === true ? snapshot.lease.switchover : undefined;
  if (record === undefined || !isOpen(record, snapshot)) return undefined;
  const { requested } = snapshot.memory;
  if (requested !== undefined && isSame(requested, record)) return requested;
  const { request, acceptedWallMs } = record;
  return { request, acceptedWallMs, sinceMs: now.monotonicMs };
}

/** By the monotonic clock. */
function deadlineAtMs(record: SwitchoverRecord, { snapshot, now }: SwitchoverQuestion): number {
  const byWallMs = now.monotonicMs + (record.deadlineWallMs - now.wallMs);
  const { requested } = snapshot.memory;
  if (requested === undefined || !isSame(requested, record)) return byWallMs;
  return Math.min(byWallMs, requested.sinceMs + (record.deadlineWallMs - record.acceptedWallMs));
}

const isLate = (record: SwitchoverRecord, question: SwitchoverQuestion): boolean =>
  deadlineAtMs(record, question) <= question.now.monotonicMs;

/** The new active is what was asked for, and has arrived. */
export function isVerified({ to }: SwitchoverRecord, snapshot: Snapshot): boolean {
  const { lease, service, members, routedUids } = snapshot;
  if (lease?.ours !== true || lease.holder !== to) return false;
  const active = members.find((member) => isHolder(lease, member));
  const isFlipped = parseTerm(service?.spec.selector?.[LABEL.term]) === routingTerm(lease);
  return active !== undefined && fitness(active, snapshot).eligible && isFlipped && routedUids.includes(active.uid);
}

function endOfGranted(record: SwitchoverRecord, question: SwitchoverQuestion): End | undefined {
  const { snapshot, lease } = question;
  if (lease.holder !== record.to) {
    const message = `${podOf(record.to ?? '')} was not verified before the Lease got another holder`;
    return { state: 'RolledBack', reason: 'Overtaken', message };
  }
  if (!isLate(record, question) || isVerified(record, snapshot) || wayBack(question) !== undefined) return undefined;
  const holder = snapshot.members.find((member) => isHolder(lease, member));
  // An ordinary failover is on its way.
  if (holder === undefined || !fitness(holder, snapshot).eligible) return undefined;
  const message = `${holder.pod} was not routed by the deadline, and ${podOf(record.from)} can't take it back`;
  return { state: 'RolledBack', reason: 'NotRouted', message };
}

/** The old active, when the move to the present one is not verified and can be undone. */
export function wayBack({ snapshot, spec, lease, now }: SwitchoverQuestion): Member | undefined {
  const record = lease.switchover;
  if (record?.state !== 'Granted' || record.to !== lease.holder || !isOpen(record, snapshot)) return undefined;
  return willing({ snapshot, spec, now }).find((member) => identityOf(member) === record.from);
}

const identityOf = ({ pod, uid }: Member): string => holderIdentity(pod, uid);

// --- what is asked for -----------------------------------------------------------------------------------------------------

function endOfPending(record: SwitchoverRecord, question: SwitchoverQuestion): End | undefined {
  const end = verdict(record, question);
  if (end !== undefined) return end;
  if (!isLate(record, question)) return undefined;
  const message = `the switchover to ${record.request} could not be made by the deadline, and nothing was moved for it`;
  return { state: 'RolledBack', reason: 'DeadlineExceeded', message };
}

const refused = (reason: string, message: string): End => ({ state: 'Refused', reason, message });
const fulfilled = (reason: string, message: string): End => ({ state: 'Completed', reason, message });

/** Why there is nothing to move for the request; undefined: there is. */
function verdict(record: SwitchoverRecord, question: SwitchoverQuestion): End | undefined {
  const target = parseTarget(record.request);
  if (target === undefined) return refused('Malformed', `${record.request}: must be a pod's name, slot:<n> or any`);
  if (question.spec.paused) return refused('Paused', 'spec.paused is true, so nothing moves');
  if (target.kind === 'any') return verdictOnAny(record, question);
  const member = memberMeant(target, question);
  return member === undefined ? verdictOnNobody(target, question) : verdictOn(member, question);
}

function verdictOnAny(record: SwitchoverRecord, question: SwitchoverQuestion): End | undefined {
  const { snapshot, spec, lease, now } = question;
  if (lease.holder !== record.from && lease.holder !== '')
    return fulfilled('AlreadyMoved', `pod ${podOf(lease.holder)} has become the active meanwhile`);
  if (willing(question).length > 0) return undefined;
  if (spec.replicas === 1) return refused('SingleReplica', 'spec.replicas is 1, so there is nobody to move to');
  const [first] = candidates(snapshot, spec, now);
  const avoided = first && avoidance(first, question);
  return first === undefined || avoided === undefined
    ? refused('NoCandidate', 'no other member can take over')
    : refused(avoided.name, `no other member can take over but ${first.pod}: ${avoided.message}`);
}

/** Of several in one slot the one that can be it. */
function memberMeant(target: Exclude<Target, { kind: 'any' }>, { snapshot, lease, now }: SwitchoverQuestion) {
  const { members, singleton } = snapshot;
  const meant = members.filter((member) =>
    target.kind === 'pod' ? member.pod === target.pod : slotOf(member, singleton) === target.slot,
  );
  const isUp = (member: Member): boolean => isHolder(lease, member) || eligibility(member, snapshot, now).eligible;
  return meant.find(isUp) ?? meant[0];
}

function verdictOnNobody(target: Exclude<Target, { kind: 'any' }>, { snapshot, spec }: SwitchoverQuestion): End {
  if (target.kind === 'pod') return refused('NoSuchPod', `${snapshot.singleton.name} has no member ${target.pod}`);
  const slots = spec.replicas === 1 ? 'only slot 0' : `slots 0 to ${spec.replicas - 1}`;
  return refused('NoSuchSlot', `no member has slot ${target.slot}; ${snapshot.singleton.name} has ${slots}`);
}

function verdictOn(member: Member, question: SwitchoverQuestion): End | undefined {
  const { snapshot, lease, now } = question;
  const isActive = isHolder(lease, member);
  const { eligible, reason } = isActive ? fitness(member, snapshot) : eligibility(member, snapshot, now);
  if (!eligible) return refused(reason, `pod ${member.pod} can't be the active: ${reason}`);
  if (isActive) return fulfilled('AlreadyActive', `pod ${member.pod} is the active already`);
  const avoided = avoidance(member, question);
  // The past is the user's to overrule; of a node that goes it would be moved away again at once.
  if (avoided === undefined || avoided.name === 'Quarantined') return undefined;
  return refused(avoided.name, `pod ${member.pod} can't be the active: ${avoided.message}`);
}

/** Who a request is for that can be granted, best first; nobody while there is none. */
function targetsOf(record: SwitchoverRecord | undefined, question: SwitchoverQuestion): readonly Member[] {
  const { snapshot } = question;
  if (record?.state !== 'Pending' || !isOpen(record, snapshot) || isLate(record, question)) return [];
  const target = parseTarget(record.request);
  if (target === undefined || verdict(record, question) !== undefined) return [];
  // Any other: whoever has released the Lease for it is a candidate like the others by now.
  if (target.kind === 'any')
    return willing(question).filter((member) => identityOf(member) !== lastHolder(question.lease));
  const member = memberMeant(target, question);
  return member === undefined ? [] : [member];
}

/** Whoever was asked for goes first when there has to be a move anyway. */
export function requestedFirst(targets: readonly Member[], question: SwitchoverQuestion): readonly Member[] {
  const [asked] = targetsOf(askedFor(question) ?? question.lease.switchover, question);
  if (asked === undefined || !targets.includes(asked)) return targets;
  return [asked, ...targets.filter((member) => member !== asked)];
}

/** As one of the planned moves: the one that was asked for, or the one back. */
export function requestedWish(question: SwitchoverQuestion): Wish | undefined {
  const { snapshot, lease } = question;
  const record = lease.switchover;
  if (record === undefined) return undefined;
  // Before the annotation is gone nobody could tell it from the same request once more.
  const targets = snapshot.singleton.request === undefined ? targetsOf(record, question) : [];
  if (targets.length > 0) return { reason: 'Requested', message: record.message, targets };
  const back = wayBack(question);
  if (back === undefined || !isLate(record, question) || isVerified(record, snapshot)) return undefined;
  const message = `pod ${podOf(lease.holder)} was not routed by the deadline of the switchover to ${record.request}`;
  return { reason: 'SwitchoverRolledBack', message, targets: [back] };
}
