/** The order of a plan's actions: what may fail must not stand before what must not wait. */
import type { Action } from './plan.ts';

export interface Work {
  /** The Lease's actions and the move's, in the protocol's order. */
  readonly urgent: readonly Action[];
  /** Those of a request for a switchover. */
  readonly request: readonly Action[];
  /** Services, members and budget. */
  readonly other: readonly Action[];
}

export const isIdle = ({ urgent, request, other }: Work): boolean =>
  urgent.length + request.length + other.length === 0;

/**
 * Whether this plan tells of anything. The status tells of a state that stands, so it waits until the work is done, and a
 * move costs one status write. Work that failed may fail for long: then people are told before it is tried again.
 *
 * @param failed what the last plan stopped at
 */
export function isToldNow(work: Work, failed: Action['kind'] | undefined): boolean {
  if (isIdle(work)) return true;
  return failed !== undefined && failed !== 'emitEvent' && failed !== 'writeStatus';
}

/**
 * A failover waits neither for people to be told nor for other work that failed.
 *
 * @param told events and status, when this plan tells of anything
 * @param failed what the last plan stopped at
 */
export function inOrder(work: Work, told: readonly Action[], failed: Action['kind'] | undefined): readonly Action[] {
  // An annotation that can't be removed keeps nobody from making pods.
  const isStuck = failed === 'removeRequest';
  const urgent = isStuck ? work.urgent : [...work.urgent, ...work.request];
  const all = oneWriteEach([...urgent, ...work.other, ...(isStuck ? work.request : [])]);
  const first = failed === undefined || URGENT.has(failed) ? [] : all.filter((action) => urgent.includes(action));
  return [...first, ...told, ...all.filter((action) => !first.includes(action))];
}

const URGENT: ReadonlySet<Action['kind']> = new Set([
  'createLease',
  'restoreLease',
  'stripRole',
  'grantLease',
  'labelActive',
  'flipService',
  'recordSwitchover',
]);

/** A second write to an object would be refused, since the first has changed it: it is left to the next look. */
function oneWriteEach(actions: readonly Action[]): Action[] {
  const written = new Set<string>();
  return actions.filter((action) => {
    if (!('expect' in action)) return true;
    if (written.has(action.expect.uid)) return false;
    written.add(action.expect.uid);
    return true;
  });
}
