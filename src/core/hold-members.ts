/** `onApiLoss: Hold`: the Lease says which members can be asked for a promise, and where. Agents may read nothing else. */
import { leaseName } from '../api/names.ts';
import { NOBODY, UNKNOWN, peersText } from './hold-set.ts';
import type { HoldSet } from './hold-set.ts';
import type { Action } from './plan.ts';
import type { LeaseView, Member, Snapshot } from './snapshot.ts';

/** Nothing while the Lease says it, and for singletons whose agents never ask. */
export function planPeers({ singleton, members }: Snapshot, lease: LeaseView): Action[] {
  const peers = members.filter(canAnswer).map(({ pod, uid, agent }) => ({ pod, uid, ip: agent?.peer?.ip ?? '' }));
  const text = peersText(peers.toSorted((a, b) => (a.uid < b.uid ? -1 : 1)));
  const isSilent = peers.length === 0 && lease.members === undefined;
  if (isSilent || lease.members === text) return [];
  const { uid, resourceVersion } = lease;
  const expect = { uid, resourceVersion };
  return [{ kind: 'tellMembers', lease: leaseName(singleton.name), expect, members: text }];
}

/** One that goes is a candidate no more, and promises nobody needs. Unready ones stay: they may be Ready again. */
const canAnswer = ({ agent, phase, terminating }: Member): boolean =>
  agent?.peer !== undefined && agent.peer.ip !== '' && phase === 'Running' && !terminating;

/** What a Lease that was lost has to say when it is made anew; undefined: no agent ever held by promises. */
export function lostHoldSet({ members, memory: { leaseSeen } }: Snapshot): HoldSet | undefined {
  const isHeld = leaseSeen?.holdSet !== undefined || members.some(({ agent }) => agent?.peer !== undefined);
  if (!isHeld) return undefined;
  return leaseSeen?.isReplaced === true ? (leaseSeen.holdSet ?? NOBODY) : UNKNOWN;
}
