/**
 * Records every state that the API server was in, and judges them afterwards.
 *
 * etcd counts its writes with one number for all kinds, and that is an object's resourceVersion. So the watches of
 * several kinds, each in its own order, give one history when they are sorted by it.
 */
import { randomBytes } from 'node:crypto';
import { LABEL, ROLE } from '../../src/api/names.ts';
import type { Lease, Pod, Service } from '../../src/api/objects.ts';
import type { ApiObject, RestClient } from '../control-plane/rest-client.ts';
import { until } from '../control-plane/wait.ts';

export type Change = { readonly version: number; readonly deleted: boolean } & (
  | { readonly kind: 'pod'; readonly object: Pod }
  | { readonly kind: 'service'; readonly object: Service }
  | { readonly kind: 'lease'; readonly object: Lease }
);

export interface Recorder {
  /** Resolves when everything that was written before this call has been recorded. Returns it in the order of writing. */
  history(): Promise<readonly Change[]>;
  stop(): void;
}

const KINDS = {
  pod: { path: (namespace: string) => `/api/v1/namespaces/${namespace}/pods` },
  service: { path: (namespace: string) => `/api/v1/namespaces/${namespace}/services` },
  lease: { path: (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases` },
} as const;
type Kind = keyof typeof KINDS;

const isMark = ({ metadata }: ApiObject): boolean => metadata.name.startsWith('recorder-mark-');

/** The least that the API server accepts of each kind. Nobody schedules the pod. */
const MARKS: Readonly<Record<Kind, object>> = {
  pod: { spec: { schedulerName: 'nobody', containers: [{ name: 'mark', image: 'mark' }] } },
  service: { spec: { ports: [{ port: 1 }] } },
  lease: {},
};

/** Begins with an empty namespace: what was there before has no history. */
export async function startRecorder(api: RestClient, namespace: string): Promise<Recorder> {
  const end = new AbortController();
  const changes: Change[] = [];
  const seen = new Set<string>();
  const follow = (kind: Kind): Promise<void> => {
    const listed = Promise.withResolvers<void>();
    let lists = 0;
    const handler = {
      onList(items: ApiObject[]) {
        lists += 1;
        if (lists > 1) throw new Error(`the watch of ${kind}s was interrupted: the record has a hole`);
        if (items.length > 0)
          throw new Error(`the record begins too late: there is ${items[0]?.metadata.name} already`);
        listed.resolve();
      },
      onEvent(type: string, object: ApiObject) {
        const version = Number(object.metadata.resourceVersion);
        if (isMark(object)) seen.add(`${kind} ${object.metadata.name}`);
        else changes.push({ version, deleted: type === 'DELETED', kind, object: object as never });
      },
    };
    api.follow(KINDS[kind].path(namespace), {}, handler, end.signal).catch(listed.reject);
    return listed.promise;
  };
  const kinds = Object.keys(KINDS) as Kind[];
  await Promise.all(kinds.map(follow));
  return {
    async history() {
      const name = `recorder-mark-${randomBytes(4).toString('hex')}`;
      await Promise.all(
        kinds.map((kind) => api.create(KINDS[kind].path(namespace), { ...MARKS[kind], metadata: { name } })),
      );
      await until('the record to be complete', () => kinds.every((kind) => seen.has(`${kind} ${name}`)));
      const gone = { gracePeriodSeconds: 0 };
      await Promise.all(kinds.map((kind) => api.delete(`${KINDS[kind].path(namespace)}/${name}`, gone)));
      return changes.toSorted((a, b) => a.version - b.version);
    },
    stop: () => end.abort(),
  };
}

/** How often the history breaks I1, I2 or I3, each in a sentence. */
export function brokenInvariants(history: readonly Change[]): string[] {
  const broken: string[] = [];
  const pods = new Map<string, Pod>();
  const services = new Map<string, Service>();
  const terms = new Terms();
  for (const change of history) {
    const { name } = change.object.metadata;
    const say = (sentence: string) => broken.push(`at version ${change.version}: ${sentence}`);
    switch (change.kind) {
      case 'pod':
        keep(pods, change.object, change.deleted);
        break;
      case 'service':
        keep(services, change.object, change.deleted);
        break;
      case 'lease':
        if (!change.deleted) terms.take(name, change.object).forEach(say);
        break;
      default:
        throw new Error(`an unknown change ${String(change satisfies never)}`);
    }
    [...doublyRouted(pods, services), ...doublyActive(pods)].forEach(say);
  }
  return broken;
}

const keep = <T extends Pod | Service>(map: Map<string, T>, object: T, deleted: boolean): void => {
  if (deleted) map.delete(object.metadata.name);
  else map.set(object.metadata.name, object);
};

/** I1: terms only grow, and each has one holder. */
class Terms {
  readonly #highest = new Map<string, number>();
  readonly #holders = new Map<string, string>();
  readonly #uids = new Set<string>();

  take(lease: string, { metadata, spec }: Lease): string[] {
    const term = spec?.leaseTransitions ?? 0;
    const holder = spec?.holderIdentity ?? '';
    const isNew = !this.#uids.has(metadata.uid);
    this.#uids.add(metadata.uid);
    // In place of one that was lost it is made empty, and gives nothing yet; what it gives is held against all before it.
    if (isNew && term === 0 && holder === '') return [];
    const highest = this.#highest.get(lease) ?? 0;
    const broken = term < highest ? [`I1: ${lease} goes back from term ${highest} to ${term}`] : [];
    this.#highest.set(lease, Math.max(term, highest));
    const before = this.#holders.get(`${lease} ${term}`) ?? '';
    if (holder !== '') this.#holders.set(`${lease} ${term}`, holder);
    if (holder === '' || before === '' || before === holder) return broken;
    return [...broken, `I1: term ${term} of ${lease} was given to ${before} and to ${holder}`];
  }
}

/** I2: at most one pod matches the selector of the routing Service. */
function doublyRouted(pods: ReadonlyMap<string, Pod>, services: ReadonlyMap<string, Service>): string[] {
  return [...services.values()]
    .filter(({ spec }) => spec?.selector?.[LABEL.term] !== undefined)
    .flatMap(({ metadata, spec }) => {
      const selector = Object.entries(spec?.selector ?? {});
      const matching = [...pods.values()].filter((pod) =>
        selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
      );
      return matching.length > 1 ? [`I2: Service ${metadata.name} selects ${namesOf(matching)}`] : [];
    });
}

/** I3: at most one pod of a singleton says that it is the active. */
function doublyActive(pods: ReadonlyMap<string, Pod>): string[] {
  const actives = [...pods.values()].filter(({ metadata }) => metadata.labels?.[LABEL.role] === ROLE.active);
  const bySingleton = Map.groupBy(actives, ({ metadata }) => metadata.labels?.[LABEL.name]);
  return [...bySingleton].flatMap(([name, members]) =>
    members.length > 1 ? [`I3: ${namesOf(members)} of ${name} have role active`] : [],
  );
}

/** A planned move has no moment without a backend: whoever is flipped to carries the term already. */
export function flipsToNobody(history: readonly Change[]): string[] {
  const pods = new Map<string, Pod>();
  const terms = new Map<string, string | undefined>();
  const lost: string[] = [];
  for (const change of history) {
    if (change.kind === 'pod') keep(pods, change.object, change.deleted);
    if (change.kind !== 'service' || change.deleted) continue;
    const { metadata, spec } = change.object;
    const term = spec?.selector?.[LABEL.term];
    if (term === terms.get(metadata.name)) continue;
    terms.set(metadata.name, term);
    const carriers = [...pods.values()].filter((pod) => pod.metadata.labels?.[LABEL.term] === term);
    const isCarried = carriers.some((pod) => pod.metadata.labels?.[LABEL.name] === spec?.selector?.[LABEL.name]);
    if (term !== '0' && !isCarried)
      lost.push(`at version ${change.version}: Service ${metadata.name} selects term ${term}`);
  }
  return lost;
}

/** Whoever is selected is Ready and not going, from the first flip on: the Service has somebody to route to all the time. */
export function statesWithoutService(history: readonly Change[]): string[] {
  const pods = new Map<string, Pod>();
  const services = new Map<string, Service>();
  const lost: string[] = [];
  for (const change of history) {
    if (change.kind === 'pod') keep(pods, change.object, change.deleted);
    if (change.kind === 'service') keep(services, change.object, change.deleted);
    for (const { metadata, spec } of services.values()) {
      const term = spec?.selector?.[LABEL.term];
      if (term === undefined || term === '0') continue;
      const selected = [...pods.values()].filter(
        (pod) => pod.metadata.labels?.[LABEL.term] === term && pod.metadata.labels[LABEL.name] === metadata.name,
      );
      if (!selected.some(serves)) lost.push(`at version ${change.version}: Service ${metadata.name} has nobody`);
    }
  }
  return lost;
}

const serves = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true;

const namesOf = (pods: readonly Pod[]): string => pods.map(({ metadata }) => metadata.name).join(' and ');
