import { describe, expect, it } from 'vitest';
import { LEASE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { API_VERSION } from '../../src/api/names.ts';
import type { KubeObject, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { Maker, SINGLETON, aName, aSingletonSpec, errorOf, refOf, versionOf } from './world.ts';
import type { UseWorld } from './world.ts';

export function describeStatus(world: UseWorld): void {
  const make = new Maker(world);
  const STATUS = { subresource: 'status' } as const;
  const change = (object: KubeObject, changes: object) =>
    world().api.mergePatch<SingletonService>(SINGLETON_SERVICE, refOf(object), changes);
  const report = (object: KubeObject, changes: object) =>
    world().api.mergePatch<SingletonService>(SINGLETON_SERVICE, refOf(object), changes, STATUS);

  describe('the status of a SingletonService', () => {
    it('is dropped when the object is created, whose generation is 1', async () => {
      const body = {
        ...SINGLETON,
        metadata: { name: aName('singleton') },
        spec: aSingletonSpec(),
        status: { term: 7 },
      };
      const created = await world().api.create<SingletonService>(SINGLETON_SERVICE, world().namespace, body);
      expect(created).not.toHaveProperty('status');
      expect(created.metadata.generation).toBe(1);
    });

    it('is written alone: spec, labels and generation stay, and the version rises', async () => {
      const singleton = await make.singleton();
      const changes = { metadata: { labels: { a: '1' } }, spec: { paused: true }, status: { term: 3 } };
      const reported = await report(singleton, changes);
      expect(reported.status).toEqual({ term: 3 });
      expect(reported.spec).toEqual(singleton.spec);
      expect(reported.metadata).toEqual({
        ...singleton.metadata,
        resourceVersion: reported.metadata.resourceVersion,
        ...managed(reported),
      });
      expect(versionOf(reported)).toBeGreaterThan(versionOf(singleton));
    });

    it('is left alone by a write to the object, which then may change nothing', async () => {
      const singleton = await report(await make.singleton(), { status: { term: 3 } });
      const changed = await change(singleton, { status: { term: 4 } });
      expect(changed.status).toEqual({ term: 3 });
      expect(changed.metadata.resourceVersion).toBe(singleton.metadata.resourceVersion);
    });

    it('loses a field by null, and its lists are replaced', async () => {
      const singleton = await make.singleton();
      const at = '2026-01-01T00:00:00Z';
      const condition = (type: string) => ({ type, status: 'True', reason: 'R', message: 'm', lastTransitionTime: at });
      await report(singleton, { status: { term: 3, ready: '1/2', conditions: [condition('A'), condition('B')] } });
      const reported = await report(singleton, { status: { ready: null, conditions: [condition('C')] } });
      expect(reported.status).toEqual({ term: 3, conditions: [condition('C')] });
    });

    it('that says the same again is no write', async () => {
      const first = await report(await make.singleton(), { status: { term: 3 } });
      const second = await report(first, { status: { term: 3, ready: null } });
      expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    });

    it('is a Conflict for whoever has seen an old version', async () => {
      const singleton = await make.singleton();
      const { resourceVersion } = singleton.metadata;
      await report(singleton, { metadata: { resourceVersion }, status: { term: 3 } });
      const late = report(singleton, { metadata: { resourceVersion }, status: { term: 4 } });
      expect(await errorOf(late)).toMatchObject({
        status: 409,
        reason: 'Conflict',
        message: expect.stringContaining('singletonservices.singleton-operator.io'),
      });
    });

    it('takes no UID for a precondition: the server keeps the metadata that it has', async () => {
      const singleton = await make.singleton();
      const uid = '00000000-0000-4000-8000-000000000000';
      const reported = await report(singleton, { metadata: { uid }, status: { term: 3 } });
      expect(reported).toMatchObject({ metadata: { uid: singleton.metadata.uid }, status: { term: 3 } });
    });

    it('loses what the schema does not know, so that the same again is no write', async () => {
      const singleton = await make.singleton();
      const first = await report(singleton, { status: { term: 3, invented: true } });
      expect(first.status).toEqual({ term: 3 });
      const second = await report(singleton, { status: { term: 3, invented: true } });
      expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    });

    it('of a wrong type is Invalid', async () => {
      const error = await errorOf(report(await make.singleton(), { status: { term: 'three' } }));
      expect(error).toMatchObject({ status: 422, reason: 'Invalid', message: expect.stringContaining('status.term') });
    });
  });

  describe('the spec of a SingletonService', () => {
    it('raises the generation when it changes, and only then', async () => {
      const singleton = await make.singleton();
      expect((await change(singleton, { spec: { paused: true } })).metadata.generation).toBe(2);
      expect((await change(singleton, { spec: { paused: true } })).metadata.generation).toBe(2);
      expect((await change(singleton, { metadata: { labels: { a: '1' } } })).metadata.generation).toBe(2);
      expect((await report(singleton, { status: { term: 1 } })).metadata.generation).toBe(2);
      expect((await change(singleton, { spec: { paused: null } })).metadata.generation).toBe(3);
    });

    it('is filled in with the defaults of the schema, at every depth', async () => {
      const { spec } = await make.singleton();
      expect(spec).toMatchObject({ replicas: 2, paused: false, disruptionBudget: true });
      expect(spec).toMatchObject({ election: { strategy: 'Oldest' }, failover: { nodeLoss: { afterSeconds: 30 } } });
    });

    it('takes null for absent', async () => {
      const { spec } = await make.singleton({}, { ...aSingletonSpec(), replicas: null, selector: null });
      expect(spec).toMatchObject({ replicas: 2 });
      expect(spec).not.toHaveProperty('selector');
    });

    it('loses what the schema does not know, but not in the template', async () => {
      const { template } = aSingletonSpec();
      const { spec } = await make.singleton(
        {},
        { template: { ...template, spec: { ...template.spec, x: [null] } }, y: 1 },
      );
      expect(spec).toMatchObject({ template: { spec: { x: [null] } } });
      expect(spec).not.toHaveProperty('y');
    });

    it.each([
      ['a text for a number', { replicas: 'three' }, 'spec.replicas'],
      ['a word that is none of those', { election: { strategy: 'Loudest' } }, 'spec.election.strategy'],
      ['a number out of range', { replicas: 0 }, 'spec.replicas'],
    ])('with %s is Invalid', async (_what, fields, message) => {
      const error = await errorOf(make.singleton({}, { ...aSingletonSpec(), ...fields }));
      expect(error).toMatchObject({ status: 422, reason: 'Invalid', message: expect.stringContaining(message) });
    });

    it('has to be there, and the name must not be too long', async () => {
      const { api, namespace } = world();
      const create = (name: string, rest: object) =>
        errorOf(api.create(SINGLETON_SERVICE, namespace, { ...SINGLETON, metadata: { name }, ...rest }));
      expect(await create(aName(), {})).toMatchObject({ status: 422, reason: 'Invalid' });
      expect(await create('x'.repeat(60), { spec: aSingletonSpec() })).toMatchObject({
        status: 422,
        reason: 'Invalid',
      });
    });

    it('without its kind is a BadRequest, unlike a built-in kind', async () => {
      const { api, namespace } = world();
      const body = { apiVersion: API_VERSION, metadata: { name: aName() }, spec: aSingletonSpec() };
      expect(await errorOf(api.create(SINGLETON_SERVICE, namespace, body))).toMatchObject({
        status: 400,
        reason: 'BadRequest',
      });
    });

    it('that is patched into nonsense is Invalid, and stays', async () => {
      const singleton = await make.singleton();
      expect(await errorOf(change(singleton, { spec: { replicas: -1 } }))).toMatchObject({ status: 422 });
      expect(await world().api.get(SINGLETON_SERVICE, refOf(singleton))).toEqual(singleton);
    });
  });

  describe('the status of built-in kinds', () => {
    it('of a pod is written alone', async () => {
      const pod = await make.pod();
      const changes = { spec: { nodeName: 'elsewhere' }, status: { phase: 'Running', podIP: '10.64.9.9' } };
      const reported = await world().api.mergePatch<Pod>(POD, refOf(pod), changes, STATUS);
      expect(reported.status).toMatchObject({ phase: 'Running', podIP: '10.64.9.9' });
      expect(reported.spec).toEqual(pod.spec);
      expect(versionOf(reported)).toBeGreaterThan(versionOf(pod));
    });

    it('of a pod is left alone by a write to the pod', async () => {
      const pod = await make.report(await make.pod(), true);
      const labelled = await world().api.mergePatch<Pod>(POD, refOf(pod), {
        metadata: { labels: { a: '1' } },
        status: { phase: 'Failed' },
      });
      expect(labelled.metadata.labels).toEqual({ a: '1' });
      expect(labelled.status).toEqual(pod.status);
    });

    it('a Lease has none', async () => {
      const error = await errorOf(world().api.mergePatch(LEASE, refOf(await make.lease()), { status: {} }, STATUS));
      expect(error).toMatchObject({
        status: 404,
        reason: 'NotFound',
        message: 'the server could not find the requested resource',
      });
    });
  });
}

/** What a real server notes of who wrote what. */
const managed = ({ metadata }: KubeObject): object => {
  const { managedFields } = metadata as { managedFields?: unknown };
  return managedFields === undefined ? {} : { managedFields };
};
