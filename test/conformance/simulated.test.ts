import { beforeAll, describe } from 'vitest';
import { describeKubernetesApi } from './kubernetes-api.suite.ts';
import { simulatedWorld } from './simulated-world.ts';
import type { ConformanceWorld } from './world.ts';

describe.each(['v1', 'v1beta1'] as const)('the simulated API server, with EndpointSlices %s', (version) => {
  let world: ConformanceWorld | undefined;
  beforeAll(async () => {
    world = await simulatedWorld(version);
  });
  describeKubernetesApi(() => {
    if (world === undefined) throw new Error('the world exists only while tests run');
    return world;
  });
});
