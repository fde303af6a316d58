/** Where the demo runs: a control plane of its own with hollow nodes, or the cluster that KUBECONFIG names. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { startControlPlane } from '../test/control-plane/control-plane.ts';
import { startHollowNodes } from '../test/control-plane/hollow-nodes.ts';
import { restClientFromKubeconfig } from '../test/control-plane/rest-client.ts';
import type { RestClient } from '../test/control-plane/rest-client.ts';

const run = promisify(execFile);

export interface DemoCluster {
  readonly kubeconfigPath: string;
  readonly kubectlPath: string;
  readonly api: RestClient;
  readonly description: string;
  /** Makes the pod's process end, as a crash would. Resolves with the wall-clock time at which the API server knew of it, if this can be told. */
  kill(namespace: string, pod: string): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** Starts etcd, API server, controllers, scheduler and three hollow nodes on loopback ports. */
export async function ownCluster(): Promise<DemoCluster> {
  const controlPlane = await startControlPlane();
  const nodes = await startHollowNodes(controlPlane.kubeconfigPath, { count: 3, stopDelayMs: 1_500 });
  return {
    kubeconfigPath: controlPlane.kubeconfigPath,
    kubectlPath: controlPlane.binaries.path.kubectl,
    api: controlPlane.api,
    description: `${controlPlane.binaries.source}, ready after ${(controlPlane.startupMs / 1000).toFixed(1)} s, with 3 nodes without machines`,
    async kill(namespace, name) {
      const timing = await nodes.crash({ namespace, name }, { restartAfterMs: 2_000 });
      return timing.answered.wallMs;
    },
    async stop() {
      nodes.stop();
      await controlPlane.stop();
    },
  };
}

/** The cluster of a kubeconfig: real kubelets, so that a crash is known up to a second after it happened. */
export async function existingCluster(kubeconfigPath: string): Promise<DemoCluster> {
  const kubectl = (...args: string[]) => run('kubectl', ['--kubeconfig', kubeconfigPath, ...args]);
  await kubectl('get', 'namespace', 'default');
  return {
    kubeconfigPath,
    kubectlPath: 'kubectl',
    api: restClientFromKubeconfig(kubeconfigPath),
    description: `the cluster of ${kubeconfigPath}`,
    async kill(namespace, pod) {
      // A container's first process ignores signals that it does not handle; the sample handles SIGTERM and exits.
      await kubectl('exec', '-n', namespace, pod, '--', 'node', '-e', "process.kill(1, 'SIGTERM')").catch(
        () => undefined,
      );
      return undefined;
    },
    stop: () => Promise.resolve(),
  };
}
