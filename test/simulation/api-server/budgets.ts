/** PodDisruptionBudgets, and what the eviction API asks of them. Numbers only, no percentages. */
import type { ResourceType } from '../../../src/adapters/ports.ts';
import { apiError } from './errors.ts';
import { isObject, withFields } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Kind, Stored } from './kind.ts';

export const budgetType = (version: string): ResourceType => ({
  group: 'policy',
  version,
  plural: 'poddisruptionbudgets',
  kind: 'PodDisruptionBudget',
  namespaced: true,
});

const NO_STATUS = Object.freeze({ currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 });
const FIELDS = ['minAvailable', 'maxUnavailable', 'selector', 'unhealthyPodEvictionPolicy'];

export function budgetKind(type: ResourceType): Kind {
  // What a server of the time of v1beta1 does not know it drops.
  const known = type.version === 'v1beta1' ? FIELDS.slice(0, 3) : FIELDS;
  return {
    type,
    hasStatus: true,
    countsGenerations: true,
    complete: (next, before) => {
      const fields = Object.entries(next.spec ?? {}).filter(
        ([field, value]) => known.includes(field) && value !== null,
      );
      const spec = Object.freeze(Object.fromEntries(fields));
      return withFields(next, { spec, ...(before === undefined && { status: NO_STATUS }) });
    },
    problems: ({ spec = {} }) =>
      spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined
        ? [`spec: Invalid value: ${JSON.stringify(spec)}: minAvailable and maxUnavailable cannot be both set`]
        : [],
  };
}

/** By `matchLabels`. One without a selector selects none with policy/v1beta1 and all with policy/v1; it is not needed here. */
export function protects(budget: Stored, pod: Stored): boolean {
  const selector = budget.spec?.['selector'];
  const labels = isObject(selector) && isObject(selector['matchLabels']) ? selector['matchLabels'] : {};
  const wanted = Object.entries(labels);
  return (
    budget.metadata.namespace === pod.metadata.namespace &&
    wanted.length > 0 &&
    wanted.every(([key, value]) => pod.metadata.labels?.[key] === value)
  );
}

export function isReady({ status }: Stored): boolean {
  const conditions = (status?.['conditions'] ?? []) as readonly { type: string; status: string }[];
  return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}

const count = (status: JsonObject | undefined, field: string): number => Number(status?.[field] ?? 0);

/**
 * `EvictionREST.Create`: the budget whose allowance the eviction uses up; undefined when it needs none.
 *
 * @throws ApiError 429 when the budget does not allow it, 500 when there are several
 */
export function budgetSpentBy(pod: Stored, budgets: readonly Stored[]): Stored | undefined {
  const phase = pod.status?.['phase'];
  if (phase === 'Succeeded' || phase === 'Failed' || phase === 'Pending') return undefined;
  const [budget, another] = budgets.filter((each) => protects(each, pod));
  if (budget === undefined) return undefined;
  if (another !== undefined) {
    throw apiError(
      500,
      'InternalError',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  }
  const { spec, status, metadata } = budget;
  const isHealthy = count(status, 'currentHealthy') >= count(status, 'desiredHealthy');
  const allowsUnready =
    spec?.['unhealthyPodEvictionPolicy'] === 'AlwaysAllow' || (isHealthy && count(status, 'desiredHealthy') > 0);
  if (!isReady(pod) && allowsUnready) return undefined;
  const isProcessed = count(status, 'observedGeneration') >= (metadata.generation ?? 0);
  if (isProcessed && count(status, 'disruptionsAllowed') > 0) return budget;
  throw apiError(
    429,
    'TooManyRequests',
    "Cannot evict pod as it would violate the pod's disruption budget.",
    isProcessed ? undefined : 10_000,
  );
}

/** What the eviction leaves in the budget's status, until the controller has counted anew. */
export const spent = ({ status }: Stored, pod: Stored, time: string): object => ({
  status: {
    disruptionsAllowed: count(status, 'disruptionsAllowed') - 1,
    disruptedPods: { [pod.metadata.name]: time },
  },
});

/** What the controller counts. */
export function budgetStatus(budget: Stored, pods: readonly Stored[]): object {
  const { minAvailable, maxUnavailable } = (budget.spec ?? {}) as { minAvailable?: number; maxUnavailable?: number };
  const those = pods.filter((pod) => protects(budget, pod));
  const disrupted = Object.entries((budget.status?.['disruptedPods'] ?? {}) as Record<string, string>).filter(
    ([name]) => those.some(({ metadata }) => metadata.name === name && metadata.deletionTimestamp === undefined),
  );
  const currentHealthy = those.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined &&
      isReady(pod) &&
      !disrupted.some(([name]) => name === pod.metadata.name),
  ).length;
  const desiredHealthy = minAvailable ?? Math.max(0, those.length - (maxUnavailable ?? those.length));
  const disruptionsAllowed = those.length === 0 ? 0 : Math.max(0, currentHealthy - desiredHealthy);
  return {
    currentHealthy,
    desiredHealthy,
    disruptionsAllowed,
    expectedPods: those.length,
    observedGeneration: budget.metadata.generation,
    ...(disrupted.length > 0 && { disruptedPods: Object.fromEntries(disrupted) }),
  };
}
