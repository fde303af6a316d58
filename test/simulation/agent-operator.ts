/**
 * A model of the operator in mode `Agent`: it grants on P1 to P5 by the protocol, and does nothing else. Whatever grants
 * through the API server can stand in its place (`GrantingOperator`).
 */
import { LEASE, POD } from '../../src/adapters/kubernetes/resources.ts';
import type { KubernetesApi } from '../../src/adapters/ports.ts';
import { ANNOTATION, holderIdentity, leaseName } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { FaultyWire } from './faulty-wire.ts';
import type { Network } from './faulty-wire.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import { SimulatedProcess } from './process.ts';
import { Chance } from './random.ts';
import type { Wire } from './wire.ts';

export interface GrantingOperator {
  readonly process: SimulatedProcess | undefined;
  start(): void;
  crash(): void;
  /** Somebody asks for a planned move. */
  move(): void;
  /** Nobody asks any more. */
  settle(): void;
  /** The Lease or a pod was written. */
  notice(): void;
}

export interface ModelOperatorOptions {
  readonly seed: number;
  readonly network: Network;
  readonly leaseDurationMs: number;
  readonly rate: number;
  readonly connect: (wire: Wire, user: string) => KubernetesApi;
}

interface Running {
  readonly process: SimulatedProcess;
  readonly api: KubernetesApi;
}

/** Without anything that happens. */
const LOOK_EVERY_MS = 1_000;
/** By its watch, nearly at once. */
const NOTICED_MS = 1;
const REF = { namespace: NAMESPACE, name: leaseName(SINGLETON) };

export class ModelOperator implements GrantingOperator {
  readonly #options: ModelOperatorOptions;
  #running: Running | undefined;
  #starts = 0;
  /** The Lease as it was seen last, and since when by this process's clock. */
  #seen: { readonly version: string; readonly atMs: number } | undefined;
  #isMoveWanted = false;
  #wake: (() => void) | undefined;

  constructor(options: ModelOperatorOptions) {
    this.#options = options;
  }

  get process(): SimulatedProcess | undefined {
    return this.#running?.process;
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { seed, network, rate, connect } = this.#options;
    this.#starts += 1;
    this.#seen = undefined;
    const chance = new Chance(seed, `operator ${this.#starts}`);
    const name = 'operator';
    const process = new SimulatedProcess(name, network.engine, chance, { rate, wallOffsetMs: 0 });
    const wire = new FaultyWire(process, network, chance, {
      onSent: () => ({ epoch: 0 }),
      onArrival: () => undefined,
    });
    this.#running = { process, api: connect(wire, name) };
    process.deliver(() => void this.#run());
  }

  crash(): void {
    this.#running?.process.kill();
    this.#running = undefined;
  }

  move(): void {
    this.#isMoveWanted = true;
    this.notice();
  }

  settle(): void {
    this.#isMoveWanted = false;
  }

  async #run(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    while (this.#running === running) {
      // What fails is tried again at the next look.
      await this.#look(running).catch(() => undefined);
      await this.#pause(running);
    }
  }

  notice(): void {
    const running = this.#running;
    this.#options.network.engine.after(NOTICED_MS, () => running?.process.deliver(() => this.#wake?.()));
  }

  #pause(running: Running): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
      const cancel = running.process.clock.after(this.#pauseMs(running), end);
      this.#wake = end;
    });
  }

  /** Not a moment later than what it waits for: then nothing hides a sum that is too short. */
  #pauseMs({ process: { clock } }: Running): number {
    const expiresAtMs = (this.#seen?.atMs ?? 0) + this.#options.leaseDurationMs;
    const leftMs = expiresAtMs - clock.monotonicMs();
    return leftMs > 0 ? Math.min(LOOK_EVERY_MS, leftMs) : LOOK_EVERY_MS;
  }

  async #look({ api, process: { clock } }: Running): Promise<void> {
    const lease = await api.get<Lease>(LEASE, REF, { deadlineMs: 1_000 });
    const nowMs = clock.monotonicMs();
    const version = lease.metadata.resourceVersion;
    if (this.#seen?.version !== version) this.#seen = { version, atMs: nowMs };
    const { items } = await api.list<Pod>(POD, { namespace: NAMESPACE });
    const pods = items.toSorted((a, b) => (a.metadata.uid < b.metadata.uid ? -1 : 1));
    const holder = pods.find((pod) => identityOf(pod) === lease.spec?.holderIdentity);
    if (this.#isProven(lease, holder, clock.monotonicMs())) return this.#grant(api, lease, pods);
    const isUnfit = holder === undefined || !isReady(holder);
    const { releaseRequested } = ANNOTATION;
    const term = String(lease.spec?.leaseTransitions ?? 0);
    if (!isUnfit && !this.#isMoveWanted) return undefined;
    if (lease.metadata.annotations?.[releaseRequested] === term) return undefined;
    this.#isMoveWanted = false;
    await api.mergePatch(LEASE, REF, {
      metadata: { resourceVersion: version, annotations: { [releaseRequested]: term } },
    });
    return undefined;
  }

  #isProven(lease: Lease, holder: Pod | undefined, nowMs: number): boolean {
    const { leaseDurationMs } = this.#options;
    const term = lease.spec?.leaseTransitions ?? 0;
    const released = lease.metadata.annotations?.[ANNOTATION.releasedTerm];
    if ((lease.spec?.holderIdentity ?? '') === '') return term === 0 || released === String(term);
    if (holder?.status?.phase === 'Failed') return true;
    return this.#seen !== undefined && nowMs >= this.#seen.atMs + leaseDurationMs;
  }

  async #grant(api: KubernetesApi, lease: Lease, pods: readonly Pod[]): Promise<void> {
    const fit = pods.filter(isReady);
    const other = fit.find((pod) => identityOf(pod) !== lease.spec?.holderIdentity);
    const pod = other ?? fit[0];
    if (pod === undefined) return;
    const { resourceVersion } = lease.metadata;
    const leaseTransitions = (lease.spec?.leaseTransitions ?? 0) + 1;
    await api.mergePatch(LEASE, REF, {
      metadata: { resourceVersion },
      spec: { holderIdentity: identityOf(pod), leaseTransitions },
    });
  }
}

const identityOf = ({ metadata }: Pod): string => holderIdentity(metadata.name, metadata.uid);

const isReady = ({ status, metadata }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase === 'Running' &&
  status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
