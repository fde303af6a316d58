/**
 * `fencing.onApiLoss: Hold`: the hold set in the Lease, for the agents that write it and the operator that grants by it.
 *
 * It names by UID the members whose promise the active needs to go on without renewing. So a Lease that has expired
 * proves nothing of the active, only of these: each that promised waits for its promise to lapse before it becomes
 * active. An empty set binds nobody: whoever is the active then does not go on, and the Lease means what it means without
 * `Hold`.
 */
import { ANNOTATION } from '../api/names.ts';
import type { Lease } from '../api/objects.ts';

/** A member whose agent can promise, as the operator tells it. The address is a hint: who answers proves who it is. */
export interface Peer {
  readonly pod: string;
  readonly uid: string;
  readonly ip: string;
}

export type HoldSet = readonly string[];

/** Whoever is the active does not go on: anybody may be granted when the Lease has expired. */
export const NOBODY: HoldSet = [];

/** What an operator writes that has to make a Lease anew and does not know who has promised: nobody is in it. */
export const UNKNOWN: HoldSet = ['unknown'];

const SEPARATOR = ' ';

/** Of a UID, as API servers and tests give them. */
const NAME = /^[\w.-]{1,64}$/;

export const holdSetText = (set: HoldSet): string => set.join(SEPARATOR);

/** What nobody wrote in that form binds everybody: it is not taken for an empty one. */
export function parseHoldSet(text: string | undefined): HoldSet {
  if (text === undefined || text === '') return NOBODY;
  const uids = text.split(SEPARATOR);
  return uids.every((uid) => NAME.test(uid)) ? uids : UNKNOWN;
}

export const holdSetOf = ({ metadata }: Lease): HoldSet => parseHoldSet(metadata.annotations?.[ANNOTATION.holdSet]);

export const peersText = (peers: readonly Peer[]): string =>
  JSON.stringify(peers.map(({ pod, uid, ip }) => ({ pod, uid, ip })));

/** Nobody for what no operator wrote: then nobody can be asked. */
export function parsePeers(text: string | undefined): readonly Peer[] {
  if (text === undefined) return [];
  try {
    const all: unknown = JSON.parse(text);
    return Array.isArray(all) && all.every(isPeer) ? all : [];
  } catch {
    return [];
  }
}

export const peersOf = ({ metadata }: Lease): readonly Peer[] => parsePeers(metadata.annotations?.[ANNOTATION.members]);

function isPeer(one: unknown): one is Peer {
  const { pod, uid, ip } = Object(one) as Partial<Peer>;
  return typeof pod === 'string' && typeof uid === 'string' && NAME.test(uid) && typeof ip === 'string';
}

/**
 * The set that the active `uid` wants: all members, itself too, since it may be granted again. Of a set of one nobody would
 * have promised anything, and nobody else could ever be granted without proof: with nobody to ask, it is none.
 */
export function wantedSet(peers: readonly Peer[], uid: string): HoldSet {
  const uids = peers.map((peer) => peer.uid).sort();
  return uids.length > 1 && uids.includes(uid) ? uids : NOBODY;
}

export interface GrantQuestion {
  /** In the version of the Lease that the grant is written over. */
  readonly set: HoldSet;
  /** The agent of its holder has renewed in its term. */
  readonly isTakenUp: boolean;
  /** All there is to go by is that it has expired (P5). */
  readonly isExpiry: boolean;
}

/**
 * Of whom one may be granted; undefined: anybody. An active that has lost the Lease by its expiry may go on by promises
 * until one who promised takes up a later term. So before that, what proves its successor stopped proves nothing of it.
 */
export const boundTo = ({ set, isTakenUp, isExpiry }: GrantQuestion): HoldSet | undefined =>
  set.length > 0 && (isExpiry || !isTakenUp) ? set : undefined;
