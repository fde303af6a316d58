import type { ResourceType } from '../../../src/adapters/ports.ts';
import { isObject, withFields } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Allocator, Kind, Stored } from './kind.ts';

const NO_STATUS: JsonObject = Object.freeze({ loadBalancer: Object.freeze({}) });
const WITH_NODE_PORTS = ['NodePort', 'LoadBalancer'];

export const serviceKind = (type: ResourceType): Kind => ({
  type,
  hasStatus: true,
  complete,
  problems,
});

const portsOf = ({ spec }: Stored): readonly JsonObject[] => {
  const ports = spec?.['ports'];
  return Array.isArray(ports) ? ports.filter((port) => isObject(port)) : [];
};

function complete(next: Stored, before: Stored | undefined, allocator: Allocator): Stored {
  const spec = next.spec ?? {};
  if (spec === before?.spec) return next;
  const { type = 'ClusterIP' } = spec as { type?: string };
  const isAddressed = type !== 'ExternalName';
  const clusterIP = isAddressed ? addressOf(spec, before, allocator) : undefined;
  const hasNodePorts = WITH_NODE_PORTS.includes(type);
  const ports = portsOf(next).map((port) => completedPort(port, hasNodePorts, portsBefore(before, port), allocator));
  const filled = withFields(spec, {
    type,
    clusterIP,
    clusterIPs: clusterIP === undefined ? undefined : Object.freeze([clusterIP]),
    sessionAffinity: spec['sessionAffinity'] ?? 'None',
    // Maps that are empty are left out of JSON.
    selector: isEmpty(spec['selector']) ? undefined : spec['selector'],
    ports: ports.length === 0 ? undefined : Object.freeze(ports),
  });
  return withFields(next, { spec: filled, status: before === undefined ? NO_STATUS : next.status });
}

const isEmpty = (value: unknown): boolean => isObject(value) && Object.keys(value).length === 0;

/** Given when the Service is created, and when it stops to be another name for something. */
const addressOf = (spec: JsonObject, before: Stored | undefined, allocator: Allocator): unknown =>
  spec['clusterIP'] ?? (before?.spec?.['clusterIP'] === undefined ? allocator.clusterIP() : undefined);

const portsBefore = (before: Stored | undefined, { port }: JsonObject): JsonObject | undefined =>
  before === undefined ? undefined : portsOf(before).find((other) => other['port'] === port);

function completedPort(
  port: JsonObject,
  hasNodePort: boolean,
  before: JsonObject | undefined,
  allocator: Allocator,
): JsonObject {
  const protocol = port['protocol'] ?? 'TCP';
  const nodePort = hasNodePort ? (port['nodePort'] ?? before?.['nodePort'] ?? allocator.nodePort()) : undefined;
  return withFields(port, { protocol, targetPort: port['targetPort'] ?? port['port'], nodePort });
}

function problems(next: Stored, before: Stored | undefined): string[] {
  const { clusterIP } = (next.spec ?? {}) as { clusterIP?: string };
  const given = before?.spec?.['clusterIP'];
  const isTaken = given !== undefined && clusterIP === undefined && next.spec?.['type'] !== 'ExternalName';
  const isMoved = given !== undefined && clusterIP !== undefined && clusterIP !== given;
  const ports = portsOf(next);
  return [
    ...(ports.length === 0 && clusterIP !== undefined && clusterIP !== 'None' ? ['spec.ports: Required value'] : []),
    ...(isTaken ? ['spec.clusterIPs[0]: Invalid value: []string(nil): primary clusterIP can not be unset'] : []),
    ...(isMoved ? [`spec.clusterIPs[0]: Invalid value: []string{"${clusterIP}"}: may not change once set`] : []),
    ...ports.flatMap(({ port }, index) =>
      Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536
        ? []
        : [`spec.ports[${index}].port: Invalid value: ${String(port)}: must be between 1 and 65535, inclusive`],
    ),
    ...(ports.length > 1
      ? ports.flatMap(({ name }, index) => (name === undefined ? [`spec.ports[${index}].name: Required value`] : []))
      : []),
  ];
}
