/**
 * What a test file gets: a namespace and hollow nodes of its own on a control plane that it may share with others.
 *
 * The hollow kubelets run in the test file's own process, not in that of the global setup: commands such as `crash` and
 * functions such as a ready gate are then plain calls, and need no protocol between processes. So that files can run at
 * once without getting each other's pods, a file's namespaces are bound to its nodes by the admission plugin
 * PodNodeSelector; the pods' makers do not notice.
 *
 * Faults of the control plane itself (`apiServer.freeze()` …) need one of their own: `startControlPlane()`. A bad
 * network between one client and a shared API server is made with a `FaultProxy`.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlPlane } from './control-plane.ts';
import { kubeconfig } from './credentials.ts';
import { startHollowNodes } from './hollow-nodes.ts';
import type { HollowNodes, HollowNodesOptions } from './hollow-nodes.ts';
import type { Lacks } from './needs.ts';
import { hasStatus, restClient } from './rest-client.ts';
import type { RestClient } from './rest-client.ts';

/** What other processes need to know of a control plane; goes through `provide` and `inject` of vitest. */
export interface SharedControlPlane {
  /** Of the admin. */
  readonly kubeconfigPath: string;
  readonly server: string;
  /** Undefined where it can't be reached. */
  readonly etcdServer: string | undefined;
  readonly ca: string;
  readonly tokens: Readonly<Record<string, string>>;
  readonly auditLogPath: string;
  readonly kubectlPath: string;
  /** 20 for v1.20.2. */
  readonly minorVersion: number;
  /** For `needing` in needs.ts. */
  readonly lacks: Lacks;
}

declare module 'vitest' {
  export interface ProvidedContext {
    controlPlane: SharedControlPlane;
  }
}

export const share = (controlPlane: ControlPlane): SharedControlPlane => {
  const { kubeconfigPath, server, etcdServer, ca, tokens, auditLogPath, binaries } = controlPlane;
  const { path, minorVersion } = binaries;
  return {
    kubeconfigPath,
    server,
    etcdServer,
    ca,
    tokens: { ...tokens },
    auditLogPath,
    kubectlPath: path.kubectl,
    minorVersion,
    lacks: {},
  };
};

export interface Suite {
  readonly controlPlane: SharedControlPlane;
  /** The admin's. */
  readonly api: RestClient;
  /** `node-a-<suite>`, `node-b-<suite>`, … */
  readonly nodes: HollowNodes;
  /** The first one. */
  readonly namespace: string;
  /** A further namespace whose pods go to this suite's nodes. */
  createNamespace(): Promise<string>;
  /** @param server another address for the same API server: a `FaultProxy`'s. @returns a path */
  kubeconfigWith(token: string, server?: string): string;
  /** Removes nodes, pods and namespaces. (Namespaces vanish a little later, when the controllers have emptied them.) */
  leave(): Promise<void>;
}

const SUITE_LABEL = 'singleton-test/suite';
const DEFAULT_NODES = ['node-a', 'node-b', 'node-c'];

/** @param options as for `startHollowNodes`, with names that are made unique by the suite's identifier. */
export async function enterSuite(controlPlane: SharedControlPlane, options: HollowNodesOptions = {}): Promise<Suite> {
  const id = randomBytes(3).toString('hex');
  const api = restClient({ ...controlPlane, token: controlPlane.tokens['admin'] ?? '' });
  const names = options.names ?? (options.count === undefined ? DEFAULT_NODES : numbered(options.count));
  const nodes = await startHollowNodes(api, {
    ...options,
    names: names.map((name) => `${name}-${id}`),
    labels: { ...options.labels, [SUITE_LABEL]: id },
  });
  const directory = mkdtempSync(join(tmpdir(), 'singleton-suite-'));
  const namespaces: string[] = [];
  const createNamespace = async (): Promise<string> => {
    const name = `suite-${id}-${namespaces.length + 1}`;
    const annotations = { 'scheduler.alpha.kubernetes.io/node-selector': `${SUITE_LABEL}=${id}` };
    await api.create('/api/v1/namespaces', { metadata: { name, annotations } });
    namespaces.push(name);
    return name;
  };
  let kubeconfigs = 0;
  return {
    controlPlane,
    api,
    nodes,
    namespace: await createNamespace(),
    createNamespace,
    kubeconfigWith(token, server = controlPlane.server) {
      const path = join(directory, `${++kubeconfigs}.kubeconfig`);
      writeFileSync(path, kubeconfig({ server, ca: controlPlane.ca, token }), { mode: 0o600 });
      return path;
    },
    async leave() {
      // First the namespaces: while they are going, controllers make no new pods in them.
      await Promise.all(namespaces.map((name) => deleteNamespace(api, name)));
      await nodes.remove();
      api.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A test may have deleted it itself. */
async function deleteNamespace(api: RestClient, name: string): Promise<void> {
  await api.delete(`/api/v1/namespaces/${name}`).catch((error: unknown) => {
    if (!hasStatus(error, 404)) throw error;
  });
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `node-${index + 1}`);
