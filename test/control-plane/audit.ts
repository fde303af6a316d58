/**
 * What the API server was asked, from its audit log. The line of a request is written when the request has been
 * answered, and may appear a moment after the client has its answer: wait for counts to be reached.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export interface AuditedRequest {
  readonly user: string;
  readonly userAgent: string;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  /** HTTP status. */
  readonly code: number;
  /** Milliseconds since 1970 with microseconds as the fraction. */
  readonly receivedWallMs: number;
  readonly answeredWallMs: number;
  /** As the URL says it; a dry run that only the body of a DELETE asks for is not seen. */
  readonly dryRun: boolean;
}

interface AuditEvent {
  verb: string;
  user: { username: string };
  impersonatedUser?: { username: string };
  userAgent?: string;
  requestURI: string;
  objectRef?: { apiGroup?: string; resource?: string; subresource?: string; namespace?: string; name?: string };
  responseStatus?: { code?: number };
  requestReceivedTimestamp: string;
  stageTimestamp: string;
}

export interface AuditFilter {
  /** A name, or a test of it: `(user) => user.startsWith('system:serviceaccount:operators:')`. */
  readonly user?: string | ((user: string) => boolean);
  /** Milliseconds since 1970, inclusive, of the request's arrival. */
  readonly fromWallMs?: number;
  /** The same, exclusive. */
  readonly toWallMs?: number;
  readonly namespace?: string;
  /** Leaves out what the API server did not accept (status 400 and up). Default: counted, as it is load all the same. */
  readonly acceptedOnly?: boolean;
}

/** `2026-01-02T03:04:05.123456Z` in ms since 1970, microseconds as the fraction: `Date` drops what is below a millisecond. */
export function wallMs(timestamp: string): number {
  const fraction = /\.(\d+)Z$/.exec(timestamp)?.[1] ?? '';
  const wholeSeconds = Date.parse(`${timestamp.slice(0, 19)}Z`);
  return wholeSeconds + Number(`0.${fraction || '0'}`) * 1000;
}

function requestOf(event: AuditEvent): AuditedRequest {
  const { objectRef = {}, requestURI } = event;
  return {
    user: (event.impersonatedUser ?? event.user).username,
    userAgent: event.userAgent ?? '',
    verb: event.verb,
    group: objectRef.apiGroup ?? '',
    resource: objectRef.resource ?? '',
    subresource: objectRef.subresource,
    namespace: objectRef.namespace,
    name: objectRef.name,
    code: event.responseStatus?.code ?? 0,
    receivedWallMs: wallMs(event.requestReceivedTimestamp),
    answeredWallMs: wallMs(event.stageTimestamp),
    dryRun: new URLSearchParams(requestURI.split('?')[1] ?? '').has('dryRun'),
  };
}

function matches(request: AuditedRequest, filter: AuditFilter): boolean {
  const { user, fromWallMs = -Infinity, toWallMs = Infinity, namespace, acceptedOnly = false } = filter;
  const isUser = typeof user === 'function' ? user(request.user) : user === undefined || user === request.user;
  return (
    isUser &&
    request.receivedWallMs >= fromWallMs &&
    request.receivedWallMs < toWallMs &&
    (namespace === undefined || namespace === request.namespace) &&
    !(acceptedOnly && request.code >= 400)
  );
}

/** All requests that match, in the order in which they were answered. */
export async function readAudit(auditLogPath: string, filter: AuditFilter = {}): Promise<AuditedRequest[]> {
  const requests: AuditedRequest[] = [];
  for await (const line of createInterface({ input: createReadStream(auditLogPath), crlfDelay: Infinity })) {
    // The last line may be half written.
    if (!line.endsWith('}')) continue;
    const request = requestOf(JSON.parse(line) as AuditEvent);
    if (matches(request, filter)) requests.push(request);
  }
  return requests;
}

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

export const isWrite = ({ verb, dryRun }: AuditedRequest): boolean => WRITES.has(verb) && !dryRun;

export interface WriteCounts {
  readonly total: number;
  /** By verb and resource: `{ 'patch pods/status': 3, 'create leases': 1 }`. */
  readonly byKind: Readonly<Record<string, number>>;
}

/** How many writes, dry runs left out, reached the API server. */
export async function countWrites(auditLogPath: string, filter: AuditFilter = {}): Promise<WriteCounts> {
  const writes = (await readAudit(auditLogPath, filter)).filter(isWrite);
  const byKind: Record<string, number> = {};
  for (const { verb, resource, subresource } of writes) {
    const kind = `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;
    byKind[kind] = (byKind[kind] ?? 0) + 1;
  }
  return { total: writes.length, byKind };
}
