/**
 * Fencing mode `Agent`: what proves that the old active has stopped, without which nobody is granted (invariant I5).
 *
 *   P1  released: its agent emptied the Lease and says that it is this term that it gave back
 *   P2  attested by its kubelet: all containers have ended and none is started again
 *   P3  its pod is gone, and P2 was seen before
 *   P4  attested by an administrator: its node is out of service, or the Node object is gone
 *   P5  expired (expiry.ts)
 *
 * Each is a fact about the holder in the very version of the Lease that the grant is written over: the holder can't become
 * active again without a renewal, which makes that write fail. `deletionTimestamp`, `NotReady`, a pod deleted by force and
 * a silent node prove nothing. Nor does a container that has ended in a pod that goes on: its kubelet starts it again, and
 * may tell so later than the agent in it renews.
 */
import type { Spec } from '../api/spec.ts';
import { expiresAtMs, isExpired, leaseDurationMs } from './expiry.ts';
import { NOBODY, boundTo } from './hold-set.ts';
import type { HoldSet } from './hold-set.ts';
import { isEmpty, isHolder, lastHolder, podOf } from './lease.ts';
import { activesNode, isAttested, troubleOf } from './node-loss.ts';
import type { Hold } from './plan.ts';
import type { Instant, LeaseView, Member, Snapshot } from './snapshot.ts';

export interface Proof {
  /** `NeverGranted`, `NoAgent`: there is nobody who was promised to be fenced, so nothing to prove. */
  readonly name: 'NeverGranted' | 'NoAgent' | 'P1' | 'P2' | 'P3' | 'P4' | 'P5';
  /** A sentence for people. */
  readonly message: string;
}

export interface FencingQuestion {
  readonly snapshot: Snapshot;
  readonly lease: LeaseView;
  readonly now: Instant;
}

export const isFencing = (spec: Spec | undefined): boolean => spec?.fencing.mode === 'Agent';

/** Whether the term was given to somebody with an agent, who is active only by renewing and stops without. */
export function isFenced({ singleton, members, memory }: Snapshot, lease: LeaseView): boolean {
  if (!isFencing(singleton.spec)) return false;
  const holder = members.find((member) => isHolder(lease, member));
  if (holder !== undefined) return holder.agent !== undefined;
  // Whether it was this term that an agent renewed may be somebody's edit: where one ever did, it is waited for.
  if (lease.leaseDurationMs !== undefined || lease.renewedTerm !== undefined) return true;
  // Who held a Lease that was lost nobody can tell.
  const isLost = lease.holder === '' && (!isEmpty(lease) || memory.leaseSeen?.isReplaced === true);
  return isLost && members.some(({ agent }) => agent !== undefined);
}

/** A grant is complete, and may be labelled and routed, when the agent has renewed the Lease in its term. */
export const awaitsRenewal = (snapshot: Snapshot, lease: LeaseView): boolean =>
  lease.holder !== '' && isFenced(snapshot, lease) && lease.renewedTerm !== lease.term;

/** Undefined: nothing proves yet that whoever held the Lease last has stopped. */
export function proofOf(question: FencingQuestion): Proof | undefined {
  const { snapshot, lease, now } = question;
  if (!isFenced(snapshot, lease)) return unfenced(lease);
  const pod = podOf(lastHolder(lease));
  if (lease.holder === '' && lease.releasedTerm === lease.term)
    return { name: 'P1', message: `the agent of pod ${pod} released the Lease` };
  const attested = lease.holder === '' ? undefined : attestation(question);
  if (attested !== undefined) return attested;
  if (!isExpired(snapshot, lease, now)) return undefined;
  const seconds = leaseDurationMs(snapshot, lease) / 1000;
  return { name: 'P5', message: `the Lease was not renewed for ${seconds} s, so that it has expired` };
}

const unfenced = (lease: LeaseView): Proof =>
  isEmpty(lease)
    ? { name: 'NeverGranted', message: 'nobody was the active yet' }
    : { name: 'NoAgent', message: `pod ${podOf(lease.holder)} has no agent that could stop it` };

/** What others than the holder's agent and the clock say. */
function attestation({ snapshot, lease }: FencingQuestion): Proof | undefined {
  const { members, memory } = snapshot;
  const pod = podOf(lease.holder);
  const holder = members.find((member) => isHolder(lease, member));
  if (holder?.hasStopped === true) return { name: 'P2', message: `all containers of pod ${pod} have ended` };
  if (holder === undefined && memory.stopped === lease.holder)
    return { name: 'P3', message: `pod ${pod} is gone, and all its containers had ended before` };
  const node = activesNode(snapshot);
  const trouble = troubleOf(node, snapshot);
  if (trouble === undefined || !isAttested(trouble)) return undefined;
  const how = trouble.gone ? 'does not exist any more' : 'is out of service';
  return { name: 'P4', message: `node ${node ?? ''} of pod ${pod} ${how}` };
}

/** The holder, when its kubelet attests now that it has stopped; to be remembered, since its pod may be gone soon. */
export function stoppedSeen({ singleton, lease, members, memory }: Snapshot): string | undefined {
  if (!isFencing(singleton.spec) || lease?.ours !== true || lease.holder === '') return undefined;
  const isNow = members.some((member: Member) => member.hasStopped === true && isHolder(lease, member));
  return isNow || memory.stopped === lease.holder ? lease.holder : undefined;
}

/** `onApiLoss: Hold`: by UID, whom the Lease may be granted to by what is proven now; undefined: to anybody. */
export function boundOf(question: FencingQuestion): HoldSet | undefined {
  const { holdSet: set = NOBODY, renewedTerm, term } = question.lease;
  if (set.length === 0) return undefined;
  return boundTo({ set, isTakenUp: renewedTerm === term, isExpiry: proofOf(question)?.name === 'P5' });
}

/** Of `targets` those that may be granted. */
export function grantable(targets: readonly Member[], question: FencingQuestion): readonly Member[] {
  const bound = boundOf(question);
  return bound === undefined ? targets : targets.filter(({ uid }) => bound.includes(uid));
}

/** Why none of `targets` may be granted; undefined when one may, or there is none. */
export function boundHold(targets: readonly Member[], question: FencingQuestion, why: string): Hold | undefined {
  if (targets.length === 0 || grantable(targets, question).length > 0) return undefined;
  const who = question.lease.holder === '' ? 'whoever was the active' : `pod ${podOf(question.lease.holder)}`;
  const message =
    `${why}; ${who}, or the active before it, may go on without the API server, and none of the members that promised ` +
    'to stay standby meanwhile can take over: waiting for one of these, for proof that the active has stopped, or for ' +
    'somebody who knows that nothing acts any more to remove the annotation hold-set from the Lease';
  return { name: 'Fencing', message };
}

interface GrantFencing {
  readonly leaseDurationMs?: number | null;
  readonly fencedWallMs: number | undefined;
  readonly holdSet?: HoldSet;
}

/** What mode `Agent` adds to a grant: what is to be waited for next time, and when this was known to be safe. */
export function grantFencing({ agent }: Member, spec: Spec, question: FencingQuestion): GrantFencing {
  const { snapshot, lease, now } = question;
  const fencedWallMs = isFenced(snapshot, lease) ? now.wallMs : undefined;
  // Proven: what was promised to whoever was the active is over.
  const holdSet = lease.holdSet !== undefined && boundOf(question) === undefined ? { holdSet: NOBODY } : {};
  if (isFencing(spec) && agent !== undefined)
    return {
      ...holdSet,
      fencedWallMs,
      leaseDurationMs: Math.max(agent.leaseDurationMs, spec.election.leaseDurationMs),
    };
  return { ...holdSet, fencedWallMs, ...(lease.leaseDurationMs !== undefined && { leaseDurationMs: null }) };
}

/** Why a move waits for proof, and for what; undefined when there is proof. */
export function fencingHold(question: FencingQuestion, why: string): Hold | undefined {
  const { snapshot, lease } = question;
  if (proofOf(question) !== undefined) return undefined;
  const recheckAtMs = expiresAtMs(snapshot, lease);
  const expiry = `for the Lease to expire (${leaseDurationMs(snapshot, lease) / 1000} s without a renewal)`;
  const who = podOf(lease.holder);
  const message =
    lease.holder === ''
      ? `${why}; who held the Lease before nobody can tell, and may act still: waiting ${expiry}`
      : `${why}; pod ${who} may act still: waiting for its agent to release the Lease, for its kubelet to say that all ` +
        `its containers have ended, ${expiry}, or for its node to be taken out of service`;
  return { name: 'Fencing', message, ...(recheckAtMs !== undefined && { recheckAtMs }) };
}
