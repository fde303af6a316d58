/**
 * Why a singleton is as it is, and what comes next: what the operator's own functions answer, side by side, as data. It
 * has no opinion of its own, so that it can't differ from what then happens.
 *
 * Not known here is what only the operator's process remembers; `unknown` says so where it matters.
 */
import { expirySum } from '../api/timing.ts';
import { avoidance } from './avoidance.ts';
import type { Avoidance } from './avoidance.ts';
import { eligibility, candidates, fitness, standing } from './candidates.ts';
import { decide } from './decide.ts';
import { violationsIn, violationsOf } from './invariants.ts';
import { awaitsRenewal, isFencing, proofOf } from './fencing.ts';
import { lastHolder, planLease, podOf } from './lease.ts';
import { isFinished } from './membership.ts';
import { causeOf, planMove } from './move.ts';
import type { Need } from './move.ts';
import { describeAction, isGrant } from './plan.ts';
import type { Action, Hold, Plan } from './plan.ts';
import { rank } from './rank.ts';
import type { Rank } from './rank.ts';
import { activeMember, bySlot, ourLease } from './situation.ts';
import { slotOf } from './slots.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

export interface Explanation {
  readonly active: { readonly pod: string; readonly term: number } | undefined;
  /** By slot. */
  readonly members: readonly Standing[];
  /** What comes next: the present look, and later ones as long as a hold that ends by itself is in the way. */
  readonly next: readonly Outlook[];
  /** The same if the active's containers ended at this moment; undefined without an active that is fit. */
  readonly ifActiveFailed: readonly Outlook[] | undefined;
  /** `I2: …`: promises of the protocol that are broken in what is seen. */
  readonly broken: readonly string[];
  /** Sentences: what only the operator's process remembers, and what it changes here. */
  readonly unknown: readonly string[];
  /** Mode `Agent`, in sentences: by which times the active is fenced, and how that stands. Absent in mode `Routing`. */
  readonly fencing?: readonly string[];
}

/** One member: whether it may be chosen, and where it stands. */
export interface Standing {
  readonly pod: string;
  readonly slot: number | undefined;
  readonly node: string | undefined;
  readonly zone: string | undefined;
  readonly role: 'active' | 'standby';
  readonly ready: boolean;
  readonly eligible: boolean;
  readonly reason: string;
  /** Why it is taken only when nobody better is left. */
  readonly avoided: Avoidance | undefined;
  /** 1 is the first that would be granted. Undefined: no candidate. (The active is none.) */
  readonly place: number | undefined;
  /** Its fields in the order in which `byRank` compares them. Undefined without a spec. */
  readonly rank: Rank | undefined;
  /** The first field in which it differs from the next candidate: why it stands before it. */
  readonly aheadBy: string | undefined;
}

/** What one look would decide, were nothing to change until then. */
export interface Outlook {
  /** From now, in whole milliseconds. */
  readonly afterMs: number;
  readonly need: Omit<Need, 'since'> | undefined;
  readonly holds: readonly Hold[];
  /** The plan's own. */
  readonly reason: string;
  readonly steps: readonly string[];
  /** The active-to-be. */
  readonly grant: { readonly pod: string; readonly term: number } | undefined;
  /** When it is worth looking again though nothing happens; from now, likewise. */
  readonly recheckAfterMs: number | undefined;
}

/** Holds that follow each other, such as a grace period and a soak, are few. */
const MAX_LOOKS = 5;

export function explain(snapshot: Snapshot, now: Instant): Explanation {
  const lease = ourLease(snapshot);
  const active = activeMember(snapshot);
  const next = outlook(snapshot, now);
  const failed = withFailedActive(snapshot);
  const plan = decide(snapshot, now);
  return {
    active: active === undefined || lease === undefined ? undefined : { pod: active.pod, term: lease.term },
    members: standings(snapshot, now),
    next,
    ifActiveFailed: failed && outlook(failed, now),
    broken: [...violationsIn(snapshot), ...violationsOf(plan, snapshot, now)].map(
      ({ invariant, message }) => `${invariant}: ${message}`,
    ),
    unknown: unknownOf(snapshot, plan, { next, now }),
    ...(isFencing(snapshot.singleton.spec) && { fencing: fencingOf(snapshot, now) }),
  };
}

function fencingOf(snapshot: Snapshot, now: Instant): string[] {
  const { spec } = snapshot.singleton;
  const lease = ourLease(snapshot);
  if (spec === undefined) return [];
  const sum = expirySum({ ...spec.election, ...spec.fencing });
  return lease === undefined ? [sum] : [sum, standingOf(snapshot, lease, now)];
}

function standingOf(snapshot: Snapshot, lease: LeaseView, now: Instant): string {
  const pod = podOf(lease.holder);
  const proof = proofOf({ snapshot, lease, now });
  if (proof?.name === 'NeverGranted' || proof?.name === 'NoAgent') return proof.message;
  if (proof !== undefined) return `another may be granted (${proof.name}): ${proof.message}`;
  if (lease.holder === '') return 'who held the Lease before it was lost nobody can tell: it has to expire first';
  if (awaitsRenewal(snapshot, lease)) return `the agent of ${pod} has not taken up term ${lease.term} yet`;
  return lease.releaseRequested === lease.term
    ? `the agent of ${pod} was asked to release the Lease (${lease.release?.reason ?? '?'}) and has not yet`
    : `the agent of ${pod} has taken up term ${lease.term}; before another is granted it is asked to release the Lease`;
}

function standings(snapshot: Snapshot, now: Instant): Standing[] {
  const { spec } = snapshot.singleton;
  const active = activeMember(snapshot);
  const order = spec === undefined ? [] : candidates(snapshot, spec, now);
  const question = spec && { snapshot, spec, now };
  return bySlot(snapshot).map((member): Standing => {
    const place = order.indexOf(member);
    const behind = place === -1 ? undefined : order[place + 1];
    const own = question && rank(member, question);
    return {
      pod: member.pod,
      slot: slotOf(member, snapshot.singleton),
      node: member.node,
      zone: member.node === undefined ? undefined : snapshot.nodes[member.node]?.zone,
      role: member === active ? 'active' : 'standby',
      ready: member.ready,
      ...eligibility(member, snapshot, now),
      avoided: question && avoidance(member, question),
      place: place === -1 ? undefined : place + 1,
      rank: own,
      aheadBy: question && own && behind && firstDifference(own, rank(behind, question)),
    };
  });
}

/** The fields of a rank stand in the order in which they are compared. */
const firstDifference = (a: Rank, b: Rank): string | undefined =>
  (Object.keys(a) as (keyof Rank)[]).find((field) => a[field] !== b[field]);

/** Looks now, and again whenever a needed move is worth looking at again, until somebody is granted. */
function outlook(seen: Snapshot, now: Instant): Outlook[] {
  const snapshot = withTroubleSeen(seen, now);
  const looks: Outlook[] = [];
  let atMs = now.monotonicMs;
  while (looks.length < MAX_LOOKS) {
    const { recheckAtMs, ...look } = lookAt(snapshot, now, atMs);
    looks.push(look);
    const { need, grant } = look;
    if (need === undefined || grant !== undefined || recheckAtMs === undefined || recheckAtMs <= atMs) break;
    atMs = recheckAtMs;
  }
  return looks;
}

/** Without a first sight of the trouble, each look would take itself for the first, and no grace would ever end. */
function withTroubleSeen(snapshot: Snapshot, now: Instant): Snapshot {
  const need = needOf(snapshot, now);
  const lease = ourLease(snapshot);
  if (need === undefined || lease === undefined) return snapshot;
  const trouble = { holder: lastHolder(lease), cause: causeOf(need), since: need.since };
  return { ...snapshot, memory: { ...snapshot.memory, trouble } };
}

/** @param atMs by the monotonic clock, as the decision before it named it: exactly then is its hold over */
function lookAt(
  snapshot: Snapshot,
  now: Instant,
  atMs: number,
): Outlook & { readonly recheckAtMs: number | undefined } {
  // Differences of a clock with fractions are not exact, and no reader wants 3000.000000000002 ms.
  const fromNow = (thenMs: number): number => Math.round(thenMs - now.monotonicMs);
  const afterMs = fromNow(atMs);
  const at = { monotonicMs: atMs, wallMs: now.wallMs + afterMs };
  const { actions, holds, reason, recheckAtMs } = decide(snapshot, at);
  const grant = actions.find(isGrant);
  const need = needOf(snapshot, at);
  return {
    afterMs,
    need: need && { kind: need.kind, reason: need.reason, message: need.message },
    holds,
    reason,
    steps: actions.map(describeAction),
    grant: grant && { pod: grant.to.pod, term: grant.term },
    recheckAfterMs: recheckAtMs === undefined ? undefined : fromNow(recheckAtMs),
    recheckAtMs,
  };
}

function needOf(snapshot: Snapshot, now: Instant): Need | undefined {
  const { spec, deleting } = snapshot.singleton;
  if (spec === undefined || deleting) return undefined;
  return planMove(snapshot, spec, planLease(snapshot, now).inOrder, now).need;
}

/** What the operator would see when the active's containers end; undefined when there is no active that could fail. */
export function withFailedActive(snapshot: Snapshot): Snapshot | undefined {
  const active = activeMember(snapshot);
  if (active === undefined || !fitness(active, snapshot).eligible) return undefined;
  const failed: Member = { ...active, ready: false, readySinceWallMs: undefined, crash: 'its containers ended' };
  return {
    ...snapshot,
    members: snapshot.members.map((member) => (member === active ? failed : member)),
    routedUids: snapshot.routedUids.filter((uid) => uid !== active.uid),
    memory: { ...snapshot.memory, trouble: undefined },
  };
}

const isTelling = ({ kind }: Action): boolean => kind === 'emitEvent' || kind === 'writeStatus';

/** A node's silence, say, is only heard by who listens for a while. */
function toldOtherwise(snapshot: Snapshot, now: Instant): string[] {
  const told = snapshot.singleton.status?.members ?? [];
  return snapshot.members.flatMap((member) => {
    const other = told.find(({ pod }) => pod === member.pod);
    if (other === undefined || other.eligible || !standing(member, snapshot, now).eligible) return [];
    return [
      `why ${member.pod} was no candidate (${other.reason ?? '?'}) when the operator told of it last: not seen here`,
    ];
  });
}

/** Each with the case in which it makes a difference. */
function unknownOf(
  snapshot: Snapshot,
  plan: Plan,
  { next, now }: { readonly next: readonly Outlook[]; readonly now: Instant },
): string[] {
  const has = (...kinds: Action['kind'][]): boolean => plan.actions.some(({ kind }) => kinds.includes(kind));
  const { singleton, members, memory } = snapshot;
  const isFirstSight = (memory.trouble?.since.monotonicMs ?? now.monotonicMs) === now.monotonicMs;
  const isTimed = next.some(
    ({ need, holds }) => need !== undefined && holds.some(({ recheckAtMs }) => recheckAtMs !== undefined),
  );
  return [
    ...toldOtherwise(snapshot, now),
    ...(isTimed && isFirstSight
      ? ['since when the operator sees the trouble: counted from now here, so that it may act sooner']
      : []),
    ...(singleton.problems.length > 0
      ? ['the last accepted spec, under which the operator goes on: defaults stand in for it here']
      : []),
    ...(has('createPod') && members.some(isFinished)
      ? ['how often members of a slot failed lately: a replacement may wait up to a minute']
      : []),
    ...(has('checkTemplate')
      ? ['whether the API server takes pods of this template: the operator may have asked']
      : []),
    ...(plan.actions.length > 0 && plan.actions.every(isTelling)
      ? ['what failed last: the operator may have told all it knows in the status already']
      : []),
  ];
}
