/** What went wrong, as one line for people: what, which, what to do. */
import { KubeconfigError } from '../adapters/kubernetes/kubeconfig.ts';
import { ApiError, TransportError } from '../adapters/ports.ts';

/** The command could not do it; the message is the whole line. */
export class CliError extends Error {
  override readonly name = 'CliError';
}

/** The command line itself is wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** @param error of any kind; one that nobody foresaw comes with its stack, for a report */
export function lineFor(error: unknown): string {
  if (error instanceof CliError || error instanceof UsageError || error instanceof KubeconfigError)
    return error.message;
  if (error instanceof ApiError) return `${error.message}${adviceFor(error)}`;
  if (error instanceof TransportError) {
    return error.failure === 'aborted'
      ? 'interrupted'
      : `${error.message}; check --context and --kubeconfig, and whether the API server is up`;
  }
  return `a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

function adviceFor({ status }: ApiError): string {
  if (status === 401) return " (401): the API server does not accept these credentials; check the kubeconfig's user";
  return status === 403 ? '; ask whoever runs the cluster for that right' : '';
}
