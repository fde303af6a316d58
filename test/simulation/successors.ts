/**
 * No candidate goes before its successor stands: when an operator deletes a Ready standby, somebody else of its slot must
 * be the active, or have been Ready for a while. What was decided before the last change of the spec is not judged.
 */
import { NODE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { LABEL } from '../../src/api/names.ts';
import type { KubeObject, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { slotInName } from '../../src/core/slots.ts';
import type { Violation } from './checkers.ts';
import { holderIn, identityOf } from './actives.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Engine } from './engine.ts';
import { NAMESPACE, SINGLETON, imageOf } from './manifest.ts';

export interface SuccessorsOptions {
  readonly engine: Engine;
  readonly cluster: Cluster;
  /** Whoever is there may be given up, or have been of late, whatever is told of it. */
  readonly isLost: (node: string) => boolean;
  readonly onViolation: (violation: Violation) => void;
}

/** From a decision to when its request arrives: the longest freeze, and a request's deadline. */
const DECIDED_WITHIN_MS = 45_000;
/** And when nothing goes wrong any more, which is so a while after the last fault. */
const DECIDED_IN_CALM_WITHIN_MS = 2_000;
const CALM_AFTER_MS = 15_000;
/** `update.minReadySeconds`, by a clock that may be fast. */
const SOAK_MS = 4_500;

interface Readiness {
  sinceMs: number;
  untilMs: number;
}

/** A pod as it was last, be it gone, and the times in which it was Ready. */
interface History {
  readonly pod: Pod;
  readonly ready: Readiness[];
}

export class Successors {
  readonly #options: SuccessorsOptions;
  /** By UID. */
  readonly #histories = new Map<string, History>();
  #specChangedAtMs = 0;
  #healedAtMs = Infinity;

  constructor(options: SuccessorsOptions) {
    this.#options = options;
  }

  onWrite({ type, user, before, after }: Write): void {
    const { nowMs } = this.#options.engine;
    if (type === SINGLETON_SERVICE && after?.metadata.generation !== before?.metadata.generation)
      this.#specChangedAtMs = nowMs;
    if (type !== POD) return;
    const isOperators = user.startsWith('operator-');
    if (isOperators && before !== undefined && isGoing(after) && !isGoing(before)) this.#judge(before, user);
    if (isOperators && before === undefined && after !== undefined) this.#judgeCreation(after, user);
    this.#note(after ?? before, after !== undefined);
  }

  healed(): void {
    this.#healedAtMs = this.#options.engine.nowMs;
  }

  get #decidedWithinMs(): number {
    const isCalm = this.#options.engine.nowMs > this.#healedAtMs + CALM_AFTER_MS;
    return isCalm ? DECIDED_IN_CALM_WITHIN_MS : DECIDED_WITHIN_MS;
  }

  #note(pod: Pod | undefined, isThere: boolean): void {
    if (pod === undefined) return;
    const { nowMs } = this.#options.engine;
    const ready = this.#histories.get(pod.metadata.uid)?.ready ?? [];
    const last = ready.at(-1);
    const isUp = isThere && isReady(pod);
    if (isUp && last?.untilMs !== Infinity) ready.push({ sinceMs: nowMs, untilMs: Infinity });
    if (!isUp && last?.untilMs === Infinity) last.untilMs = nowMs;
    this.#histories.set(pod.metadata.uid, { pod, ready });
  }

  get #spec(): { replicas: number } {
    const singleton = this.#options.cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
    return (singleton?.spec ?? { replicas: 0 }) as { replicas: number };
  }

  /**
   * A second member of a slot makes one member more than there are slots, for a rollout or a drain, and not two. What fills
   * a slot whose members are all gone or given up is none too many, whatever there is in other slots.
   */
  #judgeCreation(pod: Pod, user: string): void {
    const { cluster, engine, isLost, onViolation } = this.#options;
    if (engine.nowMs - this.#specChangedAtMs < this.#decidedWithinMs) return;
    const { replicas } = this.#spec;
    const others = cluster.list<Pod>(POD).filter((other) => {
      const { name, uid, labels } = other.metadata;
      // One whose name somebody took away while no operator looked is seen by nobody any more.
      const isSeen = labels?.[LABEL.name] === SINGLETON && uid !== pod.metadata.uid;
      const isAlive = other.status?.phase === 'Running' && !isGoing(other) && !isLost(other.spec?.nodeName ?? '');
      return isSeen && isAlive && (slotInName(SINGLETON, name) ?? replicas) < replicas;
    });
    const slotOf = ({ metadata }: Pod): number | undefined => slotInName(SINGLETON, metadata.name);
    const isSecond = others.some((other) => slotOf(other) === slotOf(pod));
    if (isSecond && others.length > replicas) {
      const names = [...others, pod].map(({ metadata }) => metadata.name).join(', ');
      onViolation({ checker: 'successor', message: `${user} created one too many, for ${replicas} slots: ${names}` });
    }
  }

  #judge(pod: Pod, user: string): void {
    const { cluster, engine, isLost, onViolation } = this.#options;
    if (engine.nowMs - this.#specChangedAtMs < this.#decidedWithinMs || !isReady(pod)) return;
    const { nodeName = '' } = pod.spec ?? {};
    if (isLost(nodeName) || cluster.get(NODE, nodeName) === undefined) return;
    const slot = slotInName(SINGLETON, pod.metadata.name);
    const { replicas } = this.#spec;
    if (slot === undefined || slot >= replicas) return;
    const holder = holderIn(cluster);
    const stands = [...this.#histories.values()].some(({ pod: other, ready }) => {
      const { name, uid } = other.metadata;
      if (uid === pod.metadata.uid || slotInName(SINGLETON, name) !== slot) return false;
      const isActive = identityOf(other) === holder && cluster.get(POD, name, NAMESPACE) !== undefined;
      return isActive || this.#stood(ready, imageOf(other.spec) !== imageOf(pod.spec));
    });
    if (!stands)
      onViolation({
        checker: 'successor',
        message: `${user} deleted ${pod.metadata.name}, which was Ready, and nobody stood in its place`,
      });
  }

  /**
   * Not long ago, and if it is of another version, for the time that this takes to prove itself. It may be gone since: a
   * deletion has no precondition on it, and its sender may have been frozen with it in hand.
   */
  #stood(ready: readonly Readiness[], hasToProveItself: boolean): boolean {
    const { nowMs } = this.#options.engine;
    return ready.some(
      ({ sinceMs, untilMs }) =>
        untilMs > nowMs - this.#decidedWithinMs &&
        Math.min(nowMs, untilMs) - sinceMs >= (hasToProveItself ? SOAK_MS : 0),
    );
  }
}

const isGoing = (object: KubeObject | undefined): boolean =>
  object === undefined || object.metadata.deletionTimestamp !== undefined;

const isReady = (object: KubeObject): boolean => {
  const { status, metadata } = object as Pod;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return metadata.deletionTimestamp === undefined && ready?.status === 'True';
};
