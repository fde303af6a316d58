/** Which slot a member has. */
import type { Member, SingletonView } from './snapshot.ts';

/**
 * Pods that the operator made have their slot in their name, which nobody can edit; the label, which anybody can, is for
 * people and is put back to it. So an edited label moves nothing. Undefined: neither tells.
 */
export const slotOf = (member: Member, singleton: SingletonView): number | undefined =>
  slotInName(singleton.name, member.pod) ?? member.slot;

/** Slots have at most two digits. */
export const SLOTS = 100;

/** Undefined for a name that the operator did not give. */
export function slotInName(singleton: string, pod: string): number | undefined {
  const digits = pod.startsWith(`${singleton}-`) ? /^(\d{1,2})-/.exec(pod.slice(singleton.length + 1))?.[1] : undefined;
  return digits === undefined ? undefined : Number(digits);
}
