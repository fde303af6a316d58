/** What happens to nodes, and what people say of them. */
import { NODE } from '../../src/adapters/kubernetes/resources.ts';
import { NO_FAILOVER, OUT_OF_SERVICE } from '../../src/api/names.ts';
import type { Node } from '../../src/api/objects.ts';
import { USER, seconds } from './fault-words.ts';
import type { Fault } from './nemesis.ts';

export const loseNode: Fault = ({ cluster, kubelets, engine, chance }) => {
  const node = chance.pick(cluster.list<Node>(NODE));
  if (node === undefined || kubelets.lostNodes.size > 0) return undefined;
  const { name } = node.metadata;
  const forMs = chance.logBetween(1_000, 150_000);
  engine.after(forMs, kubelets.loseNode(name));
  return `${name} is gone for ${seconds(forMs)}`;
};

/** Of a switch, or of the way to the API server. */
export const loseNodes: Fault = ({ cluster, kubelets, engine, chance }) => {
  const nodes = cluster.list<Node>(NODE).filter(({ metadata }) => !kubelets.lostNodes.has(metadata.name));
  const names = nodes.map(({ metadata }) => metadata.name).filter(() => chance.happens(0.8));
  const forMs = chance.logBetween(5_000, 100_000);
  for (const name of names) engine.after(forMs, kubelets.loseNode(name));
  return `${names.join(' and ')} are gone for ${seconds(forMs)}`;
};

/** Somebody vouches for a lost node. (It may be wrong: that is theirs to answer for.) */
export const attestNode: Fault = ({ cluster, kubelets, engine, chance }) => {
  const name = chance.pick([...kubelets.lostNodes]);
  const node = name === undefined ? undefined : cluster.get<Node>(NODE, name);
  if (name === undefined || node === undefined) return undefined;
  if (chance.happens(0.4)) {
    cluster.delete(USER, NODE, node);
    return `somebody deletes the Node object of ${name}`;
  }
  const taints = [{ key: OUT_OF_SERVICE, effect: 'NoExecute' }];
  cluster.patch(USER, NODE, node, { spec: { taints } });
  engine.after(chance.logBetween(5_000, 60_000), () => {
    const now = cluster.get(NODE, name);
    if (now !== undefined) cluster.patch(USER, NODE, now, { spec: { taints: null } });
  });
  return `somebody says that ${name} is out of service`;
};

export const labelNode: Fault = ({ cluster, chance }) => {
  const node = chance.pick(cluster.list<Node>(NODE));
  if (node === undefined) return undefined;
  const is = node.metadata.labels?.[NO_FAILOVER] === 'true';
  cluster.patch(USER, NODE, node, { metadata: { labels: { [NO_FAILOVER]: is ? null : 'true' } } });
  return `somebody ${is ? 'takes no-failover from' : 'marks no-failover'} ${node.metadata.name}`;
};
