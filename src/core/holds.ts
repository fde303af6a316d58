/** Why a move that is needed waits: an ordered list of named checks, the first that holds is the answer. */
import type { Spec } from '../api/spec.ts';
import { backoffOverAtMs } from './failures.ts';
import { boundHold, fencingHold, isFenced, isFencing } from './fencing.ts';
import type { Need } from './move.ts';
import { nodeLossHold } from './node-loss.ts';
import { objectNames } from './objects.ts';
import type { Hold } from './plan.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export interface MoveQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly need: Need;
  /** Best first. */
  readonly candidates: readonly Member[];
  readonly now: Instant;
}

type Check = (question: MoveQuestion) => Hold | undefined;

/** Invariant I5: no grant while paused. */
const paused: Check = ({ spec, need }) =>
  spec.paused
    ? {
        name: 'Paused',
        message: `${need.message}; spec.paused is true, so nothing moves: set it to false, and another member takes over`,
      }
    : undefined;

/** Without the Service a grant would route nobody, and the name may be somebody's on purpose. */
const serviceTaken: Check = ({ snapshot }) =>
  snapshot.service?.ours === false
    ? {
        name: 'ServiceTaken',
        message: `Service ${snapshot.singleton.name} exists and is not owned by this SingletonService; delete or rename it`,
      }
    : undefined;

/** What a silent node's pods do nobody can tell; how long that is waited out, or whether at all, is its user's to say. */
const nodeLoss: Check = ({ snapshot, spec, need, now }) => {
  const { lease } = snapshot;
  // By its agent it is known when it has stopped, whatever its node does.
  if (lease !== undefined && isFenced(snapshot, lease)) return undefined;
  const trouble = need.trouble ?? need.reason;
  return trouble === 'NodeLost' || trouble === 'ActiveVanished'
    ? nodeLossHold(snapshot, spec, need.message, now)
    : undefined;
};

/**
 * An active that is merely unready gets the time its user granted it. One that is gone or going has no use for it. The
 * time of a pause does not count: whoever works on the active under a pause has not waited for it to recover.
 */
const unreadyGrace: Check = ({ snapshot, spec, need, now }) => {
  const trouble = need.trouble ?? need.reason;
  if (trouble !== 'ActiveUnready' && trouble !== 'ActiveCrashed') return undefined;
  const { pause } = snapshot.memory;
  const resumedAtMs = typeof pause === 'object' ? pause.endedAtMs : -Infinity;
  const overAtMs = Math.max(need.since.monotonicMs, resumedAtMs) + spec.failover.unreadyGraceMs;
  if (now.monotonicMs >= overAtMs) return undefined;
  return {
    name: 'UnreadyGrace',
    message: `${need.message}; it is given ${spec.failover.unreadyGraceMs / 1000} s to recover (failover.unreadyGraceSeconds)`,
    recheckAtMs: overAtMs,
  };
};

/** Actives that fail one after another as soon as they are one: nobody is helped by a move every moment. */
const backoff: Check = ({ snapshot, spec, need, now }) => {
  const overAtMs = backoffOverAtMs(snapshot, spec, need);
  if (now.monotonicMs >= overAtMs) return undefined;
  return {
    name: 'Backoff',
    message:
      `${need.message}; many actives failed one after another as soon as they were one, so the next failover waits ` +
      `${(overAtMs - need.since.monotonicMs) / 1000} s (failover.backoffMaxSeconds). What do they have in common?`,
    recheckAtMs: overAtMs,
  };
};

const noCandidate: Check = ({ need, candidates, spec }) =>
  candidates.length === 0
    ? {
        name: 'NoCandidate',
        message:
          need.reason === 'NodeDraining'
            ? `${need.message}; no member on another node can take over${drainWaits(spec)}: the first that becomes Ready will`
            : `${need.message}; no other member can take over: the first that becomes Ready will`,
      }
    : undefined;

/** Invariant I5, in mode `Agent`. Last: nobody is asked to stop while there is nobody who may take over. */
const fencing: Check = ({ snapshot, spec, need, candidates, now }) => {
  const { lease } = snapshot;
  if (lease === undefined || !isFencing(spec)) return undefined;
  const question = { snapshot, lease, now };
  return fencingHold(question, need.message) ?? boundHold(candidates, question, need.message);
};

const drainWaits = ({ disruptionBudget }: Spec): string => (disruptionBudget ? ', so the drain has to wait' : '');

const CHECKS: readonly Check[] = [paused, serviceTaken, nodeLoss, unreadyGrace, noCandidate, backoff, fencing];

export function firstHold(question: MoveQuestion): Hold | undefined {
  for (const check of CHECKS) {
    const hold = check(question);
    if (hold !== undefined) return hold;
  }
  return undefined;
}

/** Names that somebody else's objects have. Nothing of theirs is ever written to. */
export function takenNames(snapshot: Snapshot): Hold[] {
  const names = objectNames(snapshot.singleton.name);
  const holds: Hold[] = [];
  const taken = (name: Hold['name'], what: string): void => {
    holds.push({
      name,
      message: `${what} exists and is not owned by this SingletonService; delete or rename one of them`,
    });
  };
  if (snapshot.lease?.ours === false) taken('LeaseTaken', `Lease ${names.lease}`);
  if (snapshot.service?.ours === false) taken('ServiceTaken', `Service ${names.service}`);
  if (snapshot.headless?.ours === false) taken('ServiceTaken', `Service ${names.headless}`);
  return holds;
}
