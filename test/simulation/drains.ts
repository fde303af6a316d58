/** Nodes that are cordoned and drained, and what people do to the PodDisruptionBudget that drains ask. */
import { NODE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { LABEL, ROLE, budgetName } from '../../src/api/names.ts';
import type { KubeObject, Node, Pod } from '../../src/api/objects.ts';
import { USER, seconds } from './fault-words.ts';
import type { Cluster } from './cluster.ts';
import { foreign } from './foreign.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import type { Fault, Targets } from './nemesis.ts';

const cordonNode: Fault = (targets) => {
  const { cluster, chance, engine } = targets;
  const node = chance.pick(cluster.list<Node>(NODE))?.metadata.name;
  if (node === undefined) return undefined;
  const forMs = chance.logBetween(100, 30_000);
  cordon(cluster, node, true);
  engine.after(forMs, () => cordon(cluster, node, false));
  return `somebody cordons ${node} for ${seconds(forMs)}`;
};

export function cordon(cluster: Cluster, name: string, unschedulable: boolean): void {
  const node = cluster.get<Node>(NODE, name);
  if (node !== undefined) cluster.patch(USER, NODE, node, { spec: { unschedulable: unschedulable || null } });
}

/** As kubectl does it: what was refused is asked again after 5 s, and nobody else's pods matter. */
const DRAIN_RETRY_MS = 5_000;

/** Asks each pod on the node to go. @returns how many are left */
export function evictAll(cluster: Cluster, node: string): number {
  const those = cluster.list<Pod>(POD).filter(({ spec }) => spec?.nodeName === node);
  for (const pod of those) if (pod.metadata.deletionTimestamp === undefined) cluster.evict(USER, pod);
  return those.length;
}

/** Gives up when somebody uncordons the node. */
function goOnDraining(targets: Targets, node: string): void {
  const { cluster, engine } = targets;
  if (cluster.get<Node>(NODE, node)?.spec?.unschedulable !== true) return;
  if (evictAll(cluster, node) > 0) engine.after(DRAIN_RETRY_MS, () => goOnDraining(targets, node));
}

const drainNode: Fault = (targets) => {
  const { cluster, chance, engine } = targets;
  const pods = cluster.list<Pod>(POD);
  const active = pods.find(({ metadata }) => metadata.labels?.[LABEL.role] === ROLE.active);
  const node = (active !== undefined && chance.happens(0.7) ? active : chance.pick(pods))?.spec?.nodeName;
  if (node === undefined) return undefined;
  const forMs = chance.logBetween(1_000, 40_000);
  cordon(cluster, node, true);
  // From at once to later than any operator needs for a move.
  engine.after(chance.logBetween(1, 1_000), () => goOnDraining(targets, node));
  engine.after(forMs, () => cordon(cluster, node, false));
  return `somebody drains ${node}, and uncordons it after ${seconds(forMs)}`;
};

const ourBudget =
  (fault: (targets: Targets, budget: KubeObject) => string | undefined): Fault =>
  (targets) => {
    const budget = targets.cluster.get(targets.disruptionBudgets, budgetName(SINGLETON), NAMESPACE);
    return budget && fault(targets, budget);
  };

const deleteBudget = ourBudget(({ cluster, disruptionBudgets }, budget) => {
  cluster.delete(USER, disruptionBudgets, budget);
  return 'somebody deletes the PodDisruptionBudget';
});

const editBudget = ourBudget(({ cluster, chance, disruptionBudgets }, budget) => {
  const edits: object[] = [
    { spec: { minAvailable: 0, maxUnavailable: null } },
    { spec: { minAvailable: null, maxUnavailable: 1 } },
    { spec: { selector: { matchLabels: { [LABEL.term]: String(chance.below(8)) } } } },
    { spec: { selector: { matchLabels: { [LABEL.guarded]: null } } } },
    { spec: { selector: { matchLabels: { more: 'label' } } } },
    { metadata: { labels: { [LABEL.name]: null } } },
    { metadata: { annotations: { note: String(chance.below(100)) } } },
  ];
  const edit = chance.pick(edits) ?? {};
  cluster.patch(USER, disruptionBudgets, budget, edit);
  return `somebody edits the PodDisruptionBudget: ${JSON.stringify(edit)}`;
});

const foreignBudget = foreign({
  type: ({ disruptionBudgets }) => disruptionBudgets,
  kind: 'PodDisruptionBudget',
  name: budgetName(SINGLETON),
  body: { spec: { maxUnavailable: 1 } },
  longestMs: 15_000,
});

const switchBudget: Fault = ({ cluster, chance }) => {
  const singleton = cluster.get(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  if (singleton === undefined) return undefined;
  const disruptionBudget = chance.happens(0.5);
  cluster.patch(USER, SINGLETON_SERVICE, singleton, { spec: { disruptionBudget } });
  return `somebody switches the PodDisruptionBudget ${disruptionBudget ? 'on' : 'off'}`;
};

export const BUDGET_EDITS: readonly Fault[] = [deleteBudget, editBudget];

/** Weight, name, fault. */
export const DRAIN_FAULTS: readonly (readonly [number, string, Fault])[] = [
  [1.5, 'cordonNode', cordonNode],
  [2.5, 'drainNode', drainNode],
  [1, 'deleteBudget', deleteBudget],
  [1.5, 'editBudget', editBudget],
  [0.5, 'foreignBudget', foreignBudget],
  [0.5, 'switchBudget', switchBudget],
];
