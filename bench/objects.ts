/** The objects that the benchmark makes and looks at. */
import { API_VERSION, KIND, PLURAL } from '../src/api/names.ts';
import type { EndpointSlice, Pod } from '../src/api/objects.ts';
import type { SingletonService } from '../src/api/types.ts';
import type { ApiObject } from '../test/control-plane/rest-client.ts';

export const MEMBERS = 3;

export type SingletonObject = SingletonService & ApiObject;
export type PodObject = Pod & ApiObject;
export type SliceObject = EndpointSlice & ApiObject;

export const PATH = {
  singletons: (namespace: string) => `/apis/${API_VERSION}/namespaces/${namespace}/${PLURAL}`,
  statefulSets: (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/statefulsets`,
  services: (namespace: string) => `/api/v1/namespaces/${namespace}/services`,
  pods: (namespace: string) => `/api/v1/namespaces/${namespace}/pods`,
} as const;

/** What both kinds of sets run. With a readiness probe, as every template should have one; nothing executes it here. */
const podSpec = {
  terminationGracePeriodSeconds: 10,
  containers: [
    {
      name: 'main',
      image: 'none',
      ports: [{ name: 'http', containerPort: 8080 }],
      readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
      resources: { requests: { cpu: '10m', memory: '32Mi' } },
    },
  ],
};

export const singleton = (name: string): object => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name },
  spec: {
    replicas: MEMBERS,
    // Its actives fail one after another as fast as they can be made to, and each move is to be as the first.
    failover: { backoffMaxSeconds: 0, quarantine: { durationSeconds: 0 } },
    service: { ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    template: { metadata: { labels: { app: name } }, spec: podSpec },
  },
});

export const statefulSet = (name: string): object => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name },
  spec: {
    replicas: MEMBERS,
    podManagementPolicy: 'Parallel',
    serviceName: name,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: podSpec },
  },
});

/** The Service that a StatefulSet must name. */
export const headlessService = (name: string): object => ({
  metadata: { name },
  spec: { clusterIP: 'None', selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
});

export const isReady = (pod: PodObject): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** The pods that a slice sends traffic to. */
export const targetsOf = (slice: SliceObject): string[] =>
  (slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .map(({ targetRef }) => targetRef?.name ?? '?');
