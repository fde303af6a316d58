/**
 * `fencing.onApiLoss: Hold`, the agent's part, pure. The active that cannot renew goes on while every member of its hold
 * set has promised not to become active until the promise lapses; a member that promised keeps it.
 *
 * Why it is safe: a grant on P5 goes only to a member of the set in the Lease. That set is among those that the active
 * asks, for it asks all that the Lease may carry: the last confirmed one, and each that it has sent since. A promise
 * outlasts the deadline that it gives by all that a workload needs to be dead, and it is looked at when a member is about
 * to become active, after its renewal's reply. Who is granted for any other reason is granted on proof.
 *
 * Once a member has seen a later term it promises nothing for an earlier one: so the active of that is over.
 */
import type { FenceAction, FenceEvent, FenceState, Remembered } from './fence-types.ts';
import type { HoldSet, Peer } from './hold-set.ts';
import { NOBODY, holdSetOf, holdSetText, peersOf, wantedSet } from './hold-set.ts';

/** What `Hold` adds to an agent's rules. */
export interface HoldRules {
  readonly uid: string;
  /** So long each promise of this agent lasts. */
  readonly promiseMs: number;
}

/** A promise not to become active, to the holder of a term. */
export interface Given {
  readonly holder: string;
  readonly term: number;
  readonly untilMs: number;
}

export interface HoldState {
  /** Which the Lease carries, or may carry: the last that was confirmed, and with the renewal that it was sent with each since. */
  readonly confirmed: HoldSet;
  readonly sent: readonly { readonly id: number; readonly set: HoldSet }[];
  /** By UID: before the question was sent that was answered with a promise, the latest. */
  readonly promisedAtMs: Readonly<Record<string, number>>;
  /** By UID, the same of the latest question, answered or not. */
  readonly askedAtMs: Readonly<Record<string, number>>;
  readonly given: Given | undefined;
  /** Until then a promise may stand that nobody here knows of: a process that remembers nothing may have been another one's successor. */
  readonly forgottenUntilMs: number;
}

type Outcome = readonly [FenceState, readonly FenceAction[]];
type Question = FenceEvent & { readonly kind: 'asked' };
type Promised = FenceEvent & { readonly kind: 'promised' };

export function startHold(rules: HoldRules, remembered: Remembered | undefined, nowMs: number): HoldState {
  return {
    // Whatever the process before knew of them: without a set nothing is promised, until the next renewal.
    confirmed: NOBODY,
    sent: [],
    promisedAtMs: {},
    askedAtMs: {},
    given: remembered?.promise,
    forgottenUntilMs: remembered === undefined ? nowMs + rules.promiseMs : -Infinity,
  };
}

// --- the active -----------------------------------------------------------------------------------------------------------

/** With a renewal of an active: the set that it writes. Undefined: what is there stays. */
export function setToWrite({ rules, workload, lease }: FenceState): HoldSet | undefined {
  if (rules.hold === undefined || workload.kind !== 'active' || lease.sight === undefined) return undefined;
  return wantedSet(peersOf(lease.sight.object), rules.hold.uid);
}

/** A renewal with this set leaves, and may land whether or not it is answered. */
export function sentWith(state: FenceState, id: number, set: HoldSet | undefined): FenceState {
  const { hold } = state;
  if (hold === undefined || set === undefined) return state;
  // Of equal ones the last, which is confirmed last: an outage of hours leaves no list of hours.
  const others = hold.sent.filter((other) => holdSetText(other.set) !== holdSetText(set));
  return { ...state, hold: { ...hold, sent: [...others, { id, set }] } };
}

/** The renewal `id` was acknowledged. None that was sent before it can land any more. */
export function setConfirmed(state: FenceState, id: number): FenceState {
  const { hold } = state;
  const one = hold?.sent.find((other) => other.id === id);
  if (hold === undefined || one === undefined) return state;
  return { ...state, hold: { ...hold, confirmed: one.set, sent: hold.sent.filter((other) => other.id > id) } };
}

/** Becomes active, with the set that it finds in the Lease. */
export function beginsToHold(state: FenceState): FenceState {
  const { hold, lease } = state;
  if (hold === undefined || lease.sight === undefined) return state;
  const confirmed = holdSetOf(lease.sight.object);
  return { ...state, hold: { ...hold, confirmed, sent: [], promisedAtMs: {}, askedAtMs: {} } };
}

const setsOf = ({ confirmed, sent }: HoldState): readonly HoldSet[] => [confirmed, ...sent.map(({ set }) => set)];

/** Whose promise the active needs, by UID; undefined: it can't go on without renewing. */
export function neededOf(hold: HoldState, uid: string): readonly string[] | undefined {
  const sets = setsOf(hold);
  const others = [...new Set(sets.flat())].filter((one) => one !== uid);
  return others.length === 0 || sets.some((set) => set.length === 0) ? undefined : others;
}

/** Until when all who have to have promised; each promise counts from before it was asked for. */
function heldUntilMs({ rules, hold }: FenceState): number {
  const needed = hold && rules.hold && neededOf(hold, rules.hold.uid);
  if (hold === undefined || needed === undefined) return -Infinity;
  return Math.min(...needed.map((uid) => hold.promisedAtMs[uid] ?? -Infinity)) + rules.fenceDeadlineMs;
}

/** @returns the state with the deadline that the promises give, when it is a later one */
export function promised(state: FenceState, { uid, term, askedAtMs }: Promised): FenceState {
  const { hold, workload } = state;
  if (hold === undefined || workload.kind !== 'active' || workload.term !== term) return state;
  const latest = Math.max(hold.promisedAtMs[uid] ?? -Infinity, askedAtMs);
  const next = { ...state, hold: { ...hold, promisedAtMs: { ...hold.promisedAtMs, [uid]: latest } } };
  const untilMs = Math.max(workload.untilMs, heldUntilMs(next));
  return { ...next, workload: { ...workload, untilMs } };
}

/** Between two questions to a member that has not promised; within the time of one request three go out. */
const askAgainMs = ({ rules }: FenceState): number => rules.requestDeadlineMs / 3;

/** When to ask whom: not before a renewal has had its time, then as often as one is due. */
function dueOf(state: FenceState): readonly { readonly peer: Peer; readonly atMs: number }[] {
  const { rules, hold, workload, lease, renewAtMs } = state;
  const { sight } = lease;
  if (hold === undefined || rules.hold === undefined || workload.kind !== 'active' || sight === undefined) return [];
  const needed = neededOf(hold, rules.hold.uid) ?? [];
  const peers = peersOf(sight.object).filter(({ uid }) => needed.includes(uid));
  const firstMs = renewAtMs + rules.requestDeadlineMs;
  return peers.map((peer) => {
    const promisedMs = (hold.promisedAtMs[peer.uid] ?? -Infinity) + rules.renewIntervalMs;
    const askedMs = (hold.askedAtMs[peer.uid] ?? -Infinity) + askAgainMs(state);
    return { peer, atMs: Math.max(firstMs, promisedMs, askedMs) };
  });
}

export function askWhenDue(state: FenceState, nowMs: number): Outcome {
  const { hold, workload } = state;
  const peers = dueOf(state).flatMap(({ peer, atMs }) => (nowMs >= atMs ? [peer] : []));
  if (hold === undefined || workload.kind !== 'active' || peers.length === 0) return [state, []];
  const askedAtMs = { ...hold.askedAtMs, ...Object.fromEntries(peers.map(({ uid }) => [uid, nowMs])) };
  const next = { ...state, hold: { ...hold, askedAtMs } };
  return [next, [{ kind: 'ask', peers, term: workload.term, askedAtMs: nowMs }]];
}

/** When `askWhenDue` has something to do next; times that are over mean nothing. */
export const wakesForHold = (state: FenceState): number[] => dueOf(state).map(({ atMs }) => atMs);

// --- the others -----------------------------------------------------------------------------------------------------------

/** Somebody who says that it is the active of a term asks for a promise. */
export function answerQuestion(state: FenceState, question: Question, nowMs: number): Outcome {
  const { hold, rules } = state;
  const refusal = refusalOf(state, question);
  if (refusal !== undefined || hold === undefined || rules.hold === undefined)
    return [state, [{ kind: 'answerQuestion', refusal: refusal ?? 'Fence' }]];
  const { holder, term } = question;
  const given = { holder, term, untilMs: nowMs + rules.hold.promiseMs };
  return [{ ...state, hold: { ...hold, given } }, [{ kind: 'answerQuestion', refusal: undefined }]];
}

/** Why an agent does not promise; its words are for people. */
export type Refusal = 'Fence' | 'Active' | 'Stopping' | 'LaterTerm' | 'OtherHolder' | 'TooLong';

function refusalOf({ rules, hold, workload, lease }: FenceState, question: Question): Refusal | undefined {
  if (hold === undefined || rules.hold === undefined) return 'Fence';
  if (workload.kind !== 'stopped') return workload.kind === 'active' ? 'Active' : 'Stopping';
  const { highest } = lease;
  if (highest.term > question.term || (hold.given?.term ?? 0) > question.term) return 'LaterTerm';
  if (highest.term === question.term && highest.holder !== question.holder) return 'OtherHolder';
  // Its own are all of one length, so that its next process knows how long it has to wait if it remembers nothing.
  return question.forMs > rules.hold.promiseMs ? 'TooLong' : undefined;
}

/**
 * Before this no member becomes active that may have promised. Only who stands in the Lease's set may be granted without
 * proof; whoever does not was granted when all before it were dead.
 */
export function mayActivateAtMs({ rules, hold, lease }: FenceState): number {
  if (hold === undefined || rules.hold === undefined || lease.sight === undefined) return -Infinity;
  if (!holdSetOf(lease.sight.object).includes(rules.hold.uid)) return -Infinity;
  return Math.max(hold.given?.untilMs ?? -Infinity, hold.forgottenUntilMs);
}
