/**
 * Nodes of a kind cluster share the machine's cores. One that would have its own elsewhere, and is no part of the fault, comes
 * before those in which a container is started.
 */
import type { Cluster } from './cluster.ts';
import { workersOf } from './planned.ts';
import { run } from './shell.ts';

/** What a node has by default; what the control plane's has (scripts/kind/up.sh); less, while another is preferred. */
const WEIGHT = { equal: 1024, first: 8192, later: 512 };

export async function preferLeader(cluster: Cluster): Promise<void> {
  const node = (await cluster.leader())?.spec.nodeName;
  if (node !== undefined) await weigh(cluster, (worker) => (worker === node ? WEIGHT.first : WEIGHT.later));
}

export const preferNobody = (cluster: Cluster): Promise<void> => weigh(cluster, () => WEIGHT.equal);

async function weigh(cluster: Cluster, weightOf: (worker: string) => number): Promise<void> {
  if (cluster.noNodeFaults !== undefined) return;
  for (const worker of workersOf(cluster))
    await run('docker', ['update', '--cpu-shares', String(weightOf(worker)), worker]);
}
