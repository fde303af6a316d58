/** What a singleton does with pods that somebody else owns: it gives them labels, and nothing else. */
import { LABEL, ROLE, holderIdentity } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { isFinished } from './membership.ts';
import type { MembershipPlan, MembershipQuestion } from './membership.ts';
import type { Action } from './plan.ts';
import type { Member, Snapshot } from './snapshot.ts';

/** Whether its members are pods that somebody else owns. */
export const isAdopting = (spec: Spec | undefined): boolean => spec?.selector !== undefined;

/**
 * Names the pods that are selected, so that the headless Service and `kubectl get pods -l` find them. Nothing is created.
 * What goes is only what the singleton itself made while it had a template, once the active has moved away from it.
 */
export function planAdoption(
  { members, singleton }: Snapshot,
  spec: Spec,
  { active }: Pick<MembershipQuestion, 'active'>,
): MembershipPlan {
  const isRefused = singleton.problems.length > 0;
  // Before the Lease is in order no forged term has been stripped, and a name could make it match.
  if (isRefused || spec.paused || active === undefined) return { actions: [], recheckAtMs: undefined };
  const isActive = ({ pod, uid }: Member): boolean => active.includes(holderIdentity(pod, uid));
  const standbys = members.filter((member) => !isActive(member));
  const hasMoved = !members.some((member) => member.leaving === true && isActive(member));
  const leftovers = hasMoved ? standbys.filter(({ adopted, terminating }) => adopted !== true && !terminating) : [];
  const adopted = standbys.filter((member) => member.adopted === true && !member.terminating && !isFinished(member));
  return {
    actions: [
      ...leftovers.map((member): Action => ({
        kind: 'deletePod',
        pod: member.pod,
        expect: expectOf(member),
        why: 'the spec has no template any more',
      })),
      ...adopted.flatMap((member) => naming(member, singleton.name)),
    ],
    recheckAtMs: undefined,
  };
}

/** A pod that comes from another singleton brings no term along. */
function naming(member: Member, singleton: string): Action[] {
  const labels = {
    ...(!member.named && { [LABEL.name]: singleton }),
    ...(!member.named && member.term !== undefined && { [LABEL.term]: null }),
    ...(member.role === undefined && { [LABEL.role]: ROLE.standby }),
  };
  if (Object.keys(labels).length === 0) return [];
  return [{ kind: 'mendLabels', pod: member.pod, expect: expectOf(member), labels }];
}

const expectOf = ({ uid, resourceVersion }: Member) => ({ uid, resourceVersion });
