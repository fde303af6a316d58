/**
 * vitest `globalSetup`: one control plane for all test files, as `inject('controlPlane')`. Nodes are each file's own
 * (see suite.ts for why).
 */
import type { TestProject } from 'vitest/node';
import { startControlPlane } from './control-plane.ts';
import { share } from './suite.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const controlPlane = await startControlPlane();
  const seconds = (controlPlane.startupMs / 1000).toFixed(1);
  process.stderr.write(`Control plane: ${controlPlane.binaries.source}; ready after ${seconds} s\n`);
  project.provide('controlPlane', share(controlPlane));
  return () => controlPlane.stop();
}
