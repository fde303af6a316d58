/** The workloads of examples/agent, as they are, writing to the store. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './shell.ts';
import type { Launch, Ship } from './fleet.ts';
import type { Store } from './store.ts';
import { keyOf } from './workload.ts';

interface Example {
  readonly name: string;
  readonly command: readonly string[];
  /** Node is in the operator's image, with the client. */
  readonly isNode?: true;
}

/** What scripts/kind/examples.sh makes. */
const IMAGE = process.env['E2E_EXAMPLES_IMAGE'] ?? 'singleton-examples:dev';
const FOLDER = '/examples';

export const EXAMPLES: readonly Example[] = [
  { name: 'node', command: ['node', `${FOLDER}/worker.mjs`], isNode: true },
  { name: 'python', command: ['python3', `${FOLDER}/worker.py`] },
  { name: 'shell', command: ['sh', `${FOLDER}/worker.sh`] },
  { name: 'go', command: ['worker-go'] },
];

const TIMES: Omit<Ship, 'name'> = {
  manners: 'example',
  enforcement: 'Probe',
  leaseSeconds: 10,
  renewSeconds: 2,
  graceSeconds: 2,
};

const CONFIG = 'examples';

/** As if the package were installed beside the example. */
const FILES: Readonly<Record<string, { readonly path: string; readonly text: () => string }>> = {
  worker: {
    path: 'worker.mjs',
    text: () => readFileSync(join(import.meta.dirname, '../../examples/agent/worker.mjs'), 'utf8'),
  },
  package: {
    path: 'node_modules/singleton-operator/package.json',
    text: () => '{"type":"module","exports":{"./client":"./client.js"}}',
  },
  client: { path: 'node_modules/singleton-operator/client.js', text: () => "export * from '/app/client.js';\n" },
};

export const examplesConfig = (namespace: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: CONFIG, namespace },
  data: Object.fromEntries(Object.entries(FILES).map(([key, { text }]) => [key, text()])),
});

const volume = {
  name: 'examples',
  configMap: { name: CONFIG, items: Object.entries(FILES).map(([key, { path }]) => ({ key, path })) },
};

export const examples = (image: string, { url }: Store): readonly Launch[] =>
  EXAMPLES.map(({ name, command, isNode }) => ({
    ...TIMES,
    name,
    targetPort: 8080,
    volumes: isNode === true ? [volume] : [],
    container: {
      name: 'worker',
      image: isNode === true ? image : IMAGE,
      imagePullPolicy: 'IfNotPresent',
      command,
      env: [
        { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        { name: 'WRITE_URL', value: `${url}/write?singleton=${keyOf(name)}&pod=$(POD_NAME)&term=` },
      ],
      ...(isNode === true && { volumeMounts: [{ name: 'examples', mountPath: FOLDER }] }),
      securityContext: { runAsNonRoot: true, runAsUser: 65532, readOnlyRootFilesystem: true },
      resources: { requests: { cpu: '10m', memory: '32Mi' } },
    },
  }));

export async function whyNoExamples(): Promise<string | undefined> {
  try {
    await run('docker', ['image', 'inspect', IMAGE]);
    return undefined;
  } catch {
    return `there is no image ${IMAGE}: scripts/kind/examples.sh makes it`;
  }
}
