/** However the active fails, another member is routed, and in no state of the API server two are. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABEL, ROLE } from '../../src/api/names.ts';
import { isWrite, readAudit } from '../control-plane/audit.ts';
import { needing } from '../control-plane/needs.ts';
import { until } from '../control-plane/wait.ts';
import { brokenInvariants, flipsToNobody, startRecorder } from './recorder.ts';
import type { Change, Recorder } from './recorder.ts';
import { FAILS_OFTEN, aSpec, conditionOf, isReady, nameOf, roleOf, slotOf, termOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

// Members take a second to stop, as real ones do, so that a move can be seen to come first.
const STOP_MS = 1_000;
const world = useWorld({ stopDelayMs: STOP_MS });
const audited = needing('audit log');
let recorder: Recorder;

beforeAll(async () => {
  recorder = await startRecorder(world().api, world().namespace);
});
afterAll(() => recorder.stop());

const podPath = (pod: { metadata: { name: string } }): string => `${world().paths.pods}/${pod.metadata.name}`;

/** Another member than `before.active`, one term later, alone in every place that matters. */
const movedFrom = (before: Settled, reason: string) =>
  world().settled(before.singleton.metadata.name, ({ active, term, standbys, status, pods }) => {
    expect(nameOf(active)).not.toBe(nameOf(before.active));
    expect(term).toBe(before.term + 1);
    expect(termOf(active)).toBe(String(term));
    expect(standbys.map(roleOf)).toEqual(['standby', 'standby']);
    expect(status.lastMove).toMatchObject({
      kind: 'Failover',
      reason,
      from: nameOf(before.active),
      to: nameOf(active),
      term,
    });
    expect(pods).toHaveLength(3);
  });

/** Every pod is Ready again: the next test begins like this one did. */
const healed = (name: string) =>
  world().settled(name, ({ pods, status }) => {
    expect(pods.every(isReady)).toBe(true);
    // Told, too: a status that is still to be written would be taken for one of the next move's.
    expect(status).toMatchObject({ ready: '3/3', eligibleReplicas: 3 });
  });

const statesOf = (history: readonly Change[], name: string) =>
  history.filter(({ kind, object }) => kind === 'pod' && nameOf(object) === name);

describe('a singleton with three members', () => {
  test('has one active soon after it was created: slot, role and term are labels, and the Service selects the term', async () => {
    // Evictions are among what happens to its active here.
    await world().create('db', aSpec({ disruptionBudget: false, failover: FAILS_OFTEN }));
    const { pods, active, term, status, lease } = await healed('db');
    expect(pods.map(slotOf)).toEqual([0, 1, 2]);
    expect(term).toBe(1);
    expect(termOf(active)).toBe('1');
    expect(lease.metadata.ownerReferences).toMatchObject([{ kind: 'SingletonService', name: 'db', controller: true }]);
    expect(status.lastMove).toMatchObject({ kind: 'Initial', to: nameOf(active), term: 1 });
  });

  test.each([
    ['crashes', 'ActiveCrashed', 'crash', 'restart'],
    ['hangs', 'ActiveUnready', 'hang', 'unhang'],
  ] as const)(
    'routes to another when the active %s, and the old one comes back as standby',
    async (_how, reason, fault, cure) => {
      const before = await healed('db');
      const { metadata } = before.active;
      await world().suite.nodes[fault](metadata);
      const after = await movedFrom(before, reason);
      expect(after.pods.map(nameOf)).toEqual(before.pods.map(nameOf));
      await world().suite.nodes[cure](metadata);
      const later = await healed('db');
      expect(nameOf(later.active)).toBe(nameOf(after.active));
      expect(later.term).toBe(after.term);
      expect(later.standbys.map(nameOf)).toContain(metadata.name);
      expect(conditionOf(later.status, 'StandbyReady')).toMatchObject({ status: 'True' });
    },
  );

  test.each([
    ['is deleted', 'ActiveDeleted', async ({ active }: Settled) => world().api.delete(podPath(active))],
    [
      'is evicted by way of the eviction subresource',
      'ActiveDeleted',
      async ({ active }: Settled) => {
        const { name, namespace } = active.metadata;
        // Until 1.21 there was the beta alone.
        const apiVersion = world().suite.controlPlane.minorVersion >= 22 ? 'policy/v1' : 'policy/v1beta1';
        const eviction = { apiVersion, kind: 'Eviction', metadata: { name, namespace } };
        await world().api.create(`${podPath(active)}/eviction`, eviction);
      },
    ],
    [
      'vanishes',
      'ActiveVanished',
      async ({ active }: Settled) => {
        await world().suite.nodes.vanish(active.metadata);
      },
    ],
    [
      'fails, as when its kubelet evicts it',
      'ActiveEvicted',
      async ({ active }: Settled) => {
        await world().suite.nodes.fail(active.metadata);
      },
    ],
    [
      'ends by itself',
      'ActiveFinished',
      async ({ active }: Settled) => {
        await world().suite.nodes.exit(active.metadata, 0);
      },
    ],
  ] as const)(
    'routes to another when the active %s, and a new pod takes the free slot',
    async (_how, reason, strike) => {
      const before = await healed('db');
      await strike(before);
      const after = await movedFrom(before, reason);
      const names = before.pods.map(nameOf);
      const newcomers = after.pods.filter((pod) => !names.includes(nameOf(pod)));
      expect(newcomers.map(slotOf)).toEqual([slotOf(before.active)]);
      expect(after.pods.filter((pod) => !newcomers.includes(pod)).map(nameOf)).toEqual(before.standbys.map(nameOf));
    },
  );

  test('replaces a standby that is gone, and nothing moves', async () => {
    const before = await healed('db');
    const [standby] = before.standbys;
    if (standby === undefined) throw new Error('there is no standby');
    await world().api.delete(podPath(standby));
    const after = await world().settled('db', ({ pods }) => expect(pods.map(nameOf)).not.toContain(nameOf(standby)));
    expect(after.pods.map(slotOf)).toEqual([0, 1, 2]);
    expect([after.term, nameOf(after.active)]).toEqual([before.term, nameOf(before.active)]);
  });

  test('moves while the pod that is being deleted still runs, and takes the role from it', async () => {
    const before = await healed('db');
    await world().api.delete(podPath(before.active));
    await movedFrom(before, 'ActiveDeleted');
    const last = statesOf(await recorder.history(), nameOf(before.active))
      .filter(({ deleted }) => !deleted)
      .at(-1);
    expect(last?.object.metadata).toMatchObject({
      deletionTimestamp: expect.any(String) as string,
      labels: { [LABEL.role]: ROLE.standby },
    });
  });

  audited.test(
    'is moved by strip and grant, then label, flip, event and status in this order, and by no other write',
    async () => {
      const before = await healed('db');
      const fromWallMs = Date.now();
      await world().suite.nodes.crash(before.active.metadata);
      const after = await movedFrom(before, 'ActiveCrashed');
      const isStatus = ({ resource }: { resource: string }): boolean => resource === 'singletonservices';
      const writes = await until('the audit log to have event and status', async () => {
        const all = await world().writesOf(world().operator, fromWallMs);
        // A count of members from before the move may still have been on its way to the status.
        const move = all.slice(all.findIndex((write) => !isStatus(write)));
        const event = move.findIndex(({ resource }) => resource === 'events');
        return event >= 0 && move.slice(event).some(isStatus) && move;
      });
      expect(writes.map(({ code }) => code).filter((code) => code >= 400)).toEqual([]);
      const steps = writes.map(({ verb, resource, subresource, name }) =>
        [verb, resource, subresource, resource === 'events' ? undefined : name].filter(Boolean).join(' '),
      );
      // The strip may be in flight together with the grant.
      expect(steps.slice(0, 2).toSorted((a, b) => a.localeCompare(b))).toEqual([
        'patch leases db-active',
        `patch pods ${nameOf(before.active)}`,
      ]);
      expect(steps.slice(2)).toEqual([
        `patch pods ${nameOf(after.active)}`,
        'patch services db',
        'create events',
        'patch singletonservices status db',
      ]);
      await world().suite.nodes.restart(before.active.metadata);
    },
  );

  test('survives its active ten times in a row, each time with the next term', async () => {
    for (let round = 0; round < 10; round++) {
      const before = await healed('db');
      await world().suite.nodes.crash(before.active.metadata);
      await movedFrom(before, 'ActiveCrashed');
      await world().suite.nodes.restart(before.active.metadata);
    }
  });
});

describe('failover.unreadyGraceSeconds', () => {
  const GRACE_MS = 2_000;

  test('keeps an unready active that recovers in time, and says what it waits for', async () => {
    await world().create('patient', aSpec({ failover: { unreadyGraceSeconds: GRACE_MS / 1000 } }));
    const before = await healed('patient');
    await world().suite.nodes.hang(before.active.metadata);
    await world().told('patient', (status) => {
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: 'UnreadyGrace' });
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'ActiveNotReady' });
    });
    await world().suite.nodes.unhang(before.active.metadata);
    const after = await world().settled('patient', ({ status }) =>
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'False' }),
    );
    expect([nameOf(after.active), after.term]).toEqual([nameOf(before.active), before.term]);
  });

  test('replaces it when the time is over, and not before', async () => {
    const before = await healed('patient');
    await world().suite.nodes.hang(before.active.metadata);
    const { status } = await movedFrom(before, 'ActiveUnready');
    await world().suite.nodes.unhang(before.active.metadata);
    const { detectedAt = '', grantedAt = '' } = status.lastMove ?? {};
    const waitedMs = Date.parse(grantedAt) - Date.parse(detectedAt);
    expect(waitedMs).toBeGreaterThanOrEqual(GRACE_MS - 1);
    expect(waitedMs).toBeLessThan(GRACE_MS + 2_000);
  });

  test('is not granted to an active that is being deleted', async () => {
    const before = await healed('patient');
    await world().api.delete(podPath(before.active));
    const { status } = await movedFrom(before, 'ActiveDeleted');
    expect(status.lastMove?.milliseconds).toBeLessThan(GRACE_MS);
  });
});

describe('when every member is NotReady', () => {
  test('nothing moves, the conditions say so, and the first that recovers is granted', async () => {
    await world().create('dark');
    const before = await healed('dark');
    const [first, second] = before.standbys;
    if (first === undefined || second === undefined) throw new Error('there are no standbys');
    const { nodes } = world().suite;
    await nodes.hang(first.metadata);
    await nodes.hang(second.metadata);
    await world().told('dark', (status) =>
      expect(conditionOf(status, 'StandbyReady')).toMatchObject({ status: 'False', reason: 'NoCandidate' }),
    );
    await nodes.hang(before.active.metadata);
    await world().told('dark', (status) => {
      expect(conditionOf(status, 'Blocked')).toMatchObject({ status: 'True', reason: 'NoCandidate' });
      expect(conditionOf(status, 'Ready')).toMatchObject({ status: 'False', reason: 'ActiveNotReady' });
      expect(status).toMatchObject({ ready: '0/3', active: { pod: nameOf(before.active) }, term: before.term });
    });
    expect((await world().events('dark')).map(({ reason }) => reason)).toContain('MoveBlocked');

    await nodes.unhang(second.metadata);
    const after = await movedFrom(before, 'ActiveUnready');
    expect(nameOf(after.active)).toBe(nameOf(second));
    await nodes.unhang(before.active.metadata);
    await nodes.unhang(first.metadata);
    const later = await healed('dark');
    expect([nameOf(later.active), later.term]).toEqual([nameOf(second), after.term]);
  });

  test('an active that recovers first stays what it is', async () => {
    const before = await healed('dark');
    const { nodes } = world().suite;
    for (const pod of [...before.standbys, before.active]) await nodes.hang(pod.metadata);
    await world().told('dark', ({ ready }) => expect(ready).toBe('0/3'));
    await nodes.unhang(before.active.metadata);
    const after = await world().settled('dark');
    expect([nameOf(after.active), after.term]).toEqual([nameOf(before.active), before.term]);
    for (const pod of before.standbys) await nodes.unhang(pod.metadata);
  });
});

describe('the record of all this', () => {
  test('shows no state of the API server in which I1, I2 or I3 was broken', async () => {
    const history = await recorder.history();
    expect(brokenInvariants(history)).toEqual([]);
    expect(history.length).toBeGreaterThan(200);
  });

  test('shows no flip to a term that no pod carried', async () => {
    expect(flipsToNobody(await recorder.history())).toEqual([]);
  });

  audited.test('shows no write that was refused, but for those that a newer state forbade', async () => {
    const { userAgent } = world().operator;
    const requests = await readAudit(world().suite.controlPlane.auditLogPath);
    const refused = requests.filter((request) => request.userAgent === userAgent && request.code >= 400);
    expect(refused.filter(({ code }) => code !== 409 && code !== 404)).toEqual([]);
    expect(refused.filter(isWrite).length).toBeLessThan(30);
    expect(world().operator.log.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });
});
