/**
 * vitest `globalSetup`: one control plane for all test files, as `inject('controlPlane')`: on this machine, or with
 * `CLUSTER=k3s` in a container. Nodes are each file's own (see suite.ts for why).
 */
import type { TestProject } from 'vitest/node';
import { startControlPlane } from './control-plane.ts';
import { startK3s } from './k3s.ts';
import type { K3s } from './k3s.ts';
import { share } from './suite.ts';

async function startHere(): Promise<K3s> {
  const controlPlane = await startControlPlane();
  const { binaries, startupMs } = controlPlane;
  return { shared: share(controlPlane), source: binaries.source, startupMs, stop: () => controlPlane.stop() };
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const plane = await (process.env['CLUSTER'] === 'k3s' ? startK3s() : startHere());
  process.stderr.write(`Control plane: ${plane.source}; ready after ${(plane.startupMs / 1000).toFixed(1)} s\n`);
  project.provide('controlPlane', plane.shared);
  return () => plane.stop();
}
