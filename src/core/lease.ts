/** The Lease. Its terms only grow, and none is ever given twice (invariant I1). */
import { LABEL, ROLE, holderIdentity, leaseName } from '../api/names.ts';
import { lostHoldSet } from './hold-members.ts';
import type { Action } from './plan.ts';
import type { Instant, LeaseView, Member, MoveRecord, Snapshot } from './snapshot.ts';

/**
 * How far the term jumps when the Lease was lost: the last grants may have left no trace but the Lease itself, and a
 * fencing token must never be given twice.
 */
export const TERM_GAP_AFTER_LOSS = 1000;

/** `Lease.spec.leaseTransitions` is a 32-bit integer; labels and selectors could say more. */
export const MAX_TERM = 2_147_483_647;

/**
 * Nobody grants a million terms between two looks: a number further above what the operator itself wrote down is
 * somebody's edit and no evidence. Believed, one edit would use up all terms that a Lease can hold.
 */
const MAX_LEAP = 1_000_000;

/** Whether it is a number that a Lease can hold as a term that was granted. */
export const isTerm = (term: unknown): term is number =>
  typeof term === 'number' && Number.isSafeInteger(term) && term > 0 && term <= MAX_TERM;

/** The highest of `terms` that may be true, given that `written` was: 0 when none is. A `written` of 0 tells nothing. */
export function highestCredible(written: number, terms: readonly (number | undefined)[]): number {
  const limit = written === 0 ? MAX_TERM - MAX_LEAP : written + MAX_LEAP;
  return Math.max(0, ...terms.filter(isTerm).filter((term) => term <= limit));
}

/** A label's or selector's term; undefined when it is missing or not as the operator writes it. */
export function parseTerm(text: string | undefined): number | undefined {
  return text !== undefined && /^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : undefined;
}

/** The highest term of which anything but the Lease still bears witness: status, Service selector, pod labels. */
export const highestTermOutsideLease = (snapshot: Snapshot): number => highestTerm(snapshot, 0);

function highestTerm(snapshot: Snapshot, inLease: number): number {
  const seen = snapshot.memory.leaseSeen?.term;
  const written = Math.max(highestCredible(0, [snapshot.singleton.status?.term, seen]), inLease);
  const selectorTerm = parseTerm(snapshot.service?.spec.selector?.[LABEL.term]);
  const labelled = [...snapshot.members, ...formerMembers(snapshot)].map(({ term }) => term);
  return Math.max(written, highestCredible(written, [selectorTerm, ...labelled]));
}

/** An adopted pod that has ended is no member any more, be it the last that bears witness of a term. */
const formerMembers = ({ singleton, strangers }: Snapshot): { term: number | undefined }[] =>
  singleton.spec?.selector === undefined ? [] : strangers.map(({ term }) => ({ term: parseTerm(term) }));

/**
 * The term of the next grant. Agents refuse a term below one that they have seen, and nothing else may tell of that: after
 * etcd was restored from a backup. So a term that was not taken up is left far behind, but not where terms would run out by it.
 */
export function nextTerm(snapshot: Snapshot, lease: LeaseView): number {
  const { holder, term, renewedTerm, leaseDurationMs } = lease;
  const isRefused = holder !== '' && leaseDurationMs !== undefined && renewedTerm !== term;
  const highest = highestTerm(snapshot, term);
  return highest + (isRefused && highest < MAX_TERM / 2 ? TERM_GAP_AFTER_LOSS : 1);
}

/** The term that the Service must select and the holder must carry. */
export const routingTerm = (lease: LeaseView): number => lease.move?.routingTerm ?? lease.term;

/** The pod's name in a holder identity. */
export const podOf = (holder: string): string => holder.split('_')[0] ?? holder;

export const isHolder = (lease: LeaseView, member: Member): boolean =>
  lease.holder === holderIdentity(member.pod, member.uid);

/**
 * The member that traffic goes to now, by the labels and the selector: what is left to tell when the Lease is lost. Without
 * a selector that names a term (0 is none: so a Service is made) it is the one that was labelled last.
 */
export function routedMember({ members, service, singleton }: Snapshot): Member | undefined {
  const labelled = members.filter(({ role }) => role === ROLE.active).map((member) => member.term ?? 0);
  const selected = parseTerm(service?.spec.selector?.[LABEL.term]) ?? 0;
  const term = selected === 0 ? Math.max(0, ...labelled) : selected;
  if (term === 0) return undefined;
  // Several only when somebody forged labels.
  const rank = ({ uid, role }: Member): number =>
    uid === singleton.status?.active?.uid ? 0 : role === ROLE.active ? 1 : 2;
  const [first] = members
    .filter((member) => member.term === term)
    .sort((a, b) => rank(a) - rank(b) || (a.uid < b.uid ? -1 : 1));
  return first;
}

/** Who holds the Lease, or held it until its agent released it in this term; '' when nobody can tell. */
export const lastHolder = ({ holder, term, releasedTerm, move }: LeaseView): string =>
  holder === '' && releasedTerm === term ? (move?.to ?? '') : holder;

/** Holder, term and record of a Lease, as an operator would write them. */
export type LeaseContent = Pick<LeaseView, 'holder' | 'term'> & { readonly move: MoveRecord };

/** As a Lease is created: no grant was written into it yet, the first one or what a lost Lease said. */
export const isEmpty = ({ holder, term, move }: LeaseView): boolean =>
  holder === '' && term === 0 && move === undefined;

/** Mode `Agent`: the first grant was to be made in another Lease, and may have been, whatever bears witness of it. */
const isNotedOfAnother = ({ singleton: { spec, status } }: Snapshot, { uid }: LeaseView): boolean =>
  spec?.fencing.mode === 'Agent' && status?.lease !== undefined && status.lease !== uid;

/**
 * Before a grant to a member with an agent whose term nothing but the Lease would bear witness of: the first, or one so far above
 * what was told that a lost Lease would begin again below it. See `noteLease`.
 */
export function noteBefore(snapshot: Snapshot, lease: LeaseView, target: Member): Action[] {
  const { name, uid, resourceVersion, status, spec } = snapshot.singleton;
  if (spec?.fencing.mode !== 'Agent' || target.agent === undefined) return [];
  const given = nextTerm(snapshot, lease) - 1;
  const isNoted = (!isEmpty(lease) || status?.lease === lease.uid) && given < (status?.term ?? 0) + TERM_GAP_AFTER_LOSS;
  if (isNoted) return [];
  return [{ kind: 'noteLease', singleton: name, expect: { uid, resourceVersion }, lease: lease.uid, term: given }];
}

/**
 * Undefined while the Lease says what its last grant said. Otherwise somebody else than an operator wrote it, and this is
 * what it must say instead: the recorded holder (an edit moves nothing), with a term that never goes back.
 *
 * In mode `Agent` an empty holder is no edit when it says which term was released: then the holder's own agent emptied it.
 */
export function mendedLease(snapshot: Snapshot, lease: LeaseView, wallMs: number): LeaseContent | undefined {
  const { move } = lease;
  const told = highestCredible(0, [snapshot.singleton.status?.term, snapshot.memory.leaseSeen?.term]);
  const inLease = Math.max(move?.term ?? 0, highestCredible(Math.max(move?.term ?? 0, told), [lease.term]));
  // Older than what was told of, or seen: an operator's grant was undone, and this record is of a grant before it.
  if (inLease < told) return recreatedLease(snapshot, wallMs);
  if (isEmpty(lease) && highestTermOutsideLease(snapshot) > 0) return recreatedLease(snapshot, wallMs);
  if (move === undefined) return isNotedOfAnother(snapshot, lease) ? recreatedLease(snapshot, wallMs) : undefined;
  const released =
    lease.holder === '' && lease.releasedTerm === lease.term && snapshot.singleton.spec?.fencing.mode === 'Agent';
  const saysSo = lease.term === inLease && move.term === inLease && (released || lease.holder === move.to);
  if (saysSo && lease.named) return undefined;
  const routing = move.routingTerm ?? move.term;
  return {
    holder: move.to,
    term: inLease,
    move: { ...move, term: inLease, routingTerm: routing === inLease ? undefined : routing },
  };
}

/**
 * What is written into the Lease that takes the place of a lost one. Its holder is whoever is routed now: it goes on under
 * its old labels, so that no request fails, while every later grant lies above any term that may have been given.
 *
 * In mode `Agent` nobody holds it: the last grant may have left no trace but the Lease, so whoever is routed need not be
 * the active, and to name it would make it act beside the one who is. Traffic stays where it is until the next grant.
 */
export function recreatedLease(snapshot: Snapshot, wallMs: number): LeaseContent {
  const { lease } = snapshot;
  const outside = highestTermOutsideLease(snapshot);
  const highest = Math.max(outside, highestCredible(outside, [lease?.term, lease?.move?.term]));
  const term = highest + TERM_GAP_AFTER_LOSS;
  const routed = routedMember(snapshot);
  const isFenced = snapshot.singleton.spec?.fencing.mode === 'Agent' && routed?.agent !== undefined;
  const holder = routed === undefined || isFenced ? '' : holderIdentity(routed.pod, routed.uid);
  const move: MoveRecord = {
    kind: 'Failover',
    reason: 'LeaseRestored',
    message: `the Lease was lost and was restored with term ${term}, above every term that may have been given`,
    from: routed?.pod,
    to: holder,
    node: routed?.node,
    term,
    detectedWallMs: wallMs,
    fencedWallMs: undefined,
    grantedWallMs: wallMs,
    routingTerm: isFenced ? undefined : routed?.term,
  };
  return { holder, term, move };
}

export interface LeasePlan {
  readonly actions: readonly Action[];
  /** The Lease when it is there, ours, and says what it should: only then may anything be granted. */
  readonly inOrder: LeaseView | undefined;
}

/**
 * Makes a Lease that is missing and mends one that was edited. Somebody else's is left alone.
 *
 * A Lease is made empty, whatever bears witness of a lost one: a creation has no precondition, so one that arrives late,
 * from a leader that was frozen, would bring back an old term. The next look writes by compare-and-swap what it must say.
 */
export function planLease(snapshot: Snapshot, now: Instant): LeasePlan {
  const { lease, singleton } = snapshot;
  const name = leaseName(singleton.name);
  if (lease === undefined) return { actions: [{ kind: 'createLease', lease: name }], inOrder: undefined };
  if (!lease.ours) return { actions: [], inOrder: undefined };
  const mended = mendedLease(snapshot, lease, now.wallMs);
  if (mended === undefined) return { actions: [], inOrder: lease };
  const expect = { uid: lease.uid, resourceVersion: lease.resourceVersion };
  const isLost = mended.move.reason === 'LeaseRestored' && lease.move?.reason !== 'LeaseRestored';
  const holdSet = isLost ? lostHoldSet(snapshot) : undefined;
  const restored: Action = { kind: 'restoreLease', lease: name, expect, ...mended };
  return { actions: [{ ...restored, ...(holdSet !== undefined && { holdSet }) }], inOrder: undefined };
}
