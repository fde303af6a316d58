/** What the members' agents may do: read and write the one Lease, and nothing else. */
import { agentAccessName, agentKeyName, leaseName } from '../api/names.ts';
import type { Spec } from '../api/spec.ts';
import { isHolding, ownAccount } from './agent-pod.ts';
import { ownedMeta } from './objects.ts';
import type { AgentAccess } from './plan.ts';
import type { SingletonView } from './snapshot.ts';

/** What the operator's own rights must include, since it may give nobody more than it has. */
export const AGENT_VERBS = ['get', 'watch', 'update'] as const;

/** An account that the template names is the workload's own, and stays: it is given the right to the Lease. */
export function agentAccess(singleton: SingletonView, spec: Spec): AgentAccess {
  const metadata = ownedMeta(singleton, agentAccessName(singleton.name));
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const apiGroup = 'rbac.authorization.k8s.io';
  const own = ownAccount(spec);
  const name = own ?? metadata.name;
  return {
    serviceAccount:
      own === undefined
        ? { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false }
        : undefined,
    role: {
      apiVersion,
      kind: 'Role',
      metadata,
      rules: [
        {
          apiGroups: ['coordination.k8s.io'],
          resources: ['leases'],
          resourceNames: [leaseName(singleton.name)],
          verbs: [...AGENT_VERBS],
        },
      ],
    },
    roleBinding: {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup, kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: singleton.namespace }],
    },
    ...(isHolding(spec) && {
      key: {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'Opaque',
        metadata: ownedMeta(singleton, agentKeyName(singleton.name)),
      },
    }),
  };
}
