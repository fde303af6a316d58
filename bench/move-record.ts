/** One move, as the audit log and a watch tell it. Pure. */
import { isWrite } from '../test/control-plane/audit.ts';
import type { AuditedRequest } from '../test/control-plane/audit.ts';
import { leaseName, serviceName } from '../src/api/names.ts';

export const CASES = ['crash', 'hang', 'delete'] as const;
export type Case = (typeof CASES)[number];

/** What the benchmark itself saw of a move. Times are milliseconds since 1970, with a fraction. */
export interface Witnessed {
  readonly kind: Case;
  readonly namespace: string;
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Before the request that ended the old active was sent. */
  readonly beginMs: number;
  /** The watch brought an EndpointSlice that names the new active and nobody else. */
  readonly routedMs: number;
  /** Three members are Ready again and the status says so. */
  readonly settledMs: number;
}

/**
 * The steps of a move in their order; each phase ends with its step. `notice` ends with the operator's first request,
 * `read` with the answers to its live reads.
 */
export const PHASES = ['notice', 'read', 'strip', 'grant', 'label', 'flip', 'slice'] as const;
export type Phase = (typeof PHASES)[number];

/** Of the writes of one singleton, in the time of one move. */
export const MOVE_WRITES = ['strip', 'grant', 'label', 'flip', 'status', 'event'] as const;

export interface MoveRecord {
  readonly phasesMs: Readonly<Record<Phase, number>>;
  /** From the answer to the request that ended the old active to the EndpointSlice. */
  readonly totalMs: number;
  /** The same from that request's arrival: an upper bound, since the API server cannot have known before. */
  readonly sinceReceivedMs: number;
  /** Of it, while the API server worked on one of the operator's steps; the rest is the operator, the wire, and waiting for a core. */
  readonly serverMs: number;
  /** The operator's writes that make the move. */
  readonly moveWrites: readonly string[];
  /** Its writes for the member that comes back or replaces the old one. */
  readonly repairWrites: readonly string[];
  readonly reads: number;
  /** What was asked from the end of the old active to the EndpointSlice, in ms since the beginning: for slow moves. */
  readonly timeline: readonly string[];
}

const isPatchOf = (resource: string, name: string) => (request: AuditedRequest) =>
  request.verb === 'patch' &&
  request.resource === resource &&
  request.subresource === undefined &&
  request.name === name;

/** The write that told the API server that the active is no more. */
function findCause(move: Witnessed, others: readonly AuditedRequest[]): AuditedRequest | undefined {
  const [verb, subresource] = move.kind === 'delete' ? ['delete', undefined] : ['patch', 'status'];
  return others.find(
    (request) =>
      request.verb === verb &&
      request.resource === 'pods' &&
      request.subresource === subresource &&
      request.name === move.from,
  );
}

function stepsOf(move: Witnessed): Record<'strip' | 'grant' | 'label' | 'flip', (request: AuditedRequest) => boolean> {
  return {
    strip: isPatchOf('pods', move.from),
    grant: isPatchOf('leases', leaseName(move.name)),
    label: isPatchOf('pods', move.to),
    flip: isPatchOf('services', serviceName(move.name)),
  };
}

/**
 * @param operators the operator's requests in the move's time, @param others everybody else's; by time of arrival
 * @throws when a step is missing: then it was no such move, or the log is not whole
 */
export function recordOf(
  move: Witnessed,
  operators: readonly AuditedRequest[],
  others: readonly AuditedRequest[],
): MoveRecord {
  const cause = findCause(move, others);
  const [first] = operators;
  const steps = stepsOf(move);
  const stepEnd = (step: keyof typeof steps): number | undefined => operators.find(steps[step])?.answeredWallMs;
  const grant = operators.find(steps.grant);
  const reads = operators.filter(
    (request) => request.verb === 'get' && request.receivedWallMs < (grant?.receivedWallMs ?? 0),
  );
  const ends: Record<Phase, number | undefined> = {
    notice: first?.receivedWallMs,
    read: Math.max(...reads.map((request) => request.answeredWallMs)),
    strip: stepEnd('strip'),
    grant: grant?.answeredWallMs,
    label: stepEnd('label'),
    flip: stepEnd('flip'),
    slice: move.routedMs,
  };
  const missing = PHASES.filter((phase) => !Number.isFinite(ends[phase]));
  if (cause === undefined || missing.length > 0) {
    throw new Error(
      `${move.kind} of ${move.from}: the audit log has no ${cause === undefined ? 'cause' : missing.join(', ')}`,
    );
  }
  return {
    phasesMs: durations(cause.answeredWallMs, ends as Record<Phase, number>),
    totalMs: move.routedMs - cause.answeredWallMs,
    sinceReceivedMs: move.routedMs - cause.receivedWallMs,
    serverMs: coveredMs([...reads, ...Object.values(steps).flatMap((isStep) => operators.find(isStep) ?? [])]),
    reads: reads.length,
    timeline: [...operators, ...others].flatMap((request) => timelineOf(request, move)),
    ...writesOf(move, operators),
  };
}

function timelineOf(request: AuditedRequest, { beginMs, routedMs }: Witnessed): string[] {
  const { receivedWallMs, answeredWallMs, user, name = '' } = request;
  if (receivedWallMs > routedMs) return [];
  const [from, to] = [receivedWallMs - beginMs, answeredWallMs - beginMs].map((ms) => ms.toFixed(1).padStart(7));
  return [`${from} to ${to}  ${user.split(':').at(-1)}: ${describe(request)} ${name}`];
}

/** The time in which at least one of the requests was in the server. */
function coveredMs(requests: readonly AuditedRequest[]): number {
  let covered = 0;
  let reachedMs = -Infinity;
  for (const { receivedWallMs, answeredWallMs } of requests.toSorted((a, b) => a.receivedWallMs - b.receivedWallMs)) {
    covered += Math.max(0, answeredWallMs - Math.max(reachedMs, receivedWallMs));
    reachedMs = Math.max(reachedMs, answeredWallMs);
  }
  return covered;
}

/** Steps may overlap (a strip may run beside the grant): a phase then counts from the latest end before it. */
function durations(startMs: number, ends: Readonly<Record<Phase, number>>): Record<Phase, number> {
  let reachedMs = startMs;
  const phases = PHASES.map((phase): [Phase, number] => {
    // Negative when it was noticed before the answer was out: the watch is told as soon as the write is committed.
    const took = phase === 'notice' ? ends.notice - startMs : Math.max(0, ends[phase] - reachedMs);
    reachedMs = Math.max(reachedMs, ends[phase]);
    return [phase, took];
  });
  return Object.fromEntries(phases) as Record<Phase, number>;
}

/** The first of each kind of write belongs to the move; what comes again, and every other, is for the members. */
function writesOf(
  move: Witnessed,
  operators: readonly AuditedRequest[],
): Pick<MoveRecord, 'moveWrites' | 'repairWrites'> {
  const steps = Object.entries(stepsOf(move));
  const moveWrites: string[] = [];
  const repairWrites: string[] = [];
  for (const request of operators.filter(isWrite)) {
    const kind = steps.find(([, isStep]) => isStep(request))?.[0] ?? reportOf(request);
    // A step that had to be tried again counts as often as it was sent.
    const isOfMove = kind !== undefined && (steps.some(([step]) => step === kind) || !moveWrites.includes(kind));
    if (isOfMove) moveWrites.push(kind);
    else repairWrites.push(describe(request));
  }
  return { moveWrites, repairWrites };
}

const reportOf = ({ resource, subresource }: AuditedRequest): string | undefined => {
  if (resource === 'events') return 'event';
  return subresource === 'status' ? 'status' : undefined;
};

const describe = ({ verb, resource, subresource, code }: AuditedRequest): string =>
  `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}${code < 400 ? '' : ` (${code})`}`;
