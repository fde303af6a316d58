/** Kubernetes objects as the API server sends them, for the tests of src/operator. */
import { API_VERSION, KIND, LABEL } from '../../src/api/names.ts';
import type { EndpointSlice, KubeObject, Lease, Node, ObjectMeta, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { aTemplate } from '../builders.ts';

export const MIDNIGHT = '2026-01-01T00:00:00Z';

export const ownedBy = (uid = 'uid-db', name = 'db') => [
  { apiVersion: API_VERSION, kind: KIND, name, uid, controller: true, blockOwnerDeletion: true },
];

export const meta = (name: string, fields: Partial<ObjectMeta> = {}): ObjectMeta => ({
  name,
  namespace: 'default',
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: MIDNIGHT,
  ...fields,
});

export const aSingleton = (spec: object = {}, metadata: Partial<ObjectMeta> = {}): SingletonService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: meta('db', { generation: 1, ...metadata }),
  spec: { replicas: 2, template: aTemplate(), ...spec },
});

/** A member in slot 0 that runs and is Ready. */
export const aPodObject = (metadata: Partial<ObjectMeta> = {}, status: Pod['status'] = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: meta(metadata.name ?? 'db-0-a', {
    labels: { [LABEL.name]: 'db', [LABEL.slot]: '0', [LABEL.role]: 'standby' },
    ownerReferences: ownedBy(),
    ...metadata,
  }),
  spec: { nodeName: 'node-a' },
  status: {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: MIDNIGHT }],
    containerStatuses: [{ name: 'app', ready: true, restartCount: 0, state: { running: {} } }],
    ...status,
  },
});

export const aLeaseObject = (spec: Lease['spec'] = {}, metadata: Partial<ObjectMeta> = {}): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: meta('db-active', { labels: { [LABEL.name]: 'db' }, ownerReferences: ownedBy(), ...metadata }),
  spec,
});

export const aNode = (name: string, metadata: Partial<ObjectMeta> = {}): Node => ({
  metadata: meta(name, { ...metadata }),
});

export const aSlice = (uids: readonly string[], service = 'db'): EndpointSlice => ({
  metadata: meta(`${service}-slice`, { labels: { [LABEL.name]: 'db', 'kubernetes.io/service-name': service } }),
  endpoints: uids.map((uid) => ({ addresses: ['10.1.0.1'], conditions: { ready: true }, targetRef: { uid } })),
});

export const named = (object: KubeObject): string => object.metadata.name;
