/** A switchover as the object tells of it: asked for by an annotation, answered in the status. */
import { ANNOTATION } from '../api/names.ts';
import type { SingletonService, SwitchoverStatus } from '../api/types.ts';

export const requestedOf = ({ metadata }: SingletonService): string | undefined =>
  metadata.annotations?.[ANNOTATION.switchover];

export const switchoverOf = ({ status }: SingletonService): SwitchoverStatus | undefined => status?.switchover;

/** Whether it stands; what is under way has one later. */
export const isOver = ({ outcome }: Pick<SwitchoverStatus, 'outcome'>): boolean => outcome !== 'Pending';

export const hasSucceeded = ({ outcome }: Pick<SwitchoverStatus, 'outcome'>): boolean => outcome === 'Completed';

/** `RolledBack (NotRouted): pod db-1-x was not routed by the deadline`. */
export const outcomeText = ({ outcome, reason, message }: Omit<SwitchoverStatus, 'request' | 'requestedAt' | 'at'>) =>
  `${outcome} (${reason}): ${message}`;
