/** A control plane of its own with hollow nodes, the operator, and a view of what the API server says. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { API_VERSION, PLURAL } from '../src/api/names.ts';
import { readAudit } from '../test/control-plane/audit.ts';
import type { AuditFilter, AuditedRequest } from '../test/control-plane/audit.ts';
import { startControlPlane } from '../test/control-plane/control-plane.ts';
import type { ControlPlane } from '../test/control-plane/control-plane.ts';
import { startHollowNodes } from '../test/control-plane/hollow-nodes.ts';
import type { HollowNodes } from '../test/control-plane/hollow-nodes.ts';
import type { RestClient } from '../test/control-plane/rest-client.ts';
import { until } from '../test/control-plane/wait.ts';
import { WallClock } from './clock.ts';
import { MEMBERS, PATH, isReady, singleton, targetsOf } from './objects.ts';
import type { PodObject, SingletonObject, SliceObject } from './objects.ts';
import { startOperator } from './operator-process.ts';
import type { OperatorProcess } from './operator-process.ts';
import type { Options } from './options.ts';
import { meter } from './resources.ts';
import type { Usage } from './resources.ts';
import { Changes, follow } from './view.ts';
import type { View } from './view.ts';

/** A user of its own: what the audit log says of it is what the operator did. */
const OPERATOR_USER = 'bench-operator';
const NODES = 6;
/** A graceful stop takes seconds on a real node; the move must not need its end. */
const POD_STOP_MS = 250;

export interface World {
  readonly controlPlane: ControlPlane;
  readonly api: RestClient;
  readonly nodes: HollowNodes;
  readonly operator: OperatorProcess;
  /** For further ones. */
  readonly operatorBundle: string;
  readonly operatorKubeconfig: string;
  readonly clock: WallClock;
  readonly changes: Changes;
  readonly singletons: View<SingletonObject>;
  readonly pods: View<PodObject>;
  readonly slices: View<SliceObject>;
  /** Starts to measure a phase's processor time and memory. */
  meter(phase: string): () => Usage;
  /** Requests of every user; those of the operator have `isOperator`. */
  audit(filter: AuditFilter): Promise<AuditedRequest[]>;
  stop(): Promise<void>;
}

export const isOperator = ({ user }: AuditedRequest): boolean => user === OPERATOR_USER;

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function build(): string {
  execFileSync(process.execPath, [fromHere('../scripts/build.ts')], { stdio: ['ignore', 2, 2], cwd: fromHere('..') });
  return fromHere('../dist/operator-main.js');
}

async function applyCrd(api: RestClient): Promise<void> {
  const crd = parse(readFileSync(fromHere('../crds/singletonservices.yaml'), 'utf8')) as object;
  await api.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  await until('SingletonServices to be served', () => api.list(PATH.singletons('default')));
}

const slicesPath = ({ binaries }: ControlPlane): string =>
  `/apis/discovery.k8s.io/${binaries.minorVersion < 21 ? 'v1beta1' : 'v1'}/endpointslices`;

/** @throws when any of it does not start; nothing is left running then. */
export async function startWorld(options: Options): Promise<World> {
  const bundle = options.operator ?? build();
  const controlPlane = await startControlPlane({ users: [{ name: OPERATOR_USER, groups: ['system:masters'] }] });
  const { api } = controlPlane;
  const end = new AbortController();
  const ends: (() => Promise<void>)[] = [() => controlPlane.stop()];
  const stop = async (): Promise<void> => {
    end.abort();
    for (const each of ends.splice(0).reverse()) await each();
  };
  try {
    await applyCrd(api);
    const nodes = await startHollowNodes(controlPlane.kubeconfigPath, { count: NODES, stopDelayMs: POD_STOP_MS });
    ends.push(async () => nodes.stop());
    const operatorKubeconfig = controlPlane.kubeconfigFor(OPERATOR_USER);
    const operator = await startOperator(bundle, operatorKubeconfig, options.oldSpaceMb);
    ends.push(() => operator.stop());
    const clock = new WallClock();
    const changes = new Changes(clock);
    return {
      controlPlane,
      api,
      nodes,
      operator,
      operatorBundle: bundle,
      operatorKubeconfig,
      clock,
      changes,
      stop,
      singletons: await follow<SingletonObject>(api, `/apis/${API_VERSION}/${PLURAL}`, changes, end.signal),
      pods: await follow<PodObject>(api, '/api/v1/pods', changes, end.signal),
      slices: await follow<SliceObject>(api, slicesPath(controlPlane), changes, end.signal),
      meter: (phase) => meter(phase, pidsOf(controlPlane, operator), 'operator'),
      audit: (filter) => readAudit(controlPlane.auditLogPath, filter),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

const pidsOf = (controlPlane: ControlPlane, operator: OperatorProcess): Record<string, number> => ({
  operator: operator.pid,
  'kube-apiserver': controlPlane.apiServer.pid ?? 0,
  etcd: controlPlane.etcd.pid ?? 0,
  'kube-controller-manager': controlPlane.controllerManager.pid ?? 0,
  'kube-scheduler': controlPlane.scheduler.pid ?? 0,
  'this benchmark': process.pid,
});

/** The pod that the singleton's Service sends traffic to; undefined while that is none, or more than one. */
export function routedPod(world: World, namespace: string, name: string): string | undefined {
  const isOfService = ({ metadata }: SliceObject) => metadata.labels?.['kubernetes.io/service-name'] === name;
  const targets = world.slices.inNamespace(namespace).filter(isOfService).flatMap(targetsOf);
  return targets.length === 1 ? targets[0] : undefined;
}

/** All pods Ready, one of them routed, and the status says all of it: nothing is left to be done. */
export function isSettled(world: World, namespace: string, name: string): boolean {
  const status = world.singletons.get(namespace, name)?.status;
  const routed = routedPod(world, namespace, name);
  if (status === undefined || routed === undefined || status.active?.pod !== routed) return false;
  const pods = world.pods.inNamespace(namespace).filter(({ metadata }) => metadata.labels?.['app'] === name);
  return (
    status.ready === `${MEMBERS}/${MEMBERS}` &&
    status.lastMove?.term === status.term &&
    status.members?.length === MEMBERS &&
    pods.length === MEMBERS &&
    pods.every(isReady)
  );
}

const QUIET_MS = 3_000;

/** Makes or removes idle singletons until there are so many, then lets everything come to rest. */
export async function withIdleSingletons(world: World, count: number): Promise<void> {
  const namespace = await namespaceOf(world, 'idle');
  const names = Array.from({ length: count }, (_, index) => `idle-${index}`);
  const isWanted = new Set(names);
  const there = world.singletons.inNamespace(namespace).map(({ metadata }) => metadata.name);
  const path = PATH.singletons(namespace);
  await Promise.all([
    ...names.filter((name) => !there.includes(name)).map((name) => world.api.create(path, singleton(name))),
    ...there.filter((name) => !isWanted.has(name)).map((name) => world.api.delete(`${path}/${name}`)),
  ]);
  await world.changes.when(`${count} idle singletons`, () => {
    const pods = world.pods.inNamespace(namespace).length;
    return pods === count * MEMBERS && names.every((name) => isSettled(world, namespace, name));
  });
  await sleep(QUIET_MS);
}

/** Creates the namespace the first time. */
export async function namespaceOf({ api }: World, name: string): Promise<string> {
  const path = '/api/v1/namespaces';
  const { items } = await api.list(path);
  if (!items.some(({ metadata }) => metadata.name === name)) await api.create(path, { metadata: { name } });
  return name;
}
