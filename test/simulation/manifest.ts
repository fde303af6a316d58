/** The singleton that the simulation runs, and where its operator keeps its own Lease. */
import { API_VERSION, KIND } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import type { Chance } from './random.ts';

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

/** The same in fencing mode `Agent`. */
export function fencedManifest(image?: string) {
  const { spec, ...rest } = manifest(image);
  return { ...rest, spec: { ...spec, fencing: { mode: 'Agent' } } };
}

/**
 * What the containers of an image do, which their kubelet finds out: `echo:…` works, `broken:…` never gets Ready, `fragile:…`
 * crashes soon after its member has become the active.
 */
export type Version = 'good' | 'broken' | 'fragile';

export function versionOf(pod: Pod): Version {
  const [name] = imageOf(pod.spec).split(':');
  return name === 'broken' || name === 'fragile' ? name : 'good';
}

/** A version that works, or one that does not; or the first again. */
export function someImage(chance: Chance): string {
  const name = chance.pick(['echo', 'echo', 'echo', 'broken', 'fragile']);
  return chance.happens(0.15) ? 'echo:1' : `${name}:${chance.below(1e6)}`;
}

/** Of a pod's or a template's spec. */
export const imageOf = (spec: unknown): string =>
  (spec as { containers?: { image?: string }[] } | undefined)?.containers?.[0]?.image ?? '';
