/** Which pods are a singleton's members, and which only look as if they were. */
import { API_VERSION, KIND, LABEL, holderIdentity, leaseName } from '../api/names.ts';
import type { Pod } from '../api/objects.ts';
import type { ParsedSpec, Spec } from '../api/spec.ts';
import type { SingletonService } from '../api/types.ts';
import { selects } from '../core/label-selector.ts';
import type { Member, Stranger } from '../core/snapshot.ts';
import type { Caches } from './caches.ts';
import { keyOf } from './keys.ts';
import type { Adoption } from './pod-cache.ts';
import { adoptedView, controllerOf, memberView, strangerView } from './views.ts';

export interface Belonging {
  readonly members: readonly Member[];
  readonly strangers: readonly Stranger[];
}

/** @param pods that the singleton's name, its ownership or its selector leads to */
export function belonging(
  pods: readonly Pod[],
  object: SingletonService,
  { spec, caches }: { readonly spec: Spec | undefined; readonly caches: Caches },
): Belonging {
  const members: Member[] = [];
  const strangers: Stranger[] = [];
  for (const pod of pods) {
    const member = memberOf(pod, object, { selector: spec?.selector, caches });
    if (member !== undefined) members.push(member);
    else if (spec?.selector === undefined || isNamed(pod, object)) strangers.push(strangerView(pod));
  }
  return { members, strangers };
}

interface Ground {
  readonly selector: Spec['selector'];
  readonly caches: Caches;
}

/**
 * Whoever holds the Lease stays a member until the active has moved away: a spec that lets go of it is no reason to take
 * the traffic from it before another one is there.
 */
function memberOf(pod: Pod, object: SingletonService, ground: Ground): Member | undefined {
  const { selector, caches } = ground;
  if (controllerOf(pod)?.uid === object.metadata.uid)
    return selector === undefined ? memberView(pod) : { ...memberView(pod), leaving: true };
  if (isOwnedBySingleton(pod)) return undefined;
  const { name } = object.metadata;
  const mayStay = isNamed(pod, object) && isHolder(pod, object, caches);
  // A ReplicaSet leaves its evicted pods behind, by the thousands at times. They come to nothing any more.
  if (isOver(pod) && !mayStay) return undefined;
  if (selector !== undefined && selects(selector, pod.metadata.labels) && !isTakenByAnother(pod, object, caches))
    return adoptedView(pod, name);
  return mayStay ? { ...adoptedView(pod, name), leaving: true } : undefined;
}

const isOver = ({ status }: Pod): boolean => status?.phase === 'Failed' || status?.phase === 'Succeeded';

const isNamed = (pod: Pod, { metadata }: SingletonService): boolean =>
  pod.metadata.labels?.[LABEL.name] === metadata.name;

const isHolder = ({ metadata }: Pod, singleton: SingletonService, { leases }: Caches): boolean =>
  leases.get(metadata.namespace, leaseName(singleton.metadata.name))?.spec?.holderIdentity ===
  holderIdentity(metadata.name, metadata.uid);

export function isOwnedBySingleton(pod: Pod): boolean {
  const owner = controllerOf(pod);
  return owner?.kind === KIND && owner.apiVersion === API_VERSION;
}

/** It carries the name of another singleton that has a right to it. A name that somebody just wrote there gives none. */
function isTakenByAnother(pod: Pod, { metadata }: SingletonService, caches: Caches): boolean {
  const { namespace, labels } = pod.metadata;
  const name = labels?.[LABEL.name];
  const other = name === undefined || name === metadata.name ? undefined : caches.singletons.get(namespace, name);
  if (other === undefined) return false;
  const adoption = caches.pods.adoptionOf(keyOf(namespace, other.metadata.name));
  return (adoption !== undefined && selects(adoption.selector, labels)) || isHolder(pod, other, caches);
}

/** The spec as judged by the rules, and by what other singletons select: of two that select the same pod the older may. */
export function judgedByOthers(parsed: ParsedSpec, object: SingletonService, caches: Caches): ParsedSpec {
  if (!parsed.ok || parsed.spec.selector === undefined) return parsed;
  const overlap = overlapOf(object, caches);
  return overlap === undefined ? parsed : { ok: false, problems: [{ path: 'spec.selector', rule: overlap }] };
}

function overlapOf(object: SingletonService, { pods, singletons }: Caches): string | undefined {
  const { namespace, name } = object.metadata;
  const own = pods.adoptionOf(keyOf(namespace, name));
  if (own === undefined) return undefined;
  const olderOnes = [...pods.adoptionsIn(namespace)]
    .flatMap((adoption) => {
      const other = singletons.get(namespace, adoption.key.slice(adoption.namespace.length + 1));
      return other !== undefined && byAge(other, object) < 0 ? [{ adoption, other }] : [];
    })
    .sort((a, b) => byAge(a.other, b.other));
  for (const { adoption, other } of olderOnes) {
    const [pod] = sharedPods(own, adoption);
    if (pod !== undefined)
      return `selects pod ${pod}, which SingletonService ${other.metadata.name} (the older one) selects too`;
  }
  return undefined;
}

/** The first in the order of names, so that the same overlap is told in the same words. */
const sharedPods = (own: Adoption, { selector }: Adoption): string[] =>
  [...own.store.values()]
    .filter((pod) => selects(selector, pod.metadata.labels) && !isOwnedBySingleton(pod) && !isOver(pod))
    .map(({ metadata }) => metadata.name)
    .sort();

/** The older one first. Times of creation are in whole seconds. */
function byAge({ metadata: a }: SingletonService, { metadata: b }: SingletonService): number {
  const [first, second] = [`${a.creationTimestamp} ${a.uid}`, `${b.creationTimestamp} ${b.uid}`];
  return first === second ? 0 : first < second ? -1 : 1;
}
