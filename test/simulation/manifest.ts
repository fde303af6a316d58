/** The singleton that the simulation runs, and where its operator keeps its own Lease. */
import { API_VERSION, KIND } from '../../src/api/names.ts';

export const NAMESPACE = 'default';
export const SINGLETON = 'db';
export const LEADER_LEASE = { namespace: 'operators', name: 'singleton-operator' } as const;

/** Of the pods that an adopting singleton selects. */
export const ADOPTED_LABELS = { app: SINGLETON } as const;

/** The same, of pods that somebody else owns. */
export const adoptingManifest = () => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: SINGLETON, namespace: NAMESPACE },
  spec: {
    selector: { matchLabels: ADOPTED_LABELS },
    service: { ports: [{ name: 'http', port: 8080 }] },
  },
});

export const manifest = (image = 'echo:1') => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: SINGLETON, namespace: NAMESPACE },
  spec: {
    replicas: 3,
    template: {
      metadata: { labels: { app: SINGLETON } },
      spec: {
        containers: [
          {
            name: 'app',
            image,
            ports: [{ name: 'http', containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/', port: 'http' } },
          },
        ],
      },
    },
  },
});
