/** What most tests of this folder need: the CRD, an operator for the file's namespace, and words for its state. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import {
  API_VERSION,
  KIND,
  LABEL,
  ROLE,
  budgetName,
  headlessServiceName,
  holderIdentity,
  leaseName,
  serviceName,
} from '../../src/api/names.ts';
import type { EndpointSlice, KubeObject, Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService, Status } from '../../src/api/types.ts';
import { isWrite, readAudit } from '../control-plane/audit.ts';
import type { AuditedRequest } from '../control-plane/audit.ts';
import type { HollowNodesOptions } from '../control-plane/hollow-nodes.ts';
import { hasStatus } from '../control-plane/rest-client.ts';
import type { RestClient } from '../control-plane/rest-client.ts';
import type { Suite } from '../control-plane/suite.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import type { WaitOptions } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { startOperator } from './operator.ts';
import type { LogLine, TestOperator } from './operator.ts';

export interface KubeEvent extends KubeObject {
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly reason: string;
  readonly message: string;
  readonly type: string;
}

/** One look at everything that makes up a singleton. The parts are read one after another, so they may not agree. */
export interface State {
  readonly singleton: SingletonService;
  readonly status: Status;
  /** By slot. Those with the name label. */
  readonly pods: readonly Pod[];
  readonly lease: Lease;
  readonly service: Service;
  /** Names of the pods to which the EndpointSlices of the routing Service send traffic. */
  readonly routed: readonly string[];
}

/** A singleton that is in order. */
export interface Settled extends State {
  readonly active: Pod;
  readonly standbys: readonly Pod[];
  readonly term: number;
}

/** Names and paths of one namespace. */
export class World {
  readonly suite: Suite;
  readonly namespace: string;
  readonly #kubectlCache = mkdtempSync(join(tmpdir(), 'kubectl-cache-'));

  constructor(suite: Suite, namespace: string = suite.namespace) {
    this.suite = suite;
    this.namespace = namespace;
  }

  get api(): RestClient {
    return this.suite.api;
  }

  get paths() {
    const core = `/api/v1/namespaces/${this.namespace}`;
    // Of EndpointSlices and PodDisruptionBudgets alike.
    const version = this.suite.controlPlane.minorVersion >= 21 ? 'v1' : 'v1beta1';
    return {
      singletons: `/apis/${API_VERSION}/namespaces/${this.namespace}/singletonservices`,
      pods: `${core}/pods`,
      services: `${core}/services`,
      events: `${core}/events`,
      quotas: `${core}/resourcequotas`,
      leases: `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases`,
      slices: `/apis/discovery.k8s.io/${version}/namespaces/${this.namespace}/endpointslices`,
      budgets: `/apis/policy/${version}/namespaces/${this.namespace}/poddisruptionbudgets`,
    };
  }

  /** Paths of the objects of one singleton. */
  of(name: string) {
    const { singletons, services, leases, budgets } = this.paths;
    return {
      singleton: `${singletons}/${name}`,
      lease: `${leases}/${leaseName(name)}`,
      service: `${services}/${serviceName(name)}`,
      headless: `${services}/${headlessServiceName(name)}`,
      budget: `${budgets}/${budgetName(name)}`,
    };
  }

  create(name: string, spec: unknown = aSpec()): Promise<SingletonService> {
    const body = { apiVersion: API_VERSION, kind: KIND, metadata: { name }, spec };
    return this.api.create<SingletonService>(this.paths.singletons, body);
  }

  change(name: string, spec: object): Promise<SingletonService> {
    return this.api.patch<SingletonService>(this.of(name).singleton, { spec });
  }

  async pods(name: string): Promise<Pod[]> {
    const { items } = await this.api.list<Pod>(this.paths.pods, { labelSelector: `${LABEL.name}=${name}` });
    return items.sort((a, b) => slotOf(a) - slotOf(b));
  }

  /** Those that somebody has been told of a singleton, the oldest first. */
  async events(name: string): Promise<KubeEvent[]> {
    const { items } = await this.api.list<KubeEvent>(this.paths.events);
    return items
      .filter(({ involvedObject }) => involvedObject.kind === KIND && involvedObject.name === name)
      .sort((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion));
  }

  async read(name: string): Promise<State> {
    const { singleton, lease, service } = this.of(name);
    const ofService = `kubernetes.io/service-name=${serviceName(name)}`;
    const [object, pods, theLease, theService, slices] = await Promise.all([
      this.api.get<SingletonService>(singleton),
      this.pods(name),
      this.api.get<Lease>(lease),
      this.api.get<Service>(service),
      this.api.list<EndpointSlice>(this.paths.slices, { labelSelector: ofService }),
    ]);
    const { status = {} } = object;
    return { singleton: object, status, pods, lease: theLease, service: theService, routed: routedNames(slices.items) };
  }

  /**
   * Waits until the singleton is in order: one holder, which alone is labelled, selected, in the EndpointSlices and in
   * the status; every slot has one living pod; nothing is under way.
   *
   * @param check what must be true besides; what it throws means "not yet"
   */
  settled(name: string, check: (state: Settled) => void = () => {}, options?: WaitOptions): Promise<Settled> {
    const look = async (): Promise<Settled> => {
      const state = inOrder(await this.read(name), name);
      check(state);
      return state;
    };
    return until(`${this.namespace}/${name} to be in order`, look, options);
  }

  /** Waits until the status says so. */
  async told(name: string, check: (status: Status, singleton: SingletonService) => void, options?: WaitOptions) {
    return until(
      `the status of ${this.namespace}/${name}`,
      async () => {
        const singleton = await this.api.get<SingletonService>(this.of(name).singleton);
        check(singleton.status ?? {}, singleton);
        return singleton.status ?? {};
      },
      options,
    );
  }

  gone(path: string): Promise<boolean> {
    return this.api.get(path).then(
      () => false,
      (error: unknown) => {
        if (hasStatus(error, 404)) return true;
        throw error;
      },
    );
  }

  async kubectl(...args: string[]): Promise<string> {
    const { kubectlPath, kubeconfigPath } = this.suite.controlPlane;
    const where = ['--kubeconfig', kubeconfigPath, '--cache-dir', this.#kubectlCache, '--namespace', this.namespace];
    return (await promisify(execFile)(kubectlPath, [...where, ...args])).stdout;
  }

  /** What the operator wrote (dry runs left out) in the order in which it was answered. */
  async writesOf({ userAgent }: TestOperator, fromWallMs = 0): Promise<AuditedRequest[]> {
    const requests = await readAudit(this.suite.controlPlane.auditLogPath, { fromWallMs });
    return requests.filter((request) => request.userAgent === userAgent && isWrite(request));
  }

  close(): void {
    rmSync(this.#kubectlCache, { recursive: true, force: true });
  }
}

export const slotOf = ({ metadata }: Pod): number => Number(metadata.labels?.[LABEL.slot] ?? Number.NaN);
export const roleOf = ({ metadata }: Pod): string | undefined => metadata.labels?.[LABEL.role];
export const termOf = ({ metadata }: Pod): string | undefined => metadata.labels?.[LABEL.term];
export const nameOf = ({ metadata }: KubeObject): string => metadata.name;
export const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

export const conditionOf = (status: Status, type: string) =>
  status.conditions?.find((condition) => condition.type === type);

const routedNames = (slices: readonly EndpointSlice[]): string[] =>
  slices
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .map(({ targetRef }) => targetRef?.name ?? '?');

function inOrder(state: State, name: string): Settled {
  const { singleton, status, pods, lease, service, routed } = state;
  const active = pods.find(
    ({ metadata }) => holderIdentity(metadata.name, metadata.uid) === lease.spec?.holderIdentity,
  );
  if (active === undefined) throw new Error(`nobody is the holder ${lease.spec?.holderIdentity ?? ''}`);
  const standbys = pods.filter((pod) => pod !== active);
  const { replicas } = singleton.spec as { replicas: number };
  expect(pods.map(slotOf)).toEqual(Array.from({ length: replicas }, (_, slot) => slot));
  expect(pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined || pod.status?.phase === 'Failed')).toEqual(
    [],
  );
  expect(roleOf(active)).toBe(ROLE.active);
  expect(standbys.map(roleOf)).toEqual(standbys.map(() => ROLE.standby));
  const guarded = pods.filter(({ metadata }) => metadata.labels?.[LABEL.guarded] !== undefined);
  expect(guarded.map(nameOf)).toEqual([nameOf(active)]);
  expect(service.spec?.selector).toEqual({ [LABEL.name]: name, [LABEL.term]: termOf(active) });
  expect(routed).toEqual([active.metadata.name]);
  expect(status.active).toMatchObject({ pod: active.metadata.name, uid: active.metadata.uid });
  expect(status.term).toBe(lease.spec?.leaseTransitions);
  expect(status.observedGeneration).toBe(singleton.metadata.generation);
  expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'True', reason: 'ActiveRouted' });
  expect(conditionOf(status, 'Progressing')).toMatchObject({ status: 'False' });
  return { ...state, active, standbys, term: lease.spec?.leaseTransitions ?? 0 };
}

/** A spec whose pods have a readiness probe, so that no advice is given, and three of them. */
export const aSpec = (fields: object = {}): { replicas: number; template: object } => ({
  replicas: 3,
  template: aTemplate(),
  ...fields,
});

/**
 * Members keep to nodes of their own as long as there are enough: left to itself, the scheduler at times puts all of them
 * on one, when it hears of the pods before it hears of their Service.
 */
export function apart(name: string, base: { template: object } = aSpec()): object {
  const { spec } = base.template as { spec: object };
  const labels = { spread: name };
  const constraint = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: labels },
  };
  return {
    ...base,
    template: { metadata: { labels }, spec: { ...spec, topologySpreadConstraints: [constraint] } },
  };
}

/** For actives that are made to fail far more often than a service would: each failover is made at once, by whoever is next. */
export const FAILS_OFTEN = { backoffMaxSeconds: 0, quarantine: { durationSeconds: 0 } };

export const aTemplate = (container: object = {}): object => ({
  spec: {
    containers: [
      {
        name: 'app',
        image: 'app',
        ports: [{ name: 'http', containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/', port: 8080 } },
        ...container,
      },
    ],
  },
});

export interface OperatedWorld extends World {
  readonly operator: TestOperator;
}

const LINES_SHOWN = 80;

/** What it did last, for whoever reads of a test that failed. */
export function showLog(log: readonly LogLine[]): void {
  const text = ({ time, level, msg, ...fields }: LogLine) => `${time} ${level} ${msg} ${JSON.stringify(fields)}\n`;
  process.stderr.write(log.slice(-LINES_SHOWN).map(text).join(''));
}

/** A suite with the CRD and a running operator that sees the suite's first namespace alone. */
export function useWorld(options: HollowNodesOptions = {}): () => OperatedWorld {
  const suite = useSuite(options);
  let world: OperatedWorld | undefined;
  beforeAll(async () => {
    await installCrd(suite().api);
    const operator = await startOperator({
      kubeconfigPath: suite().controlPlane.kubeconfigPath,
      namespace: suite().namespace,
    });
    world = Object.assign(new World(suite()), { operator });
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') showLog(world?.operator.log ?? []);
  });
  afterAll(async () => {
    await world?.operator.stop();
    world?.close();
  });
  return () => {
    if (world === undefined) throw new Error('the world exists only while tests run');
    return world;
  };
}
