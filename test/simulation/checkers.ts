/**
 * What must be true, asked of the true state after every write, by somebody who knows everything and changes nothing.
 *
 * People may edit what they like: an invariant is broken by an operator only if its own write broke it. So of each label
 * and selector it is remembered what an operator wrote last, and what somebody else made of it does not count here; that
 * it is put right again is asked for at the end of a run (see settled.ts).
 */
import { LEASE, NODE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../src/adapters/ports.ts';
import {
  ANNOTATION,
  API_VERSION,
  KIND,
  LABEL,
  ROLE,
  holderIdentity,
  leaseName,
  serviceName,
} from '../../src/api/names.ts';
import type { KubeObject, Lease, Node, Pod, Service } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { recordTerm } from '../../src/core/invariants.ts';
import type { Grants } from '../../src/core/invariants.ts';
import { slotInName } from '../../src/core/slots.ts';
import { controllerOf } from '../../src/operator/views.ts';
import { holderIn, identityOf } from './actives.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Engine } from './engine.ts';
import { isWrite } from './faulty-wire.ts';
import type { Sent } from './faulty-wire.ts';
import { ADOPTED_LABELS, LEADER_LEASE, NAMESPACE, SINGLETON } from './manifest.ts';
import { NodeLossChecker } from './node-loss-checker.ts';
import type { Nodes } from './nodes.ts';
import { Reigns } from './reigns.ts';
import type { Replica } from './replica.ts';
import type { WireRequest } from './wire.ts';

export interface Violation {
  readonly checker:
    | 'I1'
    | 'I2'
    | 'I3'
    | 'I4'
    | 'I5'
    | 'I6'
    | 'I7'
    | 'I8'
    | 'leader'
    | 'routing'
    | 'cas'
    | 'slots'
    | 'successor'
    | 'node loss'
    | 'flapping'
    | 'foreign'
    | 'assertion'
    | 'error';
  readonly message: string;
}

/** Which of an operator's lives sent a request, and whether it led then. */
export interface Author {
  readonly name: string;
  readonly epoch: number;
}

export interface CheckersOptions {
  readonly engine: Engine;
  readonly cluster: Cluster;
  readonly nodes: Nodes;
  readonly replicas: readonly Replica[];
  readonly onViolation: (violation: Violation) => void;
}

interface Authored {
  role: string | undefined;
  term: string | undefined;
}

interface Watched {
  grants: Grants;
  /** Of the Lease, as an operator wrote it last. */
  holder: string;
  highest: number;
  pausedSinceMs: number | undefined;
  /** The highest term that the Service was flipped to. */
  flippedTo: number;
  /** Which lead the last write came from that was sent by a replica that had lost it. */
  staleUnder: string | undefined;
}

/** How far the term of a lost Lease jumps, as the protocol says. */
const GAP = 1_000;

/** A process that began so lately has what it knows from whole lists, of members that have been there for so long. */
const YOUNG_MS = 15_000;
const LONG_MS = 30_000;

const ASKED_FOR: ReadonlySet<string> = new Set([SINGLETON_SERVICE.plural, SERVICE.plural]);

/** Between a look at whether the singleton is paused and the grant, when the operator is not held up. */
const PAUSE_SEEN_WITHIN_MS = 1_000;
/** And when it is: the longest freeze, and a request's deadline. */
const LOOKED_WITHIN_MS = 45_000;

export class Checkers {
  readonly #options: CheckersOptions;
  readonly #nodeLoss: NodeLossChecker;
  readonly #reigns: Reigns;
  readonly #authored = new Map<string, Authored>();
  /** Of the last SingletonService that was deleted. */
  #former: Grants = new Map();
  readonly #selectors = new Map<string, string>();
  readonly #watched = new Map<string, Watched>();
  /** By author and resource: when the API server answered it how one of them stands; the last first. */
  readonly #askedAtMs = new Map<string, number[]>();
  /** When each object was written to last, by UID. */
  readonly #changedAtMs = new Map<string, number>();
  /** Since when the request that is being served was decided on, and by whom. */
  #serving: { readonly author: Author; readonly begunAtMs: number } | undefined;

  constructor(options: CheckersOptions) {
    this.#options = options;
    this.#nodeLoss = new NodeLossChecker(options.cluster, options.nodes);
    this.#reigns = new Reigns(options.cluster, () => options.engine.nowMs);
  }

  onArrival(request: WireRequest, { begunAtMs, epoch }: Sent): void {
    const author = { name: request.user, epoch };
    this.#serving = { author, begunAtMs };
    if (request.verb !== 'get' || !ASKED_FOR.has(request.resource)) return;
    const key = `${request.user} ${request.resource}`;
    this.#askedAtMs.set(key, [this.#options.engine.nowMs, ...(this.#askedAtMs.get(key) ?? [])].slice(0, 8));
  }

  /** Called within the write, whoever's it is. */
  onWrite(write: Write): void {
    const author = this.#serving?.author?.name === write.user ? this.#serving.author : undefined;
    const begunAtMs = this.#serving?.begunAtMs ?? 0;
    this.#judgePrecondition(write, author);
    const needless = this.#reigns.onWrite(write, author !== undefined);
    if (needless !== undefined) this.#broken('flapping', needless);
    switch (write.type) {
      case SINGLETON_SERVICE:
        this.#nodeLoss.onSingleton(write, this.#options.engine.nowMs);
        return this.#onSingleton(write, author);
      case NODE:
        return this.#nodeLoss.onNode(write, this.#options.engine.nowMs);
      case LEASE:
        return author && this.#onLease(write, author, begunAtMs);
      case POD:
        this.#nodeLoss.onPod(write);
        return this.#onPod(write, author);
      case SERVICE:
        return this.#onService(write, author);
      default:
        return write.type.plural === 'poddisruptionbudgets' ? this.#onBudget(write, author) : undefined;
    }
  }

  #onBudget({ before, after }: Write, author: Author | undefined): void {
    const object = after ?? before;
    if (author !== undefined && object !== undefined && this.#ownerOf(object) === undefined)
      this.#foreign(before, author);
  }

  /** A patch or deletion that was decided before somebody else changed the object must be refused (compare-and-swap). */
  #judgePrecondition({ type, before, after, verb }: Write, author: Author | undefined): void {
    const object = after ?? before;
    if (object === undefined) return;
    const { uid, name } = object.metadata;
    const { nowMs } = this.#options.engine;
    const changedAtMs = this.#changedAtMs.get(uid) ?? 0;
    const begunAtMs = this.#serving?.begunAtMs ?? nowMs;
    // A deletion is two writes at once where nobody has to let the object go.
    const isSecond = verb === 'delete' && before?.metadata.deletionTimestamp !== undefined;
    if (author !== undefined && verb !== 'create' && !isSecond && changedAtMs > begunAtMs)
      this.#broken(
        'cas',
        `${author.name} wrote to ${type.plural} ${name} (${verb}) what it decided before the last change of it`,
      );
    if (after === undefined) this.#changedAtMs.delete(uid);
    else this.#changedAtMs.set(uid, nowMs);
  }

  /** When a request leaves. True: it is to write to something else than the leader Lease. */
  onSent(request: WireRequest, isLeading: boolean): boolean {
    if (!isWrite(request)) return false;
    if (!isLeading) this.#broken('leader', `${request.user} writes and does not lead`);
    return true;
  }

  /** Whether an operator may have taken the node for lost a moment ago. */
  mayBeGivenUp(node: string): boolean {
    return this.#nodeLoss.mayBeGivenUp(node, this.#options.engine.nowMs);
  }

  /** At most one replica believes that it leads, whoever is frozen left aside. */
  onLead(): void {
    const leading = this.#options.replicas.filter(
      ({ isLeading, process }) => isLeading && process?.isAlive === true && !process.isFrozen,
    );
    if (leading.length > 1) this.#broken('leader', `${leading.map(({ name }) => name).join(' and ')} lead`);
  }

  // --- I1, I5 -----------------------------------------------------------------------------------------------------------

  #onLease({ before, after }: Write, author: Author, begunAtMs: number): void {
    const old: Lease | undefined = before;
    const lease: Lease | undefined = after;
    const meta = (lease ?? old)?.metadata;
    if (lease === undefined || meta === undefined || meta.namespace === LEADER_LEASE.namespace) return;
    const singleton = this.#ownerOf(lease);
    if (singleton === undefined || meta.name !== leaseName(singleton.metadata.name)) return this.#foreign(old, author);
    const watched = this.#of(singleton);
    const holder = lease.spec?.holderIdentity ?? '';
    const term = lease.spec?.leaseTransitions ?? 0;
    // A creation has no precondition: whatever it said might be old when it arrives.
    if (old === undefined && (term !== 0 || holder !== ''))
      this.#broken('I1', `${author.name} created the Lease with term ${term} for ${holder}`);
    if (old === undefined || isEmptyLease(old)) this.#forgetUnwitnessed(singleton, watched);
    watched.holder = holder;
    const isNew = !watched.grants.has(term);
    if (isNew && term > 0 && term <= watched.highest)
      this.#broken('I1', `${author.name} wrote term ${term} for ${holder}, and ${watched.highest} was given already`);
    if (isRestoration(old, lease)) this.#judgeRestored(lease, singleton, author, begunAtMs);
    else if (old !== undefined && isGrantOf(old, lease)) {
      this.#judgePause(singleton, watched, { author, begunAtMs, term });
      const { nowMs } = this.#options.engine;
      const askedAtMs = this.#lookedAtMs(author, SINGLETON_SERVICE, begunAtMs);
      const early = this.#nodeLoss.judge({ old, lease, singleton, begunAtMs, askedAtMs, nowMs });
      if (early !== undefined) this.#broken('node loss', `${early}, by ${author.name}`);
    }
    if (holder === '') return;
    const { grants, violations } = recordTerm(watched.grants, { holder, term });
    for (const { message } of violations) this.#broken('I1', message);
    watched.grants = grants;
    watched.highest = Math.max(watched.highest, term);
  }

  /**
   * Everything that bore witness of the last terms was taken away before the status told of them: the Lease more than
   * once, the Service and the pods. Then nobody can know of them.
   */
  #forgetUnwitnessed(singleton: SingletonService, watched: Watched): void {
    const known = this.#highestWitness(singleton);
    const limit = known === 0 ? 0 : known + GAP;
    if (limit > watched.highest) return;
    watched.grants = new Map([...watched.grants].filter(([term]) => term < limit));
    watched.highest = Math.max(0, ...watched.grants.keys());
    watched.flippedTo = Math.min(watched.flippedTo, watched.highest);
  }

  /** By status, selector and labels; those of a pod whose name somebody took away are found by nobody who did not see that. */
  #highestWitness(singleton: SingletonService): number {
    const { name, namespace } = singleton.metadata;
    const service = this.#options.cluster.get<Service>(SERVICE, serviceName(name), namespace);
    const named = this.#membersOf(singleton).filter(({ metadata }) => metadata.labels?.[LABEL.name] === name);
    return Math.max(
      singleton.status?.term ?? 0,
      ...[service?.spec?.selector?.[LABEL.term], ...named.map(termLabel)].map((text) => Number(text ?? 0)),
    );
  }

  /** A grant to somebody new, not a Lease that is put right. */
  #judgePause(
    singleton: SingletonService,
    { pausedSinceMs }: Watched,
    { author, begunAtMs, term }: { author: Author; begunAtMs: number; term: number },
  ): void {
    if (pausedSinceMs === undefined) return;
    const knewAtMs = this.#lookedAtMs(author, SINGLETON_SERVICE, begunAtMs);
    if (pausedSinceMs < (knewAtMs ?? begunAtMs - PAUSE_SEEN_WITHIN_MS))
      this.#broken(
        'I5',
        `${author.name} granted term ${term} of ${singleton.metadata.name}, paused since ${pausedSinceMs.toFixed(0)}`,
      );
  }

  /** When it read one of these live, for what it has just decided. */
  #lookedAtMs({ name }: Author, { plural }: ResourceType, begunAtMs: number): number | undefined {
    const asked = this.#askedAtMs.get(`${name} ${plural}`);
    return asked?.find((atMs) => atMs <= begunAtMs && begunAtMs - atMs < LOOKED_WITHIN_MS);
  }

  /**
   * A lost Lease names whoever is routed. Who does not look before it writes that answers for everything that it has not
   * heard of; who does, for what nobody has touched for long.
   */
  #judgeRestored(lease: Lease, singleton: SingletonService, author: Author, begunAtMs: number): void {
    const [routed, ...others] = this.#routed(singleton);
    const holder = lease.spec?.holderIdentity ?? '';
    const { name, namespace } = singleton.metadata;
    const service = this.#options.cluster.get<Service>(SERVICE, serviceName(name), namespace);
    const members = this.#membersOf(singleton);
    const active = members.find(({ metadata }) => metadata.name === routed);
    if (active === undefined || service === undefined || others.length > 0) return;
    const twin = members.find((pod) => pod !== active && termLabel(pod) === termLabel(active));
    if (twin !== undefined || holder === identityOf(active)) return;
    const hasLooked = this.#lookedAtMs(author, SERVICE, begunAtMs) !== undefined;
    const sinceMs = begunAtMs - (hasLooked ? LOOKED_WITHIN_MS : 0);
    const isOld = ({ metadata: { uid } }: KubeObject): boolean => (this.#changedAtMs.get(uid) ?? 0) < sinceMs;
    if (![service, ...members].every(isOld)) return;
    const who = holder === '' ? 'nobody' : holder;
    this.#broken('routing', `${author.name} restored the Lease around ${who}, and ${routed} is routed`);
  }

  #onSingleton({ before, after }: Write, author: Author | undefined): void {
    if (after === undefined) {
      if (before !== undefined) this.#bury(before);
      return;
    }
    const [told = 0, tells = 0] = [before, after].map(termTold);
    if (author !== undefined && tells < told)
      this.#broken('I1', `the status tells of term ${tells}, and told of ${told}, by ${author.name}`);
    const watched = this.#of(after);
    const isPaused = (after as SingletonService & { spec?: { paused?: boolean } }).spec?.paused === true;
    if (!isPaused) watched.pausedSinceMs = undefined;
    else watched.pausedSinceMs ??= this.#options.engine.nowMs;
  }

  /** What it granted to pods that it adopted may still be written on them. */
  #bury({ metadata: { uid } }: KubeObject): void {
    this.#former = this.#watched.get(uid)?.grants ?? new Map();
    this.#watched.delete(uid);
  }

  // --- I2, I3, I7 -------------------------------------------------------------------------------------------------------

  #onPod({ before, after }: Write, author: Author | undefined): void {
    const old: Pod | undefined = before;
    const pod: Pod | undefined = after;
    if (author !== undefined) this.#onOperatorsPod(old, pod, author);
    else if (pod === undefined && old !== undefined) this.#authored.delete(old.metadata.uid);
    else if (pod?.metadata.labels?.[LABEL.name] !== old?.metadata.labels?.[LABEL.name]) this.#disown(pod);
  }

  /** Somebody took its name away or gave it back: operators did not see it meanwhile, and its role is not theirs any more. */
  #disown(pod: Pod | undefined): void {
    const authored = pod && this.#authored.get(pod.metadata.uid);
    if (authored !== undefined) authored.role = undefined;
  }

  #onOperatorsPod(old: Pod | undefined, pod: Pod | undefined, author: Author): void {
    const any = pod ?? old;
    const singleton = any && (this.#ownerOf(any) ?? (old && this.#adopterOf(old)));
    if (any === undefined) return;
    if (pod === undefined && controllerOf(any)?.kind !== KIND) return this.#foreign(old, author);
    if (singleton === undefined) {
      const onlyTaken = [LABEL.role, LABEL.term, LABEL.guarded].every(
        (key) => pod !== undefined && takenOrSame(old, pod, key),
      );
      // A standby of a SingletonService that was deleted a moment ago.
      const isLate = pod !== undefined && isSelected(pod) && pod.metadata.labels?.[LABEL.role] === ROLE.standby;
      if (!onlyTaken && !isLate) this.#foreign(old, author);
      return;
    }
    const isStale = !this.#leads(author);
    if (isStale) this.#of(singleton).staleUnder = this.#lead;
    const wasMarked = old?.metadata.deletionTimestamp !== undefined;
    if (old !== undefined && old.metadata.deletionTimestamp !== pod?.metadata.deletionTimestamp) {
      // Whoever deletes what is adopted deletes somebody else's.
      if (controllerOf(any)?.kind !== KIND) return this.#foreign(old, author);
    }
    const isDeleted = pod === undefined || (pod.metadata.deletionTimestamp !== undefined && !wasMarked);
    if (isDeleted && old !== undefined) this.#judgeDeletion(old, singleton, author, isStale);
    if (pod === undefined) return void this.#authored.delete(any.metadata.uid);
    this.#noteAuthored(old, pod);
    if (old === undefined) this.#judgeCreation(pod, singleton, author);
    this.#judgeTerm(old, pod, singleton, author);
    const wasActive = old?.metadata.labels?.[LABEL.role] === ROLE.active;
    if (!wasActive && pod.metadata.labels?.[LABEL.role] === ROLE.active) this.#judgeRoles(singleton, author, isStale);
    this.#judgeRouting(singleton, author);
  }

  /** Who has just listed everything knows whom there has been for long. (A watch that is silent for long may know less.) */
  #judgeCreation(pod: Pod, singleton: SingletonService, { name }: Author): void {
    const nowMs = this.#options.engine.nowMs;
    const replica = this.#options.replicas.find((one) => one.name === name);
    if (replica === undefined || nowMs - replica.startedAtMs > YOUNG_MS) return;
    const slot = pod.metadata.labels?.[LABEL.slot];
    const twin = this.#membersOf(singleton).find(({ metadata, spec, status }) => {
      const isOther =
        metadata.uid !== pod.metadata.uid && slotInName(singleton.metadata.name, metadata.name) === Number(slot);
      const isAlive = metadata.deletionTimestamp === undefined && status?.phase === 'Running';
      const isNamed = metadata.labels?.[LABEL.name] === singleton.metadata.name;
      const isLost = spec?.nodeName !== undefined && this.#nodeLoss.mayBeGivenUp(spec.nodeName, nowMs);
      const isLong = nowMs - (this.#changedAtMs.get(metadata.uid) ?? nowMs) > LONG_MS;
      // In a rollout, and for a drain, a slot has two for a while.
      const isSame = metadata.labels?.[LABEL.revision] === pod.metadata.labels?.[LABEL.revision];
      const node = this.#options.cluster.get<Node>(NODE, spec?.nodeName ?? '');
      const isLeaving = node?.spec?.unschedulable === true || node?.spec?.taints !== undefined;
      return isOther && isAlive && isNamed && isSame && !isLeaving && !isLost && isLong;
    });
    if (twin !== undefined)
      this.#broken('slots', `${name} created ${pod.metadata.name}, and ${twin.metadata.name} has been there for long`);
  }

  #noteAuthored(old: Pod | undefined, pod: Pod): void {
    const labels = pod.metadata.labels ?? {};
    const authored = this.#authored.get(pod.metadata.uid) ?? { role: undefined, term: undefined };
    if (old === undefined || old.metadata.labels?.[LABEL.role] !== labels[LABEL.role])
      authored.role = labels[LABEL.role];
    if (old === undefined || old.metadata.labels?.[LABEL.term] !== labels[LABEL.term])
      authored.term = labels[LABEL.term];
    this.#authored.set(pod.metadata.uid, authored);
  }

  /** I1 again: the term on a pod is the token its workload gets. */
  #judgeTerm(old: Pod | undefined, pod: Pod, singleton: SingletonService, author: Author): void {
    const label = pod.metadata.labels?.[LABEL.term];
    if (label === undefined || label === old?.metadata.labels?.[LABEL.term]) return;
    const isAdopted = controllerOf(pod)?.kind !== KIND;
    const owner =
      this.#of(singleton).grants.get(Number(label)) ?? (isAdopted ? this.#former.get(Number(label)) : undefined);
    const { name, uid } = pod.metadata;
    if (owner !== holderIdentity(name, uid) && !this.#isRestored(pod, singleton, Number(label)))
      this.#broken('I1', `${author.name} gave ${name} the label of term ${label}, which is ${owner ?? 'nobody'}'s`);
  }

  /** A Lease was lost, and rebuilt around whoever was routed, by a term that somebody may have forged. */
  #isRestored({ metadata }: Pod, singleton: SingletonService, term: number): boolean {
    const name = leaseName(singleton.metadata.name);
    const lease = this.#options.cluster.get<Lease>(LEASE, name, metadata.namespace);
    const isHolder = lease?.spec?.holderIdentity === holderIdentity(metadata.name, metadata.uid);
    return isHolder && lease?.metadata.annotations?.[ANNOTATION.move]?.includes(`"routingTerm":${term}`) === true;
  }

  #judgeDeletion(pod: Pod, singleton: SingletonService, author: Author, isStale: boolean): void {
    const { name, uid, namespace } = pod.metadata;
    const lease = this.#options.cluster.get<Lease>(LEASE, leaseName(singleton.metadata.name), namespace);
    const holder = holderIdentity(name, uid);
    const isHolder = lease?.spec?.holderIdentity === holder && this.#of(singleton).holder === holder;
    const isRouted = this.#routed(singleton).includes(name) && isHolder;
    if (isRouted || (isHolder && !isStale))
      this.#broken(
        'I7',
        `${author.name} deleted ${name} while it is the active${isStale ? ' (and does not lead)' : ''}`,
      );
  }

  #judgeRoles(singleton: SingletonService, author: Author, isStale: boolean): void {
    const active = this.#membersOf(singleton).filter(
      ({ metadata }) =>
        // One whose name somebody took away is nobody's to an operator, until its watch of it tells.
        metadata.labels?.[LABEL.name] === singleton.metadata.name &&
        metadata.labels[LABEL.role] === ROLE.active &&
        this.#authored.get(metadata.uid)?.role === ROLE.active,
    );
    if (active.length <= 1 || isStale || this.#of(singleton).staleUnder === this.#lead) return;
    this.#broken('I3', `${active.map(({ metadata }) => metadata.name).join(' and ')} are active, by ${author.name}`);
  }

  #onService({ before, after }: Write, author: Author | undefined): void {
    const old: Service | undefined = before;
    const service: Service | undefined = after;
    if (author === undefined || service === undefined) return;
    const singleton = this.#ownerOf(service);
    if (singleton === undefined) return this.#foreign(old, author);
    if (service.metadata.name !== serviceName(singleton.metadata.name)) return;
    this.#judgeFlip(old, service, singleton, author);
    const selector = JSON.stringify(service.spec?.selector);
    if (old === undefined || JSON.stringify(old.spec?.selector) !== selector)
      this.#selectors.set(service.metadata.uid, selector);
    this.#judgeRouting(singleton, author);
  }

  /** Traffic never goes back to a term that was left. */
  #judgeFlip(old: Service | undefined, service: Service, singleton: SingletonService, { name }: Author): void {
    const label = service.spec?.selector?.[LABEL.term];
    if (label === undefined || label === old?.spec?.selector?.[LABEL.term]) return;
    const watched = this.#of(singleton);
    const term = Number(label);
    const lease = this.#options.cluster.get<Lease>(LEASE, leaseName(singleton.metadata.name), NAMESPACE);
    const isRestored = lease?.metadata.annotations?.[ANNOTATION.move]?.includes(`"routingTerm":${term}`) === true;
    // Of a Lease that was deleted meanwhile nobody can tell what it said.
    if (term !== 0 && term < watched.flippedTo && !isRestored && lease !== undefined)
      this.#broken('routing', `${name} flipped the Service to term ${term}, after term ${watched.flippedTo}`);
    watched.flippedTo = Math.max(watched.flippedTo, watched.grants.has(term) ? term : 0);
  }

  #judgeRouting(singleton: SingletonService, author: Author): void {
    const routed = this.#routed(singleton);
    if (routed.length > 1) this.#broken('I2', `the Service selects ${routed.join(' and ')}, by ${author.name}`);
  }

  /** Pods that the Service selects, as far as selector and term are an operator's work. */
  #routed({ metadata }: SingletonService): string[] {
    const service = this.#options.cluster.get<Service>(SERVICE, serviceName(metadata.name), metadata.namespace);
    if (service === undefined || controllerOf(service)?.uid !== metadata.uid) return [];
    const { selector } = service.spec ?? {};
    if (JSON.stringify(selector) !== this.#selectors.get(service.metadata.uid)) return [];
    const wanted = Object.entries(selector ?? {});
    return this.#options.cluster
      .list<Pod>(POD)
      .filter(({ metadata: { namespace, labels, uid } }) => {
        if (namespace !== metadata.namespace || !wanted.every(([key, value]) => labels?.[key] === value)) return false;
        return this.#authored.get(uid)?.term === labels?.[LABEL.term];
      })
      .map((pod) => pod.metadata.name);
  }

  // --- who --------------------------------------------------------------------------------------------------------------

  /** The lead that counts: who holds the leader Lease in truth, and the how-manieth time. */
  get #lead(): string {
    const { name, namespace } = LEADER_LEASE;
    const holder = this.#options.cluster.get<Lease>(LEASE, name, namespace)?.spec?.holderIdentity ?? '';
    return `${holder}/${this.#options.replicas.find((replica) => replica.name === holder)?.epoch ?? 0}`;
  }

  #leads({ name, epoch }: Author): boolean {
    return this.#lead === `${name}/${epoch}`;
  }

  #foreign(object: KubeObject | undefined, { name }: Author): void {
    // What our own SingletonService left behind when it was deleted is not foreign, only garbage.
    if (object === undefined || controllerOf(object)?.kind === KIND) return;
    this.#broken('foreign', `${name} wrote to ${object.metadata.name}, which is not its singleton's`);
  }

  #ownerOf(object: KubeObject): SingletonService | undefined {
    const owner = controllerOf(object);
    if (owner?.kind !== KIND || owner.apiVersion !== API_VERSION) return undefined;
    const { cluster } = this.#options;
    const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, owner.name, object.metadata.namespace);
    return singleton?.metadata.uid === owner.uid ? singleton : undefined;
  }

  #membersOf({ metadata }: SingletonService): Pod[] {
    return this.#options.cluster
      .list<Pod>(POD)
      .filter((pod) => controllerOf(pod)?.uid === metadata.uid || this.#adopterOf(pod)?.metadata.uid === metadata.uid);
  }

  /** Whose selector selects it, though somebody else owns it; whoever holds the Lease is let go of after the move. */
  #adopterOf(pod: Pod): SingletonService | undefined {
    if (controllerOf(pod)?.kind === KIND) return undefined;
    const { cluster } = this.#options;
    const singleton = cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, pod.metadata.namespace);
    const isAdopting = (singleton?.spec as { selector?: object } | undefined)?.selector !== undefined;
    if (singleton === undefined || !isAdopting) return undefined;
    return isSelected(pod) || identityOf(pod) === holderIn(cluster) ? singleton : undefined;
  }

  #of({ metadata: { uid } }: KubeObject): Watched {
    let watched = this.#watched.get(uid);
    if (watched === undefined) {
      watched = {
        grants: new Map(),
        holder: '',
        highest: 0,
        pausedSinceMs: undefined,
        flippedTo: 0,
        staleUnder: undefined,
      };
      this.#watched.set(uid, watched);
    }
    return watched;
  }

  #broken(checker: Violation['checker'], message: string): void {
    this.#options.onViolation({ checker, message });
  }
}

/** The Lease names somebody else than its record did: a move. */
function isGrantOf(old: Lease, lease: Lease): boolean {
  const holder = lease.spec?.holderIdentity ?? '';
  const term = lease.spec?.leaseTransitions ?? 0;
  const before = old.spec?.holderIdentity ?? '';
  const record = Object.values(old.metadata.annotations ?? {}).join(' ');
  return holder !== '' && holder !== before && term > (old.spec?.leaseTransitions ?? 0) && !record.includes(holder);
}

/** It is put in the place of a lost one, by its record: nobody is granted anything. */
const isRestoration = (old: Lease | undefined, lease: Lease): boolean => {
  const record = lease.metadata.annotations?.[ANNOTATION.move];
  return record !== old?.metadata.annotations?.[ANNOTATION.move] && record?.includes('"LeaseRestored"') === true;
};

/** As it was created, by us or by hand: it says nothing of any grant. */
const isEmptyLease = ({ spec, metadata }: Lease): boolean =>
  (spec?.holderIdentity ?? '') === '' &&
  (spec?.leaseTransitions ?? 0) === 0 &&
  metadata.annotations?.[ANNOTATION.move] === undefined;

const isSelected = ({ metadata }: Pod): boolean =>
  Object.entries(ADOPTED_LABELS).every(([key, value]) => metadata.labels?.[key] === value);

const termTold = (singleton: SingletonService | undefined): number => singleton?.status?.term ?? 0;

const termLabel = ({ metadata }: Pod): string | undefined => metadata.labels?.[LABEL.term];

const takenOrSame = (old: Pod | undefined, pod: Pod, key: string): boolean => {
  const value = pod.metadata.labels?.[key];
  const before = old?.metadata.labels?.[key];
  return value === undefined || value === before || (before === ROLE.active && value === ROLE.standby);
};
