/** `history`: the last moves. */
import type { Move } from '../api/types.ts';
import { getSingleton } from './cluster.ts';
import type { SingletonCommand } from './commands.ts';
import { EXIT } from './errors.ts';
import { dataText, table } from './terminal.ts';
import type { Paint, Row } from './terminal.ts';

export const history: SingletonCommand = async ({ flags, print, note, paint }, { api }, ref) => {
  const { status } = await getSingleton(api, ref);
  const moves = status?.moves ?? [];
  if (flags.output !== 'text') print(dataText(moves, flags.output));
  else if (moves.length === 0) note(`${ref.namespace}/${ref.name} has not moved yet`);
  else print(historyText(moves, paint));
  return EXIT.ok;
};

const HEADER = ['WHEN', 'KIND', 'REASON', 'FROM', 'TO', 'TERM', 'MS'];

/** The newest first. `WHEN` is when it was noticed that a move was needed, `MS` counts from there until it was routed. */
export const historyText = (moves: readonly Move[], paint: Paint): string =>
  table([HEADER, ...moves.map(rowOf)], paint);

const rowOf = (move: Move): Row => [
  move.detectedAt ?? move.grantedAt ?? '-',
  { text: move.kind, colour: move.kind === 'Failover' ? 'yellow' : undefined },
  move.reason ?? '-',
  move.from ?? '-',
  move.to ?? '-',
  String(move.term ?? '-'),
  String(move.milliseconds ?? '-'),
];
