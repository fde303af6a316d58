/**
 * Creation of many singletons at once, against as many StatefulSets with a headless Service each, made by
 * kube-controller-manager on the same control plane; in turns, so that both meet the same machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isWrite } from '../test/control-plane/audit.ts';
import type { AuditedRequest } from '../test/control-plane/audit.ts';
import { MEMBERS, PATH, headlessService, isReady, singleton, statefulSet } from './objects.ts';
import type { Sample } from './operator-process.ts';
import type { Usage } from './resources.ts';
import { median, tally } from './statistics.ts';
import { isOperator, namespaceOf, routedPod, withIdleSingletons } from './world.ts';
import type { World } from './world.ts';

const KINDS = ['singletons', 'statefulSets'] as const;
export type SetKind = (typeof KINDS)[number];

export interface CreationRun {
  readonly kind: SetKind;
  readonly round: number;
  /** From the first request to the last of all pods being Ready and, for singletons, an active routed in each. */
  readonly settledMs: number;
  readonly podsReadyMs: number;
  /** Write requests of everybody, by user, from the first request to the settled state. */
  readonly writesByUser: Readonly<Record<string, number>>;
  readonly usage: Usage;
}

export interface CreationResult {
  readonly count: number;
  readonly runs: readonly CreationRun[];
  /** Singletons' time by StatefulSets', round by round. */
  readonly ratios: readonly number[];
  readonly ratio: number;
  /** Of all rounds together: looks that ended early, by reason; requests that the server refused, by kind and code. */
  readonly reconcileErrors: Readonly<Record<string, number>>;
  readonly refusedRequests: Readonly<Record<string, number>>;
  readonly requests: number;
  /** Lines of the operator's log at level warn or error. */
  readonly complaints: readonly string[];
}

export async function measureCreation(
  world: World,
  count: number,
  rounds: number,
  log: (line: string) => void,
): Promise<CreationResult> {
  await withIdleSingletons(world, 0);
  const complaintsBefore = world.operator.complaints().length;
  const before = await world.operator.metrics();
  const runs: CreationRun[] = [];
  for (let round = 1; round <= rounds; round++) {
    // Neither is always the first.
    for (const kind of round % 2 === 1 ? KINDS : KINDS.toReversed()) {
      const run = await createOnce(world, kind, round, count);
      runs.push(run);
      log(`creation, round ${round} of ${rounds}: ${count} ${kind} in ${(run.settledMs / 1000).toFixed(2)} s`);
    }
  }
  const after = await world.operator.metrics();
  const ratios = ratiosOf(runs);
  const requests = increase(before, after, 'singleton_api_requests_total', ['verb', 'resource', 'code']);
  return {
    count,
    runs,
    ratios,
    ratio: median(ratios),
    reconcileErrors: increase(before, after, 'singleton_reconcile_errors_total', ['reason']),
    refusedRequests: Object.fromEntries(Object.entries(requests).filter(([kind]) => isRefused(kind))),
    requests: Object.values(requests).reduce((sum, value) => sum + value, 0),
    complaints: world.operator.complaints().slice(complaintsBefore),
  };
}

function ratiosOf(runs: readonly CreationRun[]): number[] {
  const timeOf = (kind: SetKind, round: number): number =>
    runs.find((run) => run.kind === kind && run.round === round)?.settledMs ?? Number.NaN;
  const rounds = [...new Set(runs.map(({ round }) => round))];
  return rounds.map((round) => timeOf('singletons', round) / timeOf('statefulSets', round));
}

/** How far a counter went up, for each combination of its labels that did. */
function increase(
  before: readonly Sample[],
  after: readonly Sample[],
  name: string,
  labels: readonly string[],
): Record<string, number> {
  const read = (samples: readonly Sample[]): Map<string, number> =>
    new Map(
      samples
        .filter((sample) => sample.name === name)
        .map((sample) => [labels.map((label) => sample.labels[label] ?? '').join(' '), sample.value]),
    );
  const old = read(before);
  const changes = [...read(after)].map(([key, value]): [string, number] => [key, value - (old.get(key) ?? 0)]);
  return Object.fromEntries(changes.filter(([, change]) => change > 0));
}

const AUDIT_LAG_MS = 500;

async function createOnce(world: World, kind: SetKind, round: number, count: number): Promise<CreationRun> {
  const namespace = await namespaceOf(world, `${kind.toLowerCase()}-${round}`);
  const names = Array.from({ length: count }, (_, index) => `set-${index}`);
  const { changes, clock } = world;
  // What controllers make for a new namespace is not to be timed.
  await sleep(1_000);
  clock.calibrate();
  const stopMeter = world.meter(`creation of ${count} ${kind}, round ${round}`);
  const beginMs = clock.now();
  const allReady = changes.when(
    'all pods to be Ready',
    () => world.pods.inNamespace(namespace).filter(isReady).length === count * MEMBERS,
  );
  const created = Promise.all(names.map((name) => create(world, kind, namespace, name)));
  const [readyAtMs] = await Promise.all([allReady, created]);
  const settledAtMs = await changes.when(
    'an active in each',
    () => kind === 'statefulSets' || names.every((name) => routedPod(world, namespace, name) !== undefined),
  );
  const usage = stopMeter();
  await sleep(AUDIT_LAG_MS);
  const requests = await world.audit({ fromWallMs: beginMs, toWallMs: settledAtMs });
  await removeAll(world, kind, namespace, names);
  return {
    kind,
    round,
    settledMs: settledAtMs - beginMs,
    podsReadyMs: readyAtMs - beginMs,
    writesByUser: tally(requests.filter(isWrite).map(shortUser)),
    usage,
  };
}

const shortUser = (request: AuditedRequest): string =>
  isOperator(request)
    ? 'operator'
    : request.user.replace('system:serviceaccount:kube-system:', '').replace('system:', '');

async function create({ api }: World, kind: SetKind, namespace: string, name: string): Promise<void> {
  if (kind === 'singletons') return void (await api.create(PATH.singletons(namespace), singleton(name)));
  await api.create(PATH.services(namespace), headlessService(name));
  await api.create(PATH.statefulSets(namespace), statefulSet(name));
  return undefined;
}

const REST_MS = 3_000;

/** Waits until nothing of them is left to be cleaned up beside the next run. */
async function removeAll(world: World, kind: SetKind, namespace: string, names: readonly string[]): Promise<void> {
  const { api, changes, pods, slices, singletons } = world;
  await Promise.all(
    names.map(async (name) => {
      if (kind === 'singletons') return api.delete(`${PATH.singletons(namespace)}/${name}`);
      await api.delete(`${PATH.statefulSets(namespace)}/${name}`);
      return api.delete(`${PATH.services(namespace)}/${name}`);
    }),
  );
  const left = (): string[] =>
    [...singletons.inNamespace(namespace), ...pods.inNamespace(namespace), ...slices.inNamespace(namespace)].map(
      ({ kind = 'object', metadata }) =>
        `${kind} ${metadata.name}${metadata.deletionTimestamp === undefined ? '' : ' (terminating)'}`,
    );
  const what = () => `all in ${namespace} to be gone; left are ${left().length}: ${left().slice(0, 10).join(', ')}`;
  await changes.when(what, () => left().length === 0);
  await sleep(REST_MS);
}

/** Before a first Lease is made it is looked for, as is the Service: that there is none is an answer, not a refusal. */
const isRefused = (kind: string): boolean => !/ 2\d\d$/.test(kind) && !/^get .* 404$/.test(kind);
