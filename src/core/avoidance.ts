/** Why a member that may be granted a term is taken only when nobody better is left: an ordered list of named checks. */
import type { Spec } from '../api/spec.ts';
import type { Instant, Member, Snapshot } from './snapshot.ts';

export interface AvoidanceQuestion {
  readonly snapshot: Snapshot;
  readonly spec: Spec;
  readonly now: Instant;
}

export interface Avoidance {
  readonly name: 'NodeDraining';
  /** A sentence for people. */
  readonly message: string;
}

type Check = (member: Member, question: AvoidanceQuestion) => Avoidance | undefined;

const nodeDraining: Check = (member, { snapshot }) =>
  isOnDrainingNode(member, snapshot)
    ? {
        name: 'NodeDraining',
        message: `node ${member.node ?? ''} is being drained, so it would have to move again soon`,
      }
    : undefined;

/** The worst first: who is avoided for a later one is preferred to who is avoided for an earlier one. */
const CHECKS: readonly Check[] = [nodeDraining];

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
