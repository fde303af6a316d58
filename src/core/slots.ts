/** Which slot a member has. */
import type { Member, SingletonView } from './snapshot.ts';

/**
 * The slot that a member has for the election. An adopted one has it from its StatefulSet, whatever its name looks like.
 *
 * Pods that the operator made have their slot in their name, which nobody can edit; the label, which anybody can, is for
 * people and is put back to it. So an edited label moves nothing. Undefined: neither tells.
 */
export const slotOf = (member: Member, singleton: SingletonView): number | undefined =>
  member.adopted === true ? member.slot : (slotInName(singleton.name, member.pod) ?? member.slot);

/** Slots have at most two digits. */
export const SLOTS = 100;

/** Undefined for a name that the operator did not give: `<singleton>-<one or two digits>-…`. */
export function slotInName(singleton: string, pod: string): number | undefined {
  const first = singleton.length + 1;
  if (pod[singleton.length] !== '-' || !pod.startsWith(singleton)) return undefined;
  const end = pod[first + 1] === '-' ? first + 1 : first + 2;
  const digits = pod.slice(first, end);
  return pod[end] === '-' && /^\d+$/.test(digits) ? Number(digits) : undefined;
}
