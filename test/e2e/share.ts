/**
 * What follows the kubelet's word that the active has fallen, by the API server's own clock: the operator's part of a
 * failover, up to its flip of the Service, and what Kubernetes' own controller adds, up to the EndpointSlice with another
 * pod in it. A watch in the suite's process sees them late, and not equally late, when there is no free core. Reads the
 * audit log that scripts/kind/audit.sh turns on.
 */
import { wallMs } from '../control-plane/audit.ts';
import type { Meta } from './api.ts';
import { readyUids } from './objects.ts';
import type { Slice } from './objects.ts';

/** Milliseconds since the API server knew that the active had fallen. */
export interface Share {
  readonly grantedMs: number | undefined;
  readonly labelledMs: number | undefined;
  /** To the flip of the Service, the operator's last step. */
  readonly flippedMs: number | undefined;
  /** To the EndpointSlice, which Kubernetes' own controller writes when it has seen the flip. */
  readonly routedMs: number;
}

/** A request, as it was answered. */
export interface Line {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly stageTimestamp: string;
  readonly requestObject?: unknown;
}

interface PodStatus {
  readonly status?: { readonly conditions?: readonly { readonly type?: string; readonly status?: string }[] };
}

/**
 * @param log lines of the audit log, in its order: as requests were answered
 * @param fallen the active that the fault hit, as it was before
 * @returns undefined when a step of it is not in the log: nothing fell, or nothing moved
 */
export function shareOf(log: string, singleton: string, fallen: Meta, sinceWallMs: number): Share | undefined {
  const lines = linesOf(log, fallen.namespace ?? '', sinceWallMs);
  const fell = lines.findIndex((line) => saysFallen(line, fallen.name));
  if (fell < 0) return undefined;
  const after = lines.slice(fell);
  const fellMs = timeOf(after, () => true) ?? 0;
  const since = (is: (line: Line) => boolean): number | undefined => {
    const atMs = timeOf(after, is);
    return atMs === undefined ? undefined : atMs - fellMs;
  };
  const routedMs = since((line) => routesAnother(line, singleton, fallen.uid));
  if (routedMs === undefined) return undefined;
  return {
    grantedMs: since((line) => isByOperator(line, 'leases') && line.objectRef?.name === `${singleton}-active`),
    labelledMs: since((line) => isByOperator(line, 'pods') && line.objectRef?.name !== fallen.name),
    flippedMs: since((line) => isByOperator(line, 'services') && line.objectRef?.name === singleton),
    routedMs,
  };
}

/** What was accepted in a namespace. */
export const linesOf = (log: string, namespace: string, sinceWallMs: number): Line[] =>
  log
    .split('\n')
    .filter((text) => text.endsWith('}') && text.includes(`"namespace":"${namespace}"`))
    .map((text) => JSON.parse(text) as Line)
    .filter(
      ({ stageTimestamp, responseStatus }) => wallMs(stageTimestamp) >= sinceWallMs && isAccepted(responseStatus),
    );

const isAccepted = (status: Line['responseStatus']): boolean => (status?.code ?? 500) < 400;

function timeOf(lines: readonly Line[], is: (line: Line) => boolean): number | undefined {
  const found = lines.find(is);
  return found === undefined ? undefined : wallMs(found.stageTimestamp);
}

export const isByOperator = ({ verb, user, objectRef }: Line, resource: string): boolean =>
  verb === 'patch' &&
  user.username.endsWith(':singleton-operator') &&
  objectRef?.resource === resource &&
  objectRef.subresource === undefined;

function saysFallen({ objectRef, requestObject }: Line, pod: string): boolean {
  if (objectRef?.resource !== 'pods' || objectRef.subresource !== 'status' || objectRef.name !== pod) return false;
  const conditions = (requestObject as PodStatus | undefined)?.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'False');
}

export function routesAnother({ objectRef, requestObject }: Line, singleton: string, fallenUid: string): boolean {
  if (objectRef?.resource !== 'endpointslices' || requestObject === undefined) return false;
  const slice = requestObject as Slice;
  // The headless Service has slices, too, with all members in them.
  if (slice.metadata.labels?.['kubernetes.io/service-name'] !== singleton) return false;
  return readyUids(slice).some((uid) => uid !== fallenUid);
}
