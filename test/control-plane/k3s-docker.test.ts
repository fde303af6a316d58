/** What is asked of Docker for K3s, and what its refusals become: told by a socket that answers as Docker does. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { k3sCommand, startK3s, whyNoK3s } from './k3s.ts';

const IMAGE = 'example/k3s:v1.99.0-k3s1';
const folder = mkdtempSync(join(tmpdir(), 'singleton-docker-'));
const socket = join(folder, 'docker.sock');

type Answer = readonly [status: number, body: object];
/** By method and path. What is not here is not found. */
const answers = new Map<string, Answer>();
const asked: { readonly what: string; readonly body: string }[] = [];

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

const docker = createServer((request, response) => {
  void bodyOf(request).then((body) => {
    const what = `${request.method} ${request.url?.replace(/\?.*$/, '')}`;
    asked.push({ what, body });
    const [status, answer] = answers.get(what) ?? [404, { message: `No such image: ${what}` }];
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
});

const INFO = {
  ServerVersion: '99.0',
  OperatingSystem: 'test',
  OSType: 'linux',
  IndexServerAddress: 'https://example/',
};
const INSPECT = `GET /images/${IMAGE}/json`;
const PULL = 'POST /images/create';
const HOST = 'localhost';
const env = { K3S_IMAGE: IMAGE, PATH: folder };

beforeAll(async () => {
  writeFileSync(join(folder, 'kubectl'), '#!/bin/sh\n', { mode: 0o755 });
  docker.listen(socket);
  await once(docker, 'listening');
});
afterAll(() => {
  docker.close();
  docker.closeAllConnections();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  vi.stubEnv('DOCKER_HOST', `unix://${socket}`);
  vi.stubEnv('TESTCONTAINERS_HOST_OVERRIDE', HOST);
  // The container that removes the others is not what this is about.
  vi.stubEnv('TESTCONTAINERS_RYUK_DISABLED', 'true');
  answers.clear();
  answers.set('GET /info', [200, INFO]);
  asked.length = 0;
  return () => vi.unstubAllEnvs();
});

test('an image that is not to be had is told as the reason, with what Docker said', async () => {
  answers.set(PULL, [500, { message: 'the network is unreachable' }]);
  expect(await whyNoK3s(env)).toMatch(new RegExp(`^the image ${IMAGE} can't be pulled: .*the network is unreachable`));
});

test('a pull that fails halfway, which Docker tells with status 200, is the reason as well', async () => {
  answers.set(PULL, [200, { error: 'unexpected EOF' }]);
  expect(await whyNoK3s(env)).toBe(`the image ${IMAGE} can't be pulled`);
});

test('the container gets its arguments, is privileged, and has cgroups and the audit log’s folder from outside', async () => {
  answers.set(INSPECT, [200, { Id: 'x', Config: {} }]);
  answers.set('GET /containers/json', [200, []]);
  answers.set('POST /containers/create', [500, { message: 'this far and no further' }]);
  await expect(startK3s(env)).rejects.toThrow('this far and no further');
  const created = asked.find(({ what }) => what === 'POST /containers/create');
  const request = JSON.parse(created?.body ?? '{}') as { Image: string; Cmd: string[]; HostConfig: object };
  expect(request).toMatchObject({ Image: IMAGE, Cmd: k3sCommand(HOST) });
  expect(request.HostConfig).toMatchObject({
    Privileged: true,
    Binds: ['/sys/fs/cgroup:/sys/fs/cgroup:rw', expect.stringMatching(/:\/var\/log\/control-plane-test:rw$/)],
    Tmpfs: { '/run': 'rw', '/var/run': 'rw' },
  });
});

test('nothing stands in the way when the image is there', async () => {
  answers.set(INSPECT, [200, { Id: 'x', Config: {} }]);
  expect(await whyNoK3s(env)).toBeUndefined();
  expect(asked.some(({ what }) => what === PULL)).toBe(false);
});

test('without kubectl no image is pulled', async () => {
  expect(await whyNoK3s({ ...env, PATH: '', XDG_CACHE_HOME: folder })).toBe('there is no kubectl on PATH');
  expect(asked.some(({ what }) => what === PULL)).toBe(false);
});
