/** What the operator asked of the API server, from the audit log of a kind cluster (scripts/kind/audit.sh). */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isWrite, readAudit } from '../control-plane/audit.ts';
import type { AuditedRequest } from '../control-plane/audit.ts';
import type { Cluster } from './cluster.ts';
import { readEndOf, readFileOf } from './faults.ts';
import type { Pod } from './objects.ts';
import { refusedIn } from './rights.ts';
import { shareOf } from './share.ts';
import type { Share } from './share.ts';

const LOG = '/var/log/kubernetes/audit.log';

const isOperator = (user: string): boolean => user.endsWith(':singleton-operator');

export async function audited(cluster: Cluster, fromWallMs = 0): Promise<AuditedRequest[]> {
  const folder = await mkdtemp(join(tmpdir(), 'singleton-e2e-'));
  try {
    const file = join(folder, 'audit.log');
    await writeFile(file, await readFileOf(cluster.controlPlane, LOG));
    return await readAudit(file, { fromWallMs, user: isOperator });
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function refusedRights(cluster: Cluster): Promise<{ asked: number; refused: readonly string[] }> {
  const lines = (await readFileOf(cluster.controlPlane, LOG))
    .split('\n')
    .filter((line) => line.endsWith('}') && line.includes(':singleton-operator"'));
  return { asked: lines.length, refused: refusedIn(lines) };
}

const isLeaderLease = ({ resource, name, verb }: AuditedRequest): boolean =>
  resource === 'leases' && name === 'singleton-operator' && verb === 'patch';

/** Each write that was more than the renewal of the leader's Lease, in words; also a log in which nothing was found. */
export async function auditedWrites(cluster: Cluster, fromWallMs: number, toWallMs: number): Promise<string[]> {
  const requests = (await audited(cluster, fromWallMs)).filter(({ receivedWallMs }) => receivedWallMs < toWallMs);
  const writes = requests.filter(isWrite);
  if (!writes.some(isLeaderLease)) return ['the audit log has no renewal of the leader Lease: it is not complete'];
  return writes
    .filter((request) => !isLeaderLease(request))
    .map(({ verb, resource, subresource, name }) => `wrote: ${verb} ${resource}/${subresource ?? ''} ${name ?? ''}`);
}

/** Enough for some seconds of requests. */
const LAST_LINES = 1_000;

/** The failover of `echo` from `fallen`; undefined when there is no such log, or no failover in it. */
export async function auditedShare(cluster: Cluster, fallen: Pod, sinceWallMs: number): Promise<Share | undefined> {
  if (cluster.noNodeFaults !== undefined) return undefined;
  return shareOf(await readEndOf(cluster.controlPlane, LOG, LAST_LINES), 'echo', fallen.metadata, sinceWallMs);
}
