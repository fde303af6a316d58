/**
 * When the active must change, and the steps of one move in the order that makes it safe:
 * strip → grant → label → flip. Every prefix of them can be finished by an operator that knows only the cluster.
 */
import { GUARDED, LABEL, ROLE, holderIdentity, serviceName, leaseName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { candidates, fitness, isServing } from './candidates.ts';
import { expiresAtMs, isExpired, leaseDurationMs } from './expiry.ts';
import { failuresWith } from './failures.ts';
import { awaitsRenewal, grantFencing, grantable, isFenced } from './fencing.ts';
import { firstHold } from './holds.ts';
import {
  isEmpty,
  isHolder,
  lastHolder,
  nextTerm,
  noteBefore,
  parseTerm,
  podOf,
  routedMember,
  routingTerm,
} from './lease.ts';
import { nodeLossOf } from './node-loss.ts';
import { mapPatch, routingSelector } from './objects.ts';
import { plannedMove, plannedRecheckAtMs } from './planned.ts';
import type { PlannedQuestion } from './planned.ts';
import type { Action, Expect, Hold, LabelPatch } from './plan.ts';
import { afterRelease, askForRelease, causeOfRelease, releasedFor } from './release.ts';
import { failedRevision } from './revision.ts';
import { slotOf } from './slots.ts';
import type { Instant, LeaseView, Member, MoveRecord, Snapshot, Stranger } from './snapshot.ts';
import { recordAfterGrant, requestedFirst, wayBack } from './switchover.ts';

export interface Need {
  readonly kind: MoveRecord['kind'];
  readonly reason:
    | 'FirstGrant'
    | 'ActiveReleased'
    | 'AgentReleased'
    | 'AgentSilent'
    | 'ActiveVanished'
    | 'ActiveDeleted'
    | 'ActiveEvicted'
    | 'ActiveFailed'
    | 'ActiveFinished'
    | 'ActiveCrashed'
    | 'ActiveUnready'
    | 'NodeLost'
    | 'ScaledDown'
    | 'NodeDraining'
    | 'ActiveNotSelected'
    | 'Rollout'
    | 'Requested'
    | 'SwitchoverRolledBack'
    | 'Preempted';
  readonly message: string;
  /** What is wrong with the active that a switchover went to, when that is why it is rolled back. */
  readonly trouble?: Need['reason'];
  /** When this operator first saw it. */
  readonly since: Instant;
}

type Cause = Omit<Need, 'since'>;

export interface MovePlan {
  readonly actions: readonly Action[];
  readonly need: Need | undefined;
  readonly hold: Hold | undefined;
  /** When a planned move that is not due yet will be. */
  readonly recheckAtMs: number | undefined;
}

/**
 * Plans the move that is needed, or else finishes (or mends) the one that led to the present holder.
 *
 * @param lease undefined while it is not in order: then nothing moves
 */
export function planMove(snapshot: Snapshot, spec: Spec, lease: LeaseView | undefined, now: Instant): MovePlan {
  if (lease === undefined) return { actions: [], need: undefined, hold: undefined, recheckAtMs: undefined };
  const holder = snapshot.members.find((member) => isHolder(lease, member));
  const wanted = wantedMove(snapshot, spec, lease, now);
  const laterAtMs = holder && laterRecheckAtMs({ snapshot, spec, lease, holder, now });
  const recheckAtMs = earlier(laterAtMs, expiryAtMs(snapshot, lease, now));
  if (wanted === undefined)
    return { actions: finish(snapshot, lease, holder), need: undefined, hold: undefined, recheckAtMs };
  const { need, targets } = wanted;
  const context = { snapshot, spec, lease, need, now };
  const hold = firstHold({ snapshot, spec, need, candidates: targets, now });
  const [target] = grantable(targets, { snapshot, lease, now });
  if (hold === undefined && target !== undefined) {
    const note = noteBefore(snapshot, lease, target);
    const steps = note.length > 0 ? note : moveTo(target, holder, context);
    return { actions: steps, need, hold, recheckAtMs };
  }
  const asks = hold?.name === 'Fencing' && target !== undefined ? askForRelease(context, target) : [];
  return { actions: [...asks, ...finish(snapshot, lease, holder)], need, hold, recheckAtMs };
}

/** Mode `Agent`: when the active's agent will have been silent for too long. */
function expiryAtMs(snapshot: Snapshot, lease: LeaseView, now: Instant): number | undefined {
  const dueAtMs = isFenced(snapshot, lease) ? expiresAtMs(snapshot, lease) : undefined;
  return dueAtMs !== undefined && dueAtMs > now.monotonicMs ? dueAtMs : undefined;
}

const earlier = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);

/** While the active is not fit nothing is planned. */
const laterRecheckAtMs = (question: PlannedQuestion): number | undefined =>
  neededMove(question.snapshot, question.lease, question.holder, question.now) === undefined
    ? plannedRecheckAtMs(question)
    : undefined;

export interface WantedMove {
  readonly need: Need;
  /** Who may be granted, best first. */
  readonly targets: readonly Member[];
}

/** The move that is forced, or else the planned one. An unready active that recovers in time never moves. */
export function wantedMove(snapshot: Snapshot, spec: Spec, lease: LeaseView, now: Instant): WantedMove | undefined {
  const holder = snapshot.members.find((member) => isHolder(lease, member));
  const cause = neededMove(snapshot, lease, holder, now);
  if (cause !== undefined) return forcedMove(cause, { snapshot, spec, lease, now });
  const wish = holder && plannedMove({ snapshot, spec, lease, holder, now });
  if (wish === undefined) return undefined;
  const { reason, message } = wish;
  const targets = requestedFirst(wish.targets, { snapshot, spec, lease, now });
  return { need: seen(snapshot, lease, { kind: 'Switchover', reason, message }, now), targets };
}

interface ForcedQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly lease: LeaseView;
  readonly now: Instant;
}

/** Back to where a switchover came from that is not verified yet; otherwise a failover. */
function forcedMove(cause: Cause, question: ForcedQuestion): WantedMove {
  const { snapshot, spec, lease, now } = question;
  const targets = afterRelease(routedFirst(candidates(snapshot, spec, now), question), lease);
  const back = wayBack(question);
  if (back === undefined)
    return { need: seen(snapshot, lease, cause, now), targets: requestedFirst(targets, question) };
  const { reason: trouble, message } = cause;
  const undone: Cause = { kind: 'Switchover', reason: 'SwitchoverRolledBack', message, trouble };
  const others = targets.filter(({ uid }) => uid !== back.uid);
  return { need: seen(snapshot, lease, undone, now), targets: [back, ...others] };
}

/** Of a Lease that was lost in mode `Agent`: whoever is routed still, so that nothing moves if it need not. */
function routedFirst(targets: readonly Member[], { snapshot, lease }: ForcedQuestion): readonly Member[] {
  const isLost = lease.holder === '' && lease.releasedTerm !== lease.term && isFenced(snapshot, lease);
  const routed = isLost ? routedMember(snapshot) : undefined;
  if (routed === undefined || !targets.includes(routed)) return targets;
  return [routed, ...targets.filter((member) => member !== routed)];
}

/** What one trouble is told from another by: an unready active that then crashes is in trouble since it was unready. */
export const causeOf = ({ kind, reason }: Pick<Need, 'kind' | 'reason'>): string =>
  kind === 'Switchover' ? reason : kind;

function seen({ memory: { trouble } }: Snapshot, lease: LeaseView, cause: Cause, now: Instant): Need {
  const holder = lastHolder(lease);
  const isKnown = trouble !== undefined && trouble.holder === holder && trouble.cause === causeOf(cause);
  return { ...cause, since: isKnown ? trouble.since : now };
}

/** Whether, and why, the holder can't go on being the active. */
export function neededMove(
  snapshot: Snapshot,
  lease: LeaseView,
  holder: Member | undefined,
  now: Instant,
): Cause | undefined {
  const failover = (reason: Need['reason'], message: string): Cause => ({ kind: 'Failover', reason, message });
  if (lease.holder === '') {
    if (isEmpty(lease)) {
      return { kind: 'Initial', reason: 'FirstGrant', message: 'no member was the active yet' };
    }
    const released = causeOfRelease(lease, (before) => troubleOf(snapshot, before, now));
    return released ?? failover('ActiveReleased', 'nobody holds the Lease');
  }
  if (holder === undefined) return failover('ActiveVanished', `pod ${podOf(lease.holder)} is gone`);
  const loss = nodeLossOf(holder, snapshot);
  if (loss !== undefined) return failover('NodeLost', loss);
  const state = fitness(holder, snapshot);
  switch (state.reason) {
    case 'Failed':
      return failover('ActiveFailed', howFailed(holder));
    case 'Evicted':
      return failover('ActiveEvicted', `pod ${holder.pod} was evicted`);
    case 'Finished':
      return failover('ActiveFinished', `all containers of pod ${holder.pod} ended with exit code 0`);
    case 'Terminating':
      return holder.evicting
        ? failover('ActiveEvicted', `pod ${holder.pod} is being evicted`)
        : failover('ActiveDeleted', `pod ${holder.pod} is being deleted`);
    case 'Crashed':
      return failover('ActiveCrashed', `pod ${holder.pod} crashed (${holder.crash ?? 'a container ended'})`);
    case 'NotReady':
    case 'Unscheduled':
      return failover('ActiveUnready', `pod ${holder.pod} is not Ready`);
    case 'SlotRemoved':
      return {
        kind: 'Switchover',
        reason: 'ScaledDown',
        message: `pod ${holder.pod} holds slot ${slotOf(holder, snapshot.singleton)}, which spec.replicas no longer has`,
      };
    case 'NotSelected':
      return {
        kind: 'Switchover',
        reason: 'ActiveNotSelected',
        message: `pod ${holder.pod} is none of the pods that the spec asks for any more`,
      };
    case 'Ready':
      return silence(snapshot, lease, now);
    default:
      return state satisfies never;
  }
}

/** What is wrong with whoever `before` says holds the Lease. */
const troubleOf = (snapshot: Snapshot, before: LeaseView, now: Instant): Cause | undefined =>
  neededMove(
    snapshot,
    before,
    snapshot.members.find((member) => isHolder(before, member)),
    now,
  );

/** Mode `Agent`: an active that looks fit, but whose agent has not renewed, and so has stopped it. */
function silence(snapshot: Snapshot, lease: LeaseView, now: Instant): Cause | undefined {
  if (!isFenced(snapshot, lease) || !isExpired(snapshot, lease, now)) return undefined;
  const seconds = leaseDurationMs(snapshot, lease) / 1000;
  const never = lease.renewedTerm === lease.term ? 'has not renewed the Lease' : `never took up term ${lease.term}`;
  const message = `the agent of pod ${podOf(lease.holder)} ${never} for ${seconds} s`;
  return { kind: 'Failover', reason: 'AgentSilent', message };
}

/** What a kubelet writes into the pods that it ends since its machine shuts down: 1.20, 1.21, and later. */
const SHUTDOWN_REASONS: ReadonlySet<string> = new Set(['Shutdown', 'NodeShutdown', 'Terminated']);

function howFailed({ pod, node, podReason }: Member): string {
  if (podReason === undefined) return `pod ${pod} failed`;
  return SHUTDOWN_REASONS.has(podReason)
    ? `pod ${pod} was ended by the shutdown of its node ${node ?? ''} (${podReason})`
    : `pod ${pod} failed (${podReason})`;
}

export interface MoveContext {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly lease: LeaseView;
  readonly need: Need;
  readonly now: Instant;
}

function moveTo(target: Member, old: Member | undefined, context: MoveContext): Action[] {
  const { snapshot, spec, lease, need, now } = context;
  const term = nextTerm(snapshot, lease);
  const to = holderIdentity(target.pod, target.uid);
  const former = lastHolder(lease);
  const from = old?.pod ?? (former === '' ? undefined : podOf(former));
  const fencing = grantFencing(target, spec, { snapshot, lease, now });
  const switchover = recordAfterGrant(context, need, to);
  const grant: Action = {
    kind: 'grantLease',
    lease: leaseName(snapshot.singleton.name),
    expect: expectOf(lease),
    to: { pod: target.pod, uid: target.uid },
    from,
    term,
    move: {
      kind: need.kind,
      reason: need.reason,
      message: need.message,
      from,
      to,
      node: target.node,
      term,
      detectedWallMs: releasedFor(lease)?.detectedWallMs ?? need.since.wallMs,
      fencedWallMs: fencing.fencedWallMs,
      grantedWallMs: now.wallMs,
      routingTerm: undefined,
      failedRevision: failedRevision(snapshot, spec, now),
      failures: failuresWith(snapshot, spec, lease, need),
    },
    ...(switchover !== undefined && { switchover }),
    ...(fencing.holdSet !== undefined && { holdSet: fencing.holdSet }),
    ...('leaseDurationMs' in fencing && { leaseDurationMs: fencing.leaseDurationMs }),
  };
  // It is the active when its agent has renewed, and not before.
  if (fencing.leaseDurationMs !== undefined && fencing.leaseDurationMs !== null)
    return [...strips(snapshot, target, term), grant];
  return [...strips(snapshot, target, term), grant, ...label(snapshot, target, term), ...flip(snapshot, term)];
}

/** What is left of the last move, and what hands have changed since. Nothing, in a steady state (invariant I8). */
function finish(snapshot: Snapshot, lease: LeaseView, holder: Member | undefined): Action[] {
  const term = routingTerm(lease);
  if (awaitsRenewal(snapshot, lease)) return strips(snapshot, holder, term);
  if (holder !== undefined) {
    return [...strips(snapshot, holder, term), ...label(snapshot, holder, term), ...flip(snapshot, term)];
  }
  if (lease.holder !== '') return [...strips(snapshot, undefined, term), ...flip(snapshot, term)];
  // A Lease that nobody holds says nothing against whoever is routed still, as long as it is one.
  const selected = parseTerm(snapshot.service?.spec.selector?.[LABEL.term]) ?? term;
  return [...strips(snapshot, undefined, selected, routedMember(snapshot)), ...flip(snapshot, selected)];
}

/** Takes from everyone but `target` what only the active has, and the routing term from everyone but `routed`. */
function strips(snapshot: Snapshot, target: Member | undefined, term: number, routed = target): Action[] {
  const strip = (pod: Member | Stranger, labels: LabelPatch): Action[] =>
    Object.keys(labels).length === 0 ? [] : [{ kind: 'stripRole', pod: pod.pod, expect: expectOf(pod), labels }];
  return [
    ...snapshot.members
      .filter(({ uid }) => uid !== target?.uid)
      .flatMap((member) => strip(member, standbysLabels(member, { snapshot, term, routed }))),
    ...snapshot.strangers.flatMap((stranger) => strip(stranger, strangersLabels(stranger, snapshot, term))),
  ];
}

interface Routing {
  readonly snapshot: Snapshot;
  readonly term: number;
  readonly routed: Member | undefined;
}

/**
 * What a member must not carry that is not the active: the role (invariant I3); the routing term (I2), and term 0, which a
 * Service selects while there is no active. An older term label stays on a former active: it routes nowhere once the
 * Service is flipped, and until then traffic must go on reaching it.
 */
function standbysLabels(member: Member, routing: Routing): LabelPatch {
  const { term, routed } = routing;
  const forged = member.term === 0 || (member.term === term && member.uid !== routed?.uid);
  const taken = {
    ...(member.role === ROLE.active && { [LABEL.role]: ROLE.standby }),
    ...(forged && { [LABEL.term]: null }),
  };
  // Nobody evicts what is terminating already: that is worth no write of its own.
  const isWorthIt = !member.terminating || Object.keys(taken).length > 0;
  const unguards = member.guarded && isWorthIt && !staysGuarded(member, routing);
  return { ...taken, ...(unguards && { [LABEL.guarded]: null }) };
}

/**
 * A former active, until the flip, if it serves. So a planned move takes the label from it by one more write when it is
 * done, and a failover along with the role.
 */
function staysGuarded(member: Member, { snapshot, term, routed }: Routing): boolean {
  const selected = parseTerm(snapshot.service?.spec.selector?.[LABEL.term]);
  const isRouted = member.uid === routed?.uid || (member.term !== term && member.term === selected);
  return isRouted && isServing(member) && nodeLossOf(member, snapshot) === undefined;
}

/**
 * What a pod that is not ours must not carry: one that nobody adopts (any more) not even the name, or it would go on being
 * named by the headless Service. But a former active that the spec has let go of is routed to until the flip, and has only
 * its role taken from it before.
 */
function strangersLabels(stranger: Stranger, { singleton, service, lease }: Snapshot, term: number): LabelPatch {
  const selected = service?.spec.selector?.[LABEL.term];
  const isRouted = stranger.term !== undefined && stranger.term === selected && selected !== String(term);
  const isFormer = isRouted && lease?.move?.from === stranger.pod;
  if (isFormer) return stranger.role === ROLE.active ? { [LABEL.role]: ROLE.standby } : {};
  return {
    ...(singleton.spec?.selector !== undefined && { [LABEL.name]: null }),
    ...(stranger.role !== undefined && { [LABEL.role]: null }),
    ...(stranger.term !== undefined && { [LABEL.term]: null }),
    ...(stranger.guarded !== undefined && { [LABEL.guarded]: null }),
  };
}

/**
 * All that Service and budget select by, so that a name label somebody took away does not leave the singleton without
 * traffic. Guarded also where the spec wants no budget: when it wants one again, that protects the active at once.
 */
function label({ singleton }: Snapshot, target: Member, term: number): Action[] {
  if (target.named && target.role === ROLE.active && target.term === term && target.guarded) return [];
  const labels = {
    [LABEL.name]: singleton.name,
    [LABEL.role]: ROLE.active,
    [LABEL.term]: String(term),
    [LABEL.guarded]: GUARDED,
  };
  return [{ kind: 'labelActive', pod: target.pod, expect: expectOf(target), labels }];
}

function flip(snapshot: Snapshot, term: number): Action[] {
  const { service, singleton } = snapshot;
  if (service === undefined || !service.ours) return [];
  const selector = mapPatch(service.spec.selector ?? {}, routingSelector(singleton.name, term));
  if (selector === undefined) return [];
  return [{ kind: 'flipService', service: serviceName(singleton.name), expect: expectOf(service), term, selector }];
}

const expectOf = ({ uid, resourceVersion }: Expect): Expect => ({ uid, resourceVersion });
