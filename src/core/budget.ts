/** The PodDisruptionBudget: nobody who asks first may evict the active. Once it has been moved, it may go. */
import { LABEL, ROLE, budgetName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { mapPatch, ownedMeta, wasInVain } from './objects.ts';
import type { Action } from './plan.ts';
import type { BudgetView, SingletonView, Snapshot } from './snapshot.ts';

/** Under which the last mending is remembered: a Service may have the same name. */
export const mendKeyOfBudget = (budget: string): string => `budget ${budget}`;

/** Somebody else's budget has the name that ours would have. Nothing waits for that, and the active is not protected. */
export const isBudgetTaken = ({ budget, singleton: { spec } }: Snapshot): boolean =>
  budget?.ours === false && spec?.disruptionBudget === true;

/**
 * The budget as the spec wants it: made when it is missing, mended when it differs, deleted when it is not wanted. Like
 * the Services it stays as it is while the newest spec breaks a rule.
 */
export function planBudget(snapshot: Snapshot, spec: Spec): Action[] {
  const { singleton, budget: view } = snapshot;
  const budget = budgetName(singleton.name);
  if (singleton.problems.length > 0) return [];
  if (view === undefined) {
    return spec.disruptionBudget ? [{ kind: 'createBudget', budget, body: disruptionBudget(singleton) }] : [];
  }
  if (!view.ours) return [];
  const expect = { uid: view.uid, resourceVersion: view.resourceVersion };
  if (!spec.disruptionBudget) return [{ kind: 'deleteBudget', budget, expect }];
  const patch = budgetDrift(singleton, view);
  if (patch === undefined || wasInVain(snapshot, view, patch)) return [];
  return [{ kind: 'mendBudget', budget, expect, patch }];
}

/** Standbys carry another role, and are nobody's to protect. */
const protectedLabels = (singleton: string): Record<string, string> => ({
  [LABEL.name]: singleton,
  [LABEL.role]: ROLE.active,
});

/**
 * A number and no percentage, for which Kubernetes would ask the pods' owner for its scale. While nobody is the active it
 * matches no pod, and keeps nobody from anything.
 *
 * Without an apiVersion, which depends on the server.
 */
export const disruptionBudget = (singleton: SingletonView) => ({
  metadata: ownedMeta(singleton, budgetName(singleton.name)),
  spec: {
    minAvailable: 1,
    selector: { matchLabels: protectedLabels(singleton.name) },
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
  const matchLabels = mapPatch(selector.matchLabels ?? {}, protectedLabels(name));
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
