/**
 * Asking the old active to release the Lease, in mode `Agent`. What for stands in the Lease, in the same write: whoever
 * finds it released, an operator that was just started too, makes the move that the release was asked for.
 */
import { holderIdentity, leaseName } from '../api/names.ts';
import { isHolder, lastHolder, podOf } from './lease.ts';
import type { MoveContext, Need } from './move.ts';
import { mayBeHeardAgain } from './node-loss.ts';
import type { Action } from './plan.ts';
import type { LeaseView, Member, ReleaseRecord } from './snapshot.ts';

type Cause = Omit<Need, 'since'>;

/** The record of what the present Lease was released for; undefined when it was not, or nobody asked for it. */
export function releasedFor({ holder, term, releasedTerm, release }: LeaseView): ReleaseRecord | undefined {
  return holder === '' && releasedTerm === term && release?.term === term ? release : undefined;
}

/** The last holder's agent released the Lease, and nobody had asked for it: its workload has ended, whatever its kubelet says. */
export const hasGivenUp = (lease: LeaseView): boolean =>
  lastHolder(lease) !== lease.holder && releasedFor(lease) === undefined;

/** Nothing when it was asked already in this term, when there is nobody to ask, or too soon to. */
export function askForRelease(context: MoveContext, target: Member): Action[] {
  const { snapshot, lease, need } = context;
  const holder = snapshot.members.find((member) => isHolder(lease, member));
  if (lease.releaseRequested === lease.term || holder === undefined || isOnlySilent(holder, context)) return [];
  const { kind, reason, message, trouble, since } = need;
  const release: ReleaseRecord = {
    term: lease.term,
    kind,
    reason,
    message,
    ...(trouble !== undefined && { trouble }),
    to: holderIdentity(target.pod, target.uid),
    detectedWallMs: since.wallMs,
  };
  const { uid, resourceVersion } = lease;
  return [
    { kind: 'requestRelease', lease: leaseName(snapshot.singleton.name), expect: { uid, resourceVersion }, release },
  ];
}

/**
 * Nothing is wrong but that its node is silent, and has the time still that it is given. An agent that does not renew hears no
 * question; one that does is alive, and so is its workload: after an outage of the API server a kubelet may need longer to
 * get through again than an agent.
 */
const isOnlySilent = ({ terminating }: Member, { snapshot, spec, need, now }: MoveContext): boolean =>
  !terminating && (need.trouble ?? need.reason) === 'NodeLost' && mayBeHeardAgain(snapshot, spec, now);

/** Why an empty Lease moves on, when its holder's agent gave it back. */
export function causeOfRelease(
  lease: LeaseView,
  troubleOf: (holder: LeaseView) => Cause | undefined,
): Cause | undefined {
  const former = lastHolder(lease);
  if (former === '') return undefined;
  const asked = releasedFor(lease);
  // Whatever is wrong with it by now: the status of a pod may tell later than its agent acts.
  const cause = asked === undefined ? troubleOf({ ...lease, holder: former }) : undefined;
  if (cause !== undefined) return cause;
  if (asked === undefined) {
    const message = `the agent of pod ${podOf(former)} released the Lease by itself`;
    return { kind: 'Failover', reason: 'AgentReleased', message };
  }
  const { kind, message } = asked;
  const trouble = asked.trouble as Need['trouble'];
  return { kind, reason: asked.reason as Need['reason'], message, ...(trouble !== undefined && { trouble }) };
}

/** Whom the release was asked for first; whoever released comes last, since it may have had its reasons. */
export function afterRelease(targets: readonly Member[], lease: LeaseView): readonly Member[] {
  const former = lastHolder(lease);
  if (lease.holder !== '' || former === '') return targets;
  const wanted = releasedFor(lease)?.to;
  const place = ({ pod, uid }: Member): number => {
    const identity = holderIdentity(pod, uid);
    return identity === wanted ? 0 : identity === former ? 2 : 1;
  };
  return [...targets].sort((a, b) => place(a) - place(b));
}
