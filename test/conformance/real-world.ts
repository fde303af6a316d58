/** A real API server and its controllers, by the client that ships. */
import { afterAll, beforeAll, expect } from 'vitest';
import { loadKubeconfig } from '../../src/adapters/kubernetes/kubeconfig.ts';
import { createKubernetesApi } from '../../src/adapters/kubernetes/kubernetes-api.ts';
import type { ClosableKubernetesApi } from '../../src/adapters/kubernetes/kubernetes-api.ts';
import {
  LEASE,
  NODE,
  POD,
  apiVersionOf,
  discoverDisruptionBudgets,
  discoverEndpointSlices,
} from '../../src/adapters/kubernetes/resources.ts';
import type { Suite } from '../control-plane/suite.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from '../integration/crd.ts';
import { refOf } from './world.ts';
import type { ConformanceWorld, UseWorld } from './world.ts';

async function realWorld(
  api: ClosableKubernetesApi,
  { namespace, controlPlane, api: admin }: Suite,
): Promise<ConformanceWorld> {
  const endpointSlices = await discoverEndpointSlices(api);
  const disruptionBudgets = await discoverDisruptionBudgets(api);
  if (endpointSlices === undefined) throw new Error('the API server has no EndpointSlices');
  if (disruptionBudgets === undefined) throw new Error('the API server has no PodDisruptionBudgets');
  const node = `silent-${namespace}`;
  await api.create(NODE, '', { metadata: { name: node } });
  return {
    api,
    namespace,
    node,
    endpointSlices,
    disruptionBudgets,
    async evict({ metadata: { name } }) {
      const eviction = { apiVersion: apiVersionOf(disruptionBudgets), kind: 'Eviction', metadata: { name, namespace } };
      await admin.create(`/api/v1/namespaces/${namespace}/pods/${name}/eviction`, eviction);
    },
    eventually: until,
    elapse: () => undefined,
    async compact() {
      const { resourceVersion } = await api.list(LEASE, { namespace, limit: 1 });
      const { etcdServer } = controlPlane;
      if (etcdServer === undefined) throw new Error('without etcd a test that compacts is to be skipped: needs.ts');
      const response = await fetch(`${etcdServer}/v3/kv/compaction`, {
        method: 'POST',
        body: JSON.stringify({ revision: resourceVersion }),
      });
      expect(response.status).toBe(200);
    },
  };
}

/** Nobody's kubelet would. */
async function removePods({ api, namespace }: ConformanceWorld): Promise<void> {
  const { items } = await api.list(POD, { namespace });
  await Promise.all(items.map((pod) => api.delete(POD, refOf(pod), { gracePeriodSeconds: 0 })));
}

/** For the surrounding file or `describe`. */
export function useRealWorld(): UseWorld {
  const suite = useSuite({ count: 1 });
  let world: ConformanceWorld | undefined;
  let api: ClosableKubernetesApi | undefined;
  beforeAll(async () => {
    const path = suite().kubeconfigWith(suite().controlPlane.tokens['admin'] ?? '');
    api = createKubernetesApi(loadKubeconfig({ path, env: {} }));
    await installCrd(suite().api);
    world = await realWorld(api, suite());
  });
  afterAll(async () => {
    if (world !== undefined) {
      await removePods(world);
      await world.api.delete(NODE, { name: world.node });
    }
    api?.close();
  });
  return () => {
    if (world === undefined) throw new Error('the world exists only while tests run');
    return world;
  };
}
