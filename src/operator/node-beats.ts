/**
 * Which nodes are in trouble, by their kubelets' own Leases in `kube-node-lease`: they tell within some beats, where the
 * Node's Ready condition takes Kubernetes' whole grace period (40 s) to turn.
 *
 * Times are this process's own, from its first sight of a beat: never is a `renewTime` compared with a clock here. And a
 * node's silence counts only while others are heard. When nobody is, it is the watch, the API server or etcd that is
 * silent, and after that every node is given its time anew: it may take a kubelet a while to get through again.
 *
 * Of a node without a Lease (an old or a restricted cluster) only the Ready condition tells.
 */
import type { ReadonlyStore } from '../adapters/kubernetes/store.ts';
import type { Clock, Logger } from '../adapters/ports.ts';
import { OUT_OF_SERVICE } from '../api/names.ts';
import type { Lease, Node } from '../api/objects.ts';
import type { NodeTrouble } from '../core/snapshot.ts';

export interface NodeBeatsOptions {
  readonly leases: ReadonlyStore<Lease>;
  /** Undefined: Nodes can't be read. */
  readonly nodes: ReadonlyStore<Node> | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The share of nodes of which more dark at once are not believed: 0 to 1. */
  readonly brake: number;
  /** Something about the node has changed, that whoever is on it has to be looked at for. Not called for ordinary beats. */
  readonly onChange: (node: string) => void;
  readonly onCount?: (count: NodeCount) => void;
}

export interface NodeCount {
  readonly all: number;
  readonly dark: number;
  readonly isBraked: boolean;
}

interface Beat {
  readonly text: string | undefined;
  /** When this process first saw it. */
  readonly atMs: number;
  readonly everyMs: number;
}

interface Absence {
  readonly sinceMs: number;
  readonly askedAtMs: number;
  readonly isTold: boolean;
}

/** As the flag's default. */
export const NODE_LOSS_BRAKE = 0.55;

const SWEEP_MS = 1_000;
/** Beats of a Lease that does not say how long it lasts; it lasts four of them. */
const BEAT_MS = 10_000;
const BEATS_IN_A_LEASE = 4;
/**
 * Silent for so many beats: suspect. Less than two, so that when many nodes fall silent at one moment, within a beat of
 * each other, all are counted by the time at which the first of them is given up (30 s by default).
 */
const SUSPECT_AFTER_BEATS = 1.8;
/** Nobody at all was heard for so many beats: it is not the nodes. */
const BLIND_AFTER_BEATS = 1.5;
/** A pod may be known before its new node is, since other watches tell of them. */
const GONE_AFTER_MS = 5_000;
const ABSENCE_FORGOTTEN_AFTER_MS = 600_000;
/** One node alone is never many. */
const MANY = 2;

export class NodeBeats {
  readonly #options: NodeBeatsOptions;
  readonly #beats = new Map<string, Beat>();
  readonly #silent = new Set<string>();
  /** By node: first sight of its Ready condition being Unknown. */
  readonly #unknownSinceMs = new Map<string, number>();
  readonly #absent = new Map<string, Absence>();
  /** When a beat of any node was seen last. */
  #heardAtMs: number | undefined;
  #longestBeatMs = 0;
  #isBraked = false;
  #isStarted = false;
  #sweepAtMs = Infinity;
  #cancelSweep: () => void = () => undefined;

  constructor(options: NodeBeatsOptions) {
    this.#options = options;
    options.leases.onChange((old, current) => this.#leaseChanged(old, current));
    options.nodes?.onChange((old, current) => this.#nodeChanged(old, current));
  }

  /** Looks at the clock from now on. */
  start(): void {
    this.#isStarted = true;
    this.#sweepBy(this.#nextDueAtMs());
  }

  stop(): void {
    this.#isStarted = false;
    this.#cancelSweep();
  }

  /** More nodes are dark at once than is believed. */
  get isBraked(): boolean {
    return this.#isBraked;
  }

  /** What is wrong with the node; undefined while nothing is. */
  troubleOf(node: string): NodeTrouble | undefined {
    const gone = this.#isGone(node);
    const outOfService = isOutOfService(this.#options.nodes?.get(undefined, node));
    const isDark = this.#isDark(node);
    if (!gone && !outOfService && !isDark) return undefined;
    return { silentSinceMs: isDark ? this.#silentSinceMs(node) : undefined, outOfService, gone };
  }

  // --- beats ------------------------------------------------------------------------------------------------------------

  #leaseChanged(old: Lease | undefined, current: Lease | undefined): void {
    const name = (current ?? old)?.metadata.name;
    if (name === undefined) return;
    if (current === undefined) {
      this.#beats.delete(name);
      return this.#beatsAgain(name);
    }
    const text = current.spec?.renewTime ?? current.metadata.resourceVersion;
    if (this.#beats.get(name)?.text !== text) this.#beat(name, text, everyMsOf(current));
  }

  #beat(name: string, text: string, everyMs: number): void {
    const atMs = this.#nowMs;
    if (this.#isBlind) this.#beginAnew();
    this.#heardAtMs = atMs;
    this.#longestBeatMs = Math.max(this.#longestBeatMs, everyMs);
    const beat = { text, atMs, everyMs };
    this.#beats.set(name, beat);
    this.#beatsAgain(name);
    this.#sweepBy(suspectAtMs(beat));
  }

  #beatsAgain(name: string): void {
    if (!this.#silent.delete(name)) return;
    this.#options.logger.info('a node is heard of again', { node: name });
    this.#count();
    this.#options.onChange(name);
  }

  /** Nobody was heard for a while: what has passed says nothing of any node. */
  #beginAnew(): void {
    const atMs = this.#nowMs;
    for (const [name, beat] of this.#beats) this.#beats.set(name, { ...beat, atMs });
    for (const name of this.#silent) this.#beatsAgain(name);
  }

  get #isBlind(): boolean {
    if (this.#heardAtMs === undefined) return false;
    return this.#nowMs - this.#heardAtMs > BLIND_AFTER_BEATS * this.#longestBeatMs;
  }

  /** When somebody may have to be told of. Beats put it off again and again, so most sweeps find nothing. */
  #nextDueAtMs(): number {
    const heard = [...this.#beats].filter(([name]) => !this.#silent.has(name)).map(([, beat]) => suspectAtMs(beat));
    const missed = [...this.#absent.values()].filter(({ isTold }) => !isTold).map(goneAtMs);
    return Math.min(...heard, ...missed);
  }

  /** Not sooner than in a second: while nobody is heard, what is due stays due. */
  #sweepBy(dueAtMs: number): void {
    const atMs = Math.max(dueAtMs, this.#nowMs + SWEEP_MS);
    if (!this.#isStarted || !(atMs < this.#sweepAtMs)) return;
    this.#cancelSweep();
    this.#sweepAtMs = atMs;
    this.#cancelSweep = this.#options.clock.after(atMs - this.#nowMs, () => {
      this.#sweepAtMs = Infinity;
      this.#sweep();
      this.#sweepBy(this.#nextDueAtMs());
    });
  }

  #sweep(): void {
    if (!this.#isBlind) for (const [name, beat] of this.#beats) this.#listenFor(name, beat);
    for (const [name, absence] of this.#absent) this.#miss(name, absence);
    this.#count();
  }

  #listenFor(name: string, beat: Beat): void {
    if (this.#silent.has(name) || this.#nowMs < suspectAtMs(beat)) return;
    this.#silent.add(name);
    this.#options.logger.info('a node is silent', { node: name });
    this.#count();
    this.#options.onChange(name);
  }

  // --- Node objects -----------------------------------------------------------------------------------------------------

  #nodeChanged(old: Node | undefined, current: Node | undefined): void {
    const name = (current ?? old)?.metadata.name;
    if (name === undefined) return;
    const wasUnknown = this.#unknownSinceMs.has(name);
    if (!isUnknown(current)) this.#unknownSinceMs.delete(name);
    else if (!wasUnknown) this.#unknownSinceMs.set(name, this.#nowMs);
    const wasGone = current !== undefined && this.#absent.delete(name);
    if (wasUnknown === isUnknown(current) && isOutOfService(old) === isOutOfService(current) && !wasGone) return;
    this.#count();
    this.#options.onChange(name);
  }

  #isGone(name: string): boolean {
    const { nodes } = this.#options;
    if (nodes === undefined || nodes.get(undefined, name) !== undefined) return false;
    const askedAtMs = this.#nowMs;
    const absence = this.#absent.get(name) ?? { sinceMs: askedAtMs, isTold: false };
    this.#absent.set(name, { ...absence, askedAtMs });
    this.#sweepBy(goneAtMs(absence));
    return askedAtMs >= goneAtMs(absence);
  }

  #miss(name: string, absence: Absence): void {
    const nowMs = this.#nowMs;
    if (nowMs - absence.askedAtMs > ABSENCE_FORGOTTEN_AFTER_MS) this.#absent.delete(name);
    else if (!absence.isTold && nowMs >= goneAtMs(absence)) {
      this.#absent.set(name, { ...absence, isTold: true });
      this.#options.onChange(name);
    }
  }

  // --- all of them ------------------------------------------------------------------------------------------------------

  #isDark(name: string): boolean {
    return this.#silent.has(name) || this.#unknownSinceMs.has(name);
  }

  #silentSinceMs(name: string): number | undefined {
    const beat = this.#beats.get(name);
    if (beat === undefined) return this.#unknownSinceMs.get(name);
    return this.#isBlind ? this.#nowMs : beat.atMs;
  }

  #count(): void {
    const { nodes, brake } = this.#options;
    const isThere = (name: string): boolean => nodes === undefined || nodes.get(undefined, name) !== undefined;
    const names = [...new Set([...this.#silent, ...this.#unknownSinceMs.keys()])].filter(isThere);
    const all = nodes?.size ?? this.#beats.size;
    const isBraked = names.length >= MANY && names.length > brake * all;
    this.#options.onCount?.({ all, dark: names.length, isBraked });
    if (isBraked === this.#isBraked) return;
    this.#isBraked = isBraked;
    const found = { dark: names.length, nodes: all, brake };
    if (isBraked) this.#options.logger.warn('too many nodes are silent at once: none of them is taken for lost', found);
    else this.#options.logger.info('few enough nodes are silent again to believe it', found);
    for (const name of names) this.#options.onChange(name);
  }

  get #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

const suspectAtMs = ({ atMs, everyMs }: Beat): number => atMs + SUSPECT_AFTER_BEATS * everyMs;

const goneAtMs = ({ sinceMs }: Pick<Absence, 'sinceMs'>): number => sinceMs + GONE_AFTER_MS;

const everyMsOf = ({ spec }: Lease): number =>
  spec?.leaseDurationSeconds === undefined ? BEAT_MS : (spec.leaseDurationSeconds * 1_000) / BEATS_IN_A_LEASE;

const isUnknown = (node: Node | undefined): boolean =>
  node?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'Unknown') === true;

const isOutOfService = (node: Node | undefined): boolean =>
  node?.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true;
