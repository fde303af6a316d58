import { beforeAll, describe, expect, it } from 'vitest';
import {
  LEASE,
  POD,
  SERVICE,
  SINGLETON_SERVICE,
  discoverEndpointSlices,
  isServed,
} from '../../src/adapters/kubernetes/resources.ts';
import type { ListQuery, ResourceType } from '../../src/adapters/ports.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { needing } from '../control-plane/needs.ts';
import { Maker, OF, aName, errorOf, refOf, versionOf } from './world.ts';
import type { UseWorld } from './world.ts';

export const NOBODYS: ResourceType = {
  group: 'no.such',
  version: 'v1',
  plural: 'things',
  kind: 'Thing',
  namespaced: true,
};

export function describeLists(world: UseWorld): void {
  const make = new Maker(world);
  const list = (query: ListQuery) => world().api.list<Lease>(LEASE, { namespace: world().namespace, ...query });
  const namesIn = async (query: ListQuery): Promise<string[]> =>
    (await list(query)).items.map(({ metadata }) => metadata.name);

  describe('a list', () => {
    it('has its objects by name, each with its kind, at a version that is not older than theirs', async () => {
      const of = aName('of');
      const first = await make.lease({ name: `${of}-b`, labels: { [OF]: of } });
      const second = await make.lease({ name: `${of}-a`, labels: { [OF]: of } });
      const page = await list({ labelSelector: `${OF}=${of}` });
      expect(page.items).toEqual([second, first]);
      expect(Number(page.resourceVersion)).toBeGreaterThanOrEqual(versionOf(second));
      expect(page).not.toHaveProperty('continueToken');
    });

    it('of nothing is empty, and has a version', async () => {
      const page = await list({ labelSelector: `${OF}=nobody` });
      expect(page).toEqual({ items: [], resourceVersion: expect.stringMatching(/^\d+$/) });
    });

    it('without a namespace is of all of them', async () => {
      const lease = await make.lease();
      const { items } = await world().api.list<Lease>(LEASE, {});
      expect(items.map(({ metadata }) => metadata.uid)).toContain(lease.metadata.uid);
    });

    it('of another namespace does not have it', async () => {
      const lease = await make.lease();
      const names = (await list({ namespace: 'default' })).items.map(({ metadata }) => metadata.uid);
      expect(names).not.toContain(lease.metadata.uid);
    });

    it('by a field has the one of that name', async () => {
      const { name } = (await make.lease()).metadata;
      await make.lease();
      expect(await namesIn({ fieldSelector: `metadata.name=${name}` })).toEqual([name]);
      expect(await namesIn({ fieldSelector: `metadata.name!=${name}` })).not.toContain(name);
    });

    it('of pods can be by node and by phase', async () => {
      const { api, namespace, node } = world();
      const [there, nowhere] = [await make.pod(), await make.pod({}, {})];
      const names = async (fieldSelector: string) =>
        (await api.list<Pod>(POD, { namespace, fieldSelector })).items.map(({ metadata }) => metadata.name);
      expect(await names(`spec.nodeName=${node}`)).toContain(there.metadata.name);
      expect(await names(`spec.nodeName=${node}`)).not.toContain(nowhere.metadata.name);
      expect(await names(`status.phase=Pending,spec.nodeName!=${node}`)).toContain(nowhere.metadata.name);
    });

    it.each([
      ['a field that cannot be selected by', { fieldSelector: 'spec.holderIdentity=a' }],
      ['a field selector that is none', { fieldSelector: 'metadata.name' }],
      ['a label selector that is none', { labelSelector: 'a in b' }],
      ['a token that is none', { limit: 1, continueToken: 'nonsense' }],
    ])('by %s is a BadRequest', async (_what, query) => {
      expect(await errorOf(list(query))).toMatchObject({ status: 400, reason: 'BadRequest' });
    });

    it('of what is not served is NotFound', async () => {
      const notFound = { status: 404, reason: 'NotFound' };
      expect(await errorOf(world().api.list(NOBODYS, {}))).toMatchObject(notFound);
      expect(await errorOf(world().api.get(NOBODYS, { namespace: 'default', name: 'x' }))).toMatchObject(notFound);
      expect(await errorOf(world().api.list({ ...LEASE, plural: 'others' }, {}))).toMatchObject(notFound);
    });
  });

  describe('a list by labels', () => {
    const of = aName('labelled');
    beforeAll(async () => {
      const labels = [{ a: '1', b: '1' }, { a: '2' }, { b: '1' }, { a: '', b: '2' }];
      for (const [index, those] of labels.entries())
        await make.lease({ name: `${of}-${index}`, labels: { [OF]: of, ...those } });
    });

    it.each([
      ['a', [0, 1, 3]],
      ['!a', [2]],
      ['a=1', [0]],
      ['a==1', [0]],
      ['a=', [3]],
      ['a!=1', [1, 2, 3]],
      ['a in (1,2)', [0, 1]],
      ['a in (2, 3),b', []],
      ['a notin (1)', [1, 2, 3]],
      ['b=1,a', [0]],
      ['b,!a', [2]],
    ])('such as %s', async (selector, expected) => {
      expect(await namesIn({ labelSelector: `${OF}=${of},${selector}` })).toEqual(
        expected.map((index) => `${of}-${index}`),
      );
    });
  });

  describe('a list in pages', () => {
    it('is all of one version, whatever is written between them', async () => {
      const of = aName('paged');
      const labels = { [OF]: of };
      const leases: Lease[] = [];
      for (let index = 0; index < 5; index += 1) leases.push(await make.lease({ name: `${of}-${index}`, labels }));
      const query = { labelSelector: `${OF}=${of}`, limit: 2 };
      const first = await list(query);
      const last = leases[4];
      if (last === undefined) throw new Error('five were made');
      await world().api.mergePatch(LEASE, refOf(last), { spec: { leaseTransitions: 9 } });
      await make.lease({ name: `${of}-9`, labels });
      if (leases[2] !== undefined) await world().api.delete(LEASE, refOf(leases[2]));
      const second = await list({ ...query, continueToken: first.continueToken ?? '' });
      const third = await list({ ...query, continueToken: second.continueToken ?? '' });
      expect([first, second, third].map(({ items }) => items.length)).toEqual([2, 2, 1]);
      expect([...first.items, ...second.items, ...third.items]).toEqual(leases);
      expect([second.resourceVersion, third.resourceVersion]).toEqual([first.resourceVersion, first.resourceVersion]);
      expect(third).not.toHaveProperty('continueToken');
    });

    needing('etcd').test('expires when the server has forgotten the first one’s version', async () => {
      const of = aName('paged');
      for (let index = 0; index < 3; index += 1) await make.lease({ name: `${of}-${index}`, labels: { [OF]: of } });
      const query = { labelSelector: `${OF}=${of}`, limit: 1 };
      const { continueToken = '' } = await list(query);
      await make.lease();
      await world().compact();
      expect(await errorOf(list({ ...query, continueToken }))).toMatchObject({
        status: 410,
        reason: 'Expired',
        message: expect.stringContaining('The provided continue parameter is too old'),
      });
    });

    it('fills a page with what is selected', async () => {
      const of = aName('paged');
      for (let index = 0; index < 6; index += 1)
        await make.lease({ name: `${of}-${index}`, labels: index % 2 === 0 ? { [OF]: of } : {} });
      const { items, continueToken } = await list({ labelSelector: `${OF}=${of}`, limit: 2 });
      expect(items.map(({ metadata }) => metadata.name)).toEqual([`${of}-0`, `${of}-2`]);
      expect(continueToken).toBeDefined();
    });
  });
}

export function describeDiscovery(world: UseWorld): void {
  describe('discovery', () => {
    it('tells the newest version of EndpointSlices, which can be listed', async () => {
      const { api, endpointSlices, namespace } = world();
      expect(await discoverEndpointSlices(api)).toEqual(endpointSlices);
      expect(await errorOf(api.list(endpointSlices, { namespace, limit: 1 }))).toBeUndefined();
    });

    it.each([SINGLETON_SERVICE, POD, SERVICE, LEASE])('tells that there are $plural', async (type) => {
      expect(await isServed(world().api, type)).toBe(true);
    });

    it('tells that there is nothing else of a group, and no such group', async () => {
      const { api } = world();
      expect(await isServed(api, { ...SINGLETON_SERVICE, plural: 'others' })).toBe(false);
      expect(await isServed(api, { ...SINGLETON_SERVICE, version: 'v9' })).toBe(false);
      expect(await isServed(api, NOBODYS)).toBe(false);
      expect(await errorOf(api.getPath('/apis/no.such'))).toMatchObject({ status: 404, reason: 'NotFound' });
    });
  });
}
