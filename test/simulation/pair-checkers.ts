/**
 * What must hold of the operator that ships among agents that ship, beside I4, asked of the true state at each write. It is
 * told by nobody what proves that an agent has stopped: it knows who may still act, by who renewed when (I5).
 */
import { LEASE, POD, SERVICE, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, LABEL, leaseName, serviceName } from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod, Service } from '../../src/api/objects.ts';
import type { Violation } from './checkers.ts';
import type { Cluster, Write } from './cluster.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import type { WireRequest } from './wire.ts';

export interface PairCheckersOptions {
  readonly nowMs: () => number;
  /** Milliseconds of an operator's clock in a true one, at most. */
  readonly fastestRate: number;
  readonly cluster: Cluster;
  /** By holder identity: the lease duration that its agent goes by; undefined: nothing of it runs any more. */
  readonly durationMsOf: (holder: string) => number | undefined;
  readonly onViolation: (violation: Violation) => void;
}

/** Rounding errors, of a millisecond's thousandths. */
const SLACK_MS = 0.01;
const READS_KEPT = 8;

const isOperators = (user: string): boolean => user.startsWith('operator');

export class PairCheckers {
  readonly #options: PairCheckersOptions;
  /** By holder identity: when it was granted or renewed last. Whoever released is not there. */
  readonly #mayActSinceMs = new Map<string, number>();
  /** Highest term that an operator ever gave to anybody. */
  #highest = 0;
  /** Called at the next grant, once. */
  readonly #onGrant: (() => void)[] = [];
  #pausedSinceMs: number | undefined;
  /** When the API server told an operator of the singleton, the last first. */
  #readAtMs: readonly number[] = [];
  /** When the request that is being served was decided on. */
  #servedBegunAtMs = 0;
  /** Nothing is to be done: whatever an operator writes now is too much (I8). */
  isAtRest = false;

  constructor(options: PairCheckersOptions) {
    this.#options = options;
  }

  /** Runs it within the write of the next grant. */
  atNextGrant(then: () => void): void {
    this.#onGrant.push(then);
  }

  get highest(): number {
    return this.#highest;
  }

  /** Everything that told of later terms was replaced by what was there before. */
  restored(term: number): void {
    this.#highest = Math.min(this.#highest, term);
  }

  /** Of an operator. */
  onArrival({ verb, resource }: WireRequest, begunAtMs: number): void {
    this.#servedBegunAtMs = begunAtMs;
    if (verb !== 'get' || resource !== SINGLETON_SERVICE.plural) return;
    this.#readAtMs = [this.#options.nowMs(), ...this.#readAtMs].slice(0, READS_KEPT);
  }

  onWrite({ user, type, before, after }: Write): void {
    if (this.isAtRest && isOperators(user))
      this.#broken('I8', `${user} writes ${type.plural} ${(after ?? before)?.metadata.name ?? ''} at rest`);
    if (type === SINGLETON_SERVICE) this.#onSingleton(after);
    if (type === LEASE && after?.metadata.name === leaseName(SINGLETON)) this.#onLease(user, before, after);
    if ((type === POD || type === SERVICE) && isOperators(user)) this.#judgeRouting(user);
    if (type === POD && after !== undefined && isOperators(user)) this.#judgeTerm(user, before, after);
  }

  #onSingleton(after: KubeObject | undefined): void {
    const isPaused = (after as { spec?: { paused?: boolean } } | undefined)?.spec?.paused === true;
    this.#pausedSinceMs = isPaused ? (this.#pausedSinceMs ?? this.#options.nowMs()) : undefined;
  }

  #onLease(user: string, before: Lease | undefined, after: Lease): void {
    const [holder, old] = [after.spec?.holderIdentity ?? '', before?.spec?.holderIdentity ?? ''];
    const term = after.spec?.leaseTransitions ?? 0;
    if (user.startsWith('agent-')) return this.#onAgentsWrite(user, holder, old);
    if (!isOperators(user) || holder === '') return undefined;
    if (term === (before?.spec?.leaseTransitions ?? 0)) return undefined;
    if (term < this.#highest)
      this.#broken('I1', `${user} wrote term ${term} for ${holder}, and ${this.#highest} was given already`);
    this.#highest = term;
    if (isSameGrant(before, after)) return undefined;
    this.#judgeProof(user, holder, term);
    this.#judgePause(user, term);
    this.#mayActSinceMs.set(holder, this.#options.nowMs());
    for (const then of this.#onGrant.splice(0)) then();
    return undefined;
  }

  #onAgentsWrite(user: string, holder: string, old: string): void {
    if (holder !== '') return void this.#mayActSinceMs.set(holder, this.#options.nowMs());
    if (!old.startsWith(`${user.slice('agent-'.length)}_`)) this.#broken('cas', `${user} released what ${old} held`);
    this.#mayActSinceMs.delete(old);
  }

  /** I5. Only what has ended, has released or cannot have renewed for its whole lease may be followed. */
  #judgeProof(user: string, to: string, term: number): void {
    const { durationMsOf, nowMs, fastestRate } = this.#options;
    for (const [holder, sinceMs] of this.#mayActSinceMs) {
      const durationMs = durationMsOf(holder);
      const passedMs = (nowMs() - sinceMs) * fastestRate;
      if (durationMs === undefined || passedMs >= durationMs - SLACK_MS) this.#mayActSinceMs.delete(holder);
      else if (holder !== to)
        this.#broken(
          'I5',
          `${user} granted term ${term} to ${to}, and ${holder} renewed ${passedMs.toFixed(0)} ms before (${durationMs})`,
        );
    }
  }

  /** It read the singleton, paused, before it decided. */
  #judgePause(user: string, term: number): void {
    const readAtMs = this.#readAtMs.find((atMs) => atMs <= this.#servedBegunAtMs) ?? 0;
    if (this.#pausedSinceMs !== undefined && this.#pausedSinceMs < readAtMs)
      this.#broken('I5', `${user} granted term ${term} while paused`);
  }

  /** I2. */
  #judgeRouting(user: string): void {
    const { cluster } = this.#options;
    const selector = cluster.get<Service>(SERVICE, serviceName(SINGLETON), NAMESPACE)?.spec?.selector;
    const wanted = Object.entries(selector ?? {});
    if (wanted.length === 0) return;
    const routed = cluster
      .list<Pod>(POD)
      .filter(({ metadata: { labels } }) => wanted.every(([key, value]) => labels?.[key] === value));
    if (routed.length > 1)
      this.#broken(
        'I2',
        `the Service selects ${routed.map(({ metadata }) => metadata.name).join(' and ')}, by ${user}`,
      );
  }

  /** Nobody is labelled before its agent has renewed in that term. */
  #judgeTerm(user: string, before: Pod | undefined, after: Pod): void {
    const term = after.metadata.labels?.[LABEL.term];
    if (term === undefined || term === before?.metadata.labels?.[LABEL.term]) return;
    const lease = this.#options.cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
    const isHeld = lease?.spec?.leaseTransitions === Number(term);
    if (isHeld && lease.metadata.annotations?.[ANNOTATION.renewedTerm] !== term)
      this.#broken('routing', `${user} labelled ${after.metadata.name} before its agent renewed term ${term}`);
  }

  #broken(checker: Violation['checker'], message: string): void {
    this.#options.onViolation({ checker, message });
  }
}

/** What somebody edited is put right: nobody is granted anything. */
const isSameGrant = (before: Lease | undefined, after: Lease): boolean => {
  const record = before?.metadata.annotations?.[ANNOTATION.move];
  const to = (lease: string | undefined): unknown =>
    lease === undefined ? '' : (JSON.parse(lease) as { to: unknown }).to;
  return (
    record !== undefined &&
    to(record) === to(after.metadata.annotations?.[ANNOTATION.move]) &&
    to(record) === after.spec?.holderIdentity
  );
};
