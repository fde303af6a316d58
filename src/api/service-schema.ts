/** `spec.service`: what users may say about the Service that the operator owns. */
import { z } from 'zod';

import { intOrPortName, oneOf, oneOfOr, portName, portNumber, stringMap, text, wholeNumber } from './fields.ts';

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

export const servicePort = z
  .object({
    name: portName('Name of the port. Needed, and unique, when there are several.').optional(),
    port: portNumber('Port that clients of the Service use.'),
    targetPort: intOrPortName(
      'Port of the active pod: a number, or the name of a container port. Default: the same as port.',
    ).optional(),
    protocol: oneOfOr(PROTOCOLS, 'TCP', 'Transport protocol.'),
    appProtocol: text(
      253,
      'Application protocol, a hint for meshes and load balancers, such as http or grpc.',
    ).optional(),
    nodePort: portNumber(
      'Port on every node, for type NodePort or LoadBalancer. Default: the cluster picks one.',
    ).optional(),
  })
  .describe('One port of the Service.');

const sessionAffinityConfig = z
  .object({
    clientIP: z
      .object({
        timeoutSeconds: wholeNumber(
          { min: 1, max: 86_400 },
          'How long a client stays with a backend, in seconds.',
        ).optional(),
      })
      .optional()
      .describe('For sessionAffinity ClientIP.'),
  })
  .describe('Details of sessionAffinity.');

/** The fields that go into the Service's own spec as they are. Their meaning is Kubernetes', so it checks their values. */
const passedOn = {
  type: oneOfOr(
    ['ClusterIP', 'NodePort', 'LoadBalancer'],
    'ClusterIP',
    'How the Service is reached: inside the cluster, on a port of every node, or through a load balancer.',
  ),
  clusterIP: text(
    64,
    'A fixed cluster IP. Can be set only when the Service is created. Default: the cluster picks one.',
  ).optional(),
  externalIPs: z
    .array(text(64, 'One address.'))
    .max(32)
    .optional()
    .describe('Addresses outside the cluster management for which nodes also accept traffic.'),
  sessionAffinity: oneOf(
    ['None', 'ClientIP'],
    'Only one pod is ever routed, so this matters only to load balancers that read it.',
  ).optional(),
  sessionAffinityConfig: sessionAffinityConfig.optional(),
  externalTrafficPolicy: oneOf(
    ['Cluster', 'Local'],
    'Local keeps the client address, and only the node of the active pod accepts traffic from outside, so an external ' +
      'load balancer must notice a move by its health check. Cluster moves with the Service at once.',
  ).optional(),
  internalTrafficPolicy: oneOf(
    ['Cluster', 'Local'],
    'With Local, only clients on the node of the active pod reach it. Kubernetes 1.22 and later.',
  ).optional(),
  healthCheckNodePort: portNumber('Port of the health check for externalTrafficPolicy Local.').optional(),
  loadBalancerIP: text(64, 'Address that the load balancer should have, where the provider supports it.').optional(),
  loadBalancerClass: text(317, 'Which load balancer implementation is meant. Kubernetes 1.22 and later.').optional(),
  loadBalancerSourceRanges: z
    .array(text(64, 'One CIDR.'))
    .max(64)
    .optional()
    .describe('CIDRs of clients that the load balancer lets through.'),
  allocateLoadBalancerNodePorts: z
    .boolean()
    .optional()
    .describe('Whether type LoadBalancer also takes node ports. Kubernetes 1.20 and later.'),
  ipFamilies: z
    .array(oneOf(['IPv4', 'IPv6'], 'One address family.'))
    .max(2)
    .optional()
    .describe('Address families, in order of preference.'),
  ipFamilyPolicy: oneOf(
    ['SingleStack', 'PreferDualStack', 'RequireDualStack'],
    'Whether the Service has addresses of one or of both families.',
  ).optional(),
} as const;

export const PASSED_ON = Object.keys(passedOn) as (keyof typeof passedOn)[];

export const serviceSettings = z
  .object({
    ports: z
      .array(servicePort)
      .max(64)
      .optional()
      .describe(
        'Ports of the Service. Default: the container ports of the template, each under its own name and number.',
      ),
    annotations: stringMap('Annotations of the Service, such as those that cloud load balancers read.').optional(),
    labels: stringMap('Further labels of the Service.').optional(),
    ...passedOn,
  })
  .prefault({})
  .describe(
    'The Service that routes to the active pod. It has the name of the SingletonService and no other backend, ever. ' +
      'Its selector is owned by the operator; the other fields are passed on.',
  );
