/** `replay`: what the operator's code decides, here and now, of a snapshot that was saved. */
import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { decide } from '../core/decide.ts';
import { violationsIn, violationsOf } from '../core/invariants.ts';
import { describePlan } from '../core/plan.ts';
import type { Instant, Snapshot } from '../core/snapshot.ts';
import type { Context } from './commands.ts';
import { CliError, EXIT } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { dataText } from './terminal.ts';

export interface Replayed {
  /** The log line's own message, and the plan of that time, where there is one. */
  readonly message: string | undefined;
  readonly logged: string | undefined;
  readonly plan: string;
  readonly violations: readonly string[];
}

/** What a log line, and what `why -o json` prints, have in common. */
interface Saved {
  readonly snapshot?: Snapshot;
  readonly now?: Instant;
  readonly plan?: string;
  readonly msg?: string;
}

export function replayFile(file: string, { flags, print, paint }: Context): ExitCode {
  const replayed = replay(textOf(file), file === '-' ? 'stdin' : file);
  if (flags.output !== 'text') print(dataText(replayed, flags.output));
  else
    for (const { message, logged, plan, violations } of replayed) {
      if (message !== undefined) print(paint(`# ${message}\n`, 'dim'));
      print(`${plan}\n`);
      for (const violation of violations) print(paint(`  broken: ${violation}\n`, 'red'));
      if (logged !== undefined && logged !== plan) print(`  at the time it was: ${logged}\n`);
    }
  return EXIT.ok;
}

function textOf(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError(code === 'ENOENT' ? `${file} does not exist` : `${file} can't be read: ${message}`);
  }
}

/**
 * @param text JSON log lines, of which those without a snapshot are passed over; or one document, in JSON or YAML
 * @throws CliError when there is no snapshot in it
 */
export function replay(text: string, name: string): readonly Replayed[] {
  const replayed = savedIn(text, name).flatMap((saved) =>
    saved.snapshot === undefined ? [] : [decided(saved, saved.snapshot, name)],
  );
  if (replayed.length === 0) {
    throw new CliError(
      `${name} has no snapshot in it; it is to be what "kubectl singleton why NAME -o json" printed, or the operator's log`,
    );
  }
  return replayed;
}

function savedIn(text: string, name: string): readonly Saved[] {
  const whole = parsed(text, JSON.parse);
  if (whole !== undefined) return [whole];
  const lines = text.split('\n').filter((line) => line.startsWith('{"'));
  if (lines.length > 0) return lines.map((line) => parsed(line, JSON.parse) ?? cut(name));
  return [parsed(text, load) ?? cut(name)];
}

const cut = (name: string): never => {
  throw new CliError(`${name} is neither JSON nor YAML, or was cut off; save the whole of it`);
};

/** Undefined for what is no object. */
function parsed(text: string, parse: (text: string) => unknown): Saved | undefined {
  try {
    const value = parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // told by the caller, when nothing else reads it
  }
}

function decided({ now, plan: logged, msg: message }: Saved, snapshot: Snapshot, name: string): Replayed {
  try {
    const at = now ?? { monotonicMs: 0, wallMs: 0 };
    const plan = decide(snapshot, at);
    const violations = [...violationsIn(snapshot), ...violationsOf(plan, snapshot, at)];
    return {
      message,
      logged,
      plan: describePlan(plan),
      violations: violations.map((violation) => `${violation.invariant}: ${violation.message}`),
    };
  } catch (error) {
    throw new CliError(
      `${name} has a snapshot that this version can't read (${(error as Error).message}); was it made by another one?`,
    );
  }
}
