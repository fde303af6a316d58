/**
 * `state.json`: what the workload is told, for those who read files, and what the agent's next process must know.
 * Replaced as a whole: a reader sees the old one or the new one.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Remembered } from '../core/fence-types.ts';
import type { StateText } from './state.ts';

interface StateFile extends StateText {
  /** Of the machine's monotonic clock (CLOCK_MONOTONIC): `expiresInMs` is old when it is read. */
  readonly expiresAtMonotonicMs: number;
  /** The agent's own. */
  readonly agent: Remembered;
}

export function writeState(path: string, state: StateText, remembered: Remembered): void {
  const content: StateFile = { ...state, expiresAtMonotonicMs: remembered.report.untilMs, agent: remembered };
  const next = `${path}.next`;
  writeFileSync(next, `${JSON.stringify(content)}\n`);
  renameSync(next, path);
}

/**
 * Undefined when there is none: the agent's first process in this pod, or since its machine was booted. Throws for what
 * is no such file: nobody knows then whether the workload acts.
 */
export function readState(path: string): Remembered | undefined {
  const text = contentOf(path);
  if (text === undefined) return undefined;
  const { agent } = JSON.parse(text) as Partial<StateFile>;
  if (typeof agent?.highest?.term !== 'number' || typeof agent.report?.untilMs !== 'number')
    throw new Error(`${path} was not written by an agent`);
  return agent;
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
