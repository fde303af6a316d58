/**
 * What the operator would decide now, of a snapshot that it logged: `npm run replay -- FILE`, where FILE holds its JSON log
 * lines (or one of them). Each line that carries a snapshot gives a plan, printed as the operator prints it.
 */
import { readFileSync } from 'node:fs';
import { decide } from '../src/core/decide.ts';
import { violationsIn, violationsOf } from '../src/core/invariants.ts';
import { describePlan } from '../src/core/plan.ts';
import type { Instant, Snapshot } from '../src/core/snapshot.ts';

export interface Replayed {
  /** The log line's own message and plan, when it had them. */
  readonly message: string | undefined;
  readonly logged: string | undefined;
  readonly plan: string;
  readonly violations: readonly string[];
}

interface LogLine {
  readonly snapshot?: Snapshot;
  readonly now?: Instant;
  readonly plan?: string;
  readonly msg?: string;
}

/** @param text JSON lines; those without a snapshot are passed over. @throws when none has one */
export function replay(text: string): readonly Replayed[] {
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);
  const replayed = lines.flatMap((line) => (line.snapshot === undefined ? [] : [decided(line, line.snapshot)]));
  if (replayed.length === 0) throw new Error('no line with a snapshot in it');
  return replayed;
}

function decided({ now, plan: logged, msg: message }: LogLine, snapshot: Snapshot): Replayed {
  const plan = decide(snapshot, now ?? { monotonicMs: 0, wallMs: 0 });
  const violations = [...violationsIn(snapshot), ...violationsOf(plan, snapshot)];
  return {
    message,
    logged,
    plan: describePlan(plan),
    violations: violations.map((violation) => `${violation.invariant}: ${violation.message}`),
  };
}

function main(file: string | undefined): void {
  if (file === undefined) {
    console.error('npm run replay -- FILE (JSON log lines, one with a snapshot)');
    process.exitCode = 2;
    return;
  }
  for (const { message, logged, plan, violations } of replay(readFileSync(file, 'utf8'))) {
    if (message !== undefined) console.log(`# ${message}`);
    console.log(plan);
    for (const violation of violations) console.log(`  broken: ${violation}`);
    if (logged !== undefined && logged !== plan) console.log(`  at the time it was: ${logged}`);
  }
}

if (import.meta.main) main(process.argv[2]);
