/** What every command is given. */
import type { Clock } from '../adapters/ports.ts';
import type { Flags } from './args.ts';
import type { Cluster, Ref } from './cluster.ts';
import type { ExitCode } from './errors.ts';
import type { Paint } from './terminal.ts';

export interface Context {
  readonly flags: Flags;
  readonly clock: Clock;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly paint: Paint;
  /** To stdout, as it is. */
  readonly print: (text: string) => void;
  /** One line to stderr. */
  readonly note: (line: string) => void;
}

/** A command that needs a cluster. */
export type ClusterCommand = (context: Context, cluster: Cluster, name: string | undefined) => Promise<ExitCode>;

/** A command on one singleton. */
export type SingletonCommand = (context: Context, cluster: Cluster, ref: Ref) => Promise<ExitCode>;

/** Resolves when it is aborted. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
