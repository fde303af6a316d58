/** Who is the active, as the Lease says. */
import { LEASE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { holderIdentity, leaseName } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import type { Cluster } from './cluster.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';

export const identityOf = ({ metadata }: Pick<Pod, 'metadata'>): string => holderIdentity(metadata.name, metadata.uid);

/** Undefined or empty: nobody. */
export const holderIn = (cluster: Cluster): string | undefined =>
  cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE)?.spec?.holderIdentity ?? undefined;

export function activeIn(cluster: Cluster): Pod | undefined {
  const holder = holderIn(cluster);
  return cluster.list<Pod>(POD).find((pod) => identityOf(pod) === holder);
}
