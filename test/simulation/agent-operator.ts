/**
 * A model of the operator in mode `Agent`: it grants on P1 to P5 by the protocol, and does nothing else. Whatever grants
 * through the API server can stand in its place (`GrantingOperator`).
 */
import { LEASE, POD } from '../../src/adapters/kubernetes/resources.ts';
import type { KubernetesApi } from '../../src/adapters/ports.ts';
import { ANNOTATION, holderIdentity, leaseName } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { boundTo, holdSetOf, peersText } from '../../src/core/hold-set.ts';
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
  readonly isHold?: boolean;
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
  #lookedAtMs = 0;
  #isMoveWanted = false;
  #wake: (() => void) | undefined;

  /** Who is granted is nobody's preference; without `Hold` a seed is what it was. */
  readonly #holdChance: Chance | undefined;

  constructor(options: ModelOperatorOptions) {
    this.#options = options;
    this.#holdChance = options.isHold === true ? new Chance(options.seed, 'hold operator') : undefined;
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
    if (this.#options.isHold === true) this.#forgetAfterOutage(nowMs);
    if (this.#seen?.version !== version) this.#seen = { version, atMs: nowMs };
    const { items } = await api.list<Pod>(POD, { namespace: NAMESPACE });
    const pods = items.toSorted((a, b) => (a.metadata.uid < b.metadata.uid ? -1 : 1));
    const holder = pods.find((pod) => identityOf(pod) === lease.spec?.holderIdentity);
    const proof = this.#proofOf(lease, holder, clock.monotonicMs());
    if (proof !== undefined) return this.#grant(api, lease, pods, proof);
    if (this.#options.isHold === true && (await tellMembers(api, lease, pods))) return undefined;
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

  /** Expiry counts from the first sight after an outage: nobody could renew meanwhile. */
  #forgetAfterOutage(nowMs: number): void {
    const { leaseDurationMs } = this.#options;
    if (nowMs - this.#lookedAtMs > leaseDurationMs / 2) this.#seen = undefined;
    this.#lookedAtMs = nowMs;
  }

  #proofOf(lease: Lease, holder: Pod | undefined, nowMs: number): 'P1' | 'P2' | 'P5' | undefined {
    return this.#isProven(lease, holder) ?? (this.#hasExpired(nowMs) ? 'P5' : undefined);
  }

  #isProven(lease: Lease, holder: Pod | undefined): 'P1' | 'P2' | undefined {
    const term = lease.spec?.leaseTransitions ?? 0;
    const released = lease.metadata.annotations?.[ANNOTATION.releasedTerm];
    if ((lease.spec?.holderIdentity ?? '') === '') return term === 0 || released === String(term) ? 'P1' : undefined;
    if (holder?.status?.phase === 'Failed') return 'P2';
    return undefined;
  }

  #hasExpired(nowMs: number): boolean {
    const { leaseDurationMs } = this.#options;
    return this.#seen !== undefined && nowMs >= this.#seen.atMs + leaseDurationMs;
  }

  async #grant(api: KubernetesApi, lease: Lease, pods: readonly Pod[], proof: 'P1' | 'P2' | 'P5'): Promise<void> {
    const set = holdSetOf(lease);
    const isTakenUp = lease.metadata.annotations?.[ANNOTATION.renewedTerm] === String(lease.spec?.leaseTransitions);
    const bound = boundTo({ set, isTakenUp, isExpiry: proof === 'P5' });
    const fit = pods.filter((pod) => isReady(pod) && bound?.includes(pod.metadata.uid) !== false);
    const others = fit.filter((pod) => identityOf(pod) !== lease.spec?.holderIdentity);
    const pod = this.#holdChance?.pick(others) ?? others[0] ?? fit[0];
    if (pod === undefined) return;
    const { resourceVersion } = lease.metadata;
    const leaseTransitions = (lease.spec?.leaseTransitions ?? 0) + 1;
    // Proven: whoever was bound by promises is bound to nobody any more.
    const annotations = set.length > 0 && bound === undefined ? { [ANNOTATION.holdSet]: '' } : undefined;
    await api.mergePatch(LEASE, REF, {
      metadata: { resourceVersion, ...(annotations !== undefined && { annotations }) },
      spec: { holderIdentity: identityOf(pod), leaseTransitions },
    });
  }
}

/** Who may be asked for a promise. @returns whether that was news */
async function tellMembers(api: KubernetesApi, lease: Lease, pods: readonly Pod[]): Promise<boolean> {
  const isMember = ({ status, metadata }: Pod): boolean =>
    metadata.deletionTimestamp === undefined && status?.phase === 'Running';
  const { resourceVersion, annotations } = lease.metadata;
  const text = peersText(pods.filter(isMember).map(({ metadata: { name, uid } }) => ({ pod: name, uid, ip: name })));
  if (annotations?.[ANNOTATION.members] === text) return false;
  await api.mergePatch(LEASE, REF, { metadata: { resourceVersion, annotations: { [ANNOTATION.members]: text } } });
  return true;
}

const identityOf = ({ metadata }: Pod): string => holderIdentity(metadata.name, metadata.uid);

const isReady = ({ status, metadata }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.phase === 'Running' &&
  status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
