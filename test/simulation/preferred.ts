/** By the true state: how much the user prefers a member to another, by the words of the spec that name it. */
import { NODE } from '../../src/adapters/kubernetes/resources.ts';
import { NO_FAILOVER } from '../../src/api/names.ts';
import type { KubeObject, Node, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { slotInName } from '../../src/core/slots.ts';
import type { Cluster } from './cluster.ts';

/** As far as the faults write it. */
export interface Election {
  readonly strategy?: string;
  readonly priorities?: readonly number[];
  readonly preferences?: readonly {
    readonly weight: number;
    readonly preference: { readonly matchExpressions: readonly { readonly key: string; readonly values: string[] }[] };
  }[];
  readonly preemption?: string;
  readonly stableSeconds?: number;
}

export const electionOf = ({ spec }: SingletonService): Election =>
  (spec as { election?: Election | null } | undefined)?.election ?? {};

export const preempts = (singleton: SingletonService): boolean => electionOf(singleton).preemption === 'AfterStable';

/** Then the slot of a pod does not stand in its name. */
export const isAdopting = ({ spec }: SingletonService): boolean =>
  (spec as { selector?: object | null } | undefined)?.selector instanceof Object;

export const nodeOf = (cluster: Cluster, pod: Pod): Node | undefined =>
  pod.spec?.nodeName === undefined ? undefined : cluster.get<Node>(NODE, pod.spec.nodeName);

const hasMark = (object: KubeObject | undefined): boolean => object?.metadata.labels?.[NO_FAILOVER] === 'true';

/** Never a candidate, as somebody has marked the pod, or its node. */
export const isBarred = (cluster: Cluster, pod: Pod): boolean => hasMark(pod) || hasMark(nodeOf(cluster, pod));

export const isDrained = (node: Node | undefined): boolean =>
  node?.spec?.unschedulable === true || (node?.spec?.taints ?? []).length > 0;

export const isUp = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.phase === 'Running' &&
  pod.status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';

function score(cluster: Cluster, singleton: SingletonService, pod: Pod): readonly [number, number] {
  const { strategy, priorities = [], preferences = [] } = electionOf(singleton);
  const labels = nodeOf(cluster, pod)?.metadata.labels ?? {};
  const preference = preferences
    .filter(({ preference: { matchExpressions } }) =>
      matchExpressions.every(({ key, values }) => values.includes(labels[key] ?? '')),
    )
    .reduce((sum, { weight }) => sum + weight, 0);
  const slot = slotInName(singleton.metadata.name, pod.metadata.name) ?? 0;
  return [preference, strategy === 'Priority' ? (priorities[slot] ?? 0) : 0];
}

/** Whether `pod` could take over from `active` for no other reason than that it is preferred. */
export function isPreferred(cluster: Cluster, singleton: SingletonService, pod: Pod, active: Pod): boolean {
  const node = nodeOf(cluster, pod);
  if (!isUp(pod) || isBarred(cluster, pod) || isDrained(node)) return false;
  const [a, b] = [score(cluster, singleton, pod), score(cluster, singleton, active)];
  return a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
}
