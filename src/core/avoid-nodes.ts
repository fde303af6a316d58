/** Keeps a new member off nodes that are lost, or that pods shall leave. */

interface PodBody {
  readonly spec?: { readonly affinity?: Affinity };
}

interface Affinity {
  readonly nodeAffinity?: { readonly preferredDuringSchedulingIgnoredDuringExecution?: readonly object[] };
}

/** The most that one wish of a pod can weigh. */
const WEIGHT = 100;

/**
 * Until its own grace period ends, Kubernetes takes a silent node for a healthy one, and would put the new pod there, as it
 * does with one that shuts down, until that has its taint. A wish and no condition: when there is no other node, the pod
 * shall be there when that one is back.
 */
export function avoidingNodes<B extends object>(body: B, nodes: readonly string[]): B {
  if (nodes.length === 0) return body;
  const { spec } = body as PodBody;
  const { affinity } = spec ?? {};
  const wishes = affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: [...nodes].sort() }];
  const nodeAffinity = {
    ...affinity?.nodeAffinity,
    preferredDuringSchedulingIgnoredDuringExecution: [...wishes, { weight: WEIGHT, preference: { matchExpressions } }],
  };
  return { ...body, spec: { ...spec, affinity: { ...affinity, nodeAffinity } } };
}
