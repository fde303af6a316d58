/** The kinds that the simulated API server serves. */
import {
  EVENT,
  LEASE,
  NODE,
  POD,
  ROLE,
  ROLE_BINDING,
  SECRET,
  SERVICE,
  SERVICE_ACCOUNT,
  SINGLETON_SERVICE,
} from '../../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../../src/adapters/ports.ts';
import { customResourceDefinition } from '../../../src/api/crd.ts';
import { budgetKind } from './budgets.ts';
import { isObject, withFields } from './json.ts';
import type { Kind, Stored } from './kind.ts';
import { podKind } from './pods.ts';
import { completed, problemsOf } from './schema.ts';
import { serviceKind } from './services.ts';

const LEASE_FIELDS = ['holderIdentity', 'leaseDurationSeconds', 'acquireTime', 'renewTime', 'leaseTransitions'];

/** Always with a spec, in which only what it knows, and nothing that is null. */
function completeLease(next: Stored): Stored {
  const isKnown = (field: string): boolean => LEASE_FIELDS.includes(field) && next.spec?.[field] !== null;
  if (next.spec !== undefined && next.status === undefined && Object.keys(next.spec).every(isKnown)) return next;
  const spec = Object.entries(next.spec ?? {}).filter(([field]) => isKnown(field));
  return withFields(next, { spec: Object.freeze(Object.fromEntries(spec)), status: undefined });
}

const leaseProblems = ({ spec }: Stored): string[] => {
  const { leaseDurationSeconds: duration = 1, leaseTransitions: transitions = 0 } = spec ?? {};
  return [
    ...(Number(duration) > 0
      ? []
      : [`spec.leaseDurationSeconds: Invalid value: ${String(duration)}: must be greater than 0`]),
    ...(Number(transitions) >= 0
      ? []
      : [`spec.leaseTransitions: Invalid value: ${String(transitions)}: must be greater than or equal to 0`]),
  ];
};

const eventProblems = ({ involvedObject, metadata }: Stored): string[] => {
  const about = isObject(involvedObject) ? involvedObject['namespace'] : undefined;
  if (about === metadata.namespace || about === undefined) return [];
  return ['involvedObject.namespace: Invalid value: does not match event.namespace'];
};

/** By the schema of the CRD that this repository ships. Made once: writing it out takes as long as seconds of a run. */
const singletonServiceKind = makeSingletonServiceKind();

function makeSingletonServiceKind(): Kind {
  const schema = customResourceDefinition('portable').spec.versions[0]?.schema.openAPIV3Schema.properties;
  const { spec: specSchema, status: statusSchema, metadata: metaSchema } = schema ?? {};
  if (specSchema === undefined || statusSchema === undefined) throw new Error('the CRD has no schema');
  const nameSchema = metaSchema?.properties?.['name'] ?? {};
  return {
    type: SINGLETON_SERVICE,
    hasStatus: true,
    isCustom: true,
    countsGenerations: true,
    complete: ({ apiVersion, kind, metadata, ...rest }, before) => {
      const spec = completed(specSchema, rest.spec, before?.spec);
      const status = completed(statusSchema, rest.status, before?.status);
      const known = {
        apiVersion,
        kind,
        metadata,
        ...(spec !== undefined && { spec }),
        ...(status !== undefined && { status }),
      };
      return Object.freeze(known) as Stored;
    },
    problems: (next, before) => [
      ...(before === undefined ? problemsOf(nameSchema, next.metadata.name, 'metadata.name') : []),
      ...(next.spec === undefined ? ['spec: Required value'] : []),
      ...problemsOf(specSchema, next.spec, 'spec', before?.spec),
      ...problemsOf(statusSchema, next.status, 'status', before?.status),
    ],
  };
}

/** All that the operator and its surroundings use; those with versions in the one that the server is to have. */
export const servedKinds = (endpointSlices: ResourceType, disruptionBudgets: ResourceType): readonly Kind[] => [
  podKind(POD),
  serviceKind(SERVICE),
  { type: NODE, hasStatus: true },
  { type: LEASE, complete: completeLease, problems: leaseProblems },
  { type: EVENT, problems: eventProblems },
  { type: endpointSlices, countsGenerations: true },
  budgetKind(disruptionBudgets),
  singletonServiceKind,
  { type: SERVICE_ACCOUNT },
  { type: ROLE },
  { type: ROLE_BINDING },
  { type: SECRET },
];
