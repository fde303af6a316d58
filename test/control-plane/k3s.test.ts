import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { DEFAULT_IMAGE, clusterOf, imageOf, k3sCommand, lacksOf } from './k3s.ts';

const aFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'singleton-k3s-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
};

test('the image is a version of K3s that K3S_IMAGE can replace', () => {
  expect(DEFAULT_IMAGE).toMatch(/^rancher\/k3s:v1\.\d+\.\d+-k3s\d+$/);
  expect(imageOf({})).toBe(DEFAULT_IMAGE);
  expect(imageOf({ K3S_IMAGE: '' })).toBe(DEFAULT_IMAGE);
  expect(imageOf({ K3S_IMAGE: 'mirror.example/k3s:v1' })).toBe('mirror.example/k3s:v1');
});

test('K3s is started as a server with what the suites rely on', () => {
  const command = k3sCommand('docker.example');
  expect(command[0]).toBe('server');
  expect(command).toContain('--kube-apiserver-arg=enable-admission-plugins=NodeRestriction,PodNodeSelector');
  expect(command).toContain('--kube-apiserver-arg=token-auth-file=/etc/control-plane-test/tokens.csv');
  expect(command).toContain('--tls-san=docker.example');
  // Twice the same flag of a component: K3s would take the last one.
  const flags = command.map((arg) =>
    arg
      .split('=')
      .slice(0, arg.startsWith('--kube-') ? 2 : 9)
      .join('='),
  );
  expect(new Set(flags).size).toBe(flags.length);
});

describe('of the kubeconfig of K3s', () => {
  const ca = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
  const text = (cluster: object) =>
    stringify({ apiVersion: 'v1', kind: 'Config', clusters: [{ name: 'default', cluster }], users: [] });

  test('server and CA are taken', () => {
    const data = Buffer.from(ca).toString('base64');
    const cluster = { 'certificate-authority-data': data, server: 'https://localhost:32768' };
    expect(clusterOf(text(cluster))).toEqual({ server: 'https://localhost:32768', ca });
  });

  test.each([
    ['no cluster', 'kind: Config\n'],
    ['no CA', text({ server: 'https://localhost:1' })],
  ])('one with %s is an error', (_what, broken) => {
    expect(() => clusterOf(broken)).toThrow('names no server or no CA');
  });
});

test('an audit log that is not to be seen here is lacking, besides what every container lacks', () => {
  const file = join(aFolder(), 'audit.log');
  expect(Object.keys(lacksOf(file)).toSorted()).toEqual(['audit log', 'etcd', 'own processes']);
  writeFileSync(file, '');
  expect(Object.keys(lacksOf(file)).toSorted()).toEqual(['etcd', 'own processes']);
});
