/** The order of a plan's actions: what may fail must not stand before what must not wait. */
import type { Action } from './plan.ts';

export interface Work {
  /** The Lease's actions, the move's and a request's, in the protocol's order. */
  readonly urgent: readonly Action[];
  /** Services, budget and members. */
  readonly other: readonly Action[];
  /** Events and status. */
  readonly told: readonly Action[];
}

/**
 * Whether this plan tells of anything. The status tells of a state that stands, so it waits until the work is done, and a
 * move costs one status write. Work that failed may fail for long: then people are told before it is tried again.
 *
 * @param failed what the last plan stopped at
 */
export function isToldNow({ urgent, other }: Omit<Work, 'told'>, failed: Action['kind'] | undefined): boolean {
  if (urgent.length + other.length === 0) return true;
  return failed !== undefined && failed !== 'emitEvent' && failed !== 'writeStatus';
}

/**
 * A failover waits neither for people to be told nor for other work that failed.
 *
 * @param failed what the last plan stopped at
 */
export function inOrder({ urgent, other, told }: Work, failed: Action['kind'] | undefined): readonly Action[] {
  const work = oneWriteEach([...urgent, ...other]);
  if (!isToldNow({ urgent, other }, failed)) return work;
  const first = failed === undefined || URGENT.has(failed) ? [] : work.filter((action) => urgent.includes(action));
  return [...first, ...told, ...work.filter((action) => !first.includes(action))];
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
