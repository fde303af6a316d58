/** The simulated API server and its controllers, without anything between them and the client. */
import { NODE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { DisruptionController } from '../simulation/api-server/disruption-controller.ts';
import { EndpointSliceController } from '../simulation/api-server/endpoint-slice-controller.ts';
import { GarbageCollector } from '../simulation/api-server/garbage-collector.ts';
import { SimulatedApiServer } from '../simulation/api-server/server.ts';
import { createSimulatedApi } from '../simulation/simulated-api.ts';
import { directWire } from '../simulation/wire.ts';
import { refOf } from './world.ts';
import type { ConformanceWorld } from './world.ts';

export async function simulatedWorld(endpointSlices: 'v1' | 'v1beta1'): Promise<ConformanceWorld> {
  let wallMs = Date.UTC(2026, 0, 1);
  const server = new SimulatedApiServer({ wallMs: () => wallMs, endpointSlices });
  const controllers = [
    new GarbageCollector(server),
    new EndpointSliceController(server),
    new DisruptionController(server),
  ];
  const api = createSimulatedApi(server, directWire(), 'tester');
  const node = 'silent';
  await api.create(NODE, '', { metadata: { name: node } });
  return {
    api,
    namespace: 'suite',
    node,
    endpointSlices: server.endpointSlices,
    disruptionBudgets: server.disruptionBudgets,
    async evict(pod) {
      server.evict('tester', POD, refOf(pod));
    },
    async eventually(what, look) {
      while (controllers.some(({ work }) => work.step()));
      const seen = await look();
      if (seen === undefined || seen === false) throw new Error(`nothing left to do, and still not ${what}`);
      return seen;
    },
    elapse(ms) {
      wallMs += ms;
      server.endDueWatches();
    },
    async compact() {
      server.compact();
    },
  };
}
