/**
 * Fixtures that read as sentences: `aSnapshot().with(aPod().slot(0).active(3), aPod().slot(1)).build()`.
 * Builders are immutable: each word gives a new one, so that a table can start from one and vary it.
 */
import { LABEL, ROLE, holderIdentity } from '../src/api/names.ts';
import { parseSpec } from '../src/api/spec.ts';
import type { Spec, SpecProblem } from '../src/api/spec.ts';
import type { Status } from '../src/api/types.ts';
import { disruptionBudget } from '../src/core/budget.ts';
import { headlessService, routingService, templateRevision } from '../src/core/objects.ts';
import { noMemory, noNodeLoss } from '../src/core/snapshot.ts';
import type {
  AgentPlatform,
  BudgetView,
  Instant,
  LeaseView,
  Member,
  Memory,
  MoveRecord,
  NodeTrouble,
  NodeView,
  Owned,
  ServiceView,
  SingletonView,
  Snapshot,
  SwitchoverRecord,
  Stranger,
} from '../src/core/snapshot.ts';
import { nextStatus } from '../src/core/status.ts';

export const WALL_MS = Date.UTC(2026, 0, 1);

/** A moment of the test's own clock; the monotonic one starts at 1000 s, so that nothing passes for "long ago" by chance. */
export const at = (ms: number): Instant => ({ monotonicMs: 1_000_000 + ms, wallMs: WALL_MS + ms });
export const NOW = at(0);

export const aTemplate = (image = 'echo') => ({
  spec: {
    containers: [
      {
        name: 'app',
        image,
        ports: [{ name: 'http', containerPort: 8080 }],
        readinessProbe: { httpGet: { port: 'http' } },
      },
    ],
  },
});

/** Resolved as the operator would; `fields` are as a user writes them. */
export function aSpec(fields: object = {}): Spec {
  const parsed = parseSpec({ replicas: 3, template: aTemplate(), ...fields }, { name: 'db' });
  if (!parsed.ok) throw new Error(`not a spec: ${JSON.stringify(parsed.problems)}`);
  return parsed.spec;
}

/** What a snapshot has in mode `Agent`. */
export const AN_AGENT: AgentPlatform = { image: 'agent', hasSidecars: true };

const DEFAULT_SPEC = aSpec();
const DEFAULT_REVISION = templateRevision(DEFAULT_SPEC);

export const holderOf = (member: Pick<Member, 'pod' | 'uid'>): string => holderIdentity(member.pod, member.uid);

/** A member that runs and is Ready, as a standby in slot 0, unless told otherwise. */
export class PodBuilder {
  readonly #fields: Partial<Member>;

  constructor(fields: Partial<Member> = {}) {
    this.#fields = fields;
  }

  /** For what has no word of its own. */
  but(fields: Partial<Member>): PodBuilder {
    return new PodBuilder({ ...this.#fields, ...fields });
  }

  named = (pod: string): PodBuilder => this.but({ pod });
  uid = (uid: string): PodBuilder => this.but({ uid });
  slot = (slot: number): PodBuilder => this.but({ slot });
  withoutSlot = (): PodBuilder => this.but({ pod: this.build().pod, slot: undefined });
  withoutName = (): PodBuilder => this.but({ named: false });
  withoutRole = (): PodBuilder => this.but({ role: undefined });
  standby = (): PodBuilder => this.but({ role: ROLE.standby, guarded: false });
  active = (term: number): PodBuilder => this.but({ role: ROLE.active, term, guarded: true });
  guarded = (guarded = true): PodBuilder => this.but({ guarded });
  role = (role: Member['role']): PodBuilder => this.but({ role });
  term = (term: number | undefined): PodBuilder => this.but({ term });
  revision = (revision: string): PodBuilder => this.but({ revision });
  onNode = (node: string): PodBuilder => this.but({ node });
  unscheduled = (): PodBuilder => this.notReady().but({ node: undefined, phase: 'Pending' });
  /** `sinceMs` after the test's midnight. */
  ready = (sinceMs = 0): PodBuilder => this.but({ ready: true, readySinceWallMs: WALL_MS + sinceMs });
  notReady = (): PodBuilder => this.but({ ready: false, readySinceWallMs: undefined });
  crashed = (why = 'app: exit code 1'): PodBuilder => this.notReady().but({ crash: why });
  failed = (podReason?: string): PodBuilder => this.notReady().but({ phase: 'Failed', podReason });
  evicted = (): PodBuilder => this.failed('Evicted');
  finished = (): PodBuilder => this.notReady().but({ phase: 'Succeeded' });
  terminating = (): PodBuilder => this.but({ terminating: true });
  evicting = (): PodBuilder => this.but({ terminating: true, evicting: true });
  withAgent = (leaseDurationMs = 10_000): PodBuilder => this.but({ agent: { leaseDurationMs } });
  stopped = (): PodBuilder => this.failed().but({ hasStopped: true });
  noFailover = (): PodBuilder => this.but({ noFailover: true });
  created = (ms: number): PodBuilder => this.but({ createdWallMs: WALL_MS + ms });
  version = (resourceVersion: string): PodBuilder => this.but({ resourceVersion });

  build(): Member {
    const slot = 'slot' in this.#fields ? this.#fields.slot : 0;
    const pod = this.#fields.pod ?? `db-${slot ?? 'x'}-a`;
    return {
      pod,
      uid: `uid-${pod}`,
      resourceVersion: '10',
      named: true,
      slot,
      role: ROLE.standby,
      term: undefined,
      guarded: false,
      revision: DEFAULT_REVISION,
      node: `node-${slot ?? 'x'}`,
      phase: 'Running',
      ready: true,
      readySinceWallMs: WALL_MS,
      createdWallMs: WALL_MS,
      terminating: false,
      evicting: false,
      crash: undefined,
      unschedulable: false,
      waiting: undefined,
      podReason: undefined,
      noFailover: false,
      ...this.#fields,
    };
  }
}

export const aPod = (): PodBuilder => new PodBuilder();

export const aStranger = (fields: Partial<Stranger> = {}): Stranger => ({
  pod: 'stranger',
  uid: 'uid-stranger',
  resourceVersion: '20',
  role: undefined,
  term: undefined,
  guarded: undefined,
  ...fields,
});

export const aMove = (fields: Partial<MoveRecord> = {}): MoveRecord => ({
  kind: 'Initial',
  reason: 'FirstGrant',
  message: 'no member was the active yet',
  from: undefined,
  to: '',
  term: 1,
  detectedWallMs: WALL_MS,
  fencedWallMs: undefined,
  grantedWallMs: WALL_MS,
  routingTerm: undefined,
  ...fields,
});

/** A request that was accepted and waits. */
export const aSwitchover = (fields: Partial<SwitchoverRecord> = {}): SwitchoverRecord => ({
  request: 'any',
  acceptedWallMs: 0,
  deadlineWallMs: 1,
  state: 'Pending',
  reason: 'Accepted',
  message: 'm',
  from: '',
  to: undefined,
  ...fields,
});

export const aLease = (fields: Partial<Owned<LeaseView>> = {}): Owned<LeaseView> => ({
  ours: true,
  uid: 'uid-lease',
  resourceVersion: '30',
  holder: '',
  term: 0,
  named: true,
  move: undefined,
  switchover: undefined,
  ...fields,
});

const SINGLETON: SingletonView = {
  namespace: 'default',
  name: 'db',
  uid: 'uid-db',
  resourceVersion: '1',
  generation: 1,
  deleting: false,
  spec: DEFAULT_SPEC,
  problems: [],
  notActedUpon: [],
  status: undefined,
  request: undefined,
};

interface Body {
  readonly metadata: { readonly labels: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly spec: object;
}

/** A Service as the server would show it after it was created with `body`. */
export function serviceMadeFrom(body: object, uid: string, resourceVersion: string): Owned<ServiceView> {
  const { metadata, spec } = body as Body;
  return {
    ours: true,
    uid,
    resourceVersion,
    labels: metadata.labels,
    annotations: metadata.annotations ?? {},
    spec: { clusterIP: '10.0.0.7', sessionAffinity: 'None', ...spec },
  };
}

export const aService = (spec: Spec, term: number, fields: Partial<Owned<ServiceView>> = {}): Owned<ServiceView> => ({
  ...serviceMadeFrom(routingService(SINGLETON, spec, term), 'uid-service', '40'),
  ...fields,
});

const aHeadless = (spec: Spec): Owned<ServiceView> =>
  serviceMadeFrom(headlessService(SINGLETON, spec), 'uid-headless', '50');

/** As the server would show it after it was created with `body`. */
export function budgetMadeFrom(body: object, uid: string, resourceVersion: string): Owned<BudgetView> {
  const { metadata, spec } = body as Body;
  return { ours: true, uid, resourceVersion, labels: metadata.labels, spec: spec as BudgetView['spec'] };
}

export const aBudget = (fields: Partial<Owned<BudgetView>> = {}): Owned<BudgetView> => ({
  ...budgetMadeFrom(disruptionBudget(SINGLETON), 'uid-budget', '60'),
  ...fields,
});

/** A new singleton named `db` with an accepted spec of three replicas, and nothing made for it yet. */
export class SnapshotBuilder {
  readonly #snapshot: Snapshot;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /** For what has no word of its own. */
  but(fields: Partial<Snapshot>): SnapshotBuilder {
    return new SnapshotBuilder({ ...this.#snapshot, ...fields });
  }

  butSingleton(fields: Partial<SingletonView>): SnapshotBuilder {
    return this.but({ singleton: { ...this.#snapshot.singleton, ...fields } });
  }

  /** As a user writes it; what is not said is as in `aSpec`. */
  spec = (fields: object): SnapshotBuilder => this.butSingleton({ spec: aSpec(fields) });
  paused = (): SnapshotBuilder => this.changingSpec({ paused: true });
  deleting = (): SnapshotBuilder => this.butSingleton({ deleting: true });
  /** The newest spec breaks a rule; the one before it stays in force. */
  rejected = (...problems: SpecProblem[]): SnapshotBuilder =>
    this.butSingleton({
      problems: problems.length > 0 ? problems : [{ path: 'spec.replicas', rule: 'must be 1 to 32, is 99' }],
    });
  neverAccepted = (): SnapshotBuilder => this.rejected().butSingleton({ spec: undefined });
  changingSpec(fields: Partial<Spec>): SnapshotBuilder {
    const { spec } = this.#snapshot.singleton;
    return this.butSingleton({ spec: { ...(spec ?? DEFAULT_SPEC), ...fields } });
  }

  with = (...pods: PodBuilder[]): SnapshotBuilder =>
    this.but({ members: [...this.#snapshot.members, ...pods.map((pod) => pod.build())] });
  withStranger = (fields: Partial<Stranger> = {}): SnapshotBuilder =>
    this.but({ strangers: [...this.#snapshot.strangers, aStranger(fields)] });
  /** Changes the member of that slot. */
  where(slot: number, change: (pod: PodBuilder) => PodBuilder): SnapshotBuilder {
    const members = this.#snapshot.members.map((member) =>
      member.slot === slot ? change(new PodBuilder(member)).build() : member,
    );
    return this.but({ members });
  }
  withoutMember = (slot: number): SnapshotBuilder =>
    this.but({ members: this.#snapshot.members.filter((member) => member.slot !== slot) });

  /** The member of that slot was granted `term`, and the Lease remembers why. */
  leaseHeldBy(slot: number, term: number, move: Partial<MoveRecord> = {}): SnapshotBuilder {
    const holder = this.#snapshot.members.find((member) => member.slot === slot);
    if (holder === undefined) throw new Error(`no member in slot ${slot} that could hold the Lease`);
    const to = holderOf(holder);
    return this.but({ lease: aLease({ holder: to, term, move: aMove({ to, term, ...move }) }) });
  }
  leaseHeldByNobody = (term = 0): SnapshotBuilder => this.but({ lease: aLease({ term }) });
  lease = (fields: Partial<Owned<LeaseView>>): SnapshotBuilder =>
    this.but({ lease: { ...(this.#snapshot.lease ?? aLease()), ...fields } });
  withoutLease = (): SnapshotBuilder => this.but({ lease: undefined });

  /** Whatever is made beside the members is there, too. */
  serviceSelecting(term: number): SnapshotBuilder {
    const spec = this.#snapshot.singleton.spec ?? DEFAULT_SPEC;
    return this.but({ service: aService(spec, term), headless: aHeadless(spec), budget: aBudget() });
  }
  service = (fields: Partial<Owned<ServiceView>>): SnapshotBuilder =>
    this.but({ service: { ...(this.#snapshot.service ?? aService(DEFAULT_SPEC, 0)), ...fields } });
  headless = (fields: Partial<Owned<ServiceView>>): SnapshotBuilder =>
    this.but({ headless: { ...(this.#snapshot.headless ?? aHeadless(DEFAULT_SPEC)), ...fields } });
  selector(selector: Record<string, string>): SnapshotBuilder {
    const { service } = this.#snapshot;
    return this.service({ spec: { ...service?.spec, selector } });
  }
  withoutService = (): SnapshotBuilder => this.but({ service: undefined, routedUids: [] });
  budget = (fields: Partial<Owned<BudgetView>>): SnapshotBuilder =>
    this.but({ budget: { ...(this.#snapshot.budget ?? aBudget()), ...fields } });
  withoutBudget = (): SnapshotBuilder => this.but({ budget: undefined });
  withoutHeadless = (): SnapshotBuilder => this.but({ headless: undefined });

  node = (name: string, fields: Partial<NodeView>): SnapshotBuilder =>
    this.but({
      nodes: {
        ...this.#snapshot.nodes,
        [name]: { zone: undefined, noFailover: false, draining: undefined, labels: {}, ...fields },
      },
    });
  /** Something is wrong with the node of the member of that slot. Silent for `silentMs` (at `NOW`), unless told otherwise. */
  trouble(slot: number, { silentMs, ...fields }: Partial<NodeTrouble> & { silentMs?: number } = {}): SnapshotBuilder {
    const { nodeLoss } = this.#snapshot;
    const silentSinceMs = silentMs === undefined ? undefined : NOW.monotonicMs - silentMs;
    const trouble = { silentSinceMs, outOfService: false, gone: false, ...fields };
    return this.but({ nodeLoss: { ...nodeLoss, nodes: { ...nodeLoss.nodes, [`node-${slot}`]: trouble } } });
  }
  braked = (): SnapshotBuilder => this.but({ nodeLoss: { ...this.#snapshot.nodeLoss, isBraked: true } });
  routed = (...slots: number[]): SnapshotBuilder =>
    this.but({
      routedUids: this.#snapshot.members.filter(({ slot }) => slots.includes(slot ?? -1)).map(({ uid }) => uid),
    });
  remembering = (memory: Partial<Memory>): SnapshotBuilder =>
    this.but({ memory: { ...this.#snapshot.memory, ...memory } });
  status = (status: Status | undefined): SnapshotBuilder => this.butSingleton({ status });
  /** The status tells of this very snapshot. */
  told(now: Instant = NOW): SnapshotBuilder {
    return this.status(nextStatus({ snapshot: this.#snapshot, need: undefined, holds: [], now }));
  }

  build = (): Snapshot => this.#snapshot;
}

export const aSnapshot = (): SnapshotBuilder =>
  new SnapshotBuilder({
    singleton: SINGLETON,
    members: [],
    strangers: [],
    lease: undefined,
    service: undefined,
    headless: undefined,
    budget: undefined,
    nodes: {},
    nodeLoss: noNodeLoss,
    routedUids: [],
    memory: noMemory,
  });

/** Everything is as it should be: slot 0 is active with `term` and routed, the others are Ready, and the status says so. */
export function aSteadyState({ members = 3, term = 1 } = {}): SnapshotBuilder {
  const pods = Array.from({ length: members }, (_, slot) => {
    const pod = aPod().slot(slot).ready(slot);
    return slot === 0 ? pod.active(term) : pod;
  });
  return aSnapshot()
    .spec({ replicas: members })
    .with(...pods)
    .leaseHeldBy(0, term)
    .serviceSelecting(term)
    .routed(0)
    .told();
}

/**
 * The same in mode `Agent`: slot 0 has renewed its term, and the Lease was seen as it is `seenMs` ago. Its lease lasts 10 s.
 */
export function aFencedState({ members = 3, term = 1, seenMs = 0 } = {}): SnapshotBuilder {
  const spec = aSpec({ replicas: members, fencing: { mode: 'Agent' } });
  const revision = templateRevision(spec);
  const pods = Array.from({ length: members }, (_, slot) => {
    const pod = aPod().slot(slot).ready(slot).withAgent().revision(revision);
    return slot === 0 ? pod.active(term) : pod;
  });
  const { uid, resourceVersion } = aLease();
  return aSnapshot()
    .butSingleton({ spec })
    .but({ agent: AN_AGENT })
    .with(...pods)
    .leaseHeldBy(0, term)
    .lease({ leaseDurationMs: 10_000, renewedTerm: term })
    .serviceSelecting(term)
    .routed(0)
    .remembering({
      leaseSeen: { uid, resourceVersion, sinceMs: NOW.monotonicMs - seenMs, isReplaced: false, term },
      access: { atMs: NOW.monotonicMs, account: undefined },
    })
    .told();
}

export const selectorOf = (term: number): Record<string, string> => ({
  [LABEL.name]: 'db',
  [LABEL.term]: String(term),
});
