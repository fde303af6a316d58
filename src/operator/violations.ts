/**
 * Tells of broken invariants, each once for as long as it lasts: a metric, an error in the log with the snapshot in which
 * it was seen, and an event on the singleton. Never more than that: what can be carried out safely goes on.
 */
import type { Metrics } from '../adapters/metrics.ts';
import type { Clock, KubernetesApi, Logger } from '../adapters/ports.ts';
import { EVENT } from '../api/names.ts';
import { shortHash } from '../core/hash.ts';
import type { Violation } from '../core/invariants.ts';
import { describePlan } from '../core/plan.ts';
import type { SingletonView } from '../core/snapshot.ts';
import type { Key } from './caches.ts';
import { emitEvent } from './execute.ts';
import type { Look } from './reconcile.ts';

export interface ViolationTellerOptions {
  /** Refuses whoever does not lead. */
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'invariantViolations'>;
}

export class ViolationTeller {
  readonly #options: ViolationTellerOptions;
  readonly #told = new Map<Key, ReadonlySet<string>>();

  constructor(options: ViolationTellerOptions) {
    this.#options = options;
  }

  /** All that are seen in one look. Edited labels break I2 and I3 until the next plan mends them; the rest is a bug. */
  seen(key: Key, violations: readonly Violation[], look: Look): void {
    const told = this.#told.get(key);
    if (violations.length === 0) return this.forget(key);
    this.#told.set(key, new Set(violations.map(sentence)));
    for (const violation of violations) {
      if (told?.has(sentence(violation)) !== true) this.#tell(key, violation, look);
    }
  }

  /** The singleton is gone, or nothing is broken any more. */
  forget(key: Key): void {
    this.#told.delete(key);
  }

  #tell(key: Key, violation: Violation, { snapshot, now, plan }: Look): void {
    const { logger, metrics } = this.#options;
    metrics.invariantViolations.inc({ invariant: violation.invariant });
    const message = `an invariant is broken: ${sentence(violation)}`;
    // Snapshot and time are all that decided it: `kubectl singleton replay` makes the same plan of these two.
    logger.error(message, { singleton: key, snapshot, now, plan: describePlan(plan) });
    // Not awaited: telling must not hold up mending.
    void this.#emit(key, violation, snapshot.singleton);
  }

  /** The same violation again, or told by another replica too, is the same event. */
  async #emit(key: Key, violation: Violation, singleton: SingletonView): Promise<void> {
    const message = `${sentence(violation)}; the operator's log has the snapshot`;
    const identity = shortHash([singleton.uid, EVENT.invariantViolated, message], 10);
    const event = { identity, reason: EVENT.invariantViolated, type: 'Warning', message } as const;
    try {
      await emitEvent(event, singleton, this.#options);
    } catch (error) {
      this.#options.logger.warn('the event of a broken invariant could not be written', { singleton: key, error });
    }
  }
}

const sentence = ({ invariant, message }: Violation): string => `${invariant}: ${message}`;
