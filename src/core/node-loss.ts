/**
 * Lost nodes: which members are given up, what is waited for, and what proves that nothing runs there any more.
 *
 * A node is in trouble when its kubelet has been silent for some beats, or Kubernetes says that it does not know of it.
 * Whatever the API server tells of a pod on it then is what was the case once: `Ready` may be long over, and `NotReady` is
 * what Kubernetes writes about every pod of such a node, be it dead or only cut off.
 */
import { holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { isExpired } from './expiry.ts';
import { isHolder } from './lease.ts';
import type { Hold } from './plan.ts';
import type { Instant, Member, NodeTrouble, Snapshot } from './snapshot.ts';

/** Undefined: nothing is wrong with it, as far as is known. */
export const troubleOf = (node: string | undefined, { nodeLoss }: Snapshot): NodeTrouble | undefined =>
  // Own only, since a node may be named `constructor`.
  node !== undefined && Object.hasOwn(nodeLoss.nodes, node) ? nodeLoss.nodes[node] : undefined;

/** No good choice while there is another: its node may come back, or be found lost in a moment. */
export const isOnSuspectNode = (member: Member, snapshot: Snapshot): boolean =>
  troubleOf(member.node, snapshot) !== undefined;

/** P4 of the protocol: an administrator, or whoever removed the Node object, vouches that nothing runs there. */
export const isAttested = ({ gone, outOfService }: NodeTrouble): boolean => gone || outOfService;

/**
 * P2: its kubelet attested that before it fell silent, and starts it no more. (That containers have ended is no proof on a
 * silent node: a kubelet that is cut off starts them again, and can't say so.)
 */
const hasEnded = ({ phase }: Member): boolean => phase === 'Failed' || phase === 'Succeeded';

/**
 * Whether the member is given up: another takes its slot, and it is no candidate, whatever is still told of it. With
 * policy Wait the active is not given up without proof.
 */
export function isLost(member: Member, snapshot: Snapshot, now: Instant): boolean {
  const trouble = troubleOf(member.node, snapshot);
  const { spec } = snapshot.singleton;
  if (trouble === undefined || spec === undefined) return false;
  if (isAttested(trouble)) return true;
  if (snapshot.nodeLoss.isBraked) return false;
  if (spec.failover.nodeLoss.policy === 'Wait' && mayBeActive(member, snapshot) && !hasExpired(member, snapshot, now))
    return false;
  const dueAtMs = lostAtMs(trouble, spec);
  return dueAtMs !== undefined && now.monotonicMs >= dueAtMs;
}

/** Its agent has stopped it: that is what policy Wait waits for. */
const hasExpired = ({ agent }: Member, snapshot: Snapshot, now: Instant): boolean =>
  agent !== undefined && snapshot.lease?.ours === true && isExpired(snapshot, snapshot.lease, now);

const lostAtMs = ({ silentSinceMs }: NodeTrouble, { failover }: Spec): number | undefined =>
  silentSinceMs === undefined ? undefined : silentSinceMs + failover.nodeLoss.afterMs;

/** The trouble of the active's node; undefined when it has none, or somebody vouches that nothing runs there. */
function activesSilence(snapshot: Snapshot): NodeTrouble | undefined {
  const trouble = troubleOf(activesNode(snapshot), snapshot);
  return trouble === undefined || isAttested(trouble) ? undefined : trouble;
}

/** Whether the active's node is silent, and has not been for as long as it is given; under the brake that never ends. */
export function mayBeHeardAgain(snapshot: Snapshot, spec: Spec, now: Instant): boolean {
  const trouble = activesSilence(snapshot);
  return (
    trouble !== undefined && (snapshot.nodeLoss.isBraked || now.monotonicMs < (lostAtMs(trouble, spec) ?? -Infinity))
  );
}

const mayBeActive = (member: Member, { lease }: Snapshot): boolean => lease?.ours !== true || isHolder(lease, member);

/** When the next of the nodes in trouble will have been silent for so long that its members are given up. */
export function nodeLossDueAtMs(snapshot: Snapshot, spec: Spec, now: Instant): number | undefined {
  const times = Object.values(snapshot.nodeLoss.nodes)
    .map((trouble) => lostAtMs(trouble, spec))
    .filter((dueAtMs) => dueAtMs !== undefined && dueAtMs > now.monotonicMs);
  return times.length === 0 ? undefined : Math.min(...(times as number[]));
}

/** Why the node of the active is reason enough to move; undefined when it is not, or when the active has ended anyway. */
export function nodeLossOf(active: Member, snapshot: Snapshot): string | undefined {
  const trouble = troubleOf(active.node, snapshot);
  if (trouble === undefined || hasEnded(active)) return undefined;
  return `node ${active.node} of pod ${active.pod} ${wordsFor(trouble)}`;
}

function wordsFor({ gone, outOfService }: NodeTrouble): string {
  if (gone) return 'does not exist any more';
  return outOfService ? 'is out of service' : 'is not heard of any more';
}

const PROOF =
  'the node is heard of again, its Node object is deleted, or it gets the taint node.kubernetes.io/out-of-service';

/** Why a move away from a lost node waits. Of a pod that was deleted by force its node is still asked: that is no proof. */
export function nodeLossHold(snapshot: Snapshot, spec: Spec, why: string, now: Instant): Hold | undefined {
  const trouble = activesSilence(snapshot);
  if (trouble === undefined) return undefined;
  if (snapshot.nodeLoss.isBraked) {
    const message =
      `${why}; more nodes are silent at once than --node-loss-brake allows, so that the network of the operator is the ` +
      `likelier fault: nothing on them is moved or replaced until fewer are, or until ${PROOF}`;
    return { name: 'NodeLossBrake', message };
  }
  const { policy, afterMs } = spec.failover.nodeLoss;
  if (policy === 'Wait')
    return { name: 'NodeLossWait', message: `${why}; failover.nodeLoss.policy is Wait: nothing moves until ${PROOF}` };
  const recheckAtMs = lostAtMs(trouble, spec);
  if (recheckAtMs === undefined || now.monotonicMs >= recheckAtMs) return undefined;
  const message = `${why}; it is given ${afterMs / 1000} s from its last beat (failover.nodeLoss.afterSeconds)`;
  return { name: 'NodeLossGrace', message, recheckAtMs };
}

export const isNodeLossHold = ({ name }: Hold): boolean =>
  name === 'NodeLossBrake' || name === 'NodeLossWait' || name === 'NodeLossGrace';

/** The node of whoever holds the Lease; after its pod was deleted, the one that Lease or status told. */
export function activesNode({ lease, members, singleton }: Snapshot): string | undefined {
  if (lease?.ours !== true) return undefined;
  const holder = members.find((member) => isHolder(lease, member));
  if (holder !== undefined) return holder.node;
  const { pod = '', uid = '', node } = singleton.status?.active ?? {};
  const told = holderIdentity(pod, uid) === lease.holder ? node : undefined;
  return told ?? (lease.move?.to === lease.holder ? lease.move.node : undefined);
}
