/**
 * A small world for scripts: one singleton in a cluster whose parts (kubelets, users, the operator) do what the script
 * says. What the API server makes of an action is `apply`; the clock stands still until the script lets it tick.
 */
import { GUARDED, ROLE, holderIdentity } from '../../src/api/names.ts';
import { decide } from '../../src/core/decide.ts';
import type { Violation } from '../../src/core/invariants.ts';
import { recordGrant, selectedPods, violationsBetween, violationsIn, violationsOf } from '../../src/core/invariants.ts';
import type { Grants } from '../../src/core/invariants.ts';
import { describeAction } from '../../src/core/plan.ts';
import type { Action, Plan } from '../../src/core/plan.ts';
import { noMemory } from '../../src/core/snapshot.ts';
import type { Instant, LeaseView, Member, NodeTrouble, NodeView, Snapshot } from '../../src/core/snapshot.ts';
import { slotOf } from '../../src/core/slots.ts';
import { afterLooking } from '../../src/operator/memory.ts';
import { AN_AGENT, aPod, aSnapshot, aSpec, at } from '../builders.ts';
import { apply, nextVersion, withEndpoints } from '../core/effects.ts';

const MAX_ROUNDS = 30;
/** Of the agents, in mode `Agent`: the default. */
const RENEW_INTERVAL_MS = 2_000;

export class World {
  snapshot: Snapshot;
  readonly lines: string[] = [];
  #nowMs = 0;
  #stopped = false;
  #crashAfter: number | undefined;
  #staysDown = false;
  #standbysNeedTheActive = false;
  #hasEndpoints = true;
  #grants: Grants = new Map();
  readonly #cutOff = new Set<string>();
  #renewedAtMs = 0;
  /** Agents refuse a term below the highest that they have seen. */
  #highest = 0;
  /** Names in the order of their birth, for readers: `db-0-kx4v2` says nothing, `0a`, `0b` do. */
  readonly #births: string[] = [];

  constructor() {
    this.snapshot = aSnapshot().build();
  }

  get now(): Instant {
    return at(this.#nowMs);
  }

  /** Looks and acts until nothing is left to do at this moment. */
  settle(): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      if (this.#stopped) return;
      this.#kubelets();
      this.#agent();
      this.#letGoOfLeaving();
      const plan = this.#look();
      if (plan.actions.length === 0) return this.#tellWait(plan);
      this.#carryOut(plan);
    }
    this.lines.push(`never comes to rest`);
  }

  #look(): Plan {
    this.snapshot = { ...this.snapshot, memory: afterLooking(this.snapshot, this.now) };
    const plan = decide(this.snapshot, this.now);
    this.#assert(violationsOf(plan, this.snapshot, this.now));
    return plan;
  }

  #carryOut(plan: Plan): void {
    this.lines.push(`decides: ${this.#short(plan.reason)}`);
    for (const action of plan.actions) {
      if (this.#crashAfter === 0) return this.#crash();
      const before = this.snapshot;
      const next = apply(before, action, this.now);
      this.lines.push(`  ${this.#short(describe(action))}${next === undefined ? ' (refused: changed meanwhile)' : ''}`);
      if (next === undefined) return;
      this.#check(action, before, next);
      this.snapshot = this.#withEndpoints(next);
      if (this.#crashAfter !== undefined) this.#crashAfter -= 1;
    }
    if (this.#crashAfter === 0) this.#crash();
  }

  #crash(): void {
    this.lines.push('  the operator crashes here');
    this.#crashAfter = undefined;
    this.restartOperator();
    this.#stopped = this.#staysDown;
    this.#staysDown = false;
  }

  #check(action: Action, before: Snapshot, after: Snapshot): void {
    const recorded = recordGrant(this.#grants, action);
    this.#grants = recorded.grants;
    const worse = violationsIn(after).length > violationsIn(before).length ? violationsIn(after) : [];
    this.#assert([...recorded.violations, ...violationsBetween(before, after), ...worse]);
  }

  #assert(violations: readonly Violation[]): void {
    for (const { invariant, message } of violations) {
      throw new Error(`${invariant} is broken: ${message}\n${this.lines.join('\n')}`);
    }
  }

  #tellWait({ holds, recheckAtMs }: Plan): void {
    const inMs = recheckAtMs === undefined ? '' : `; looks again in ${recheckAtMs - this.now.monotonicMs} ms`;
    if (holds.length > 0) this.lines.push(`waits: ${holds.map(({ name }) => name).join(', ')}${inMs}`);
    else if (inMs !== '') this.lines.push(`waits${inMs}`);
  }

  /** Time goes on, with a look whenever one is due. */
  tick(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const { recheckAtMs } = decide({ ...this.snapshot, memory: afterLooking(this.snapshot, this.now) }, this.now);
      const dueMs = recheckAtMs === undefined ? Infinity : recheckAtMs - at(0).monotonicMs;
      if (dueMs > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      this.settle();
    }
    this.#nowMs = untilMs;
  }

  // The cluster.

  /** Kubelets that lose no time over what nobody waits for in a script. */
  #kubelets(): void {
    if (!this.#standbysNeedTheActive) return;
    const hasActive = this.snapshot.members.some((member) => this.#isActive(member) && member.ready);
    for (const member of this.snapshot.members) {
      if (!this.#isActive(member) && member.ready !== hasActive) this.change(member, { ready: hasActive });
    }
  }

  /**
   * Of the holder, in mode `Agent`: renews, and releases when it is asked to, when its workload has ended, or when its pod is
   * going. Of a member that is cut off it does neither.
   */
  #agent(): void {
    const { lease, members } = this.snapshot;
    const holder = members.find(this.#isActive);
    if (lease === undefined || holder?.agent === undefined || this.#cutOff.has(holder.pod)) return;
    const { term } = lease;
    if (term < this.#highest) return;
    this.#highest = term;
    const mayRun = holder.phase === 'Running';
    const ends = lease.releaseRequested === term || holder.crash !== undefined || holder.terminating || !mayRun;
    if (ends && mayRun) {
      this.lines.push(`the agent of ${this.#short(holder.pod)} releases term ${term}`);
      this.#writeLease({ holder: '', releasedTerm: term });
    } else if (!ends && lease.renewedTerm !== term) {
      this.lines.push(`the agent of ${this.#short(holder.pod)} takes up term ${term}`);
      this.#writeLease({ renewedTerm: term });
    } else if (!ends && this.#nowMs >= this.#renewedAtMs + RENEW_INTERVAL_MS) this.#writeLease({});
  }

  #writeLease(fields: Partial<LeaseView>): void {
    const { lease } = this.snapshot;
    this.#renewedAtMs = this.#nowMs;
    if (lease !== undefined) this.edit({ lease: { ...lease, resourceVersion: nextVersion(this.snapshot), ...fields } });
  }

  /** From the API server, so that its agent can neither renew nor release. */
  cutOff(member: Member, isCutOff: boolean): void {
    if (isCutOff) this.#cutOff.add(member.pod);
    else this.#cutOff.delete(member.pod);
  }

  change(member: Member, fields: Partial<Member>): void {
    const resourceVersion = nextVersion(this.snapshot);
    const members = this.snapshot.members.map((other) =>
      other.uid === member.uid ? { ...other, ...fields, resourceVersion } : other,
    );
    this.edit({ members });
  }

  makeReady(member: Member): void {
    this.change(member, {
      node: member.node ?? this.#openNode(member),
      phase: 'Running',
      ready: true,
      readySinceWallMs: this.now.wallMs,
      crash: undefined,
      unschedulable: false,
      waiting: undefined,
    });
  }

  /** Somebody else's pod appears, named so that a script can speak of it as of a member. */
  adopt(name: string): void {
    const [slot, letter = 'a'] = [Number.parseInt(name, 10), name.at(-1)];
    const pod = `db-${slot}-${letter.repeat(5)}`;
    const resourceVersion = nextVersion(this.snapshot);
    const fields = { slot: undefined, adopted: true, createdWallMs: this.now.wallMs, resourceVersion } as const;
    const member = aPod().named(pod).onNode(`node-${slot}`).but(fields).withoutName().withoutRole().build();
    this.edit({ members: [...this.snapshot.members, { ...member, uid: `uid-${pod}-1` }] });
  }

  /** As observe.ts sees it: the holder stays a member until the active has moved, others are strangers at once. */
  letGo(member: Member): void {
    if (this.#isActive(member)) return this.change(member, { leaving: true });
    const { pod, uid, resourceVersion, role, term, guarded } = member;
    this.remove(member);
    const stranger = {
      pod,
      uid,
      resourceVersion,
      role,
      term: term?.toString(),
      guarded: guarded ? GUARDED : undefined,
    };
    return this.edit({ strangers: [...this.snapshot.strangers, stranger] });
  }

  /** A pod that was let go of while it was the active is a stranger when it is that no more, and unseen without a name. */
  #letGoOfLeaving(): void {
    for (const member of this.snapshot.members)
      if (member.leaving === true && member.adopted === true && !this.#isActive(member)) this.letGo(member);
  }

  #openNode(member: Member): string {
    const node = `node-${slotOf(member, this.snapshot.singleton)}`;
    return this.snapshot.nodes[node]?.draining === undefined ? node : `${node}x`;
  }

  remove(member: Member): void {
    this.edit({ members: this.snapshot.members.filter(({ uid }) => uid !== member.uid) });
  }

  evict(member: Member): void {
    const { budget } = this.snapshot;
    const guarded = this.snapshot.members.filter((other) => other.guarded && other.ready && !other.terminating);
    const isProtected = budget?.ours === true && guarded.length <= Number(budget.spec.minAvailable);
    if (isProtected && guarded.includes(member))
      this.lines.push(`the eviction of ${this.#short(member.pod)} is refused`);
    else this.change(member, { terminating: true, evicting: true });
  }

  changeNode(name: string, fields: Partial<NodeView>): void {
    const { nodes } = this.snapshot;
    const view = nodes[name] ?? { zone: undefined, noFailover: false, draining: undefined, labels: {} };
    this.edit({ nodes: { ...nodes, [name]: { ...view, ...fields } } });
  }

  edit(fields: Partial<Snapshot>): void {
    this.snapshot = this.#withEndpoints({ ...this.snapshot, ...fields });
  }

  #withEndpoints(next: Snapshot): Snapshot {
    return this.#hasEndpoints ? withEndpoints(next) : { ...next, routedUids: this.snapshot.routedUids };
  }

  /** Adds to what is wrong with the node; undefined: nothing is any more. */
  setTrouble(node: string, fields: Partial<NodeTrouble> | undefined): void {
    const { nodeLoss } = this.snapshot;
    const { [node]: before = { silentSinceMs: undefined, outOfService: false, gone: false }, ...others } =
      nodeLoss.nodes;
    const nodes = fields === undefined ? others : { ...others, [node]: { ...before, ...fields } };
    this.edit({ nodeLoss: { ...nodeLoss, nodes } });
  }

  setSpec(fields: object): void {
    const { singleton } = this.snapshot;
    const generation = singleton.generation + 1;
    const resourceVersion = nextVersion(this.snapshot);
    const spec = aSpec(fields);
    this.edit({
      singleton: { ...singleton, generation, resourceVersion, spec, problems: [] },
      ...(spec.fencing.mode === 'Agent' && { agent: AN_AGENT }),
    });
  }

  rejectSpec(): void {
    const { singleton } = this.snapshot;
    const generation = singleton.generation + 1;
    const problems = [{ path: 'spec.replicas', rule: 'must be 1 to 32, is 99' }];
    this.edit({ singleton: { ...singleton, generation, resourceVersion: nextVersion(this.snapshot), problems } });
  }

  ask(request: string | undefined): void {
    const { singleton } = this.snapshot;
    this.edit({ singleton: { ...singleton, resourceVersion: nextVersion(this.snapshot), request } });
  }

  /** The EndpointSlice controller rests: nobody new is routed. */
  stopEndpoints(): void {
    this.#hasEndpoints = false;
  }

  startEndpoints(): void {
    this.#hasEndpoints = true;
    this.edit({});
  }

  setStandbysNeedTheActive(): void {
    this.#standbysNeedTheActive = true;
  }

  // The operator.

  stopOperator(): void {
    this.#stopped = true;
  }

  startOperator(): void {
    this.#stopped = false;
  }

  /** A new process knows only what is in the cluster. */
  restartOperator(): void {
    this.#stopped = false;
    this.snapshot = { ...this.snapshot, memory: noMemory };
    for (const [node, { silentSinceMs }] of Object.entries(this.snapshot.nodeLoss.nodes))
      if (silentSinceMs !== undefined) this.setTrouble(node, { silentSinceMs: this.now.monotonicMs });
  }

  crashAfter(writes: number, staysDown: boolean): void {
    this.#crashAfter = writes;
    this.#staysDown = staysDown;
  }

  // What a script speaks of.

  #isActive = (member: Member): boolean => this.snapshot.lease?.holder === holderIdentity(member.pod, member.uid);

  active(): Member {
    const member = this.snapshot.members.find(this.#isActive);
    if (member === undefined) throw new Error(`there is no active\n${this.lines.join('\n')}`);
    return member;
  }

  /** `0` is the newest member of the slot, `0a` the first that was born for it. */
  member(name: string): Member {
    if (name === 'active') return this.active();
    this.#nameAll();
    const [slot, letter] = [Number.parseInt(name, 10), name.replace(/^\d+/, '')];
    const found = this.snapshot.members.filter((member) =>
      letter === '' ? slotOf(member, this.snapshot.singleton) === slot : this.#nameOf(member.pod) === name,
    );
    const member = found.at(-1);
    if (member === undefined) throw new Error(`there is no member ${name}\n${this.state()}`);
    return member;
  }

  #nameAll(): void {
    for (const { pod } of this.snapshot.members) if (!this.#births.includes(pod)) this.#births.push(pod);
  }

  #nameOf(pod: string): string {
    const slot = pod.split('-')[1];
    const generation = this.#births.filter((other) => other.split('-')[1] === slot).indexOf(pod);
    return `${slot}${String.fromCharCode('a'.charCodeAt(0) + generation)}`;
  }

  #short(text: string): string {
    for (const [, pod] of text.matchAll(/\b(db-\d+-[a-z0-9]{5})\b/g)) {
      if (pod !== undefined && !this.#births.includes(pod)) this.#births.push(pod);
    }
    return text
      .replaceAll(/_uid-db-\d+-[a-z0-9]{5}-\d+/g, '')
      .replaceAll(/\bdb-\d+-[a-z0-9]{5}\b/g, (pod) => this.#nameOf(pod));
  }

  /** Who is active, what the Service selects, and what people are told. */
  state(): string {
    this.#nameAll();
    const { lease, service, members, singleton } = this.snapshot;
    const holder = lease === undefined ? 'no Lease' : this.#short(lease.holder) || 'nobody';
    const selector = service?.spec.selector ?? {};
    const selects = Object.values(selector).join(' ') || 'nothing';
    const routed = selectedPods(this.snapshot).map((pod) => this.#nameOf(pod));
    const conditions = (singleton.status?.conditions ?? [])
      .filter(({ type, status, reason = '' }) =>
        type === 'Ready' || type === 'SpecAccepted'
          ? status !== 'True'
          : status === 'True' || reason.startsWith('Rollout'),
      )
      .filter(({ type }) => type !== 'StandbyReady')
      .map(({ type, status, reason }) => `${type}=${status} ${reason}`);
    const { outcome, reason, request } = singleton.status?.switchover ?? {};
    const asked = outcome === undefined ? '' : `; request ${this.#short(request ?? '')}: ${outcome} ${reason}`;
    const isReady = singleton.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
    return [
      `lease: ${holder}, term ${lease?.term ?? '-'}; selects: ${service === undefined ? 'no Service' : selects}; routed: ${routed.join(' ') || 'nobody'}`,
      ...members.map((member) => this.#stateOf(member)),
      `told: ${[...(isReady === true ? ['Ready'] : []), ...conditions].join(', ') || 'nothing yet'}${asked}`,
    ].join('\n');
  }

  #stateOf(member: Member): string {
    const words = [
      member.role ?? 'no role',
      ...(member.term === undefined ? [] : [`term ${member.term}`]),
      ...(member.guarded === (member.role === ROLE.active) ? [] : [member.guarded ? 'guarded' : 'not guarded']),
      member.phase === 'Running' ? (member.ready ? 'Ready' : 'NotReady') : member.phase,
      ...(member.crash === undefined ? [] : ['crashed']),
      ...(member.terminating ? ['Terminating'] : []),
    ];
    return `  ${this.#nameOf(member.pod)}: ${words.join(', ')}`;
  }
}

/** Events by their message: it is what people read. */
const describe = (action: Action): string =>
  action.kind === 'emitEvent' ? `event ${action.event.reason}: ${action.event.message}` : describeAction(action);
