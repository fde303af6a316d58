/** Arbitrary snapshots: what a cluster may come to, and what it never should. */
import * as fc from 'fast-check';
import { LABEL, holderIdentity } from '../../src/api/names.ts';
import type { Spec } from '../../src/api/spec.ts';
import type { Action } from '../../src/core/plan.ts';
import { noMemory, noNodeLoss } from '../../src/core/snapshot.ts';
import type {
  LeaseView,
  Member,
  Memory,
  MoveRecord,
  NodeLossView,
  NodeTrouble,
  Owned,
  ServiceView,
  Sight,
  Snapshot,
  Stranger,
  SwitchoverRecord,
} from '../../src/core/snapshot.ts';
import { NOW, WALL_MS, aBudget, aLease, aPod, aService, aSnapshot, aSpec } from '../builders.ts';

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

/** Few, so that they meet; and some that nobody would think of. */
const term = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(999, 1_999_999_999, 2_000_000_000, 2_147_483_647, 9_999_999_999) },
);
/** As an operator writes it into the Lease; what is edited there beyond all measure stands in the tables of lease.test.ts. */
const grantedTerm = fc.oneof({ weight: 12, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.constant(999));
const wallMs = fc.integer({ min: 0, max: 4 }).map((seconds) => WALL_MS - seconds * 1000);

const member = fc
  .record({
    slot: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 3 }) }, maybe(fc.integer({ min: 0, max: 99 }))),
    named: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
    role: maybe(fc.constantFrom('active' as const, 'standby' as const)),
    term: maybe(term),
    guarded: fc.boolean(),
    revision: maybe(fc.constantFrom('old', 'new')),
    node: maybe(fc.constantFrom('node-a', 'node-b')),
    phase: fc.oneof(
      { weight: 8, arbitrary: fc.constant('Running' as const) },
      fc.constantFrom('Pending' as const, 'Succeeded' as const, 'Failed' as const, 'Unknown' as const),
    ),
    ready: fc.boolean(),
    readySinceWallMs: maybe(wallMs),
    createdWallMs: wallMs,
    terminating: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    evicting: fc.boolean(),
    crash: maybe(fc.constant('app: exit code 1')),
    unschedulable: fc.boolean(),
    podReason: maybe(fc.constantFrom('Evicted', 'NodeLost')),
    noFailover: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
  })
  .map((fields): Partial<Member> => fields);

const members: fc.Arbitrary<Member[]> = fc.array(member, { maxLength: 5 }).map((all) =>
  all.map((fields, place) =>
    aPod()
      .but({ ...fields, pod: `db-${fields.slot ?? 0}-${'bcdfg'[place]}`, resourceVersion: String(10 + place) })
      .build(),
  ),
);

const strangers: fc.Arbitrary<Stranger[]> = fc
  .array(
    fc.record({
      role: maybe(fc.constantFrom('active', 'odd')),
      term: maybe(fc.constantFrom('1', '3', 'odd', '007')),
      guarded: maybe(fc.constantFrom('true', 'odd')),
    }),
    { maxLength: 2 },
  )
  .map((all) =>
    all.map((fields, place) => ({
      pod: `stranger-${place}`,
      uid: `uid-stranger-${place}`,
      resourceVersion: String(20 + place),
      ...fields,
    })),
  );

const ours = fc.integer({ min: 0, max: 9 }).map((n) => n > 0);

const holderAmong = (all: readonly Member[]): fc.Arbitrary<string> =>
  fc.constantFrom('', 'db-0-gone_uid-gone', 'nonsense', ...all.map(({ pod, uid }) => holderIdentity(pod, uid)));

const moveTo = (to: string): fc.Arbitrary<MoveRecord> =>
  fc.record({
    kind: fc.constantFrom('Initial' as const, 'Failover' as const, 'Switchover' as const),
    reason: fc.constant('ActiveCrashed'),
    message: fc.constant('it crashed'),
    from: maybe(fc.constant('db-1-b')),
    to: fc.constant(to),
    term: grantedTerm,
    detectedWallMs: wallMs,
    fencedWallMs: fc.constant(undefined),
    grantedWallMs: wallMs,
    routingTerm: maybe(grantedTerm),
  });

const switchover = (all: readonly Member[]): fc.Arbitrary<SwitchoverRecord> =>
  fc.record({
    request: fc.constantFrom('any', 'slot:1', 'db-9-x', '?'),
    acceptedWallMs: fc.constant(NOW.wallMs - 1_000),
    deadlineWallMs: fc.constantFrom(NOW.wallMs - 1, NOW.wallMs + 29_000),
    state: fc.constantFrom<SwitchoverRecord['state'][]>('Pending', 'Granted', 'Completed', 'RolledBack', 'Refused'),
    reason: fc.constant('Requested'),
    message: fc.constant('somebody asked'),
    from: holderAmong(all),
    to: maybe(holderAmong(all)),
  });

/** Mostly what an operator would have written, sometimes as after an edit. */
const lease = (all: readonly Member[]): fc.Arbitrary<Owned<LeaseView> | undefined> =>
  maybe(
    fc
      .record({
        holder: holderAmong(all),
        other: holderAmong(all),
        edited: fc.boolean(),
        ours,
        term: grantedTerm,
        named: ours,
        switchover: maybe(switchover(all)),
      })
      .chain(({ holder, other, edited, ...fields }) =>
        maybe(moveTo(edited ? other : holder)).map((move) =>
          aLease({ ...fields, holder, move: move === undefined || edited ? move : { ...move, term: fields.term } }),
        ),
      ),
  );

const DEFAULT_SPEC = aSpec();

const service = (uid: string): fc.Arbitrary<Owned<ServiceView> | undefined> =>
  maybe(
    fc
      .record({ term, ours, selector: maybe(fc.constantFrom({}, { app: 'echo' }, { [LABEL.name]: 'db' })) })
      .map(({ term, ours, selector }) => {
        const view = aService(DEFAULT_SPEC, term, { uid, ours });
        return selector === undefined ? view : { ...view, spec: { ...view.spec, selector } };
      }),
  );

const seenMs = fc.constantFrom(0, 1_000, 20_000, 700_000).map((ms) => NOW.monotonicMs - ms);
const FRESH: Sight = { ready: false, sinceMs: 0, readySinceWallMs: undefined, unschedulableMs: undefined };
const sight: fc.Arbitrary<Sight> = fc.record({
  ready: fc.boolean(),
  sinceMs: seenMs,
  readySinceWallMs: fc.constant(undefined),
  unschedulableMs: maybe(seenMs),
});
const budget = maybe(
  fc
    .record({ ours, minAvailable: fc.integer({ min: 0, max: 2 }), isBoth: fc.boolean() })
    .map(({ ours, minAvailable, isBoth }) =>
      aBudget({ ours, spec: { ...aBudget().spec, minAvailable, ...(isBoth && { maxUnavailable: 1 }) } }),
    ),
);

const memory = (all: readonly Member[]): fc.Arbitrary<Memory> =>
  fc.record({
    trouble: maybe(holderAmong(all).map((holder) => ({ holder, cause: 'Failover', since: NOW }))),
    template: maybe(fc.record({ revision: fc.constant('old'), refusal: maybe(fc.constant('no')) })),
    failure: maybe(
      fc.constantFrom<Action['kind'][]>('createPod', 'emitEvent', 'writeStatus', 'grantLease', 'flipService'),
    ).map((kind) => kind && { kind, action: kind, message: 'refused' }),
    mends: fc.constant({}),
    timeline: fc.constant(undefined),
    statusWrittenAtMs: maybe(fc.constant(NOW.monotonicMs - 100)),
    better: fc.constant(undefined),
    requested: fc.constant(undefined),
    failures: fc.dictionary(
      fc.constantFrom('0', '1'),
      fc.record({
        count: fc.integer({ min: 1, max: 40 }),
        lastAtMs: fc.constant(NOW.monotonicMs),
        uids: fc.constant([]),
      }),
    ),
    sights: fc
      .array(sight, { minLength: all.length, maxLength: all.length })
      .map((sights) => Object.fromEntries(all.map(({ uid }, place) => [uid, sights[place] ?? FRESH]))),
    tenure: maybe(fc.record({ term, sinceMs: seenMs, isProven: fc.boolean() })),
  });

const PREFERENCES = ['In', 'NotIn'].map((operator, place) => ({
  weight: 1 + place,
  preference: { matchExpressions: [{ key: 'zone', operator, values: ['a'] }] },
}));

const election = fc
  .record({
    choice: fc.constantFrom<object[]>(
      { strategy: 'Oldest' },
      { strategy: 'Priority', priorities: [1, 3, 1] },
      { strategy: 'Ring' },
    ),
    preferences: fc.subarray(PREFERENCES),
    preemption: fc.constantFrom<object[]>({}, { preemption: 'AfterStable', stableSeconds: 0 }),
  })
  .map(
    ({ choice, preferences, preemption }) => aSpec({ election: { ...choice, preferences, ...preemption } }).election,
  );

const nodes = fc.dictionary(
  fc.constantFrom('node-a', 'node-b'),
  fc.record({
    zone: fc.constant(undefined),
    noFailover: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    draining: fc.integer({ min: 0, max: 4 }).map((n) => (n === 0 ? 'cordoned' : undefined)),
    labels: fc.constantFrom<Record<string, string>[]>({}, { zone: 'a' }, { zone: 'b' }),
  }),
);

/** Mostly nothing is wrong. Silent since just before it counts as lost, or just after. */
/** In one way or another. */
const nodeTrouble: fc.Arbitrary<NodeTrouble> = fc
  .record({
    silentSinceMs: maybe(fc.constantFrom(20_000, 29_999, 30_000, 600_000).map((ms) => NOW.monotonicMs - ms)),
    outOfService: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    gone: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
  })
  .filter(({ silentSinceMs, outOfService, gone }) => silentSinceMs !== undefined || outOfService || gone);

const nodeLoss: fc.Arbitrary<NodeLossView> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(noNodeLoss) },
  fc.record({
    isBraked: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    nodes: fc.dictionary(fc.constantFrom('node-a', 'node-b'), nodeTrouble),
  }),
);

const policy = fc.constantFrom('Wait' as const, 'PromoteAfter' as const);

const spec = fc
  .record({
    policy,
    election,
    replicas: fc.integer({ min: 1, max: 3 }),
    paused: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    unreadyGraceMs: fc.constantFrom(0, 10_000),
    disruptionBudget: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
  })
  .map(({ unreadyGraceMs, policy: chosen, ...fields }): Spec => {
    const { failover } = DEFAULT_SPEC;
    const loss = { ...failover.nodeLoss, policy: chosen };
    return { ...DEFAULT_SPEC, ...fields, failover: { ...failover, unreadyGraceMs, nodeLoss: loss } };
  });

/** So that a counterexample fits a screen. */
const sketched = (snapshot: Snapshot): Snapshot =>
  Object.defineProperty(snapshot, fc.toStringMethod, { value: () => sketch(snapshot), enumerable: false });

const words = (object: object): string =>
  Object.entries(object)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([key, value]) => (value === true ? key : `${key}=${JSON.stringify(value)}`))
    .join(' ');

function sketch({
  singleton,
  members,
  strangers,
  nodes,
  nodeLoss,
  lease,
  service,
  headless,
  budget,
  memory,
}: Snapshot): string {
  const { spec, problems, deleting, status } = singleton;
  const { replicas, paused, election } = spec ?? { replicas: 'none', paused: false };
  const strategy = election?.strategy;
  const preferences = election?.preferences.length;
  const view = (what: string, object: { ours: boolean; spec: object } | undefined): string =>
    `  ${what} ${object === undefined ? 'missing' : words({ ours: object.ours, ...object.spec, ports: undefined })}`;
  return [
    words({
      replicas,
      paused,
      strategy,
      preferences,
      rejected: problems.length > 0,
      deleting,
      statusTerm: status?.term,
    }),
    ...members.map(
      (member) => `  ${words({ ...member, uid: undefined, podReason: undefined, createdWallMs: undefined })}`,
    ),
    ...strangers.map((stranger) => `  ${words(stranger)}`),
    `  nodes ${words(nodes)} policy ${spec?.failover.nodeLoss.policy}`,
    `  node loss ${words(nodeLoss)}`,
    `  lease ${lease === undefined ? 'missing' : words(lease)}`,
    view('service', service),
    view('headless', headless),
    view('budget', budget),
    `  memory ${words(memory)}`,
  ].join('\n');
}

/** Every field for itself: mostly states that no history leads to. */
export const anySnapshot: fc.Arbitrary<Snapshot> = members.chain((all) =>
  fc
    .record({
      spec: fc.oneof({ weight: 9, arbitrary: spec }, fc.constant(undefined)),
      deleting: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
      rejected: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      statusTerm: maybe(grantedTerm),
      request: maybe(fc.constantFrom('any', 'slot:1', '?')),
      strangers,
      nodes,
      nodeLoss,
      lease: lease(all),
      service: service('uid-service'),
      headless: service('uid-headless'),
      budget,
      memory: fc.oneof(fc.constant(noMemory), memory(all)),
    })
    .map(({ spec, deleting, rejected, statusTerm, request, ...fields }) => {
      const start = aSnapshot();
      const told = start.status(statusTerm === undefined ? undefined : { term: statusTerm });
      const read = rejected ? told.rejected() : told;
      return sketched(
        read
          .butSingleton({ deleting, spec, request })
          .but({ members: all, ...fields })
          .build(),
      );
    }),
);
