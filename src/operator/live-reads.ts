/**
 * What a decision rests on, read live before it is carried out: the caches may be old, and a precondition speaks only of the
 * one object that is written (docs/decisions/0008-a-new-leader-reads-before-it-moves.md).
 */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import type { KubernetesApi } from '../adapters/ports.ts';
import { LABEL } from '../api/names.ts';
import type { Pod } from '../api/objects.ts';
import { selectorText } from '../core/label-selector.ts';
import { podOf } from '../core/lease.ts';
import { objectNames } from '../core/objects.ts';
import { activesNode } from '../core/node-loss.ts';
import { isGrant, restsOnLease, restsOnWitnesses } from '../core/plan.ts';
import type { SingletonView } from '../core/snapshot.ts';
import type { Caches, Key } from './caches.ts';
import { readLive } from './execute.ts';
import { readNode } from './read-node.ts';
import type { NodeRights } from './read-node.ts';
import type { Look } from './reconcile.ts';

export interface LiveReadsOptions {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  /** Absent: nothing is known of nodes. */
  readonly nodes?: { readonly rights: NodeRights };
}

type ObjectName = 'singleton' | 'lease' | 'service';

interface Rests {
  readonly objects: readonly ObjectName[];
  readonly pods: readonly string[];
  /** On members, too, that nobody has told of yet. */
  readonly everything: boolean;
}

export class LiveReads {
  readonly #options: LiveReadsOptions;
  /**
   * Singletons of which everything was read live since this replica leads, and no answer was lost since: what the caches
   * say of them is what this replica made of them. (Watches of pods and Leases tell of one move at different times.)
   */
  readonly #sure = new Set<Key>();

  constructor(options: LiveReadsOptions) {
    this.#options = options;
  }

  /** Others wrote until now. */
  distrustAll(): void {
    this.#sure.clear();
  }

  /** A write of ours may have landed, or may yet. */
  distrust(key: Key): void {
    this.#sure.delete(key);
  }

  /**
   * Reads and looks again until all that the last look's plan rests on has been read. What is read may name more.
   *
   * @param look undefined: the singleton is gone
   */
  async under(key: Key, first: Look, look: () => Look | undefined): Promise<Look | undefined> {
    const read = this.#readsOf(key, first.snapshot.singleton);
    const done = new Set<string>();
    let hasReadAll = false;
    let last: Look | undefined = first;
    while (last !== undefined) {
      const { objects, pods, everything } = restsOn(last);
      const nodes = this.#options.nodes === undefined ? [] : nodesRestedOn(last);
      if (!hasReadAll && objects.length > 0 && (everything || !this.#sure.has(key))) {
        hasReadAll = true;
        for (const what of await this.#readAll(key, last)) done.add(what);
      } else {
        const missing = {
          objects: objects.filter((object) => !done.has(object)),
          pods: pods.filter((pod) => !done.has(podNamed(pod))),
          nodes: nodes.filter((node) => !done.has(nodeNamed(node))),
        };
        const names = [...missing.objects, ...missing.pods.map(podNamed), ...missing.nodes.map(nodeNamed)];
        if (names.length === 0) return last;
        const reads = missing.objects.map((object) => read[object]());
        await Promise.all([...reads, ...missing.pods.map(read.pod), ...missing.nodes.map(read.node)]);
        for (const what of names) done.add(what);
      }
      last = look();
    }
    return undefined;
  }

  /** All there is of the singleton, with pods that no cache knows yet. Returns what was read, as `under` names it. */
  async #readAll(key: Key, { snapshot, plan }: Look): Promise<string[]> {
    const { singleton, members, strangers } = snapshot;
    const read = this.#readsOf(key, singleton);
    const [listed] = await Promise.all([read.pods(), read.singleton(), read.lease(), read.service()]);
    const names = new Set([...members, ...strangers].map(({ pod }) => pod));
    const others = known([...names, plan.actions.find(isGrant)?.from]).filter((pod) => !listed.includes(pod));
    await Promise.all(others.map(read.pod));
    this.#sure.add(key);
    return ['singleton', 'lease', 'service', ...[...listed, ...others].map(podNamed)];
  }

  #readsOf(key: Key, singleton: SingletonView) {
    const { namespace, name } = singleton;
    const { api, caches, nodes: { rights } = { rights: { leases: false, nodes: false } } } = this.#options;
    const names = objectNames(name);
    return {
      // It may have been paused, or scaled, and the watch may not have told yet.
      singleton: () => readLive(api, SINGLETON_SERVICE, caches.singletons, { namespace, name }),
      lease: () => readLive(api, LEASE, caches.leases, { namespace, name: names.lease }),
      service: () => readLive(api, SERVICE, caches.services, { namespace, name: names.service }),
      pod: (pod: string) => readLive(api, POD, caches.pods, { namespace, name: pod }),
      node: (node: string) => readNode(node, { api, caches, rights }),
      /** Their names. One whose name label was taken away is not among them. */
      pods: async (): Promise<string[]> => {
        const mark = caches.pods.mark();
        const selectors = [`${LABEL.name}=${name}`, ...this.#adoptedSelectors(key, singleton)];
        const pages = await Promise.all(
          selectors.map((labelSelector) => api.list<Pod>(POD, { namespace, labelSelector })),
        );
        const items = pages.flatMap((page) => page.items);
        for (const pod of items) caches.pods.acceptRead(pod, mark);
        return items.map(({ metadata }) => metadata.name);
      },
    };
  }

  /** Of pods that may not carry the name yet: by the spec in force, and by one that is not (yet). */
  #adoptedSelectors(key: Key, { spec }: SingletonView): string[] {
    const inForce = spec?.selector;
    const written = this.#options.caches.pods.adoptionOf(key)?.text;
    const texts = [inForce === undefined ? undefined : selectorText(inForce), written];
    return [...new Set(texts)].filter((text) => text !== undefined);
  }
}

/** What must not be old for the plan to be right; nothing, when each of its actions has a precondition that says it all. */
function restsOn(look: Look): Rests {
  const rests = movesRestOn(look);
  // A second member of a slot rests on there being no other, in any slot; and a creation has no precondition.
  if (surgeOf(look) === undefined) return rests;
  return { ...rests, objects: [...new Set<ObjectName>([...rests.objects, 'singleton', 'lease'])], everything: true };
}

function surgeOf({ plan: { actions } }: Look): 'rollout' | 'drain' | undefined {
  const [first] = actions.flatMap((action) => (action.kind === 'createPod' ? [action.surge] : [])).filter(Boolean);
  return first;
}

function movesRestOn({ snapshot, plan: { actions } }: Look): Rests {
  const { lease, members, singleton } = snapshot;
  if (actions.some(restsOnWitnesses)) {
    const pods = [...members.map(({ pod }) => pod), singleton.status?.active?.pod];
    return { objects: ['singleton', 'lease', 'service'], pods: known(pods), everything: true };
  }
  if (!actions.some(restsOnLease)) return { objects: [], pods: [], everything: false };
  const grant = actions.find(isGrant);
  const successors = actions.map((action) => (action.kind === 'deletePod' ? action.successor : undefined));
  const pods = grant === undefined ? [lease?.move?.from, readableName(lease?.holder)] : [grant.from, grant.to.pod];
  return { objects: ['singleton', 'lease'], pods: known([...pods, ...successors]), everything: false };
}

/**
 * Nodes in trouble, when somebody is given up or chosen: the watch of their beats may be silent, not they. And with policy
 * Wait the node of the active: Kubernetes says of the pods of a lost node that they are not Ready, and the watch of pods
 * may tell that before the watch of nodes tells why. A planned move is made for what a node says of itself, too: that it is
 * drained, or preferred; nobody must be moved for what is over. Nor must a second member be made for a drain that is over, or
 * whose end somebody else could wait for.
 */
function nodesRestedOn(look: Look): string[] {
  const { snapshot, plan } = look;
  const { actions } = plan;
  const { nodeLoss, singleton } = snapshot;
  const gives = actions.some(({ kind }) => kind === 'grantLease' || kind === 'createPod' || kind === 'deletePod');
  if (!gives) return [];
  const grant = actions.find(isGrant);
  const isPlanned = grant?.move.kind === 'Switchover';
  const waits = singleton.spec?.failover.nodeLoss.policy === 'Wait' && grant !== undefined;
  const target = snapshot.members.find(({ uid }) => uid === grant?.to.uid)?.node;
  return known([
    ...Object.keys(nodeLoss.nodes),
    isPlanned || waits ? activesNode(snapshot) : undefined,
    isPlanned ? target : undefined,
    ...(surgeOf(look) === 'drain' ? snapshot.members.map(({ node }) => node) : []),
  ]);
}

const known = (pods: readonly (string | undefined)[]): string[] => [
  ...new Set(pods.filter((pod) => pod !== undefined)),
];

const podNamed = (pod: string): string => `pod ${pod}`;
const nodeNamed = (node: string): string => `node ${node}`;

/** Undefined for a holder that can't be a pod's name: the server would refuse to look for it. */
function readableName(holder = ''): string | undefined {
  const pod = podOf(holder);
  return /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(pod) ? pod : undefined;
}
