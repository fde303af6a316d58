/**
 * The PodDisruptionBudget: nobody who asks first may evict whoever is routed. It selects by the term, as the Service does,
 * and follows it after each flip. By the role it would let the old active go as soon as that is stripped, and a drain,
 * which asks within milliseconds of its cordon, would end it while the Service still routes to it.
 */
import { LABEL, budgetName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { parseTerm, routingTerm } from './lease.ts';
import { mapPatch, ownedMeta, routingSelector, wasInVain } from './objects.ts';
import type { Action } from './plan.ts';
import { isFlipped, ourLease } from './situation.ts';
import type { BudgetView, SingletonView, Snapshot } from './snapshot.ts';

/** Under which the last mending is remembered: a Service may have the same name. */
export const mendKeyOfBudget = (budget: string): string => `budget ${budget}`;

/** Somebody else's budget has the name that ours would have. Nothing waits for that, and the active is not protected. */
export const isBudgetTaken = ({ budget, singleton: { spec } }: Snapshot): boolean =>
  budget?.ours === false && spec?.disruptionBudget === true;

/**
 * The budget as the spec wants it: made when it is missing, mended when it differs, deleted when it is not wanted. While
 * the newest spec breaks a rule, and it is not known what it would want, the one there is follows the moves, no more.
 */
export function planBudget(snapshot: Snapshot, spec: Spec): Action[] {
  const { singleton, budget: view } = snapshot;
  const budget = budgetName(singleton.name);
  const isRefused = singleton.problems.length > 0;
  const term = routedTerm(snapshot);
  if (view === undefined) {
    // Until somebody is routed there is nobody to protect.
    if (isRefused || !spec.disruptionBudget || term === undefined || term === 0) return [];
    return [{ kind: 'createBudget', budget, body: disruptionBudget(singleton, term) }];
  }
  if (!view.ours) return [];
  const expect = { uid: view.uid, resourceVersion: view.resourceVersion };
  if (!spec.disruptionBudget) return isRefused ? [] : [{ kind: 'deleteBudget', budget, expect }];
  const patch = budgetDrift(singleton, view, term ?? termOf(view));
  if (patch === undefined || wasInVain(snapshot, view, patch)) return [];
  return [{ kind: 'mendBudget', budget, expect, patch }];
}

/** Undefined while a move is on its way, or when somebody edited Lease or Service: then whoever is protected stays so. */
function routedTerm(snapshot: Snapshot): number | undefined {
  const lease = ourLease(snapshot);
  return lease !== undefined && isFlipped(snapshot, lease) ? routingTerm(lease) : undefined;
}

const termOf = ({ spec }: BudgetView): number => parseTerm(spec.selector?.matchLabels?.[LABEL.term]) ?? 0;

/**
 * A number and no percentage, for which Kubernetes would ask the pods' owner for its scale. At most one pod carries the
 * term; standbys carry none or an older one, and are nobody's to protect.
 *
 * Without an apiVersion, which depends on the server.
 */
export const disruptionBudget = (singleton: SingletonView, term: number) => ({
  metadata: ownedMeta(singleton, budgetName(singleton.name)),
  spec: {
    minAvailable: 1,
    selector: { matchLabels: routingSelector(singleton.name, term) },
    // An active that is not Ready serves nobody: a drain must not wait for it. Kubernetes before 1.26 drops this field.
    unhealthyPodEvictionPolicy: EVICTION_POLICY,
  },
});

const EVICTION_POLICY = 'AlwaysAllow';

/**
 * As a merge patch; undefined when nothing is to mend. A missing eviction policy is no reason: a server that does not know
 * the field would be asked in vain by every new leader.
 */
export function budgetDrift({ name }: SingletonView, { spec, labels }: BudgetView, term: number): object | undefined {
  const { minAvailable, maxUnavailable, selector = {}, unhealthyPodEvictionPolicy: policy = EVICTION_POLICY } = spec;
  const matchLabels = mapPatch(selector.matchLabels ?? {}, routingSelector(name, term));
  const isWider = (selector.matchExpressions ?? []).length > 0;
  const fields = {
    ...(minAvailable !== 1 && { minAvailable: 1 }),
    // The server refuses one that has both.
    ...(maxUnavailable !== undefined && { maxUnavailable: null }),
    ...((matchLabels !== undefined || isWider) && {
      selector: { ...(matchLabels !== undefined && { matchLabels }), ...(isWider && { matchExpressions: null }) },
    }),
    ...(policy !== EVICTION_POLICY && { unhealthyPodEvictionPolicy: EVICTION_POLICY }),
  };
  const patch = {
    ...(Object.keys(fields).length > 0 && { spec: fields }),
    ...(labels[LABEL.name] !== name && { metadata: { labels: { [LABEL.name]: name } } }),
  };
  return Object.keys(patch).length === 0 ? undefined : patch;
}
