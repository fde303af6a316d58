/** Terms: they only grow, and none is ever given twice (invariant I1). */
import { LABEL, holderIdentity } from '../api/names.ts';
import type { LeaseView, Member, MoveRecord, Snapshot } from './snapshot.ts';

/**
 * How far the term jumps when the Lease was lost: the last grants may have left no trace but the Lease itself, and a
 * fencing token must never be given twice.
 */
export const TERM_GAP_AFTER_LOSS = 1000;

/** `Lease.spec.leaseTransitions` is a 32-bit integer; a label beyond this is somebody's edit and no evidence. */
const MAX_PLAUSIBLE_TERM = 2_000_000_000;

const plausible = (term: number | undefined): number =>
  term !== undefined && Number.isSafeInteger(term) && term > 0 && term < MAX_PLAUSIBLE_TERM ? term : 0;

/** A label's or selector's term; undefined when it is missing or no number. */
export function parseTerm(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** The highest term of which anything but the Lease still bears witness: status, Service selector, pod labels. */
export function highestTermOutsideLease(snapshot: Snapshot): number {
  const { status } = snapshot.singleton;
  const selectorTerm = parseTerm(snapshot.service?.spec.selector?.[LABEL.term]);
  const witnesses = [status?.term, selectorTerm, ...snapshot.members.map((member) => member.term)];
  return Math.max(0, ...witnesses.map(plausible));
}

/** The term of the next grant. */
export function nextTerm(snapshot: Snapshot, lease: LeaseView): number {
  return Math.max(plausible(lease.term), highestTermOutsideLease(snapshot)) + 1;
}

/** The term that the Service must select and the holder must carry. */
export const routingTerm = (lease: LeaseView): number => lease.move?.routingTerm ?? lease.term;

export const isHolder = (lease: LeaseView, member: Member): boolean =>
  lease.holder === holderIdentity(member.pod, member.uid);

/** The member that traffic goes to now, by the labels and the selector: what is left to tell when the Lease is lost. */
export function routedMember(snapshot: Snapshot): Member | undefined {
  const term = parseTerm(snapshot.service?.spec.selector?.[LABEL.term]);
  return term === undefined || term === 0 ? undefined : snapshot.members.find((member) => member.term === term);
}

/** Holder, term and record of a Lease, as an operator would write them. */
export type LeaseContent = Pick<LeaseView, 'holder' | 'term' | 'move'>;

/**
 * Undefined while the Lease says what its last grant said. Otherwise somebody else than an operator wrote it, and this is
 * what it must say instead: the recorded holder (an edit moves nothing), with a term that never goes back.
 *
 * In mode `Agent` an empty holder is no edit: the holder's own agent released it.
 */
export function mendedLease(snapshot: Snapshot, lease: LeaseView, wallMs: number): LeaseContent | undefined {
  const { move } = lease;
  const known = plausible(snapshot.singleton.status?.term);
  if (move === undefined) return lease.term < known ? recreatedLease(snapshot, wallMs) : undefined;
  const released = lease.holder === '' && snapshot.singleton.spec?.fencing.mode === 'Agent';
  const term = Math.max(plausible(lease.term), move.term, known);
  const saysSo = lease.term === term && move.term === term && (released || lease.holder === move.to);
  if (saysSo && lease.named) return undefined;
  const routing = move.routingTerm ?? move.term;
  return { holder: move.to, term, move: { ...move, term, routingTerm: routing === term ? undefined : routing } };
}

/**
 * What a lost Lease is created with; term 0 and nobody for a new singleton. Otherwise its holder is whoever is routed
 * now: it goes on under its old labels, so that no request fails, while every later grant lies above any term that may
 * have been given.
 */
export function recreatedLease(snapshot: Snapshot, wallMs: number): LeaseContent {
  const highest = Math.max(highestTermOutsideLease(snapshot), plausible(snapshot.lease?.term));
  if (highest === 0) return { holder: '', term: 0, move: undefined };
  const term = highest + TERM_GAP_AFTER_LOSS;
  const routed = routedMember(snapshot);
  const holder = routed === undefined ? '' : holderIdentity(routed.pod, routed.uid);
  const move: MoveRecord = {
    kind: 'Failover',
    reason: 'LeaseRestored',
    message: `the Lease was lost and was restored with term ${term}, above every term that may have been given`,
    from: routed?.pod,
    to: holder,
    term,
    detectedWallMs: wallMs,
    fencedWallMs: undefined,
    grantedWallMs: wallMs,
    routingTerm: routed?.term,
  };
  return { holder, term, move };
}
