/**
 * What some tests need of a control plane and not every way to have one gives. Where it is lacking they are skipped, and
 * here the reason is printed: no test is left out in silence.
 */
import { describe, inject, test } from 'vitest';

export type Need =
  /** etcd, API server and controllers started by the test itself: to kill, freeze, or run with other flags. */
  | 'own processes'
  /** etcd's address, to compact the history. */
  | 'etcd'
  /** As a file that can be read here. */
  | 'audit log';

/** What is lacking, each with the reason. */
export type Lacks = Readonly<Partial<Record<Need, string>>>;

/** Why tests with these needs can't run; undefined: they can. */
export function whyNot(needs: readonly Need[], lacks: Lacks): string | undefined {
  const reasons = needs.flatMap((need) => (lacks[need] === undefined ? [] : [`${need}: ${lacks[need]}`]));
  return reasons.length === 0 ? undefined : reasons.join('; ');
}

export interface Needing {
  readonly describe: ReturnType<typeof describe.skipIf>;
  readonly test: ReturnType<typeof test.skipIf>;
}

/** Modules are each test file's own: once a file. */
const told = new Set<string>();

/** `describe` and `test` that run only where all these needs are met. Without a shared control plane they are. */
export function needing(...needs: Need[]): Needing {
  const controlPlane = inject('controlPlane') as { readonly lacks: Lacks } | undefined;
  const reason = whyNot(needs, controlPlane?.lacks ?? {});
  if (reason !== undefined && !told.has(reason)) {
    told.add(reason);
    // vitest prints the file's name above it.
    process.stderr.write(`Tests are skipped here for lack of ${reason}\n`);
  }
  return { describe: describe.skipIf(reason !== undefined), test: test.skipIf(reason !== undefined) };
}
