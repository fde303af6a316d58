import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { findBinaries } from './binaries.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'singleton-binaries-'));
  return () => rmSync(folder, { recursive: true });
});

/** Scripts that print the version as the real ones do. */
function fill(where: string, names: readonly string[], exitCode = 0): string {
  mkdirSync(where, { recursive: true });
  const script = `#!/bin/sh\necho "Kubernetes v1.29.3"\nexit ${exitCode}\n`;
  for (const name of names) writeFileSync(join(where, name), script, { mode: 0o755 });
  return where;
}

const SERVERS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];

test('KUBEBUILDER_ASSETS comes first', async () => {
  const assets = fill(join(folder, 'assets'), [...SERVERS, 'kubectl']);
  const binaries = await findBinaries({ KUBEBUILDER_ASSETS: assets, XDG_CACHE_HOME: folder, PATH: '' });
  expect(binaries.path.etcd).toBe(join(assets, 'etcd'));
  expect(binaries.minorVersion).toBe(29);
  expect(binaries.source).toContain(`KUBEBUILDER_ASSETS (${assets})`);
});

test('a KUBEBUILDER_ASSETS that lacks servers is an error that names them', async () => {
  const assets = fill(join(folder, 'assets'), ['etcd', 'kube-apiserver', 'kubectl']);
  await expect(findBinaries({ KUBEBUILDER_ASSETS: assets, PATH: '' })).rejects.toThrow(
    'lacks kube-controller-manager, kube-scheduler',
  );
});

test('without it, the cache is used', async () => {
  const cache = join(folder, 'singleton-operator/kubernetes/v1.20.2/bin');
  fill(cache, [...SERVERS, 'kubectl']);
  const binaries = await findBinaries({ XDG_CACHE_HOME: folder, PATH: '' });
  expect(binaries.path['kube-apiserver']).toBe(join(cache, 'kube-apiserver'));
  expect(binaries.path.kubectl).toBe(join(cache, 'kubectl'));
  expect(binaries.source).toContain(`the cache (${cache})`);
});

test('kubectl is the first on PATH that runs', async () => {
  const assets = fill(join(folder, 'assets'), [...SERVERS, 'kubectl']);
  const broken = fill(join(folder, 'broken'), ['kubectl'], 1);
  const good = fill(join(folder, 'good'), ['kubectl']);
  // The scripts need the machine's own `sh`, which they name by its whole path.
  const binaries = await findBinaries({ KUBEBUILDER_ASSETS: assets, PATH: `${broken}:${good}` });
  expect(binaries.path.kubectl).toBe(join(good, 'kubectl'));
});
