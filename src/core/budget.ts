/**
 * The PodDisruptionBudget: nobody who asks first may evict whoever is routed. It never changes: whom it protects the label
 * `guarded` says, which moves with the writes of a move (move.ts). By the role it would let the old active go as soon as
 * that is stripped, and a drain, which asks within milliseconds of its cordon, would end it while the Service still routes
 * to it.
 */
import { LABEL, budgetName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { guardSelector, mapPatch, ownedMeta, wasInVain } from './objects.ts';
import type { Action } from './plan.ts';
import type { BudgetView, SingletonView, Snapshot } from './snapshot.ts';

/** Under which the last mending is remembered: a Service may have the same name. */
export const mendKeyOfBudget = (budget: string): string => `budget ${budget}`;

/** Somebody else's budget has the name that ours would have. Nothing waits for that, and the active is not protected. */
export const isBudgetTaken = ({ budget, singleton: { spec } }: Snapshot): boolean =>
  budget?.ours === false && spec?.disruptionBudget === true;

/**
 * The budget as the spec wants it: made when it is missing, mended when it differs, deleted when it is not wanted. While
 * the newest spec breaks a rule, and it is not known what it would want, the one there is kept in order, no more.
 */
export function planBudget(snapshot: Snapshot, spec: Spec): Action[] {
  const { singleton, budget: view } = snapshot;
  const budget = budgetName(singleton.name);
  const isRefused = singleton.problems.length > 0;
  if (view === undefined) {
    if (isRefused || !spec.disruptionBudget) return [];
    return [{ kind: 'createBudget', budget, body: disruptionBudget(singleton) }];
  }
  if (!view.ours) return [];
  const expect = { uid: view.uid, resourceVersion: view.resourceVersion };
  if (!spec.disruptionBudget) return isRefused ? [] : [{ kind: 'deleteBudget', budget, expect }];
  const patch = budgetDrift(singleton, view);
  if (patch === undefined || wasInVain(snapshot, view, patch)) return [];
  return [{ kind: 'mendBudget', budget, expect, patch }];
}

/**
 * At most two pods are guarded, the old and the new active in a planned move. With two to be kept nobody can be spared,
 * neither of one nor of two, whenever it was counted; whoever is not guarded anybody may evict without asking. A number and
 * no percentage, for which Kubernetes would ask the pods' owner for its scale.
 */
const MIN_AVAILABLE = 2;

/** Without an apiVersion, which depends on the server. */
export const disruptionBudget = (singleton: SingletonView) => ({
  metadata: ownedMeta(singleton, budgetName(singleton.name)),
  spec: {
    minAvailable: MIN_AVAILABLE,
    selector: { matchLabels: guardSelector(singleton.name) },
    // An active that is not Ready serves nobody: a drain must not wait for it. Kubernetes before 1.26 drops this field.
    unhealthyPodEvictionPolicy: EVICTION_POLICY,
  },
});

const EVICTION_POLICY = 'AlwaysAllow';

/**
 * As a merge patch; undefined when nothing is to mend. A missing eviction policy is no reason: a server that does not know
 * the field would be asked in vain by every new leader.
 */
export function budgetDrift({ name }: SingletonView, { spec, labels }: BudgetView): object | undefined {
  const { minAvailable, maxUnavailable, selector = {}, unhealthyPodEvictionPolicy: policy = EVICTION_POLICY } = spec;
  const matchLabels = mapPatch(selector.matchLabels ?? {}, guardSelector(name));
  const isWider = (selector.matchExpressions ?? []).length > 0;
  const fields = {
    ...(minAvailable !== MIN_AVAILABLE && { minAvailable: MIN_AVAILABLE }),
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
