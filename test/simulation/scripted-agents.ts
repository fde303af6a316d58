/**
 * The agents of mode `Agent` by the book, for worlds that are about the operator: each renews while it holds the Lease, and
 * releases when it is asked to, when its workload has ended, and when its pod goes. (The agents that ship are simulated
 * elsewhere.) Who may act is held against I4 at each renewal: for as long as the most stubborn workload could.
 */
import { LEASE, POD } from '../../src/adapters/kubernetes/resources.ts';
import { AGENT_CONTAINER, ANNOTATION, holderIdentity, leaseName } from '../../src/api/names.ts';
import type { Lease, Pod } from '../../src/api/objects.ts';
import { parseSpec } from '../../src/api/spec.ts';
import { toMicroTime } from '../../src/api/time.ts';
import { timingOf } from '../../src/api/timing.ts';
import type { Violation } from './checkers.ts';
import type { Cluster, Write } from './cluster.ts';
import type { Engine } from './engine.ts';
import { NAMESPACE, SINGLETON, fencedManifest } from './manifest.ts';
import { wallMsAt } from './process.ts';
import type { Chance } from './random.ts';

const USER = 'agent';

interface ScriptedAgentsOptions {
  readonly engine: Engine;
  readonly cluster: Cluster;
  readonly chance: Chance;
  /** Nothing on it reaches the API server. */
  readonly isLost: (node: string) => boolean;
  readonly onViolation: (violation: Violation) => void;
}

const { renewIntervalMs, actsForMs } = timesOf();

function timesOf() {
  const parsed = parseSpec(fencedManifest().spec, { name: SINGLETON });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const { election, fencing } = parsed.spec;
  const { fenceDeadlineMs, enforcementDelayMs } = timingOf({ ...election, ...fencing });
  const actsForMs = fenceDeadlineMs + fencing.stopGraceMs + enforcementDelayMs;
  return { renewIntervalMs: election.renewIntervalMs, actsForMs };
}

export class ScriptedAgents {
  readonly #options: ScriptedAgentsOptions;
  /** By holder identity: until when it may act, in true time. */
  readonly #acting = new Map<string, number>();
  /** Of pods whose agent never takes up a term. */
  readonly deaf = new Set<string>();
  #highest = 0;
  #renewedAtMs = 0;
  #stopping: string | undefined;
  #isDue = false;

  constructor(options: ScriptedAgentsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#lookSoon();
    this.#options.engine.after(renewIntervalMs / 4, () => this.start());
  }

  onWrite({ user, type, before, after }: Write): void {
    if (type === LEASE || type === POD) this.#lookSoon();
    const pod: Pod | undefined = after ?? before;
    if (type !== POD || user !== 'kubelet' || pod === undefined) return;
    const { name, uid } = pod.metadata;
    if (after === undefined || hasEnded(pod)) this.#acting.delete(holderIdentity(name, uid));
  }

  #lookSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    const { engine, chance } = this.#options;
    engine.after(chance.logBetween(1, 40), () => {
      this.#isDue = false;
      this.#look();
    });
  }

  #look(): void {
    const { cluster, isLost, engine } = this.#options;
    const lease = cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
    const holder = lease?.spec?.holderIdentity ?? '';
    const pod = cluster.list<Pod>(POD).find(({ metadata }) => holderIdentity(metadata.name, metadata.uid) === holder);
    const term = lease?.spec?.leaseTransitions ?? 0;
    if (lease === undefined || pod === undefined || !hasAgent(pod) || isLost(pod.spec?.nodeName ?? '')) return;
    if (term < this.#highest || this.deaf.has(pod.metadata.name)) return;
    this.#highest = term;
    if (hasToEnd(pod, lease)) return this.#stop(holder, term);
    const isNew = annotation(lease, ANNOTATION.renewedTerm) !== String(term);
    if (isNew ? isReady(pod) : engine.nowMs >= this.#renewedAtMs + renewIntervalMs) this.#renew(holder, lease);
  }

  #renew(holder: string, lease: Lease): void {
    const { engine, cluster, onViolation } = this.#options;
    const { nowMs } = engine;
    const annotations = { [ANNOTATION.renewedTerm]: String(lease.spec?.leaseTransitions) };
    // Without the time a renewal would change nothing, and the API server would make no new version of it.
    if (!write(cluster, lease, { annotations, renewTime: toMicroTime(wallMsAt(engine)) })) return this.#lookSoon();
    this.#renewedAtMs = nowMs;
    for (const [other, untilMs] of this.#acting) {
      if (other === holder || untilMs <= nowMs) continue;
      const message = `${holder} takes up term ${lease.spec?.leaseTransitions} while ${other} may act for ${untilMs - nowMs} ms`;
      onViolation({ checker: 'I4', message });
    }
    this.#acting.set(holder, nowMs + actsForMs);
  }

  /** The workload needs a moment; then the Lease is given back, if it is still held. */
  #stop(holder: string, term: number): void {
    if (this.#stopping === holder) return;
    const { engine, cluster, chance } = this.#options;
    this.#stopping = holder;
    engine.after(chance.logBetween(5, 200), () => {
      this.#stopping = undefined;
      this.#acting.delete(holder);
      const lease = cluster.get<Lease>(LEASE, leaseName(SINGLETON), NAMESPACE);
      if (lease?.spec?.holderIdentity !== holder || lease.spec.leaseTransitions !== term) return;
      const annotations = { [ANNOTATION.releasedTerm]: String(term) };
      if (!write(cluster, lease, { annotations, holderIdentity: '' })) this.#lookSoon();
    });
  }
}

interface LeasePatch {
  readonly annotations: Readonly<Record<string, string>>;
  readonly holderIdentity?: string;
  readonly renewTime?: string;
}

function write(cluster: Cluster, lease: Lease, { annotations, ...spec }: LeasePatch): boolean {
  const { resourceVersion } = lease.metadata;
  return cluster.patch(USER, LEASE, lease, { metadata: { resourceVersion, annotations }, spec });
}

const annotation = ({ metadata }: Lease, key: string): string | undefined => metadata.annotations?.[key];

const hasAgent = ({ spec }: Pod): boolean =>
  [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some(({ name }) => name === AGENT_CONTAINER);

const hasEnded = ({ status }: Pod): boolean => status?.phase === 'Failed' || status?.phase === 'Succeeded';

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;

function hasToEnd(pod: Pod, lease: Lease): boolean {
  const isAsked = annotation(lease, ANNOTATION.releaseRequested) === String(lease.spec?.leaseTransitions);
  const hasCrashed = pod.status?.containerStatuses?.some(({ state }) => state?.terminated !== undefined) === true;
  return isAsked || hasCrashed || pod.metadata.deletionTimestamp !== undefined;
}
