import { describe, expect, it } from 'vitest';
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { KubeObject, Lease, Pod } from '../../src/api/objects.ts';
import { NOBODYS } from './reads.suite.ts';
import { needing } from '../control-plane/needs.ts';
import { Maker, OF, aName, refOf, versionOf, watching } from './world.ts';
import type { UseWorld } from './world.ts';

export function describeWatches(world: UseWorld): void {
  const make = new Maker(world);
  const now = async (): Promise<string> =>
    (await world().api.list(LEASE, { namespace: world().namespace, limit: 1 })).resourceVersion;
  const change = (lease: Lease, patch: object): Promise<Lease> =>
    world().api.mergePatch<Lease>(LEASE, refOf(lease), patch);
  const named = ({ metadata }: KubeObject) => ({ fieldSelector: `metadata.name=${metadata.name}` });

  describe('a watch', () => {
    it('from an old version tells what happened since then, in order, and then goes on', async () => {
      const lease = await make.lease();
      const second = await change(lease, { spec: { leaseTransitions: 2 } });
      const third = await change(lease, { spec: { leaseTransitions: 3 } });
      const watch = watching<Lease>(world(), LEASE, {
        ...named(lease),
        resourceVersion: lease.metadata.resourceVersion,
      });
      await watch.seen(2);
      const fourth = await change(lease, { spec: { leaseTransitions: 4 } });
      expect((await watch.seen(3)).map(({ type, object }) => [type, object])).toEqual([
        ['MODIFIED', second],
        ['MODIFIED', third],
        ['MODIFIED', fourth],
      ]);
    });

    it('tells of a whole life, and of the end with the last state and the version of the deletion', async () => {
      const resourceVersion = await now();
      const name = aName('lease');
      const watch = watching<Lease>(world(), LEASE, { resourceVersion, fieldSelector: `metadata.name=${name}` });
      const lease = await make.lease({ name });
      const changed = await change(lease, { spec: { leaseTransitions: 2 } });
      await world().api.delete(LEASE, refOf(lease));
      const [added, modified, deleted] = await watch.seen(3);
      expect(added).toEqual({ type: 'ADDED', object: lease });
      expect(modified).toEqual({ type: 'MODIFIED', object: changed });
      expect(deleted?.type).toBe('DELETED');
      expect(deleted?.object.spec).toEqual(changed.spec);
      expect(deleted?.object.metadata.uid).toBe(lease.metadata.uid);
      expect(versionOf(deleted?.object ?? lease)).toBeGreaterThan(versionOf(changed));
    });

    it('from a list’s version misses nothing and repeats nothing', async () => {
      const of = aName('of');
      const labelSelector = `${OF}=${of}`;
      const labels = { [OF]: of };
      await make.lease({ labels });
      const { resourceVersion } = await world().api.list(LEASE, { namespace: world().namespace, labelSelector });
      const second = await make.lease({ labels });
      const watch = watching<Lease>(world(), LEASE, { resourceVersion, labelSelector });
      const third = await make.lease({ labels });
      expect((await watch.seen(2)).map(({ object }) => object)).toEqual([second, third]);
    });

    it('by label says ADDED when an object comes to match, and DELETED when it no longer does', async () => {
      const of = aName('of');
      const lease = await make.lease();
      const watch = watching<Lease>(world(), LEASE, {
        resourceVersion: lease.metadata.resourceVersion,
        labelSelector: `${OF}=${of}`,
      });
      await change(lease, { spec: { leaseTransitions: 2 } });
      const came = await change(lease, { metadata: { labels: { [OF]: of } } });
      const stayed = await change(lease, { spec: { leaseTransitions: 3 } });
      const left = await change(lease, { metadata: { labels: { [OF]: null } }, spec: { leaseTransitions: 4 } });
      await change(lease, { spec: { leaseTransitions: 5 } });
      const back = await change(lease, { metadata: { labels: { [OF]: of } } });
      const told = await watch.seen(4);
      expect(told.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'DELETED', 'ADDED']);
      expect([told[0]?.object, told[1]?.object, told[3]?.object]).toEqual([came, stayed, back]);
      // What it was when it still matched, with the version of the change by which it no longer does.
      expect(told[2]?.object).toMatchObject({
        metadata: { labels: { [OF]: of }, resourceVersion: left.metadata.resourceVersion },
        spec: { leaseTransitions: 3 },
      });
    });

    it('by label, resumed from before the label went, says DELETED', async () => {
      const of = aName('of');
      const lease = await make.lease({ labels: { [OF]: of } });
      await change(lease, { metadata: { labels: { [OF]: null } } });
      const watch = watching<Lease>(world(), LEASE, {
        resourceVersion: lease.metadata.resourceVersion,
        labelSelector: OF,
      });
      expect((await watch.seen(1)).map(({ type, object }) => [type, object.metadata.uid])).toEqual([
        ['DELETED', lease.metadata.uid],
      ]);
    });

    it('by name tells of no other', async () => {
      const lease = await make.lease();
      const watch = watching<Lease>(world(), LEASE, {
        ...named(lease),
        resourceVersion: lease.metadata.resourceVersion,
      });
      await make.lease();
      await change(lease, { spec: { leaseTransitions: 2 } });
      expect((await watch.seen(1)).map(({ object }) => object.metadata.name)).toEqual([lease.metadata.name]);
    });

    it('by node says ADDED of a pod that is on it', async () => {
      const { node } = world();
      const resourceVersion = await now();
      const watch = watching<Pod>(world(), POD, { resourceVersion, fieldSelector: `spec.nodeName=${node}` });
      await make.pod({}, {});
      const pod = await make.pod();
      expect((await watch.seen(1)).map(({ type, object }) => [type, object.metadata.name])).toEqual([
        ['ADDED', pod.metadata.name],
      ]);
    });

    it('of one namespace tells of no other, and one of all tells of each', async () => {
      const resourceVersion = await now();
      const name = aName('elsewhere');
      const { api, namespace } = world();
      const here = watching<Lease>(world(), LEASE, { resourceVersion });
      const everywhere = watching<Lease>(world(), LEASE, { resourceVersion, labelSelector: OF, everywhere: true });
      const body = { metadata: { name: `${name}-of-${namespace}`, labels: { [OF]: name } } };
      const other = await api.create<Lease>(LEASE, 'default', body);
      const own = await make.lease({ labels: { [OF]: name } });
      await api.delete(LEASE, refOf(other));
      await here.seen(1);
      expect(here.told.map(({ object }) => object.metadata.uid)).toEqual([own.metadata.uid]);
      const those = (await everywhere.seen(3)).filter(({ object }) => object.metadata.labels?.[OF] === name);
      expect(those.map(({ type, object }) => [type, object.metadata.uid])).toEqual([
        ['ADDED', other.metadata.uid],
        ['ADDED', own.metadata.uid],
        ['DELETED', other.metadata.uid],
      ]);
    });

    it('from version 0 begins with all there is', async () => {
      const lease = await make.lease();
      const watch = watching<Lease>(world(), LEASE, { ...named(lease), resourceVersion: '0' });
      expect(await watch.seen(1)).toEqual([{ type: 'ADDED', object: lease }]);
    });

    it('tells every watch the same, in the same order', async () => {
      const lease = await make.lease();
      const query = { ...named(lease), resourceVersion: lease.metadata.resourceVersion };
      const watches = [1, 2, 3].map(() => watching<Lease>(world(), LEASE, query));
      for (const leaseTransitions of [2, 3, 4]) await change(lease, { spec: { leaseTransitions } });
      for (const watch of watches) {
        expect((await watch.seen(3)).map(({ object }) => object.spec?.leaseTransitions)).toEqual([2, 3, 4]);
      }
    });
  });

  describe('a watch ends', () => {
    it('in good order after its time', async () => {
      const watch = watching(world(), LEASE, { resourceVersion: await now(), timeoutSeconds: 1 });
      world().elapse(1_000);
      expect(await watch.ended).toBeUndefined();
    });

    it('with a bookmark before its time, from which it can be resumed', async () => {
      const lease = await make.lease();
      const changed = await change(lease, { spec: { leaseTransitions: 2 } });
      // A real server promises none, but sends one nearly always.
      const resourceVersion = await world().eventually('a bookmark', async () => {
        const from = { resourceVersion: lease.metadata.resourceVersion, timeoutSeconds: 4 };
        const watch = watching<Lease>(world(), LEASE, from);
        await watch.seen(1);
        world().elapse(4_000);
        expect(await watch.ended).toBeUndefined();
        return watch.bookmarks.at(-1);
      });
      expect(Number(resourceVersion)).toBeGreaterThanOrEqual(versionOf(changed));
      const next = watching<Lease>(world(), LEASE, { ...named(lease), resourceVersion });
      const again = await change(lease, { spec: { leaseTransitions: 3 } });
      expect((await next.seen(1)).map(({ object }) => object)).toEqual([again]);
    });

    needing('etcd').test('at once as Expired when its version has been forgotten', async () => {
      await make.singleton();
      await world().compact();
      // Of a real server's built-in kinds, its watch cache may know everything since the first version.
      const error = await watching(world(), SINGLETON_SERVICE, { resourceVersion: '1', timeoutSeconds: 5 }).ended;
      expect(error).toMatchObject({
        status: 410,
        reason: 'Expired',
        message: expect.stringMatching(/^too old resource version: 1 \(\d+\)$/),
      });
    });

    it('when its reader wants no more', async () => {
      const watch = watching(world(), LEASE, { resourceVersion: await now() });
      watch.stop();
      expect(await watch.ended).toMatchObject({ name: 'TransportError', failure: 'aborted' });
    });

    it('at once for what is not served, and for a selector that is none', async () => {
      expect(await watching(world(), NOBODYS, { resourceVersion: '1' }).ended).toMatchObject({
        status: 404,
        reason: 'NotFound',
      });
      const bad = watching(world(), LEASE, { resourceVersion: await now(), fieldSelector: 'spec.holderIdentity=a' });
      expect(await bad.ended).toMatchObject({ status: 400, reason: 'BadRequest' });
    });
  });
}
