/** What the operator does while nothing happens: nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isWrite } from '../test/control-plane/audit.ts';
import type { AuditedRequest } from '../test/control-plane/audit.ts';
import type { Usage } from './resources.ts';
import { tally } from './statistics.ts';
import { isOperator, withIdleSingletons } from './world.ts';
import type { World } from './world.ts';

/** After the last change: the operator's own checks of a fresh state are over, its garbage is collected. */
const SETTLE_MS = 10_000;
const AUDIT_LAG_MS = 500;

export interface SteadyResult {
  readonly singletons: number;
  readonly seconds: number;
  /** By verb and resource; its own Lease apart. */
  readonly writes: Readonly<Record<string, number>>;
  readonly writeCount: number;
  /** Reads by verb and resource; a watch is a read when the server ended it in this time. */
  readonly reads: Readonly<Record<string, number>>;
  readonly rssGrowthMb: number;
  readonly usage: Usage;
}

const isOwnLease = ({ resource, name }: AuditedRequest): boolean =>
  resource === 'leases' && name === 'singleton-operator';
const kindOf = ({ verb, resource, subresource }: AuditedRequest): string =>
  `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;

export async function measureSteady(
  world: World,
  singletons: number,
  seconds: number,
  log: (line: string) => void,
): Promise<SteadyResult> {
  await withIdleSingletons(world, singletons);
  await sleep(SETTLE_MS);
  log(`steady state: ${singletons} singletons, ${seconds} s`);
  const fromWallMs = Date.now();
  const stopMeter = world.meter(`steady, ${singletons} singletons`);
  await sleep(seconds * 1000);
  const usage = stopMeter();
  const toWallMs = Date.now();
  await sleep(AUDIT_LAG_MS);
  const requests = (await world.audit({ fromWallMs, toWallMs })).filter(
    (request) => isOperator(request) && !isOwnLease(request),
  );
  const writes = requests.filter(isWrite);
  return {
    singletons,
    seconds,
    writes: tally(writes.map(kindOf)),
    writeCount: writes.length,
    reads: tally(requests.filter((request) => !isWrite(request)).map(kindOf)),
    rssGrowthMb: usage.rssEndMb - usage.rssStartMb,
    usage,
  };
}
