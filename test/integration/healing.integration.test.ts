/** Whatever hands change is put back, and no edit moves the active. */
import { expect } from 'vitest';
import { ANNOTATION, GUARDED, LABEL } from '../../src/api/names.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import { needing } from '../control-plane/needs.ts';
import type { ApiObject } from '../control-plane/rest-client.ts';
import { until } from '../control-plane/wait.ts';
import type { LogLine } from './operator.ts';
import { aSpec, conditionOf, isReady, nameOf, roleOf, slotOf, termOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

const { describe, test } = needing('audit log');
const world = useWorld();

const healed = (name: string) => world().settled(name, ({ pods }) => expect(pods.every(isReady)).toBe(true));
const podPath = ({ metadata }: Pod): string => `${world().paths.pods}/${metadata.name}`;
const patch = (path: string, change: object): Promise<ApiObject> => world().api.patch(path, change);
const labels = (change: Record<string, string | null>): object => ({ metadata: { labels: change } });

interface Edit {
  readonly act: (before: Settled) => Promise<unknown>;
  /** Besides: in order, the same active, the same term label on it. */
  readonly check?: (after: Settled, before: Settled) => void;
}

/** The edit is made, seen to be undone, and nothing has moved. */
async function heals(name: string, { act, check }: Edit): Promise<void> {
  const before = await healed(name);
  const fromWallMs = Date.now();
  await act(before);
  // Every edit here costs the operator at least one write; before that "in order" may be an old look.
  await until('the operator to have written', async () => {
    return (await world().writesOf(world().operator, fromWallMs)).length > 0;
  });
  const after = await world().settled(name, (state) => check?.(state, before));
  expect(nameOf(after.active)).toBe(nameOf(before.active));
  expect(termOf(after.active)).toBe(termOf(before.active));
  expect(after.pods.map(nameOf)).toEqual(before.pods.map(nameOf));
}

const sameTerm = (after: Settled, before: Settled): void => expect(after.term).toBe(before.term);

describe('the Lease', () => {
  const lease = () => world().of('leased').lease;

  test.each<[string, Edit]>([
    [
      'whose holder is changed to a standby is given back to the active',
      {
        act: ({ standbys: [standby] }) =>
          patch(lease(), { spec: { holderIdentity: `${standby?.metadata.name}_${standby?.metadata.uid}` } }),
        check: sameTerm,
      },
    ],
    [
      'whose holder is nobody of ours is given back to the active',
      { act: () => patch(lease(), { spec: { holderIdentity: 'me' } }), check: sameTerm },
    ],
    [
      'whose holder is emptied is given back to the active',
      { act: () => patch(lease(), { spec: { holderIdentity: '' } }), check: sameTerm },
    ],
    [
      'whose term is set back gets its term again',
      { act: () => patch(lease(), { spec: { leaseTransitions: 0 } }), check: sameTerm },
    ],
    [
      'whose name label is taken away gets it again, and keeps its term',
      {
        act: () => patch(lease(), labels({ [LABEL.name]: null })),
        check: (after, before) => {
          sameTerm(after, before);
          expect(after.lease.metadata.labels).toEqual({ [LABEL.name]: 'leased' });
        },
      },
    ],
    [
      'whose term is raised keeps the higher one, and the active its own',
      {
        act: ({ term }) => patch(lease(), { spec: { leaseTransitions: term + 40 } }),
        check: (after, before) => expect(after.term).toBe(before.term + 40),
      },
    ],
    [
      'that is deleted is made again with a term far above every one that may have been given',
      {
        act: () => world().api.delete(lease()),
        check: (after, before) => {
          expect(after.term).toBe(before.term + 1000);
          expect(after.lease.metadata.uid).not.toBe(before.lease.metadata.uid);
        },
      },
    ],
  ])('%s', async (_what, edit) => {
    if (await world().gone(world().of('leased').singleton)) await world().create('leased');
    await heals('leased', edit);
  });

  test.each(['not json', '{}', '{"to":7}', null])(
    'whose record of the last move is replaced by %j still says who is the active, and the next move works',
    async (record) => {
      const before = await healed('leased');
      await patch(lease(), { metadata: { annotations: { [ANNOTATION.move]: record } } });
      await world().suite.nodes.crash(before.active.metadata);
      const after = await world().settled('leased', ({ term }) => expect(term).toBeGreaterThan(before.term));
      expect(nameOf(after.active)).not.toBe(nameOf(before.active));
      expect(after.status.lastMove).toMatchObject({ reason: 'ActiveCrashed', from: nameOf(before.active) });
      await world().suite.nodes.restart(before.active.metadata);
    },
  );

  test('that is deleted while the active crashes gives no term twice', async () => {
    const before = await healed('leased');
    await Promise.all([world().api.delete(lease()), world().suite.nodes.crash(before.active.metadata)]);
    const after = await world().settled('leased', ({ term, lease: { metadata } }) => {
      expect(term).toBeGreaterThan(before.term);
      expect(metadata.uid).not.toBe(before.lease.metadata.uid);
    });
    expect(nameOf(after.active)).not.toBe(nameOf(before.active));
    await world().suite.nodes.restart(before.active.metadata);
  });
});

describe('the Service', () => {
  const service = () => world().of('served').service;
  const headless = () => world().of('served').headless;
  const headlessSpec = async () => (await world().api.get<Service>(headless())).spec;

  test.each<[string, Edit]>([
    [
      'whose selector is changed selects the active again',
      { act: () => patch(service(), { spec: { selector: { [LABEL.term]: '77' } } }), check: sameTerm },
    ],
    [
      'whose selector gets one label more loses it again',
      { act: () => patch(service(), { spec: { selector: { app: 'x' } } }), check: sameTerm },
    ],
    [
      'whose selector loses the term selects it again',
      { act: () => patch(service(), { spec: { selector: { [LABEL.term]: null } } }), check: sameTerm },
    ],
    [
      'whose ports are changed has those of the spec again',
      {
        act: () => patch(service(), { spec: { ports: [{ port: 9, name: 'nine' }] } }),
        check: (after) =>
          expect(after.service.spec?.ports).toEqual([
            { name: 'http', port: 8080, targetPort: 'http', protocol: 'TCP' },
          ]),
      },
    ],
    [
      'whose name label is taken away gets it again, and keeps its address',
      {
        act: () => patch(service(), labels({ [LABEL.name]: null })),
        check: (after, before) => {
          expect(after.service.metadata.labels).toMatchObject({ [LABEL.name]: 'served' });
          expect(after.service.spec?.clusterIP).toBe(before.service.spec?.clusterIP);
        },
      },
    ],
    [
      'that is deleted is made again and selects the active',
      {
        act: () => world().api.delete(service()),
        check: (after, before) => {
          sameTerm(after, before);
          expect(after.service.metadata.uid).not.toBe(before.service.metadata.uid);
        },
      },
    ],
  ])('%s', async (_what, edit) => {
    if (await world().gone(world().of('served').singleton)) await world().create('served');
    await heals('served', edit);
  });

  test('keeps the labels and annotations of other people', async () => {
    const marks = { labels: { team: 'blue' }, annotations: { 'example.com/owner': 'blue' } };
    await patch(service(), { metadata: marks });
    await heals('served', { act: () => patch(service(), { spec: { selector: { app: 'x' } } }) });
    expect((await world().api.get(service())).metadata).toMatchObject(marks);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['whose selector is changed', () => patch(headless(), { spec: { selector: { app: 'x' } } })],
    ['whose name label is taken away', () => patch(headless(), labels({ [LABEL.name]: null }))],
    ['that is deleted', () => world().api.delete(headless())],
  ])('without an address, %s is put right', async (_what, act) => {
    await heals('served', { act, check: sameTerm });
    await until('the headless Service', async () => {
      const { metadata } = await world().api.get(headless());
      expect(metadata.labels).toMatchObject({ [LABEL.name]: 'served' });
      expect(await headlessSpec()).toMatchObject({ clusterIP: 'None', selector: { [LABEL.name]: 'served' } });
      return true;
    });
  });
});

test('a Service whose selector was removed routes to nobody by the copy of its endpoints that Kubernetes leaves behind', async () => {
  // Without a selector, kube-controller-manager copies the Endpoints into an EndpointSlice of their own, and never looks
  // at that again once there is a selector (kubernetes/kubernetes#91072): it would go on routing to today's active.
  await world().create('copied', aSpec({ replicas: 2 }));
  const before = await healed('copied');
  await patch(world().of('copied').service, { spec: { selector: null } });
  await until('the selector', async () => {
    const { service } = await world().read('copied');
    return service.spec?.selector?.[LABEL.term] === String(before.term);
  });
  await world().suite.nodes.crash(before.active.metadata);
  await world().settled('copied', ({ term, active, routed }) => {
    expect(term).toBe(before.term + 1);
    expect(routed).toEqual([nameOf(active)]);
  });
});

describe('a pod', () => {
  /** All but the revision: nobody can tell any more what the pod was made from. */
  const RESTORED = Object.values(LABEL).filter((label) => label !== LABEL.revision);
  const standby = ({ standbys: [pod] }: Settled): Pod => {
    if (pod === undefined) throw new Error('there is no standby');
    return pod;
  };

  test.each<[string, (before: Settled) => Promise<unknown>]>([
    [
      'a standby that is labelled active',
      (state) => patch(podPath(standby(state)), labels({ [LABEL.role]: 'active' })),
    ],
    [
      'a standby that is labelled with the term of the active',
      (state) => patch(podPath(standby(state)), labels({ [LABEL.term]: String(state.term) })),
    ],
    [
      'a standby that takes both labels of the active',
      (state) => patch(podPath(standby(state)), labels({ [LABEL.role]: 'active', [LABEL.term]: String(state.term) })),
    ],
    ['a standby without its role', (state) => patch(podPath(standby(state)), labels({ [LABEL.role]: null }))],
    ['a standby that is guarded', (state) => patch(podPath(standby(state)), labels({ [LABEL.guarded]: GUARDED }))],
    ['a standby without its slot', (state) => patch(podPath(standby(state)), labels({ [LABEL.slot]: null }))],
    [
      "a standby with another one's slot",
      (state) => patch(podPath(standby(state)), labels({ [LABEL.slot]: String(slotOf(state.active)) })),
    ],
    [
      'a standby with a slot that there is not',
      (state) => patch(podPath(standby(state)), labels({ [LABEL.slot]: '31' })),
    ],
    ['a standby without its name label', (state) => patch(podPath(standby(state)), labels({ [LABEL.name]: null }))],
    ['the active without its role', ({ active }) => patch(podPath(active), labels({ [LABEL.role]: null }))],
    ['the active labelled standby', ({ active }) => patch(podPath(active), labels({ [LABEL.role]: 'standby' }))],
    ['the active without its term', ({ active }) => patch(podPath(active), labels({ [LABEL.term]: null }))],
    ['the active with another term', ({ active }) => patch(podPath(active), labels({ [LABEL.term]: '4711' }))],
    ['the active that is not guarded', ({ active }) => patch(podPath(active), labels({ [LABEL.guarded]: null }))],
    ['the active without its slot', ({ active }) => patch(podPath(active), labels({ [LABEL.slot]: null }))],
    ['the active without its name label', ({ active }) => patch(podPath(active), labels({ [LABEL.name]: null }))],
    [
      'the active without any of the labels that tell who it is',
      ({ active }) => patch(podPath(active), labels(Object.fromEntries(RESTORED.map((label) => [label, null])))),
    ],
  ])('%s is labelled as it was, and nothing moves', async (_what, act) => {
    if (await world().gone(world().of('labelled').singleton)) await world().create('labelled');
    await heals('labelled', { act, check: sameTerm });
  });

  test('whose revision is taken away is replaced as one of an older template, the active after one planned move', async () => {
    await world().create('unrevised', aSpec({ replicas: 2, update: { minReadySeconds: 0 } }));
    const before = await healed('unrevised');
    await patch(podPath(before.active), labels({ [LABEL.revision]: null }));
    const after = await world().settled('unrevised', ({ pods, active, term, status }) => {
      expect(term).toBe(before.term + 1);
      expect(nameOf(active)).toBe(nameOf(standby(before)));
      expect(pods.map(nameOf)).not.toContain(nameOf(before.active));
      expect(pods.every(isReady)).toBe(true);
      expect(status).toMatchObject({ updatedReplicas: 2, lastMove: { kind: 'Switchover', reason: 'Rollout' } });
    });
    const revisions = after.pods.map(({ metadata }) => metadata.labels?.[LABEL.revision]);
    expect(revisions).toEqual(before.pods.map(() => standby(before).metadata.labels?.[LABEL.revision]));
  });

  test('of somebody else that takes our labels loses role, term and guard, is no member, gets no traffic, and lives', async () => {
    const before = await healed('labelled');
    const stranger = {
      metadata: { name: 'stranger', labels: { ...before.active.metadata.labels } },
      spec: { containers: [{ name: 'app', image: 'app' }] },
    };
    await world().api.create(world().paths.pods, stranger);
    const pod = await until('the stranger to be stripped', async () => {
      const pod = await world().api.get<Pod>(`${world().paths.pods}/stranger`);
      const isStripped = [LABEL.role, LABEL.term, LABEL.guarded].every(
        (key) => pod.metadata.labels?.[key] === undefined,
      );
      return isStripped && isReady(pod) && pod;
    });
    expect(pod.metadata.labels).toMatchObject({ [LABEL.name]: 'labelled' });
    const ours = await until('the EndpointSlices', async () => {
      const state = await world().read('labelled');
      return state.routed.join() === nameOf(before.active) && state;
    });
    expect(ours.status.members?.map(({ pod }) => pod)).toEqual(before.pods.map(nameOf));
    expect(ours.lease.spec?.leaseTransitions).toBe(before.term);
    // A failover with the stranger around goes to a member.
    await world().suite.nodes.crash(before.active.metadata);
    await until('the move', async () => {
      const { routed, lease } = await world().read('labelled');
      expect(lease.spec?.leaseTransitions).toBe(before.term + 1);
      expect(before.standbys.map(nameOf)).toContain(routed.join());
      return true;
    });
    expect((await world().api.get(`${world().paths.pods}/stranger`)).metadata.deletionTimestamp).toBeUndefined();
    await world().api.delete(`${world().paths.pods}/stranger`);
    await world().suite.nodes.restart(before.active.metadata);
  });
});

describe("somebody else's object that has the name of one of ours", () => {
  const TAKEN = {
    Service: {
      name: 'their-service',
      path: () => world().of('their-service').service,
      collection: () => world().paths.services,
      body: { metadata: { name: 'their-service' }, spec: { selector: { app: 'theirs' }, ports: [{ port: 1 }] } },
    },
    Lease: {
      name: 'their-lease',
      path: () => world().of('their-lease').lease,
      collection: () => world().paths.leases,
      body: { metadata: { name: 'their-lease-active' }, spec: { holderIdentity: 'them', leaseTransitions: 5 } },
    },
  } as const;
  const kinds = ['Service', 'Lease'] as const;

  test.each(kinds)('a %s blocks the singleton, which says so, and is not touched', async (kind) => {
    const { name, body, collection, path } = TAKEN[kind];
    const theirs = await world().api.create<Service | Lease>(collection(), body);
    await world().create(name);
    const status = await world().told(name, (status) => {
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: `${kind}Taken` });
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: `${kind}Taken` });
      expect(status.ready).toBe('3/3');
    });
    expect(conditionOf(status, 'Blocked')?.message).toContain(
      `${kind} ${body.metadata.name} exists and is not owned by`,
    );
    const untouched = await world().api.get<Service | Lease>(path());
    expect(untouched.metadata.resourceVersion).toBe(theirs.metadata.resourceVersion);
    expect((await world().pods(name)).map(roleOf)).toEqual(['standby', 'standby', 'standby']);
  });

  test('goes out of the way, and the singleton goes on by itself', async () => {
    await Promise.all(kinds.map((kind) => world().api.delete(TAKEN[kind].path())));
    for (const kind of kinds) {
      const { status } = await world().settled(TAKEN[kind].name);
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'False' });
    }
  });

  test('takes the place of our Service while we run: told, left alone, and taken back when it is free', async () => {
    const path = world().of('their-service').service;
    await world().change('their-service', { paused: true });
    await world().told('their-service', (status) =>
      expect(conditionOf(status, 'Paused')).toMatchObject({ status: 'True' }),
    );
    // Ours becomes theirs: somebody takes our owner reference away.
    await patch(path, { metadata: { ownerReferences: null } });
    await world().told('their-service', (status) =>
      expect(conditionOf(status, 'Ready')).toMatchObject({ reason: 'ServiceTaken' }),
    );
    await world().api.delete(path);
    await world().change('their-service', { paused: false });
    await world().settled('their-service');
  });
});

describe('all this healing', () => {
  test('was done without an error', () => {
    // What hands did to a role or a selector is told as what it is.
    const others = ({ level, msg }: LogLine) =>
      (level === 'error' || level === 'warn') && !/^an invariant is broken: I[23]/.test(msg);
    expect(world().operator.log.filter(others)).toEqual([]);
  });

  test('left a singleton that still fails over', async () => {
    await world().create('last', aSpec({ replicas: 2 }));
    for (const name of ['leased', 'served', 'labelled', 'last']) {
      const before = await healed(name);
      await world().suite.nodes.crash(before.active.metadata);
      await world().settled(name, ({ term }) => expect(term).toBe(before.term + 1));
    }
  });
});
