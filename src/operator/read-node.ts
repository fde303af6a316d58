/** Brings the caches up to what the API server has of a node now: whether it still beats, and whether it is still there. */
import { LEASE, NODE } from '../adapters/kubernetes/resources.ts';
import { ApiError } from '../adapters/ports.ts';
import type { KubernetesApi } from '../adapters/ports.ts';
import type { Node } from '../api/objects.ts';
import { NODE_LEASE_NAMESPACE } from '../api/names.ts';
import type { Caches } from './caches.ts';
import { readLive } from './execute.ts';

/** Which of it may be read. */
export interface NodeRights {
  readonly leases: boolean;
  readonly nodes: boolean;
}

export async function readNode(
  name: string,
  { api, caches, rights }: { readonly api: KubernetesApi; readonly caches: Caches; readonly rights: NodeRights },
): Promise<void> {
  await Promise.all([
    ...(rights.leases ? [readLease(name, api, caches)] : []),
    ...(rights.nodes ? [readObject(name, api, caches)] : []),
  ]);
}

/** What may not be read is not known, as at the start; that is no reason to move nothing. */
async function readLease(name: string, api: KubernetesApi, caches: Caches): Promise<void> {
  try {
    await readLive(api, LEASE, caches.nodeLeases, { namespace: NODE_LEASE_NAMESPACE, name });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 403) throw error;
  }
}

/** As a list of one: that needs no right that the watch does not need. */
async function readObject(name: string, api: KubernetesApi, { nodes }: Caches): Promise<void> {
  const cached = nodes.get(undefined, name);
  const mark = nodes.mark();
  const { items } = await api.list<Node>(NODE, { fieldSelector: `metadata.name=${name}` });
  for (const node of items) nodes.acceptRead(node, mark);
  if (items.length === 0 && cached !== undefined) nodes.forget(cached);
}
