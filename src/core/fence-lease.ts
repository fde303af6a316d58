/**
 * The Lease as the holder's agent sees it and writes it, mode `Agent`. Every write is a replacement of what was read, with
 * its resourceVersion, so that nobody's write is lost.
 *
 * An agent remembers the highest term that it has ever seen and who held it. A lower one is refused, whatever the Lease
 * says (a cluster restored from a backup, a Lease deleted by hand), and so is a term that somebody else has had.
 */
import { ANNOTATION } from '../api/names.ts';
import type { Lease } from '../api/objects.ts';
import { toMicroTime } from '../api/time.ts';
import { compareVersions } from '../api/versions.ts';
import type { HoldSet } from './hold-set.ts';
import { holdSetText } from './hold-set.ts';
import { highestCredible, parseTerm } from './lease.ts';

/** The Lease, as it was read or watched. */
export interface Sight {
  readonly holder: string;
  readonly term: number;
  readonly resourceVersion: string;
  /** The operator asks the holder of this term to stop and release. */
  readonly releaseRequested: number | undefined;
  /** As it came, for writing it back. */
  readonly object: Lease;
}

export interface LeaseKnowledge {
  /** The newest; undefined: none yet, or the Lease is gone. */
  readonly sight: Sight | undefined;
  /** When `sight` came. */
  readonly sightAtMs: number;
  readonly highest: { readonly term: number; readonly holder: string };
}

export function sightOf(object: Lease): Sight {
  const { metadata, spec } = object;
  return {
    holder: grantedTo(object),
    term: spec?.leaseTransitions ?? 0,
    resourceVersion: metadata.resourceVersion,
    releaseRequested: parseTerm(metadata.annotations?.[ANNOTATION.releaseRequested]),
    object,
  };
}

/**
 * Nobody, when the holder is not the one whom the operator's record of the grant names: somebody wrote it by hand, and an agent
 * that never saw another under this term must not take it up.
 */
function grantedTo({ spec, metadata }: Lease): string {
  const holder = spec?.holderIdentity ?? '';
  const to = recordedHolder(metadata.annotations?.[ANNOTATION.move]);
  return to === undefined || to === holder ? holder : '';
}

function recordedHolder(record: string | undefined): string | undefined {
  if (record === undefined) return undefined;
  try {
    const { to } = (JSON.parse(record) as { to?: unknown } | null) ?? {};
    return typeof to === 'string' ? to : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What is known after `sight`. Something older does not undo something newer: what was asked for after the newest sight
 * came is newer, whatever its version (a cluster restored from a backup begins with lower ones).
 *
 * @param askedAtMs of a read: before it was sent
 */
export function sees(
  known: LeaseKnowledge,
  sight: Sight | undefined,
  nowMs: number,
  askedAtMs?: number,
): LeaseKnowledge {
  const isAnswer = askedAtMs !== undefined && askedAtMs >= known.sightAtMs;
  if (sight === undefined) return { ...known, sight, sightAtMs: nowMs };
  if (!isAnswer && known.sight !== undefined && !isNewer(sight, known.sight)) return known;
  const isHigher = highestCredible(known.highest.term, [sight.term]) > known.highest.term;
  return {
    sight,
    sightAtMs: nowMs,
    highest: isHigher ? { term: sight.term, holder: sight.holder } : known.highest,
  };
}

const isNewer = (a: Sight, b: Sight): boolean => (compareVersions(a.resourceVersion, b.resourceVersion) ?? 1) > 0;

/** The term that `holder` holds by the newest sight; undefined when it holds none, or one that must be refused. */
export function heldTerm({ sight, highest }: LeaseKnowledge, holder: string): number | undefined {
  if (sight === undefined || sight.holder !== holder) return undefined;
  return sight.term === highest.term && highest.holder === holder ? sight.term : undefined;
}

/** Whether it says that `holder` holds a term that must be refused. */
export const isRefused = (known: LeaseKnowledge, holder: string): boolean =>
  known.sight?.holder === holder && heldTerm(known, holder) === undefined;

/**
 * What a renewal writes. The time is for people: nobody compares it with a clock.
 *
 * @param holdSet undefined: it stays as it is
 */
export const renewedLease = ({ object, term }: Sight, wallMs: number, holdSet?: HoldSet): Lease => ({
  ...annotated(object, {
    [ANNOTATION.renewedTerm]: String(term),
    ...(holdSet !== undefined && { [ANNOTATION.holdSet]: holdSetText(holdSet) }),
  }),
  spec: { ...object.spec, renewTime: toMicroTime(wallMs) },
});

/** What a release writes: nobody holds it, and the term stays. */
export const releasedLease = ({ object, term }: Sight): Lease => ({
  ...annotated(object, { [ANNOTATION.releasedTerm]: String(term) }),
  spec: { ...object.spec, holderIdentity: '' },
});

const annotated = (object: Lease, annotations: Readonly<Record<string, string>>): Lease => ({
  ...object,
  metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, ...annotations } },
});
