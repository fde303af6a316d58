/**
 * Fields that this version accepts and does not act upon. One list: the operator tells the user which of them a spec
 * sets, the descriptions in the CRD say it (`kubectl explain`), and the README's list is written from it. To make a
 * field work, remove it here and run `npm run generate`.
 */
import type { Spec } from './spec.ts';

export interface NotYet {
  /** `spec.…`. Stands for all that is below it. */
  readonly path: string;
  /** What happens instead, in words that follow the path and a colon. */
  readonly sentence: string;
  /** Whether the user asked for something that will not happen. */
  readonly isSet: (spec: Spec) => boolean;
}

export const NOT_YET: readonly NotYet[] = [];

/** The paths of `NOT_YET` that the spec sets to something other than the default, for the operator to tell its user. */
export const notYetActedUpon = (spec: Spec): string[] =>
  NOT_YET.filter(({ isSet }) => isSet(spec)).map(({ path }) => path);

export const NOT_YET_BEGIN = '<!-- not-yet:begin -->';
export const NOT_YET_END = '<!-- not-yet:end -->';

/** The list as Markdown, for the README. */
export const notYetMarkdown = (): string =>
  NOT_YET.map(({ path, sentence }) => `- \`${path}\`: ${sentence}\n`).join('');

/**
 * `text` with what stands between the two markers replaced by the list, or undefined when it does not have both markers
 * in their order.
 */
export const withNotYetList = (text: string): string | undefined => {
  const begin = text.indexOf(NOT_YET_BEGIN);
  const end = text.indexOf(NOT_YET_END);
  if (begin === -1 || end < begin) return undefined;
  return `${text.slice(0, begin + NOT_YET_BEGIN.length)}\n\n${notYetMarkdown()}\n${text.slice(end)}`;
};
