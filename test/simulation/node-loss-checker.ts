/**
 * Whether a grant away from a lost node was due, by what was the case: who beat when, and what anybody vouched for. What an
 * operator must know is what the API server had taken some time before it asked.
 */
import { NODE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, OUT_OF_SERVICE } from '../../src/api/names.ts';
import type { KubeObject, Lease, Node, Pod } from '../../src/api/objects.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Nodes } from './nodes.ts';

/** Two reads of one look may lie so far apart: what came within it, an operator need not know. */
const JITTER_MS = 15_000;
/** What somebody has changed within so long may not have been seen. */
const LATELY_MS = 60_000;
/** Nobody is suspect sooner. */
const SILENT_MS = 15_000;
/** Clocks differ by one percent. */
const CLOCK_RATE = 0.98;
const MAX_DARK_SHARE = 0.55;

interface NodeLoss {
  readonly policy?: string;
  readonly afterSeconds?: number;
}

interface Fate {
  readonly node: string | undefined;
  readonly hasEnded: boolean;
}

export interface Grant {
  /** Before it. */
  readonly old: Lease;
  readonly lease: Lease;
  readonly singleton: KubeObject;
  /** When it was sent, and when what it rests on was asked for; undefined: nobody can tell. */
  readonly begunAtMs: number;
  readonly askedAtMs: number | undefined;
  readonly nowMs: number;
}

export class NodeLossChecker {
  readonly #cluster: Cluster;
  readonly #nodes: Nodes;
  /** By pod UID, also after it is gone. */
  readonly #fates = new Map<string, Fate>();
  readonly #attestedAtMs = new Map<string, number>();
  readonly #specChangedAtMs = new Map<string, number>();

  constructor(cluster: Cluster, nodes: Nodes) {
    this.#cluster = cluster;
    this.#nodes = nodes;
  }

  onPod({ before, after }: Write): void {
    const pod: Pod | undefined = after ?? before;
    if (pod === undefined) return;
    const hasEnded = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
    this.#fates.set(pod.metadata.uid, { node: pod.spec?.nodeName, hasEnded });
  }

  onNode({ before, after }: Write, nowMs: number): void {
    const name = (after ?? before)?.metadata.name ?? '';
    if ([before, after].some((node) => isAttested(node))) this.#attestedAtMs.set(name, nowMs);
  }

  onSingleton({ before, after }: Write, nowMs: number): void {
    if (after === undefined) return;
    const isSame = JSON.stringify(nodeLossOf(before)) === JSON.stringify(nodeLossOf(after));
    if (!isSame) this.#specChangedAtMs.set(after.metadata.uid, nowMs);
  }

  /** What is wrong with the grant. */
  judge(grant: Grant): string | undefined {
    const { old, singleton, askedAtMs, nowMs } = grant;
    const fate = this.#fates.get(old.spec?.holderIdentity?.split('_')[1] ?? '');
    if (fate?.node === undefined || fate.hasEnded || askedAtMs === undefined) return undefined;
    if (this.#wasAttested(fate.node, nowMs)) return undefined;
    if (nowMs - (this.#specChangedAtMs.get(singleton.metadata.uid) ?? -LATELY_MS) < LATELY_MS) return undefined;
    return this.#prematureLoss(grant, fate.node) ?? this.#promotedUnproven(grant, fate.node);
  }

  /** Whether whoever is on the node may have been given up within the last minute, so that there is another in its slot. */
  mayBeGivenUp(node: string, nowMs: number): boolean {
    if (this.#wasAttested(node, nowMs)) return true;
    const times = [nowMs, ...this.#nodes.beatsOf(node)];
    return times.some((atMs, place) => nowMs - atMs < LATELY_MS && atMs - (times[place + 1] ?? atMs) > SILENT_MS);
  }

  #wasAttested(node: string, nowMs: number): boolean {
    const live = this.#cluster.get<Node>(NODE, node);
    return live === undefined || isAttested(live) || nowMs - (this.#attestedAtMs.get(node) ?? -Infinity) < LATELY_MS;
  }

  #prematureLoss({ lease, singleton, begunAtMs, askedAtMs = 0 }: Grant, node: string): string | undefined {
    const record = lease.metadata.annotations?.[ANNOTATION.move] ?? '';
    if (!record.includes('"reason":"NodeLost"')) return undefined;
    const dark = this.#nodes.names.filter((name) => begunAtMs - this.#lastBeatMs(name, begunAtMs) > LATELY_MS);
    const isThere = (name: string): boolean => this.#cluster.get<Node>(NODE, name) !== undefined;
    if (dark.length > 1 && dark.length > MAX_DARK_SHARE * this.#nodes.names.length && dark.every(isThere))
      return `${node} counts as lost, while ${dark.join(' and ')} have all been dark for long`;
    const { afterSeconds = 30 } = nodeLossOf(singleton);
    const silentMs = begunAtMs - this.#lastBeatMs(node, askedAtMs - JITTER_MS);
    return silentMs < afterSeconds * 1_000 * CLOCK_RATE
      ? `${node} counts as lost after ${(silentMs / 1_000).toFixed(1)} s of ${afterSeconds}`
      : undefined;
  }

  /** Kubernetes has said, and long enough ago, that nobody knows what is the case on it. */
  #promotedUnproven({ singleton, askedAtMs = 0 }: Grant, node: string): string | undefined {
    if (nodeLossOf(singleton).policy !== 'Wait') return undefined;
    const unknownSinceMs = this.#nodes.unknownSinceMs(node);
    return unknownSinceMs !== undefined && unknownSinceMs < askedAtMs - JITTER_MS
      ? `it moved from ${node}, which is lost, without proof`
      : undefined;
  }

  #lastBeatMs(node: string, untilMs: number): number {
    return this.#nodes.beatsOf(node).find((atMs) => atMs <= untilMs) ?? -Infinity;
  }
}

const isAttested = (node: Node | undefined): boolean =>
  node?.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) === true;

const nodeLossOf = (object: KubeObject | undefined): NodeLoss =>
  (object as { spec?: { failover?: { nodeLoss?: NodeLoss } } } | undefined)?.spec?.failover?.nodeLoss ?? {};
