/**
 * No flapping: each move has a cause of its own, in the reign that it ends. A reign is the time from a grant to the next.
 * So the moves are never more than what could justify one, and a cause that was used up or forgotten justifies nothing.
 *
 * Causes, by the true state, at any time of the reign, whether an operator saw it or not:
 *   - the active was not Ready, was being deleted, ended, or was gone; or its slot was scaled away
 *   - its node was being drained
 *   - it was of another template than the spec's, or somebody had taken away what says so, in whichever reign
 *   - somebody edited its labels, or edited or deleted the Lease
 * Or the move itself says why, and that is so:
 *   - `Requested`: somebody asked for it, in these words, and no other move has answered that
 *   - `NodeLost`: see node-loss-checker.ts
 *   - `SwitchoverRolledBack`: the reign began with a requested move
 *   - `Preempted`: preemption is on, the reign has lasted for stableSeconds, and the new active was the preferred one lately
 */
import { LEASE, NODE, POD, SINGLETON_SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { ANNOTATION, LABEL, leaseName } from '../../src/api/names.ts';
import type { Lease, Node, Pod } from '../../src/api/objects.ts';
import type { SingletonService } from '../../src/api/types.ts';
import { slotInName } from '../../src/core/slots.ts';
import { identityOf } from './actives.ts';
import type { Cluster, Write } from './cluster.ts';
import { NAMESPACE, SINGLETON, imageOf } from './manifest.ts';
import { electionOf, isAdopting, isDrained, isPreferred, isUp, nodeOf, preempts } from './preferred.ts';

interface Reign {
  readonly holder: string;
  readonly term: number;
  readonly reason: string;
  readonly sinceMs: number;
  readonly causes: Set<string>;
}

interface MoveNote {
  readonly to: string;
  readonly term: number;
  readonly reason: string;
}

/** An operator may carry out what it decided so long ago: the longest freeze, and a request's deadline. */
const LATELY_MS = 45_000;
/** Clocks of operators differ in rate. */
const CLOCK_MARGIN = 0.97;

export class Reigns {
  readonly #cluster: Cluster;
  readonly #nowMs: () => number;
  #reign: Reign | undefined;
  /** How often each request was made, and has not been answered by a move. */
  readonly #requests = new Map<string, number>();
  /** When each pod was last preferred to the active, by UID. */
  readonly #preferredAtMs = new Map<string, number>();
  #electionChangedAtMs = 0;
  readonly #drainedAtMs = new Map<string, number>();
  /** Of all that it was scaled to. */
  #leastReplicas = Infinity;

  constructor(cluster: Cluster, nowMs: () => number) {
    this.#cluster = cluster;
    this.#nowMs = nowMs;
  }

  /** What is wrong with a move that this write makes; undefined: nothing. */
  onWrite(write: Write, isOperators: boolean): string | undefined {
    const needless = write.type === LEASE ? this.#onLease(write, isOperators) : undefined;
    if (write.type === SINGLETON_SERVICE) this.#onSingleton(write, isOperators);
    if (write.type === POD) this.#onPod(write, isOperators);
    const node: Node | undefined = write.type === NODE ? write.before : undefined;
    if (node !== undefined && isDrained(node)) this.#drainedAtMs.set(node.metadata.name, this.#nowMs());
    if ([SINGLETON_SERVICE, POD, NODE].includes(write.type)) this.#lookAround();
    return needless;
  }

  #onLease({ before, after }: Write, isOperators: boolean): string | undefined {
    const lease: Lease | undefined = after;
    if ((lease ?? before)?.metadata.name !== leaseName(SINGLETON)) return undefined;
    const note = moveIn(lease);
    if (!isOperators || lease === undefined || note === undefined || note.reason === 'LeaseRestored') {
      this.#reign?.causes.add('the Lease was edited or lost');
      return undefined;
    }
    const old = this.#reign;
    if (old?.term === note.term && old.holder === note.to) return undefined;
    // Put back, with a term above what somebody wrote into it.
    if (old?.holder === note.to && moveIn(before)?.to === note.to) return undefined;
    const needless = old === undefined || old.holder === '' ? undefined : this.#judge(old, note, lease);
    const { to: holder, term, reason } = note;
    this.#reign = { holder, term, reason, sinceMs: this.#nowMs(), causes: new Set() };
    this.#preferredAtMs.clear();
    this.#lookAround();
    return needless;
  }

  #judge(old: Reign, note: MoveNote, lease: Lease): string | undefined {
    const isAnswer = note.reason === 'Requested' && this.#isAsked(lease);
    const singleton = this.#singleton;
    // What becomes of adopted pods is their owner's to say as well.
    if (singleton !== undefined && isAdopting(singleton)) return undefined;
    if (isAnswer || old.causes.size > 0) return undefined;
    // Whether its node is lost is judged by who knows the beats (node-loss-checker.ts).
    if (note.reason === 'NodeLost') return undefined;
    if (note.reason === 'NodeDraining' && this.#wasDrainedLately(old)) return undefined;
    if (note.reason === 'SwitchoverRolledBack' && old.reason === 'Requested') return undefined;
    if (note.reason === 'ScaledDown' && this.#isUnderAnOldSpec(old)) return undefined;
    const problem = note.reason === 'Preempted' ? this.#notPreempted(old, note) : 'nothing had happened to it';
    return problem && `${note.reason}: term ${note.term} was taken from ${old.holder} for ${note.to}, but ${problem}`;
  }

  #isAsked(lease: Lease): boolean {
    const { request = '' } = JSON.parse(lease.metadata.annotations?.[ANNOTATION.switchover] ?? '{}') as {
      request?: string;
    };
    const count = this.#requests.get(request) ?? 0;
    this.#requests.set(request, count - 1);
    return count > 0;
  }

  /** While the spec breaks a rule each operator goes by the last one that it saw before, of which there may have been others. */
  #isUnderAnOldSpec({ holder }: Reign): boolean {
    const singleton = this.#singleton;
    const { strategy, priorities = [] } = singleton === undefined ? {} : electionOf(singleton);
    const isBroken = strategy === 'Priority' && priorities.length < replicasOf(singleton);
    return isBroken && (slotInName(SINGLETON, holder.split('_')[0] ?? '') ?? 0) >= this.#leastReplicas;
  }

  /** An operator may freeze between its read of the node and the grant. */
  #wasDrainedLately({ holder }: Reign): boolean {
    const pod = this.#cluster.list<Pod>(POD).find((other) => identityOf(other) === holder);
    return this.#nowMs() - (this.#drainedAtMs.get(pod?.spec?.nodeName ?? '') ?? -Infinity) < LATELY_MS;
  }

  #notPreempted({ sinceMs }: Reign, { to }: MoveNote): string | undefined {
    const singleton = this.#singleton;
    const nowMs = this.#nowMs();
    if (singleton === undefined) return 'there is no singleton';
    const isSettled = nowMs - this.#electionChangedAtMs > LATELY_MS;
    if (isSettled && !preempts(singleton)) return 'preemption is off';
    const { stableSeconds = 60 } = electionOf(singleton);
    const isChanged = this.#electionChangedAtMs >= sinceMs;
    if (!isChanged && nowMs - sinceMs < stableSeconds * 1_000 * CLOCK_MARGIN)
      return `its reign was of ${((nowMs - sinceMs) / 1_000).toFixed(1)} s, and stableSeconds is ${stableSeconds}`;
    // Nothing may have been written since.
    this.#lookAround();
    const preferredAtMs = this.#preferredAtMs.get(to.split('_')[1] ?? '') ?? -Infinity;
    return nowMs - preferredAtMs > LATELY_MS ? 'the other was not preferred to it' : undefined;
  }

  #onSingleton({ before, after }: Write, isOperators: boolean): void {
    const singleton: SingletonService | undefined = after;
    if (singleton === undefined) {
      this.#reign = undefined;
      this.#requests.clear();
      this.#leastReplicas = Infinity;
      return;
    }
    this.#leastReplicas = Math.min(this.#leastReplicas, replicasOf(singleton));
    const old: SingletonService | undefined = before;
    const request = singleton.metadata.annotations?.[ANNOTATION.switchover];
    if (!isOperators && request !== undefined && request !== old?.metadata.annotations?.[ANNOTATION.switchover])
      this.#requests.set(request, (this.#requests.get(request) ?? 0) + 1);
    if (old === undefined || JSON.stringify(electionOf(old)) !== JSON.stringify(electionOf(singleton)))
      this.#electionChangedAtMs = this.#nowMs();
  }

  #onPod({ before, after, user }: Write, isOperators: boolean): void {
    const pod = after ?? before;
    if (pod === undefined || this.#reign?.holder !== identityOf(pod)) return;
    const isEdit = !isOperators && user !== 'kubelet' && user !== 'scheduler';
    if (isEdit && JSON.stringify(before?.metadata.labels) !== JSON.stringify(after?.metadata.labels))
      this.#reign.causes.add('its labels were edited');
  }

  /** What is the case now counts for the whole of the reign. */
  #lookAround(): void {
    const { holder = '', causes } = this.#reign ?? {};
    const singleton = this.#singleton;
    if (holder === '' || causes === undefined || singleton === undefined) return;
    const pods = this.#cluster.list<Pod>(POD);
    const active = pods.find((pod) => identityOf(pod) === holder);
    if (active === undefined || !isUp(active)) causes.add('it was not up');
    if (active === undefined) return;
    if ((slotInName(SINGLETON, active.metadata.name) ?? 0) >= replicasOf(singleton))
      causes.add('its slot was scaled away');
    // Without a revision nobody can tell of which template it is, be it the active since then or not.
    const { [LABEL.revision]: revision } = active.metadata.labels ?? {};
    if (imageOf(active.spec) !== wantedImage(singleton) || revision === undefined)
      causes.add('it was of another template');
    const node: Node | undefined = nodeOf(this.#cluster, active);
    if (isDrained(node)) causes.add('its node was drained');
    for (const pod of pods)
      if (isPreferred(this.#cluster, singleton, pod, active)) this.#preferredAtMs.set(pod.metadata.uid, this.#nowMs());
  }

  get #singleton(): SingletonService | undefined {
    return this.#cluster.get<SingletonService>(SINGLETON_SERVICE, SINGLETON, NAMESPACE);
  }
}

const wantedImage = (singleton: SingletonService): string =>
  imageOf((singleton.spec as { template?: { spec?: object } } | undefined)?.template?.spec);

const replicasOf = (singleton: SingletonService | undefined): number =>
  (singleton?.spec as { replicas?: number } | undefined)?.replicas ?? 1;

function moveIn(lease: Lease | undefined): MoveNote | undefined {
  const text = lease?.metadata.annotations?.[ANNOTATION.move];
  return text === undefined ? undefined : (JSON.parse(text) as MoveNote);
}
