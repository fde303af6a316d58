/**
 * What a look at a singleton costs, without a cluster: `node bench/look.ts [OTHER CHECKOUT]`. The look is the one on the
 * path of a failover: an event says that the active is being deleted, the caches take it in, and the plan is to move.
 *
 * The first look of a process, as of an operator that was idle, is told by itself: its code is not compiled yet. Two
 * checkouts take turns, in processes of their own.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { NODE, SINGLETON_SERVICE } from '../src/adapters/kubernetes/resources.ts';
import type { KubeObject, Pod } from '../src/api/objects.ts';
import type * as Decide from '../src/core/decide.ts';
import type * as Invariants from '../src/core/invariants.ts';
import type * as Caches from '../src/operator/caches.ts';
import type * as Memory from '../src/operator/memory.ts';
import type * as Observe from '../src/operator/observe.ts';
import { noMemory } from '../src/core/snapshot.ts';
import { manifest } from '../test/simulation/manifest.ts';
import { World } from '../test/simulation/world.ts';
import { summarize } from './statistics.ts';

const LOOKS = 1_500;
const NOW = { monotonicMs: 1e6, wallMs: Date.UTC(2026, 0, 2) };

type Round = Readonly<{ first: number; warm: number[] }>;
type Cluster = Readonly<Record<string, KubeObject[]>>;

/** A singleton with three members at rest, as the API server has it after a minute; by kind. */
async function aCluster(): Promise<Cluster> {
  const world = new World({ seed: 1, replicas: 1 });
  world.begin();
  world.cluster.create('user', SINGLETON_SERVICE, manifest());
  await world.run(60_000);
  return Object.groupBy([...world.state(), ...world.server.objects(NODE)], ({ kind = '' }) => kind) as Cluster;
}

/** As the Reconciler looks, with the checks before the plan would be carried out. */
async function measure(root: string, cluster: Cluster): Promise<Round> {
  const load = (path: string): Promise<unknown> => import(join(root, path));
  const { decide } = (await load('src/core/decide.ts')) as typeof Decide;
  const { violationsIn, violationsOf } = (await load('src/core/invariants.ts')) as typeof Invariants;
  const { createCaches } = (await load('src/operator/caches.ts')) as typeof Caches;
  const { afterLooking } = (await load('src/operator/memory.ts')) as typeof Memory;
  const { observe } = (await load('src/operator/observe.ts')) as typeof Observe;
  const nothing = (): void => undefined;
  const caches = createCaches({ debug: nothing, info: nothing, warn: nothing, error: nothing });
  const { singletons, pods, services, leases, nodes, slices } = caches;
  const stores = { Pod: pods, Service: services, Lease: leases, Node: nodes, EndpointSlice: slices };
  for (const [kind, store] of Object.entries(stores))
    for (const object of cluster[kind] ?? []) store.apply('ADDED', object);
  const [singleton] = cluster['SingletonService'] ?? [];
  const active = cluster['Pod']?.find(({ metadata }) => Object.values(metadata.labels ?? {}).includes('active'));
  if (singleton === undefined || active === undefined) throw new Error('the simulated cluster has no active');
  singletons.apply('ADDED', singleton);
  const key = `${singleton.metadata.namespace ?? ''}/${singleton.metadata.name}`;
  const recollection = { memory: noMemory, accepted: undefined, deletedUids: new Set(''), lostPods: new Set('') };
  let version = 1e6;
  const activeThat = (is: object): Pod => {
    version += 1;
    const metadata = { ...active.metadata, ...is, resourceVersion: String(version) };
    return JSON.parse(JSON.stringify({ ...active, metadata })) as Pod;
  };
  const look = (): boolean => {
    const seen = observe(key, caches, recollection)?.snapshot;
    if (seen === undefined) return false;
    const snapshot = { ...seen, memory: afterLooking(seen, NOW) };
    const plan = decide(snapshot, NOW);
    const broken = [
      ...violationsIn(snapshot),
      ...violationsOf(plan, snapshot, NOW),
      ...violationsOf(plan, snapshot, NOW),
    ];
    return broken.length === 0 && plan.actions.some(({ kind }) => kind === 'grantLease');
  };
  const times = Array.from({ length: 1 + 2 * LOOKS }, () => {
    pods.apply('MODIFIED', activeThat({}));
    const movesAtRest = look();
    const deleted = activeThat({ deletionTimestamp: '2026-01-02T00:00:00Z' });
    const startMs = performance.now();
    pods.apply('MODIFIED', deleted);
    const moves = look();
    const tookMs = performance.now() - startMs;
    if (movesAtRest || !moves) throw new Error('the looks did not plan what they should');
    return tookMs * 1_000;
  });
  return { first: times[0] ?? Number.NaN, warm: times.slice(1 + LOOKS) };
}

function tell(what: string, microseconds: readonly number[]): void {
  const { min, p50, p99, max } = summarize(microseconds);
  const [least, middle, late, most] = [min, p50, p99, max].map((value) => value.toFixed(0));
  console.log(`  ${what.padEnd(5)} min ${least}  p50 ${middle}  p99 ${late}  max ${most} µs`);
}

const [checkout, measured] = process.argv.slice(2);
if (checkout === '--measure') {
  const cluster = JSON.parse(readFileSync(0, 'utf8')) as Cluster;
  console.log(JSON.stringify(await measure(measured ?? '', cluster)));
} else {
  const roots = [resolve(import.meta.dirname, '..'), ...(checkout === undefined ? [] : [resolve(checkout)])];
  const input = JSON.stringify(await aCluster());
  const child = (root: string): string =>
    execFileSync(process.execPath, [import.meta.filename, '--measure', root], { input, encoding: 'utf8' });
  const rounds = Array.from({ length: 12 }, () => roots.map((root) => JSON.parse(child(root)) as Round));
  for (const [place, root] of roots.entries()) {
    console.log(root);
    tell(
      'first',
      rounds.map((round) => round[place]?.first ?? Number.NaN),
    );
    tell(
      'warm',
      rounds.flatMap((round) => round[place]?.warm ?? []),
    );
  }
  console.log(
    `load ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  );
}
