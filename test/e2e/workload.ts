/** What the suite applies: a namespace, the scripts of echo and client, clients on every node, and singletons. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

/** Another one for each run: what an earlier run left behind may take a minute to go. */
export const NAMESPACE = `singleton-e2e-${Date.now().toString(36)}`;
export const SERVICE_PORT = 80;

/** Of a singleton in the store: pods of an earlier run's namespace may write for a while yet. */
export const keyOf = (name: string): string => `${NAMESPACE}.${name}`;

/** As JavaScript: a container that starts anew would else spend a tenth of a second on types, just when others need the core. */
const script = (name: string): string =>
  stripTypeScriptTypes(readFileSync(join(import.meta.dirname, 'pods', `${name}.ts`), 'utf8'));

export const container = (name: string, file: string, image: string) => ({
  name,
  image,
  imagePullPolicy: 'IfNotPresent',
  command: ['node', '--max-semi-space-size=2', `/scripts/${file}`],
  ports: [{ name: 'http', containerPort: 8080 }],
  volumeMounts: [{ name: 'scripts', mountPath: '/scripts' }],
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 65532,
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  },
});

export const volumes = [{ name: 'scripts', configMap: { name: 'scripts' } }];

export const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: NAMESPACE, labels: { app: 'singleton-e2e' } },
};

export const scripts = () => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'scripts', namespace: NAMESPACE },
  data: { 'echo.mjs': script('echo'), 'client.mjs': script('client'), 'writer.mjs': script('writer') },
});

/** One on every node, control plane included: whatever node a fault hits, there are clients elsewhere. */
export const clients = (image: string) => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'client', namespace: NAMESPACE },
  spec: {
    selector: { matchLabels: { app: 'client' } },
    template: {
      metadata: { labels: { app: 'client' } },
      spec: {
        tolerations: [{ operator: 'Exists' }],
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            ...container('client', 'client.mjs', image),
            readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 2 },
            resources: { requests: { cpu: '10m', memory: '64Mi' } },
          },
        ],
        volumes,
      },
    },
  },
});

const NOT_ON_CONTROL_PLANE = ['node-role.kubernetes.io/master', 'node-role.kubernetes.io/control-plane'].map((key) => ({
  key,
  operator: 'DoesNotExist',
}));

const NOT_TOGETHER = 'kubernetes.io/hostname';

/** Members on different workers, and so that a drained one waits for its node rather than crowd another. */
const members = (name: string, image: string, whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway') => ({
  metadata: { labels: { app: name } },
  spec: {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: NOT_ON_CONTROL_PLANE }],
        },
      },
    },
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: NOT_TOGETHER, whenUnsatisfiable, labelSelector: { matchLabels: { app: name } } },
    ],
    terminationGracePeriodSeconds: 10,
    containers: [
      {
        ...container('echo', 'echo.mjs', image),
        env: [
          { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
        ],
        readinessProbe: {
          httpGet: { path: '/ready', port: 'http' },
          periodSeconds: 1,
          timeoutSeconds: 1,
          failureThreshold: 1,
        },
        resources: { requests: { cpu: '10m', memory: '48Mi' } },
      },
    ],
    volumes,
  },
});

const SERVICE = { ports: [{ name: 'http', port: SERVICE_PORT, targetPort: 'http' }] };

export const singleton = (name: string, replicas: number, image: string) => ({
  apiVersion: 'singleton-operator.io/v1alpha1',
  kind: 'SingletonService',
  metadata: { name, namespace: NAMESPACE },
  spec: {
    replicas,
    service: SERVICE,
    // Sooner than by default, so that the suite has not to wait for it.
    update: { minReadySeconds: 2 },
    failover: { nodeLoss: { policy: 'PromoteAfter', afterSeconds: 20 } },
    template: members(name, image, 'DoNotSchedule'),
  },
});

/** A Deployment as there may be one already. */
export const adoptable = (name: string, replicas: number, image: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: NAMESPACE },
  spec: { replicas, selector: { matchLabels: { app: name } }, template: members(name, image, 'ScheduleAnyway') },
});

export const adopting = (name: string) => ({
  apiVersion: 'singleton-operator.io/v1alpha1',
  kind: 'SingletonService',
  metadata: { name, namespace: NAMESPACE },
  spec: { selector: { matchLabels: { app: name } }, service: SERVICE },
});
