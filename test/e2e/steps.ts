/**
 * The steps of a failover in fencing mode `Agent`, by the API server's own clock: what the audit log has of the old active's agent, of
 * the operator, of the new active's agent and of Kubernetes' endpoint controller.
 */
import { wallMs } from '../control-plane/audit.ts';
import { isByOperator, linesOf, routesAnother } from './share.ts';
import type { Line } from './share.ts';

/** ms since 1970, when each was answered. */
export interface Steps {
  /** The last write of the old active's agent: a renewal, or the release. */
  readonly oldMs: number;
  readonly grantedMs: number;
  /** The first renewal of the new active's agent. */
  readonly renewedMs: number;
  readonly flippedMs: number;
  readonly routedMs: number;
}

export interface StepsQuestion {
  readonly namespace: string;
  readonly singleton: string;
  /** UID of the old active. */
  readonly old: string;
  /** Of the fault; the log must reach back to a renewal before it. */
  readonly sinceMs: number;
}

/** How long before the fault the old active's last renewal may be. */
const RENEWED_WITHIN_MS = 60_000;

/** Undefined when a step is not in the log. */
export function stepsOf(log: string, { namespace, singleton, old, sinceMs }: StepsQuestion): Steps | undefined {
  const lines = linesOf(log, namespace, sinceMs - RENEWED_WITHIN_MS);
  const isOnLease = ({ objectRef }: Line): boolean =>
    objectRef?.resource === 'leases' && objectRef.name === `${singleton}-active`;
  const isAgents = (line: Line): boolean => line.verb === 'update' && isOnLease(line);
  const flipped = lines.findIndex(
    (line) =>
      wallMs(line.stageTimestamp) >= sinceMs && isByOperator(line, 'services') && line.objectRef?.name === singleton,
  );
  const routed = lines.findIndex((line, index) => index > flipped && routesAnother(line, singleton, old));
  if (flipped < 0 || routed < 0) return undefined;
  const granted = lastOf(
    lines,
    flipped,
    (line, index) => isByOperator(line, 'leases') && isOnLease(line) && hasRenewal(index),
  );
  function hasRenewal(index: number): boolean {
    return lines.slice(index, flipped).some(isAgents);
  }
  const renewed = lines.findIndex((line, index) => index > granted && isAgents(line));
  const before = lastOf(lines, granted, isAgents);
  const [oldMs, grantedMs, renewedMs, flippedMs, routedMs] = [before, granted, renewed, flipped, routed].map((index) =>
    timeOf(lines[index]),
  );
  if (oldMs === undefined || grantedMs === undefined || renewedMs === undefined) return undefined;
  if (flippedMs === undefined || routedMs === undefined) return undefined;
  return { oldMs, grantedMs, renewedMs, flippedMs, routedMs };
}

const timeOf = (line: Line | undefined): number | undefined => line && wallMs(line.stageTimestamp);

function lastOf(lines: readonly Line[], before: number, is: (line: Line, index: number) => boolean): number {
  return lines.findLastIndex((line, index) => index < before && is(line, index));
}
