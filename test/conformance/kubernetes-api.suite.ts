/**
 * What the operator relies on in an API server and its controllers. One suite for everything that stands behind the
 * KubernetesApi port: where the real server and the simulated one disagree, the real one is right.
 */
import { describeEndpointSlices, describeGarbageCollection } from './controllers.suite.ts';
import { describeDeletion } from './deletion.suite.ts';
import { describeDiscovery, describeLists } from './reads.suite.ts';
import { describeDisruption } from './disruption.suite.ts';
import { describeStatus } from './status.suite.ts';
import { describeWatches } from './watches.suite.ts';
import type { UseWorld } from './world.ts';
import { describeCreation, describePatching } from './writes.suite.ts';

export function describeKubernetesApi(world: UseWorld): void {
  describeCreation(world);
  describePatching(world);
  describeStatus(world);
  describeDeletion(world);
  describeLists(world);
  describeWatches(world);
  describeDiscovery(world);
  describeGarbageCollection(world);
  describeEndpointSlices(world);
  describeDisruption(world);
}
