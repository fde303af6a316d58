/** One replica's part in the election of the leader: performs the steps of core/leadership against the API server. */
import { LEASE } from '../adapters/kubernetes/resources.ts';
import { Reflector } from '../adapters/kubernetes/reflector.ts';
import { Store } from '../adapters/kubernetes/store.ts';
import { isAlreadyExists, isConflict } from '../adapters/ports.ts';
import type { Clock, KubernetesApi, Logger, Random } from '../adapters/ports.ts';
import { ANNOTATION } from '../api/names.ts';
import type { Lease } from '../api/objects.ts';
import { toMicroTime } from '../api/time.ts';
import { nextStep, notLeading, parseStopsAfter, sees, stopsAfterText } from '../core/leadership.ts';
import type { ElectionState, ElectionTimes, LeaderLease } from '../core/leadership.ts';

export interface ElectionOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Unique among the replicas, and new with every start of one. */
  readonly identity: string;
  readonly times: ElectionTimes;
  /** From here until `onLost` this replica is the only one that writes. */
  readonly onLead: () => void;
  /** Called before any other replica can lead. */
  readonly onLost: () => void;
}

/** Between two attempts that failed; of a renewal there are several before its deadline. */
const RETRY_MS = 200;

export class Election {
  readonly #options: ElectionOptions;
  readonly #store: Store<Lease>;
  readonly #reflector: Reflector<Lease>;
  /** The Lease in the store. */
  #seen: LeaderLease | undefined;
  #state: ElectionState = notLeading;
  /** Why the last attempts failed, told once: while the API server is away there are five a second. */
  #complaint: string | undefined;
  #stopped = false;
  #wake: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: ElectionOptions) {
    this.#options = options;
    const { api, clock, random, logger, namespace, name } = options;
    this.#store = new Store<Lease>({ name: 'leases', logger });
    this.#reflector = new Reflector<Lease>({
      api,
      type: LEASE,
      store: this.#store,
      query: { namespace, fieldSelector: `metadata.name=${name}` },
      clock,
      random,
      logger,
    });
    this.#store.onChange((_old, current) => {
      this.#seen = viewOf(current);
      this.#wake?.();
    });
  }

  start(): void {
    this.#reflector.start();
    this.#ended = this.#run();
  }

  /** The API server answers again: a standby must not go on with what it knew of the Lease before. */
  reconnected(): void {
    this.#reflector.retryNow();
  }

  get isLeading(): boolean {
    return this.#state.renewedAtMs !== undefined;
  }

  /** Stops leading, then empties the Lease, so that another replica leads at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#ended;
    const { lease } = this.#state;
    if (this.isLeading && lease !== undefined) {
      this.#stepDown();
      this.#options.logger.info('not leading any more: this replica is being stopped');
      await this.#write('', lease.resourceVersion).catch(() => undefined);
    }
    this.#reflector.stop();
  }

  async #run(): Promise<void> {
    const { clock, identity, times } = this.#options;
    while (!this.#reflector.hasSynced && !this.#stopped) await this.#sleepUntil(clock.monotonicMs() + 20);
    while (!this.#stopped) {
      this.#state = sees(this.#state, this.#seen, clock.monotonicMs());
      const step = nextStep(this.#state, identity, times, clock.monotonicMs());
      switch (step.kind) {
        case 'wait':
          await this.#sleepUntil(step.untilMs);
          break;
        case 'stepDown':
          this.#stepDown();
          this.#options.logger.warn('not leading any more: the Lease was taken, or could not be renewed in time');
          break;
        case 'claim':
          await this.#claim(step.expect);
          break;
        default:
          step satisfies never;
      }
    }
  }

  async #claim(expect: string | undefined): Promise<void> {
    const { clock, identity, logger, times } = this.#options;
    const sentAtMs = clock.monotonicMs();
    const endMs = (this.#state.renewedAtMs ?? sentAtMs) + times.renewDeadlineMs;
    try {
      const written = await this.#write(identity, expect, endMs - sentAtMs);
      const wasLeading = this.isLeading;
      this.#complaint = undefined;
      this.#store.acceptWrite(written);
      // An answer that took longer than the renewal is worth gives no lead.
      const isInTime = wasLeading || clock.monotonicMs() < endMs;
      this.#state = {
        lease: viewOf(written),
        seenAtMs: clock.monotonicMs(),
        renewedAtMs: isInTime ? sentAtMs : undefined,
      };
      if (wasLeading || !isInTime) return;
      logger.info('leading', { identity });
      this.#options.onLead();
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error)) {
        const complaint = error instanceof Error ? error.message : String(error);
        if (complaint !== this.#complaint)
          logger.warn('the leader Lease could not be written; trying again', { error });
        this.#complaint = complaint;
      }
      // A leader that was frozen meanwhile is one no more: it must not lead for the length of even the shortest sleep.
      if (clock.monotonicMs() < endMs) await this.#sleepUntil(Math.min(clock.monotonicMs() + RETRY_MS, endMs));
    }
  }

  #stepDown(): void {
    this.#state = { ...this.#state, renewedAtMs: undefined };
    this.#options.onLost();
  }

  #write(holder: string, expect: string | undefined, deadlineMs = RETRY_MS * 5): Promise<Lease> {
    const { api, clock, name, namespace, times } = this.#options;
    const now = toMicroTime(clock.wallMs());
    const seen = this.#store.get(namespace, name)?.spec;
    const isNew = seen?.holderIdentity !== holder;
    const spec = {
      holderIdentity: holder,
      // As client-go does: a Lease that was released expires at once for whoever only looks at the time.
      leaseDurationSeconds: holder === '' ? 1 : Math.ceil(times.leaseDurationMs / 1000),
      renewTime: now,
      ...(isNew && holder !== '' && { acquireTime: now, leaseTransitions: (seen?.leaseTransitions ?? -1) + 1 }),
    };
    const annotations = {
      [ANNOTATION.stopsAfter]: holder === '' ? null : stopsAfterText(holder, times.renewDeadlineMs),
    };
    if (expect === undefined) {
      const metadata = { name, namespace, annotations };
      const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
      return api.create<Lease>(LEASE, namespace, body, { deadlineMs });
    }
    const patch = { metadata: { resourceVersion: expect, annotations }, spec };
    return api.mergePatch<Lease>(LEASE, { namespace, name }, patch, { deadlineMs });
  }

  #sleepUntil(dueAtMs: number): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
      const cancel = clock.after(Math.max(0, dueAtMs - clock.monotonicMs()), end);
      this.#wake = end;
    });
  }
}

function viewOf(lease: Lease | undefined): LeaderLease | undefined {
  if (lease === undefined) return undefined;
  const { metadata, spec } = lease;
  const holder = spec?.holderIdentity ?? '';
  return {
    holder,
    resourceVersion: metadata.resourceVersion,
    durationMs: (spec?.leaseDurationSeconds ?? 0) * 1000,
    stopsAfterMs: parseStopsAfter(metadata.annotations?.[ANNOTATION.stopsAfter], holder),
  };
}
