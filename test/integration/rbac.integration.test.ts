/**
 * The rights in deploy/rbac.yaml: enough for everything the operator does, and none that it does not use.
 *
 * On a control plane of its own that asks for one right more than usual (OwnerReferencesPermissionEnforcement), as
 * OpenShift does.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { KubeObject, PodDisruptionBudget } from '../../src/api/objects.ts';
import { ANNOTATION, GROUP, LABEL } from '../../src/api/names.ts';
import { readAudit } from '../control-plane/audit.ts';
import { serviceAccountToken, startControlPlane } from '../control-plane/control-plane.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { startFaultProxy } from '../control-plane/fault-proxy.ts';
import type { FaultProxy } from '../control-plane/fault-proxy.ts';
import { needing } from '../control-plane/needs.ts';
import { enterSuite, share } from '../control-plane/suite.ts';
import type { Suite } from '../control-plane/suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import { bundleOperator, isReady as isWorking, spawnOperator } from './operator-process.ts';
import type { OperatorBundle, OperatorProcess } from './operator-process.ts';
import { World, aSpec, aTemplate, conditionOf, isReady, nameOf } from './world.ts';

const { describe, test } = needing('own processes');

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const COLLECTION: Readonly<Record<string, (namespace: string | undefined) => string>> = {
  Namespace: () => '/api/v1/namespaces',
  ServiceAccount: (namespace) => `/api/v1/namespaces/${namespace}/serviceaccounts`,
  ClusterRole: () => `${RBAC}/clusterroles`,
  ClusterRoleBinding: () => `${RBAC}/clusterrolebindings`,
  Role: (namespace) => `${RBAC}/namespaces/${namespace}/roles`,
  RoleBinding: (namespace) => `${RBAC}/namespaces/${namespace}/rolebindings`,
};

const manifestsOf = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(new URL(`../../deploy/${file}`, import.meta.url), 'utf8')).map(
    (document) => document.toJS() as Manifest,
  );

const ACCOUNT = { namespace: 'singleton-system', name: 'singleton-operator' };
const USER = `system:serviceaccount:${ACCOUNT.namespace}:${ACCOUNT.name}`;
/** Asked for by an admission plugin, and so in no audit log; one of the tests shows that it is needed. */
const ASKED_BY_ADMISSION = `update singletonservices/finalizers.${GROUP}`;

/** Nobody may give what they don't have: the Role of an agent has it. */
const GIVEN_ON = 'update leases.coordination.k8s.io';

const manifests = [...manifestsOf('namespace.yaml'), ...manifestsOf('rbac.yaml')];
const rules = manifests.flatMap(({ rules }) => rules ?? []);

const right = (verb: string, resource: string, group: string): string =>
  `${verb} ${resource}${group === '' ? '' : `.${group}`}`;
const granted = rules.flatMap(({ apiGroups, resources, verbs }) =>
  apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => right(verb, resource, group)))),
);

let controlPlane: ControlPlane;
let suite: Suite;
let world: World;
let bundle: OperatorBundle;
let proxy: FaultProxy;
let operator: OperatorProcess;
let takenAwayWallMs = 0;

beforeAll(async () => {
  const plugins = '--enable-admission-plugins=PodNodeSelector,OwnerReferencesPermissionEnforcement';
  controlPlane = await startControlPlane({ extraArgs: { apiServer: [plugins] } });
  suite = await enterSuite(share(controlPlane));
  world = new World(suite);
  await installCrd(suite.api);
  for (const manifest of manifests) {
    const collection = COLLECTION[manifest.kind];
    if (collection === undefined) throw new Error(`no path for ${manifest.kind}`);
    await suite.api.create(collection(manifest.metadata.namespace), manifest);
  }
  proxy = await startFaultProxy(controlPlane.server);
  const token = await serviceAccountToken(suite.api, ACCOUNT.namespace, ACCOUNT.name);
  bundle = await bundleOperator();
  const kubeconfig = suite.kubeconfigWith(token, proxy.server);
  const args = [`--kubeconfig=${kubeconfig}`, `--leader-lease-namespace=${ACCOUNT.namespace}`, '--log-level=debug'];
  operator = spawnOperator(bundle, { args });
  await isWorking(operator);
});

afterAll(async () => {
  operator?.kill('SIGTERM');
  await operator?.exited;
  await proxy?.stop();
  bundle?.remove();
  world?.close();
  await suite?.leave();
  await controlPlane?.stop();
});

const requests = () => readAudit(controlPlane.auditLogPath, { user: USER });

async function used(): Promise<Set<string>> {
  return new Set(
    (await requests())
      .filter(({ resource }) => resource !== '')
      .map(({ verb, resource, subresource, group }) =>
        right(verb, subresource === undefined ? resource : `${resource}/${subresource}`, group),
      ),
  );
}

describe('with the rights of deploy/rbac.yaml and no others, for all namespaces', () => {
  const healed = (name: string) => world.settled(name, ({ pods }) => expect(pods.every(isReady)).toBe(true));

  test('a singleton is created, fails over, is switched over, scaled, gets a new template, and is healed', async () => {
    await world.create('db', aSpec({ replicas: 2 }));
    const before = await healed('db');
    await suite.nodes.crash(before.active.metadata);
    await world.settled('db', ({ term }) => expect(term).toBe(before.term + 1));
    await suite.nodes.restart(before.active.metadata);
    await world.kubectl('scale', 'singletonservice/db', '--replicas=4');
    await world.settled('db', ({ status }) => expect(status.ready).toBe('4/4'));
    await world.kubectl('scale', 'singletonservice/db', '--replicas=2');
    await healed('db');
    await world.kubectl('annotate', 'singletonservice/db', `${ANNOTATION.switchover}=any`);
    await world.told('db', ({ switchover }) => expect(switchover?.outcome).toBe('Completed'));
    await world.change('db', { template: aTemplate({ image: 'next' }), update: { minReadySeconds: 0 } });
    await world.settled('db', ({ status }) => expect(status.updatedReplicas).toBe(2));
    await suite.api.patch(world.of('db').service, { metadata: { labels: { [LABEL.name]: null } } });
    await world.settled('db', ({ service }) => expect(service.metadata.labels?.[LABEL.name]).toBe('db'));
    await suite.api.delete(world.of('db').lease);
    await world.settled('db', ({ term }) => expect(term).toBeGreaterThan(1000));
  });

  test("its PodDisruptionBudget is mended, taken away, and left alone where it is somebody else's", async () => {
    const { budget } = world.of('db');
    await suite.api.patch(budget, { spec: { minAvailable: 0 } });
    const isMended = async () => (await suite.api.get<PodDisruptionBudget>(budget)).spec?.minAvailable === 2;
    await until('the budget to be mended', isMended);
    await world.change('db', { disruptionBudget: false });
    await until('the budget to be gone', () => world.gone(budget));
    await suite.api.create(world.paths.budgets, { metadata: { name: 'db' }, spec: { maxUnavailable: 1 } });
    await world.change('db', { disruptionBudget: true });
    await world.told('db', (status) =>
      expect(conditionOf(status, 'SpecAccepted')?.message).toContain('PodDisruptionBudget db exists'),
    );
    await suite.api.delete(budget);
  });

  test('a status that somebody else changed meanwhile is read again', async () => {
    const { active } = await healed('db');
    // What the operator hears is old, and so is the version that it writes its status to.
    proxy.delay(100);
    await suite.nodes.crash(active.metadata);
    let edits = 0;
    await until(
      'a read of the SingletonService',
      async () => {
        await suite.api.patch(world.of('db').singleton, { metadata: { annotations: { edits: String(++edits) } } });
        return edits % 20 === 0 && (await used()).has(`get singletonservices.${GROUP}`);
      },
      { intervalMs: 10 },
    );
    proxy.delay(0);
    await suite.nodes.restart(active.metadata);
    await healed('db');
  });

  test('the right on finalizers is needed where owner references are checked', async () => {
    takenAwayWallMs = Date.now();
    const role = manifests.find(({ kind }) => kind === 'ClusterRole');
    const without = rules.filter(({ resources }) => !resources.includes('singletonservices/finalizers'));
    await suite.api.patch(`${RBAC}/clusterroles/${role?.metadata.name}`, { rules: without });
    await world.create('refused', aSpec({ replicas: 1 }));
    await world.told('refused', (status) =>
      expect(conditionOf(status, 'Progressing')).toMatchObject({
        reason: 'Retrying',
        message: expect.stringContaining('cannot set blockOwnerDeletion') as string,
      }),
    );
    await suite.api.patch(`${RBAC}/clusterroles/${role?.metadata.name}`, { rules });
    const { active } = await healed('refused');
    expect(nameOf(active)).toMatch(/^refused-0-/);
  });

  test('a singleton in mode Agent gets the rights of its agents, and they are mended', async () => {
    const path = (kind: string): string => `${RBAC}/namespaces/${world.namespace}/${kind}/fenced-agent`;
    const counts = async (): Promise<[number, number]> => {
      const role = await suite.api.get<KubeObject & { rules?: unknown[] }>(path('roles'));
      const binding = await suite.api.get<KubeObject & { subjects?: unknown[] }>(path('rolebindings'));
      return [role.rules?.length ?? 0, binding.subjects?.length ?? 0];
    };
    const fencing = { mode: 'Agent', onApiLoss: 'Hold' };
    await world.create('fenced', aSpec({ replicas: 1, fencing }));
    await until('the rights of the agents', async () => expect(await counts()).toEqual([1, 1]));
    const secret = `/api/v1/namespaces/${world.namespace}/secrets/fenced-agent-key`;
    const key = await until('the key of the agents', async () => {
      const { data } = await suite.api.get<KubeObject & { data?: Record<string, string> }>(secret);
      return Buffer.from(data?.['key'] ?? '', 'base64').length === 32 ? data : undefined;
    });
    await suite.api.patch(path('roles'), { rules: [] });
    // Another account is a reason to look at them.
    const { spec } = aTemplate() as { spec: object };
    await world.change('fenced', { template: { spec: { ...spec, serviceAccountName: 'default' } } });
    await until('the rights to be mended', async () => expect(await counts()).toEqual([1, 2]));
    expect((await suite.api.get<KubeObject & { data?: unknown }>(secret)).data).toEqual(key);
  });

  test('nothing was refused', async () => {
    const refused = (await requests()).filter(({ code }) => code === 401 || code === 403);
    expect(refused.filter(({ receivedWallMs }) => receivedWallMs < takenAwayWallMs)).toEqual([]);
    expect(operator.log.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('every right was used, and nothing was done without one', async () => {
    // The line of a watch is written when it ends.
    operator.kill('SIGTERM');
    await operator.exited;
    const seen = await used();
    expect(granted.filter((one) => !seen.has(one))).toEqual([ASKED_BY_ADMISSION, GIVEN_ON]);
    expect([...seen].filter((one) => !granted.includes(one))).toEqual([]);
  });
});
