/**
 * Small trials of a world that is in order and in which nothing else goes wrong: what people edit is put right, an active
 * that fails for good is replaced, who is asked for is moved to, and what is nobody's business makes nobody write. In the midst of many faults the next
 * move would hide that such a thing is not done.
 */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, KIND, LABEL, leaseName, serviceName } from '../../src/api/names.ts';
import type { Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { controllerOf } from '../../src/operator/views.ts';
import { activeIn, holderIn, identityOf } from './actives.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import { cordon, evictAll } from './drains.ts';
import { EDITS } from './nemesis.ts';
import type { Targets } from './nemesis.ts';
import { silenceOfEverybody, waitForProof } from './node-trials.ts';
import { isBarred, isUp } from './preferred.ts';
import type { World } from './world.ts';

const WITHIN_MS = 60_000;
const FOR_GOOD_MS = 3_600_000;
/** 30 s by the policy, and a minute of backoff for a replacement that was brought to the same node. */
const GIVEN_UP_WITHIN_MS = 110_000;

type Trial = (world: World, targets: Targets) => Promise<void>;

/** Nobody writes because of a label that is not ours. */
const harmless: Trial = async (world, { chance, cluster }) => {
  // After another trial the counts in the status may be written a moment later.
  await world.run(2_000);
  const labels = { 'somebody.else/label': String(chance.below(1e6)) };
  const objects = [
    [POD, chance.pick(cluster.list<Pod>(POD))],
    [SERVICE, cluster.get(SERVICE, serviceName(SINGLETON), NAMESPACE)],
    [LEASE, cluster.get(LEASE, leaseName(SINGLETON), NAMESPACE)],
  ] as const;
  const [type, object] = chance.pick(objects) ?? [];
  if (type === undefined || object === undefined) return;
  world.trace.note('trial', `somebody labels ${object.metadata.name}, which is theirs to do`);
  world.isAtRest = true;
  cluster.patch('user', type, object, { metadata: { labels } });
  await world.run(3_000);
  world.isAtRest = false;
};

const edit: Trial = async (world, targets) => {
  const what = targets.chance.pick(EDITS)?.(targets);
  if (what === undefined) return;
  world.trace.note('trial', what);
  await world.run(2_000);
  await world.settle(WITHIN_MS);
};

/** It hangs, or does not come up again: somebody else is the active soon, and all is told as it is. */
const failure: Trial = async (world, { chance, cluster, kubelets, replicas }) => {
  const active = activeIn(cluster);
  if (active === undefined) return;
  const isHanging = chance.happens(0.5);
  world.trace.note('trial', `${active.metadata.name} ${isHanging ? 'hangs' : 'crashes'} for good`);
  if (isHanging) kubelets.hang(active, FOR_GOOD_MS);
  else kubelets.crash(active, 1, FOR_GOOD_MS);
  const leader = replicas.length > 1 && chance.happens(0.5) ? replicas.find(({ isLeading }) => isLeading) : undefined;
  leader?.crash();
  await world.run(2_000);
  world.unwell.add(active.metadata.uid);
  await world.settle(WITHIN_MS);
  world.unwell.clear();
  leader?.start();
  kubelets.healAll();
  await world.run(2_000);
  await world.settle(WITHIN_MS);
};

/** A machine dies: its members are replaced elsewhere, the active first of all, though their pods can't be gone. */
const nodeLoss: Trial = async (world, { chance, cluster, kubelets }) => {
  const pods = () =>
    cluster
      .list<Pod>(POD)
      .filter((pod) => controllerOf(pod)?.kind === KIND && pod.metadata.labels?.[LABEL.name] !== undefined);
  const node = chance.pick(pods())?.spec?.nodeName;
  const wanted = pods().length;
  if (node === undefined) return;
  world.trace.note('trial', `${node} dies`);
  kubelets.loseNode(node);
  await world.run(GIVEN_UP_WITHIN_MS);
  const elsewhere = pods().filter(
    ({ spec, metadata }) => spec?.nodeName !== node && metadata.deletionTimestamp === undefined,
  );
  const holder = holderIn(cluster);
  const isMoved = elsewhere.some((pod) => identityOf(pod) === holder);
  if (!isMoved) world.violated({ checker: 'node loss', message: `${node} is lost, and the active is still on it` });
  if (elsewhere.length !== wanted)
    world.violated({ checker: 'node loss', message: `${elsewhere.length} of ${wanted} members are not on ${node}` });
  kubelets.recoverNode(node);
  await world.run(12_000);
  await world.settle(WITHIN_MS);
};

/**
 * The node of the active is drained, as kubectl does it: the drain finishes, and nothing moves back when the node is
 * uncordoned. One member alone has nobody to hand over to: its drain waits.
 */
const drain: Trial = async (world, { cluster, chance }) => {
  const active = activeIn(cluster);
  const node = active?.spec?.nodeName;
  if (node === undefined || cluster.list(POD).length < 2) return;
  world.trace.note('trial', `${node} is drained, with the active ${active?.metadata.name} on it`);
  cordon(cluster, node, true);
  await world.run(chance.logBetween(1, 1_000));
  const untilMs = world.engine.nowMs + WITHIN_MS;
  while (evictAll(cluster, node) > 0 && world.engine.nowMs < untilMs && !world.engine.isStopped) await world.run(5_000);
  if (evictAll(cluster, node) > 0) world.violated({ checker: 'I6', message: `the drain of ${node} does not finish` });
  const drained = await world.settle(WITHIN_MS);
  cordon(cluster, node, false);
  await world.run(2_000);
  const later = await world.settle(WITHIN_MS);
  if (later !== drained)
    world.violated({ checker: 'I6', message: `${drained} was the active, and after the uncordon it is ${later}` });
};

/** Somebody asks for a member that is Ready, and gets it. */
const request: Trial = async (world, { chance, cluster }) => {
  const holder = holderIn(cluster);
  const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  const members = cluster
    .list<Pod>(POD)
    .filter(
      (pod) => controllerOf(pod)?.uid === singleton?.metadata.uid && pod.metadata.labels?.[LABEL.name] === SINGLETON,
    );
  const target = chance.pick(
    members.filter((pod) => isUp(pod) && !isBarred(cluster, pod) && identityOf(pod) !== holder),
  );
  if (target === undefined || singleton === undefined || isHurried(singleton)) return;
  const asked = chance.happens(0.3) ? 'any' : target.metadata.name;
  world.trace.note('trial', `somebody requests a switchover to ${asked}`);
  cluster.patch('user', SINGLETON_SERVICE, singleton, {
    metadata: { annotations: { [ANNOTATION.switchover]: asked } },
  });
  const active = await world.settle(WITHIN_MS);
  const told = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE)?.status?.switchover;
  const isRight = asked === 'any' ? active !== holder : active === identityOf(target);
  if (active !== undefined && (!isRight || told?.request !== asked || told.outcome !== 'Completed'))
    world.violated({ checker: 'I6', message: `asked for ${asked}, got ${active}, told ${JSON.stringify(told)}` });
};

/** Its switchovers may be rolled back by nobody's fault: EndpointSlices are written up to a second late. */
const isHurried = ({ spec }: SingletonService): boolean =>
  ((spec as { switchover?: { deadlineSeconds?: number } } | undefined)?.switchover?.deadlineSeconds ?? 30) < 3;

const TRIALS: readonly Trial[] = [
  harmless,
  edit,
  edit,
  failure,
  nodeLoss,
  waitForProof,
  silenceOfEverybody,
  drain,
  request,
];

export async function tryOut(world: World, targets: Targets, count: number): Promise<void> {
  for (let tried = 0; tried < count && !world.engine.isStopped; tried += 1)
    await targets.chance.pick(TRIALS)?.(world, targets);
}
