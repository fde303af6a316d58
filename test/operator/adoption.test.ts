import { describe, expect, it } from 'vitest';
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { LABEL } from '../../src/api/names.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { AdoptionStage, STANDBY, adopting, anAdopter, ofReplicaSet, ofStatefulSet } from './adoption-stage.ts';
import { MIDNIGHT, aPodObject, aSingleton, ownedBy } from './objects.ts';

const TWO = [ofReplicaSet('web-a'), ofReplicaSet('web-b')];
const LATER = '2026-01-01T00:00:05Z';

/** Another singleton that selects by `labels`, and is the younger one unless told otherwise. */
const another = (labels: object, creationTimestamp = LATER): SingletonService =>
  anAdopter(labels, { name: 'other', uid: 'uid-other', creationTimestamp });

const specOf = (labels: object, more: object = {}): object => ({ ...(anAdopter(labels).spec as object), ...more });

const leaving = async (stage: AdoptionStage, pod: string): Promise<void> => {
  stage.label(pod, { app: 'debug' });
  await stage.settle();
};

describe('a singleton with a selector', () => {
  it('elects among the pods of a ReplicaSet and routes to one of them; it creates and deletes none', async () => {
    const stage = await adopting(TWO);
    expect(stage.active).toBe('web-a');
    expect(stage.ours('web-a')).toEqual({ name: 'db', role: 'active', term: '1', guarded: 'true' });
    expect(stage.ours('web-b')).toEqual(STANDBY);
    expect(stage.selector).toEqual({ [LABEL.name]: 'db', [LABEL.term]: '1' });
    expect(stage.condition('Ready')).toMatchObject({ status: 'True', reason: 'ActiveRouted' });
    expect(stage.status).toMatchObject({ ready: '2/2', replicas: 2, updatedReplicas: 2, eligibleReplicas: 2 });
    expect(stage.podWrites).toEqual([]);
  });

  it('has a headless Service that names them all', async () => {
    const stage = await adopting(TWO);
    const headless = stage.cluster.find<Service>(SERVICE, 'db-members');
    expect(headless?.spec?.selector).toEqual({ [LABEL.name]: 'db' });
    for (const pod of ['web-a', 'web-b']) expect(stage.ours(pod)).toMatchObject({ name: 'db' });
  });

  it('rests afterwards, whatever spec.replicas says: not one request more', async () => {
    const stage = await adopting(TWO, anAdopter({ app: 'web' }, {}, { replicas: 7 }));
    const before = stage.cluster.requests.length;
    stage.deliver();
    expect(await stage.look()).toEqual({ kind: 'settled', recheckAtMs: undefined });
    expect(stage.cluster.requests).toHaveLength(before);
    expect(stage.condition('Progressing')).toMatchObject({ status: 'False' });
  });

  it('fails over when the active is deleted, and takes in the pod that its owner puts in its place', async () => {
    const stage = await adopting(TWO);
    await stage.cluster.delete(POD, { name: 'web-a' });
    const starting: Pod = { ...ofReplicaSet('web-c'), status: { phase: 'Pending' } };
    stage.cluster.put(POD, starting);
    await stage.settle();
    expect(stage.active).toBe('web-b');
    expect(stage.status?.lastMove).toMatchObject({ kind: 'Failover', reason: 'ActiveDeleted', from: 'web-a', term: 2 });
    expect(stage.ours('web-c')).toEqual(STANDBY);
    expect(stage.podWrites).toEqual(['delete pods/web-a']);
  });

  it('has the ordinals of a StatefulSet for slots, and none where there is no StatefulSet', async () => {
    const stage = await adopting([ofStatefulSet(0), ofStatefulSet(1), ofReplicaSet('web-2-x7k2p')]);
    expect(stage.status?.members?.map(({ pod, slot }) => [pod, slot])).toEqual([
      ['web-0', 0],
      ['web-1', 1],
      ['web-2-x7k2p', undefined],
    ]);
  });

  it('gives priorities by those ordinals', async () => {
    const election = { strategy: 'Priority', priorities: [1, 2] };
    const stage = await adopting([ofStatefulSet(0), ofStatefulSet(1)], anAdopter({ app: 'web' }, {}, { election }));
    expect(stage.active).toBe('web-1');
  });

  it('does not adopt the pods that a singleton made', async () => {
    const owned = aPodObject({ name: 'made', labels: { app: 'web' }, ownerReferences: ownedBy('uid-maker', 'maker') });
    const stage = await adopting([...TWO, owned]);
    expect(stage.status?.members?.map(({ pod }) => pod).sort()).toEqual(['web-a', 'web-b']);
    expect(stage.ours('made')).toEqual({});
  });

  it('leaves alone what its owner leaves behind: pods that were evicted are no members', async () => {
    const evicted = { ...ofReplicaSet('web-old'), status: { phase: 'Failed' as const, reason: 'Evicted' } };
    const stage = await adopting([...TWO, evicted]);
    expect(stage.status).toMatchObject({ ready: '2/2', replicas: 2 });
    expect(stage.status?.members).toHaveLength(2);
    expect(stage.ours('web-old')).toEqual({});
  });

  it('takes all labels from a pod that only carries its name', async () => {
    const labels = { [LABEL.name]: 'db', [LABEL.role]: 'standby', [LABEL.term]: '1', [LABEL.guarded]: 'true' };
    const stage = await adopting([...TWO, aPodObject({ name: 'forged', labels, ownerReferences: [] })]);
    expect(stage.ours('forged')).toEqual({});
  });

  it('gives back a name that somebody took away, also from the active, and moves nothing', async () => {
    const stage = await adopting(TWO);
    for (const pod of ['web-a', 'web-b']) stage.label(pod, { [LABEL.name]: undefined });
    await stage.settle();
    expect(stage.ours('web-a')).toEqual({ name: 'db', role: 'active', term: '1', guarded: 'true' });
    expect(stage.ours('web-b')).toEqual(STANDBY);
    expect(stage.status?.term).toBe(1);
  });

  it('does not label pods while it is paused', async () => {
    const stage = await adopting(TWO);
    stage.setSpec(specOf({ app: 'web' }, { paused: true }));
    stage.cluster.put(POD, ofReplicaSet('web-c'));
    await stage.settle();
    expect(stage.ours('web-c')).toEqual({});
    expect(stage.status?.members).toHaveLength(3);
  });

  it('grants only what a list by its selector confirms: a pod that left meanwhile is not granted', async () => {
    const stage = await adopting(TWO);
    stage.restart();
    stage.setReady('web-a', false);
    stage.cluster.deliver();
    stage.label('web-b', { app: 'debug' });
    await stage.look();
    expect(stage.active).toBe('web-a');
    expect(stage.cluster.requests).toContain('list pods/app=web');
  });
});

describe('an active that the selector does not select any more', () => {
  it('is moved from by a planned move, and then gives all labels back', async () => {
    const stage = await adopting(TWO);
    await leaving(stage, 'web-a');
    expect(stage.active).toBe('web-b');
    expect(stage.status?.lastMove).toMatchObject({ kind: 'Switchover', reason: 'ActiveNotSelected', term: 2 });
    expect(stage.ours('web-a')).toEqual({});
    expect(stage.selector).toMatchObject({ [LABEL.term]: '2' });
  });

  it('goes on being routed to while nobody can take over, which is said', async () => {
    const stage = await adopting(TWO);
    stage.setReady('web-b', false);
    await leaving(stage, 'web-a');
    expect(stage.active).toBe('web-a');
    expect(stage.ours('web-a')).toMatchObject({ role: 'active', term: '1' });
    expect(stage.condition('Ready')).toMatchObject({ status: 'True' });
    expect(stage.condition('Blocked')).toMatchObject({ status: 'True', reason: 'NoCandidate' });
  });

  it('and has ended loses its role before the next one gets it, when it changed in the moment of the grant', async () => {
    const stage = await adopting(TWO);
    stage.cluster.edit<Pod>(POD, 'web-a', (pod) => ({ ...pod, status: { phase: 'Succeeded' } }));
    stage.cluster.onRequest = ({ verb, plural, name }) => {
      if (verb !== 'patch' || plural !== 'pods' || name !== 'web-a') return;
      stage.cluster.onRequest = () => undefined;
      stage.label('web-a', { changed: 'meanwhile' });
    };
    stage.deliver();
    await stage.look();
    expect(stage.active).toBe('web-b');
    const roles: (string | undefined)[] = [];
    stage.cluster.onRequest = ({ verb, plural, name }) => {
      if (verb === 'patch' && plural === 'pods' && name === 'web-b') roles.push(stage.ours('web-a')['role']);
    };
    await stage.settle();
    expect(roles).toEqual(['standby']);
    expect(stage.ours('web-a')).toEqual({});
  });

  it('keeps its labels until the Service is flipped, wherever the process dies', async () => {
    const stage = await adopting(TWO);
    stage.label('web-a', { app: 'debug' });
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb === 'patch' && plural === 'services') throw new Error('the process dies here');
    };
    stage.deliver();
    await stage.look();
    stage.cluster.onRequest = () => undefined;
    expect(stage.active).toBe('web-b');
    stage.restart();
    const terms: (string | undefined)[] = [];
    stage.cluster.onRequest = ({ verb, plural }) => {
      if (verb === 'patch' && plural === 'services') terms.push(stage.ours('web-a')['term']);
    };
    await stage.settle();
    expect(terms).toEqual(['1']);
    expect(stage.ours('web-a')).toEqual({});
    expect(stage.selector).toMatchObject({ [LABEL.term]: '2' });
  });

  it('and all that only the old selector selected give their labels back when the selector changes', async () => {
    const stage = await adopting([
      ...TWO,
      ofReplicaSet('new-a', { app: 'new' }),
      ofReplicaSet('new-b', { app: 'new' }),
    ]);
    expect(stage.ours('new-a')).toEqual({});
    stage.setSpec(specOf({ app: 'new' }));
    await stage.settle();
    expect(stage.active).toBe('new-a');
    for (const pod of ['web-a', 'web-b']) expect(stage.ours(pod)).toEqual({});
    expect(stage.ours('new-b')).toEqual(STANDBY);
    expect(stage.status).toMatchObject({ ready: '2/2', lastMove: { kind: 'Switchover' } });
    expect(stage.podWrites).toEqual([]);
  });
});

describe('a spec that goes', () => {
  it('from a template to a selector moves to an adopted pod, then deletes the pods that the operator made', async () => {
    const stage = await adopting(TWO, aSingleton());
    stage.runPods();
    await stage.settle();
    const made = stage.cluster
      .all<Pod>(POD)
      .flatMap(({ metadata }) => (metadata.name.startsWith('db-') ? metadata.name : []));
    expect(made).toHaveLength(2);
    stage.setSpec(specOf({ app: 'web' }));
    await stage.settle();
    expect(stage.active).toBe('web-a');
    const deleted = stage.podWrites.filter((text) => text.startsWith('delete'));
    expect(deleted.sort()).toEqual(made.map((pod) => `delete pods/${pod}`).sort());
    expect(stage.status?.lastMove).toMatchObject({ kind: 'Switchover', reason: 'ActiveNotSelected' });
  });

  it('from a selector to a template moves to a member of its own, and deletes nothing that was adopted', async () => {
    const stage = await adopting(TWO);
    stage.setSpec(aSingleton().spec as object);
    await stage.settle();
    expect(stage.active).toBe('web-a');
    for (const { metadata } of stage.cluster.all<Pod>(POD))
      if (metadata.name.startsWith('db-')) stage.setReady(metadata.name, true);
    await stage.settle();
    expect(stage.active).toMatch(/^db-0-/);
    expect(stage.ours('web-a')['term']).toBeUndefined();
    expect(stage.podWrites.filter((text) => text.startsWith('delete'))).toEqual([]);
  });
});

describe('two singletons that select the same pod', () => {
  const SHARED = ofReplicaSet('web-b', { app: 'web', tier: 'front' });

  /** `db` is the younger one and has run before it came to that. */
  async function overlapping(): Promise<AdoptionStage> {
    const stage = await adopting([ofReplicaSet('web-a'), ofReplicaSet('web-b')]);
    stage.cluster.put(SINGLETON_SERVICE, another({ tier: 'front' }, '2025-12-31T00:00:00Z'));
    stage.label('web-b', { tier: 'front' });
    await stage.settle();
    return stage;
  }

  it('of which the younger one is refused, with the other one and the pod named', async () => {
    const stage = new AdoptionStage();
    stage.cluster.put(POD, SHARED);
    stage.cluster.put(SINGLETON_SERVICE, another({ tier: 'front' }, '2025-12-31T00:00:00Z'));
    stage.cluster.put(SINGLETON_SERVICE, anAdopter({ app: 'web' }));
    await stage.settle();
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'False', reason: 'SelectorOverlap' });
    expect(stage.condition('SpecAccepted')?.message).toContain(
      'spec.selector: selects pod web-b, which SingletonService other (the older one) selects too',
    );
    expect(stage.ours('web-b')).toEqual({});
    expect(stage.cluster.find<Lease>(LEASE, 'db-active')).toBeUndefined();
  });

  it('of which the older one is not touched, and of two as old the UID decides', async () => {
    const stage = await adopting(TWO);
    stage.cluster.put(SINGLETON_SERVICE, another({ app: 'web' }));
    await stage.settle();
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'True' });
    stage.cluster.put(SINGLETON_SERVICE, another({ app: 'web' }, MIDNIGHT));
    await stage.settle();
    // 'uid-db' comes before 'uid-other'.
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'True' });
  });

  it('and what ran for the younger one goes on, failovers included', async () => {
    const stage = await overlapping();
    expect(stage.condition('SpecAccepted')).toMatchObject({ reason: 'SelectorOverlap' });
    expect(stage.condition('Ready')).toMatchObject({ status: 'True' });
    stage.setReady('web-a', false);
    await stage.settle();
    expect(stage.active).toBe('web-b');
  });

  it('also for a process that never saw it accepted', async () => {
    const stage = await overlapping();
    stage.restart();
    await stage.settle();
    expect(stage.active).toBe('web-a');
    expect(stage.ours('web-b')).toEqual(STANDBY);
    stage.setReady('web-a', false);
    await stage.settle();
    expect(stage.active).toBe('web-b');
  });

  it('are judged anew when the other one changes what it selects, and the refusal is lifted', async () => {
    const stage = await overlapping();
    stage.changed.length = 0;
    stage.cluster.put(SINGLETON_SERVICE, another({ tier: 'back' }, '2025-12-31T00:00:00Z'));
    stage.deliver();
    expect(stage.changed).toContain('default/db');
    await stage.settle();
    expect(stage.condition('SpecAccepted')).toMatchObject({ status: 'True' });
  });

  it('leave a pod to the one whose name it carries, while that one selects it', async () => {
    const stage = await adopting([...TWO, ofReplicaSet('web-c', { app: 'web', [LABEL.name]: 'other', tier: 'front' })]);
    stage.cluster.put(SINGLETON_SERVICE, another({ tier: 'front' }));
    await stage.settle();
    stage.label('web-c', { [LABEL.name]: 'other' });
    await stage.clock.advance(1_000);
    await stage.settle();
    expect(stage.ours('web-c')).toMatchObject({ name: 'other' });
    expect(stage.status?.members?.map(({ pod }) => pod)).not.toContain('web-c');
  });

  it('do not exist when the name on a pod is one that somebody wrote there', async () => {
    const stage = await adopting(TWO);
    stage.label('web-a', { [LABEL.name]: 'nobody' });
    await stage.settle();
    expect(stage.active).toBe('web-a');
    expect(stage.ours('web-a')).toEqual({ name: 'db', role: 'active', term: '1', guarded: 'true' });
    expect(stage.status?.term).toBe(1);
  });
});
