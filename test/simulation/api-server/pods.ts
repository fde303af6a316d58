import type { ResourceType } from '../../../src/adapters/ports.ts';
import { isObject, sameValue, sealed, withFields } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Kind, Stored } from './kind.ts';

const DEFAULTS = sealed({ restartPolicy: 'Always', terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst' });
const FIRST_STATUS = sealed({ phase: 'Pending', qosClass: 'BestEffort' });

export const podKind = (type: ResourceType): Kind => ({
  type,
  hasStatus: true,
  fields: {
    'spec.nodeName': (pod) => text((pod as Stored).spec?.['nodeName']),
    'spec.restartPolicy': (pod) => text((pod as Stored).spec?.['restartPolicy']),
    'status.phase': (pod) => text((pod as Stored).status?.['phase']),
    'status.podIP': (pod) => text((pod as Stored).status?.['podIP']),
  },
  complete: (next, before) => {
    if (before !== undefined) return next;
    return withFields(next, { spec: Object.freeze({ ...DEFAULTS, ...next.spec }), status: FIRST_STATUS });
  },
  problems: (next, before) => (before === undefined ? creationProblems(next) : changeProblems(next, before)),
  graceSeconds,
});

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function creationProblems({ spec }: Stored): string[] {
  const containers = spec?.['containers'];
  if (!Array.isArray(containers) || containers.length === 0) return ['spec.containers: Required value'];
  const names = containers.map((container: unknown) => fieldOf(container, 'name'));
  return containers.flatMap((container: unknown, index) => {
    const name = names[index];
    const path = `spec.containers[${index}]`;
    return [
      ...(name === undefined ? [`${path}.name: Required value`] : []),
      ...(name !== undefined && names.indexOf(name) < index ? [`${path}.name: Duplicate value: "${name}"`] : []),
      ...(fieldOf(container, 'image') === undefined ? [`${path}.image: Required value`] : []),
    ];
  });
}

const fieldOf = (value: unknown, field: string): string | undefined => {
  const found = isObject(value) ? value[field] : undefined;
  return typeof found === 'string' && found !== '' ? found : undefined;
};

/** The real server allows a few changes, of images above all; the operator makes none of them. */
const changeProblems = (next: Stored, before: Stored): string[] =>
  sameValue(next.spec, before.spec)
    ? []
    : ['spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`'];

/** `podStrategy.CheckGracefulDelete`: what has no node or has ended has nobody to wait for. */
function graceSeconds({ spec, status }: Stored, asked: number | undefined): number {
  const hasEnded = status?.['phase'] === 'Succeeded' || status?.['phase'] === 'Failed';
  if (text(spec?.['nodeName']) === '' || hasEnded) return 0;
  const wanted = (spec as JsonObject)['terminationGracePeriodSeconds'];
  return asked ?? (typeof wanted === 'number' ? wanted : 0);
}
