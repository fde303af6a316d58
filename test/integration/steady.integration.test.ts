/** At rest the operator writes nothing, and a move costs few writes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AuditedRequest } from '../control-plane/audit.ts';
import { readAudit } from '../control-plane/audit.ts';
import { needing } from '../control-plane/needs.ts';
import { until } from '../control-plane/wait.ts';
import { aSpec, isReady, nameOf, useWorld } from './world.ts';

const { describe, test } = needing('audit log');
const world = useWorld();
const NAMES = Array.from({ length: 10 }, (_, index) => `quiet-${index}`);
const REST_MS = 20_000;
const MOST_WRITES_OF_A_MOVE = 6;

const kindOf = ({ verb, resource, subresource }: AuditedRequest): string =>
  [verb, resource, subresource].filter(Boolean).join(' ');

describe('ten singletons with three members each', () => {
  test('settle', async () => {
    await Promise.all(NAMES.map((name) => world().create(name, aSpec())));
    for (const name of NAMES) {
      await world().settled(name, ({ pods, status }) => {
        expect(pods.every(isReady)).toBe(true);
        expect(status).toMatchObject({ ready: '3/3', eligibleReplicas: 3 });
      });
    }
    expect(world().operator.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  test('cost no more to create than a Lease, two Services, three pods, one grant, two events and few status writes each', async () => {
    const writes = await world().writesOf(world().operator);
    const byKind = Map.groupBy(writes, kindOf);
    const count = (kind: string): number => byKind.get(kind)?.length ?? 0;
    expect(count('create pods')).toBe(30);
    expect(count('create services')).toBe(20);
    expect(count('create leases')).toBe(10);
    expect(count('patch leases')).toBe(10);
    expect(count('patch pods')).toBe(10);
    expect(count('patch services')).toBe(10);
    expect(writes.filter(({ code }) => code >= 400)).toEqual([]);
    expect(count('create events')).toBe(20);
    expect(count('patch singletonservices status')).toBeLessThanOrEqual(40);
  });

  test(
    'are left alone for 20 s: no write at all, and no read but the watches',
    { timeout: REST_MS + 60_000 },
    async () => {
      const fromWallMs = Date.now();
      // Nothing can be waited for here: that nothing happens is what is to be seen.
      await sleep(REST_MS);
      const { userAgent } = world().operator;
      const requests = await readAudit(world().suite.controlPlane.auditLogPath, { fromWallMs });
      const ours = requests.filter((request) => request.userAgent === userAgent);
      expect(ours.filter(({ verb }) => verb !== 'watch').map(kindOf)).toEqual([]);
    },
  );

  test('move with six writes each, when their actives crash one after another', async () => {
    for (const name of NAMES) {
      const before = await world().settled(name);
      const fromWallMs = Date.now();
      await world().suite.nodes.crash(before.active.metadata);
      await world().settled(name, ({ term, status }) => {
        expect(term).toBe(before.term + 1);
        expect(status.eligibleReplicas).toBe(2);
      });
      const writes = await until('the audit log to have the status', async () => {
        const seen = (await world().writesOf(world().operator, fromWallMs)).filter(({ code }) => code < 400);
        return seen.some(({ subresource }) => subresource === 'status') && seen;
      });
      expect(writes.map(kindOf)).toHaveLength(MOST_WRITES_OF_A_MOVE);
      const about = writes.map((write) => [kindOf(write), write.name ?? ''].join(' '));
      expect(about.filter((text) => text.includes(nameOf(before.active)))).toEqual([
        `patch pods ${nameOf(before.active)}`,
      ]);
    }
  });

  test('move with at most six writes each, when their actives crash all at once', async () => {
    const restarted = await Promise.all(
      NAMES.map((name) => world().settled(name, ({ pods }) => expect(pods.filter(isReady)).toHaveLength(2))),
    );
    const crashed = restarted.map(({ pods }) => pods.find((pod) => !isReady(pod)));
    for (const pod of crashed) if (pod !== undefined) await world().suite.nodes.restart(pod.metadata);
    const before = await Promise.all(
      NAMES.map((name) =>
        world().settled(name, ({ status }) => expect(status).toMatchObject({ ready: '3/3', eligibleReplicas: 3 })),
      ),
    );
    const fromWallMs = Date.now();
    await Promise.all(before.map(({ active }) => world().suite.nodes.crash(active.metadata)));
    for (const [index, name] of NAMES.entries()) {
      await world().settled(name, ({ term, status }) => {
        expect(term).toBe((before[index]?.term ?? 0) + 1);
        expect(status.eligibleReplicas).toBe(2);
      });
    }
    const writes = await until('the audit log to have every status', async () => {
      const seen = await world().writesOf(world().operator, fromWallMs);
      return seen.filter(({ subresource }) => subresource === 'status').length >= NAMES.length && seen;
    });
    expect(writes.length).toBeLessThanOrEqual(NAMES.length * MOST_WRITES_OF_A_MOVE);
  });
});
