/** A switchover as the object tells of it: asked for by an annotation, answered in the status. */
import { ANNOTATION } from '../api/names.ts';
import type { SingletonService } from '../api/types.ts';

/** `status.switchover`. Each field may be missing: it is written by whatever version of the operator runs. */
export interface SwitchoverStatus {
  readonly request?: string;
  readonly outcome?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly at?: string;
}

export const requestedOf = ({ metadata }: SingletonService): string | undefined =>
  metadata.annotations?.[ANNOTATION.switchover];

export const switchoverOf = ({ status }: SingletonService): SwitchoverStatus | undefined =>
  (status as { readonly switchover?: SwitchoverStatus } | undefined)?.switchover;

/** Whether it stands; what is under way has one later. */
export const isOver = ({ outcome }: SwitchoverStatus): boolean =>
  outcome !== undefined && !/pending|progress|started|running|accepted|moving/i.test(outcome);

export const hasSucceeded = ({ outcome = '' }: SwitchoverStatus): boolean => /^(completed|succeeded)$/i.test(outcome);

/** `RolledBack (TargetNotReady): pod db-1-x did not become Ready`. */
export function outcomeText({ outcome = 'no outcome', reason, message }: SwitchoverStatus): string {
  const why = reason === undefined ? '' : ` (${reason})`;
  return `${outcome}${why}${message === undefined || message === '' ? '' : `: ${message}`}`;
}
