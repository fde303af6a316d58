/** The benchmark's command line. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const PARTS = ['moves', 'steady', 'creation', 'leaders'] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly parts: ReadonlySet<Part>;
  /** Moves of each kind, beside each number of other singletons. */
  readonly moves: number;
  /** How many other singletons are there, idle, while one moves: a block of moves for each number. */
  readonly others: readonly number[];
  /** Of the steady state and of each round of the creation. */
  readonly singletons: number;
  readonly steadySeconds: number;
  /** Of the creation: singletons against StatefulSets, once each in a round. */
  readonly rounds: number;
  /** Of the leader, of each kind. */
  readonly losses: number;
  /** Of those replicas. Undefined: the operator's default. */
  readonly leaseDuration: string | undefined;
  /** The operator's bundle. Undefined: it is built first. */
  readonly operator: string | undefined;
  /** MB, of the operator's old generation. */
  readonly oldSpaceMb: number;
  /** Where the numbers go as JSON. */
  readonly json: string | undefined;
}

const HELP = `Usage: npm run bench -- [options]

  --only PARTS        of ${PARTS.join(',')}; default: all
  --moves N           moves of each kind: crash, hang, delete (200)
  --others LIST       idle singletons beside the one that moves, one block of moves for each (0,100)
  --singletons N      in the steady state, and created at once (100)
  --steady-seconds N  length of the steady state (60)
  --rounds N          rounds of the creation, singletons and StatefulSets once each (4)
  --losses N          losses of the leader of each kind: kill, freeze, stop (30)
  --lease-duration D  the replicas' --leader-lease-duration; default: the operator's
  --operator FILE     another bundle of the operator, to compare; default: built from this source
  --old-space-mb N    the operator's --max-old-space-size (256)
  --json FILE         write all numbers there
`;

/** What is wrong with the command line, in one line for people. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: text,
        moves: text,
        others: text,
        singletons: text,
        'steady-seconds': text,
        rounds: text,
        losses: text,
        'lease-duration': text,
        operator: text,
        'old-space-mb': text,
        json: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split('\n')[0], { cause: error });
  }
}

function count(name: string, text: string | undefined, byDefault: number, min = 1): number {
  const value = text === undefined ? byDefault : Number(text);
  if (!Number.isSafeInteger(value) || value < min)
    throw new UsageError(`--${name}=${text}: must be a whole number from ${min}`);
  return value;
}

function partsOf(text: string | undefined): Set<Part> {
  const names = text?.split(',') ?? PARTS;
  for (const name of names) {
    if (!(PARTS as readonly string[]).includes(name))
      throw new UsageError(`--only=${text}: ${name} is none of ${PARTS.join(', ')}`);
  }
  return new Set(names as readonly Part[]);
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options | { readonly help: string } {
  const values = parse(args);
  if (values.help === true) return { help: HELP };
  return {
    parts: partsOf(values.only),
    moves: count('moves', values.moves, 200),
    others: (values.others ?? '0,100').split(',').map((text) => count('others', text, 0, 0)),
    singletons: count('singletons', values.singletons, 100),
    steadySeconds: count('steady-seconds', values['steady-seconds'], 60),
    rounds: count('rounds', values.rounds, 4),
    losses: count('losses', values.losses, 30),
    leaseDuration: values['lease-duration'],
    operator: values.operator === undefined ? undefined : resolve(values.operator),
    oldSpaceMb: count('old-space-mb', values['old-space-mb'], 256, 16),
    json: values.json,
  };
}
