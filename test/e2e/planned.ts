/** Moves that somebody asked for, or whose cause can wait: none of them may cost a request. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import { SWITCHOVER, isReady } from './objects.ts';
import type { Pod } from './objects.ts';
import { apply, kubectl } from './shell.ts';
import { NEW_SERVICE_MS, watching } from './watching.ts';
import type { Measurement } from './watching.ts';
import { NAMESPACE, adoptable, adopting } from './workload.ts';

/** No container starts in a switchover: there is time for more requests. */
const SWITCHOVER_EVERY_MS = 2;

export async function switchedOver(cluster: Cluster): Promise<Measurement> {
  const active = await cluster.settled();
  return watching(cluster, {
    rates: { everyMs: SWITCHOVER_EVERY_MS },
    async during() {
      await kubectl('-n', NAMESPACE, 'annotate', 'singletonservice/echo', `${SWITCHOVER}=any`);
      await cluster.movedFrom(active);
      await cluster.until('the request to be taken away', async () => {
        const { metadata } = await cluster.singleton('echo');
        return metadata.annotations?.[SWITCHOVER] === undefined;
      });
    },
  });
}

/** A new revision of the template; an annotation changes nothing that the pods do. */
const changeTemplate = (round: string) => ({
  spec: { template: { metadata: { annotations: { 'e2e.singleton-operator.io/round': round } } } },
});

export async function rolledOut(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  const before = await cluster.term('echo');
  const old = (await cluster.pods('echo')).map(({ metadata }) => metadata.uid);
  const measured = await watching(cluster, {
    async during() {
      await cluster.change('echo', changeTemplate(String(Date.now())));
      await cluster.until('every member to be replaced', async () => {
        const pods = await cluster.pods('echo');
        return pods.length === 3 && pods.every((pod) => isReady(pod) && !old.includes(pod.metadata.uid));
      });
      await cluster.settled();
    },
  });
  const moves = (await cluster.term('echo')) - before;
  return { ...measured, wrong: moves === 1 ? [] : [`it took ${moves} moves`] };
}

export const workersOf = ({ nodes, controlPlane }: Cluster): string[] => nodes.filter((node) => node !== controlPlane);

/** With the PodDisruptionBudgets in place, of the active and of the operator: `kubectl drain` evicts, and waits for them. */
export async function drainedInTurn(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  return watching(cluster, {
    async during() {
      for (const node of workersOf(cluster)) {
        try {
          await kubectl('drain', node, '--ignore-daemonsets', '--force', '--delete-emptydir-data', '--timeout=90s');
        } finally {
          await kubectl('uncordon', node);
        }
        await cluster.settled();
      }
    },
  });
}

const ADOPTED = 2;

/** Its pods are somebody else's, and so is their number: they are routed to, one at a time, and nothing else. */
export async function adopted(cluster: Cluster): Promise<Measurement> {
  await cluster.settled();
  const name = 'adopted';
  await apply(adoptable(name, ADOPTED, cluster.image), adopting(name));
  const active = await cluster.settled(name, ADOPTED);
  await sleep(NEW_SERVICE_MS);
  const measured = await watching(cluster, {
    name,
    async during() {
      await cluster.removePod(active);
      await cluster.movedFrom(active, name);
      await cluster.settled(name, ADOPTED);
      await kubectl('-n', NAMESPACE, 'rollout', 'restart', `deployment/${name}`);
      await kubectl('-n', NAMESPACE, 'rollout', 'status', `deployment/${name}`, '--timeout=100s');
      await cluster.settled(name, ADOPTED);
    },
  });
  await cluster.removeSingleton(name);
  const orphans = await cluster.until('the pods to stay, and be nobody’s member', async () => {
    const pods = await cluster.pods(name);
    return (await isGone(name)) && pods.filter(isReady).length === ADOPTED ? pods : undefined;
  });
  await kubectl('-n', NAMESPACE, 'delete', `deployment/${name}`, '--wait=false');
  return {
    ...measured,
    wrong: orphans.filter(isNotOfItsDeployment).map(({ metadata }) => `${metadata.name} was not the Deployment's`),
  };
}

const isNotOfItsDeployment = ({ metadata }: Pod): boolean =>
  metadata.ownerReferences?.every(({ kind }) => kind !== 'ReplicaSet') !== false;

async function isGone(name: string): Promise<boolean> {
  return (await kubectl('-n', NAMESPACE, 'get', `service/${name}`, '-o', 'name', '--ignore-not-found')) === '';
}
