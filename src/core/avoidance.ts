/** Why a member that may be granted a term is taken only when nobody better is left: an ordered list of named checks. */
import type { Spec } from '../api/spec.ts';
import { toIso } from '../api/time.ts';
import { quarantineOverAtWallMs } from './failures.ts';
import { isHolder } from './lease.ts';
import { isOnSuspectNode } from './node-loss.ts';
import { failedRevision, isOutdated } from './revision.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export interface AvoidanceQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly now: Instant;
}

export interface Avoidance {
  readonly name: 'NodeSuspect' | 'RevisionFailed' | 'Quarantined' | 'NodeDraining' | 'Outdated';
  /** A sentence for people. */
  readonly message: string;
  /** Wall-clock ms; absent: only an event can end it. */
  readonly overAtWallMs?: number;
}

type Check = (member: Member, question: AvoidanceQuestion) => Avoidance | undefined;

const nodeSuspect: Check = (member, { snapshot }) =>
  isOnSuspectNode(member, snapshot)
    ? { name: 'NodeSuspect', message: `node ${member.node ?? ''} has not been heard of for some time` }
    : undefined;

const quarantined: Check = (member, { snapshot, spec, now }) => {
  const overAtWallMs = quarantineOverAtWallMs(member, snapshot, spec, now);
  if (overAtWallMs === undefined) return undefined;
  const { failures, windowMs } = spec.failover.quarantine;
  const message =
    `it failed as the active ${failures} times within ${windowMs / 1000} s (failover.quarantine) and is no candidate ` +
    `until ${toIso(overAtWallMs)}, unless nobody else is left`;
  return { name: 'Quarantined', message, overAtWallMs };
};

const nodeDraining: Check = (member, { snapshot }) =>
  isOnDrainingNode(member, snapshot)
    ? {
        name: 'NodeDraining',
        message: `node ${member.node ?? ''} is being drained, so it would have to move again soon`,
      }
    : undefined;

/** A rollout's new version failed as the active: back to an older member, as long as one stands. */
const revisionFailed: Check = (member, { snapshot, spec, now }) => {
  const revision = failedRevision(snapshot, spec, now);
  return revision !== undefined && member.revision === revision
    ? { name: 'RevisionFailed', message: `its template (revision ${revision}) failed as the active` }
    : undefined;
};

/** Once the active is of the present template, whoever is not would only have to hand over again. */
const outdated: Check = (member, { snapshot, spec, now }) => {
  if (spec.template === undefined || !isOutdated(member, spec)) return undefined;
  const { lease, members } = snapshot;
  const active = members.find((other) => lease !== undefined && isHolder(lease, other));
  const isLeftBehind = active !== undefined && !isOutdated(active, spec);
  return isLeftBehind && failedRevision(snapshot, spec, now) === undefined
    ? { name: 'Outdated', message: 'it is of an older template than the active and will be replaced' }
    : undefined;
};

/** The worst first: who is avoided for a later one is preferred to who is avoided for an earlier one. */
const CHECKS: readonly Check[] = [nodeSuspect, revisionFailed, quarantined, nodeDraining, outdated];

/** The first check that holds against the member; undefined: nothing does. */
export function avoidance(member: Member, question: AvoidanceQuestion): Avoidance | undefined {
  for (const check of CHECKS) {
    const avoided = check(member, question);
    if (avoided !== undefined) return avoided;
  }
  return undefined;
}

export const isAvoided = (member: Member, question: AvoidanceQuestion): boolean =>
  avoidance(member, question) !== undefined;

/** How bad the worst of the reasons against the member is, for an order: 0 when there is none. */
export function reluctance(member: Member, question: AvoidanceQuestion): number {
  const worst = CHECKS.findIndex((check) => check(member, question) !== undefined);
  return worst === -1 ? 0 : CHECKS.length - worst;
}

export const isOnDrainingNode = ({ node }: Member, { nodes }: Snapshot): boolean =>
  node !== undefined && Object.hasOwn(nodes, node) && nodes[node]?.draining !== undefined;
