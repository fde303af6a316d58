/** Text for people: tables, colours, times. */
import { dump } from 'js-yaml';
import { toIso } from '../api/time.ts';
import type { Format } from './args.ts';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof CODES;

/** Leaves the text as it is where there is no terminal. */
export type Paint = (text: string, colour: Colour) => string;

export const plain: Paint = (text) => text;
export const coloured: Paint = (text, colour) => `\u001B[${CODES[colour]}m${text}\u001B[0m`;

/** https://no-color.org: set and not empty means no. */
export const paintFor = (isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint =>
  isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' ? coloured : plain;

export interface Cell {
  readonly text: string;
  readonly colour?: Colour | undefined;
}

export type Row = readonly (string | Cell)[];

const textOf = (cell: string | Cell): string => (typeof cell === 'string' ? cell : cell.text);

/** Of each column, to be kept when more rows come later. */
export const widthsOf = (rows: readonly Row[]): number[] =>
  (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => textOf(row[column] ?? '').length)));

/** Columns two spaces apart. Padded before it is painted, as colours have no width. */
export function rowText(row: Row, widths: readonly number[], paint: Paint): string {
  const cells = row.map((cell, column) => {
    const text = textOf(cell).padEnd(column === row.length - 1 ? 0 : (widths[column] ?? 0));
    return typeof cell === 'string' || cell.colour === undefined ? text : paint(text, cell.colour);
  });
  return `${cells.join('  ').trimEnd()}\n`;
}

export function table(rows: readonly Row[], paint: Paint, indent = ''): string {
  const widths = widthsOf(rows);
  return rows.map((row) => indent + rowText(row, widths, paint)).join('');
}

/** `4s`, `12m`, `3h`, `2d`: the two largest that matter are one too many for a table. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

/** To the second: `2026-01-02T03:04:05Z`. */
export const moment = (wallMs: number): string => `${toIso(wallMs).slice(0, 19)}Z`;

/** For programs. Through JSON, so that what is undefined is absent in both. */
export const dataText = (data: unknown, format: Exclude<Format, 'text'>): string =>
  format === 'json' ? `${JSON.stringify(data, null, 2)}\n` : dump(JSON.parse(JSON.stringify(data)), { lineWidth: 120 });
