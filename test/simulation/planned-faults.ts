/** What users do that makes a fit active hand over: requests, and other wishes about who is the active. */
import { NODE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION } from '../../src/api/names.ts';
import type { Node, Pod } from '../../src/api/objects.ts';
import { USER } from './fault-words.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import type { Targets } from './nemesis.ts';

const ZONE = 'topology.kubernetes.io/zone';

/** False: there is none now. */
function edit({ cluster }: Targets, patch: object): boolean {
  const singleton = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  return singleton !== undefined && cluster.patch(USER, SINGLETON_SERVICE, singleton, patch);
}

/** Sometimes nonsense, sometimes taken back. */
function aRequest({ chance, cluster }: Targets): string | null {
  const pod = chance.pick(cluster.list<Pod>(POD))?.metadata.name ?? 'nobody';
  return chance.pick(['any', 'any', `slot:${chance.below(4)}`, `slot:${chance.below(4)}`, pod, 'to:any', null]) ?? null;
}

/** Often another one right after it, while the operator takes the first one up. */
export function request(targets: Targets): string {
  const { engine, chance } = targets;
  const asked = [aRequest(targets), ...(chance.happens(0.5) ? [aRequest(targets)] : [])];
  asked.forEach((each, place) => {
    const metadata = { annotations: { [ANNOTATION.switchover]: each } };
    engine.after(place * chance.logBetween(0.5, 50), () => edit(targets, { metadata }));
  });
  return `somebody requests a switchover: ${asked.map((each) => each ?? 'none').join(', then ')}`;
}

export function changeElection(targets: Targets): string | undefined {
  const { chance } = targets;
  const prefer = (zone: string): object => ({
    weight: 1 + chance.below(100),
    preference: { matchExpressions: [{ key: ZONE, operator: 'In', values: [zone] }] },
  });
  const priorities = Array.from({ length: 4 }, () => chance.below(4));
  const choice = chance.pick([{ strategy: 'Priority', priorities }, { strategy: 'Ring' }, { strategy: 'Oldest' }]);
  const election = {
    ...choice,
    preferences: ['zone-a', 'zone-b'].filter(() => chance.happens(0.5)).map(prefer),
    preemption: chance.happens(0.7) ? 'AfterStable' : 'Never',
    stableSeconds: 2 + chance.below(20),
  };
  const switchover = { deadlineSeconds: 1 + chance.below(30) };
  // A merge patch would leave the priorities that a strategy before this one had.
  const spec = { election: { priorities: null, ...election }, switchover };
  return edit(targets, { spec }) ? `somebody changes the election to ${JSON.stringify(election)}` : undefined;
}

export function moveNode({ cluster, chance }: Targets): string | undefined {
  const node = chance.pick(cluster.list<Node>(NODE));
  if (node === undefined) return undefined;
  const zone = chance.pick(['zone-a', 'zone-b', 'zone-c']) ?? '';
  cluster.patch(USER, NODE, node, { metadata: { labels: { [ZONE]: zone } } });
  return `somebody labels ${node.metadata.name} as of ${zone}`;
}
