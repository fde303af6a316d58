/** What must not move anybody, tried out in a world in which nothing else goes wrong: see trials.ts. */
import { LEASE, NODE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, leaseName } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { activeIn, holderIn } from './actives.ts';
import type { Cluster } from './cluster.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import type { Targets } from './nemesis.ts';
import type { World } from './world.ts';

const WITHIN_MS = 60_000;
/** Until Kubernetes has said of the node that it does not know of it, of its pods that they are not Ready, and evicts them. */
const LOST_MS = 70_000;
/** As long as a node is given. Kubernetes itself may give one up in that time, and moves for what it does then are right. */
const SILENT_MS = 30_000;
const ONE_AFTER_ANOTHER_MS = 2_000;

function setFailover(cluster: Cluster, failover: object | null): void {
  const singleton = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  if (singleton !== undefined) cluster.patch('user', SINGLETON_SERVICE, singleton, { spec: { failover } });
}

/** With policy Wait the active's node may be lost for as long as it likes: nobody has proven that the active has stopped. */
export async function waitForProof(world: World, { cluster, kubelets }: Targets): Promise<void> {
  const [holder, node] = [holderIn(cluster), activeIn(cluster)?.spec?.nodeName];
  if (node === undefined) return;
  world.trace.note('trial', `${node} is lost under policy Wait`);
  setFailover(cluster, { nodeLoss: { policy: 'Wait', afterSeconds: 5 } });
  await world.run(2_000);
  kubelets.loseNode(node);
  await world.run(LOST_MS);
  if (holderIn(cluster) !== holder)
    world.violated({ checker: 'node loss', message: `it moved from ${node}, which is lost, without proof` });
  kubelets.recoverNode(node);
  setFailover(cluster, null);
  await world.run(12_000);
  await world.settle(WITHIN_MS);
}

/** Nobody's beats get through for a while. It is not the nodes: nothing moves, also when they come back one after another. */
export async function silenceOfEverybody(world: World, { cluster, kubelets }: Targets): Promise<void> {
  const [holder, node] = [holderIn(cluster), activeIn(cluster)?.spec?.nodeName];
  if (node === undefined) return;
  const names = cluster.list(NODE).map(({ metadata }) => metadata.name);
  world.trace.note('trial', 'no node is heard of for a while');
  for (const name of names) kubelets.loseNode(name);
  await world.run(SILENT_MS);
  for (const name of [...names.filter((other) => other !== node), node]) {
    kubelets.recoverNode(name);
    await world.run(ONE_AFTER_ANOTHER_MS);
  }
  const move =
    cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE)?.metadata.annotations?.[ANNOTATION.move] ?? '';
  if (holderIn(cluster) !== holder && move.includes('"reason":"NodeLost"'))
    world.violated({ checker: 'node loss', message: `it moved from ${node}, which was no more silent than any other` });
  await world.run(12_000);
  await world.settle(WITHIN_MS);
}
