/** What a store's record says: did ever two act, and how long did nobody. */

/** Writes of one pod under one term with none of anybody else's in between, by the store's clock: ms since 1970. */
export interface Reign {
  readonly pod: string;
  readonly term: number;
  readonly firstMs: number;
  readonly lastMs: number;
  /** The longest time between two of them. */
  readonly gapMs: number;
  readonly writes: number;
  /** Of them, those that the store refused, since it had seen a higher term. */
  readonly refused: number;
}

/** Each write under a term that was not above all that came before, in words; and each term that two pods wrote under. */
export function wrongIn(reigns: readonly Reign[]): string[] {
  const wrong: string[] = [];
  let newest: Reign | undefined;
  for (const reign of reigns) {
    if (newest !== undefined && reign.term <= newest.term) wrong.push(overlap(newest, reign));
    else newest = reign;
  }
  return wrong;
}

const overlap = (newer: Reign, { pod, term, firstMs, lastMs, writes }: Reign): string =>
  `${pod} wrote ${writes} times under term ${term}, from ${(firstMs - newer.firstMs).toFixed(1)} to ` +
  `${(lastMs - newer.firstMs).toFixed(1)} ms after ${newer.pod} had begun under term ${newer.term}`;

export interface Handover {
  readonly pod: string;
  /** Of the old one's last write; of the new one's first. */
  readonly lastMs: number;
  readonly firstMs: number;
}

/** From pod `old`, which acted at `sinceMs`, to whoever came next; undefined: nobody yet. */
export function handoverFrom(reigns: readonly Reign[], old: string, sinceMs: number): Handover | undefined {
  const next = reigns.find(({ pod, firstMs }) => pod !== old && firstMs >= sinceMs);
  if (next === undefined) return undefined;
  const before = reigns.findLast(({ pod, firstMs }) => pod === old && firstMs < next.firstMs);
  return before && { pod: next.pod, lastMs: before.lastMs, firstMs: next.firstMs };
}

/** What speaks against `pod` having acted all the time from `sinceMs` to `untilMs`, never pausing for `withinMs`. */
export function interruptionsOf(
  reigns: readonly Reign[],
  pod: string,
  { sinceMs, untilMs, withinMs }: { readonly sinceMs: number; readonly untilMs: number; readonly withinMs: number },
): string[] {
  const after = (ms: number): string => (ms - sinceMs).toFixed(0);
  const during = reigns.filter(({ lastMs }) => lastMs >= sinceMs);
  const [reign] = during;
  if (reign === undefined) return [`nobody wrote after the fault`];
  if (during.length > 1 || reign.pod !== pod) {
    const who = during.map((one) => `${one.pod} (term ${one.term}, ${after(one.firstMs)} to ${after(one.lastMs)} ms)`);
    return [`${who.join(', then ')} wrote, not ${pod} alone`];
  }
  const { firstMs, lastMs, gapMs } = reign;
  return [
    ...(firstMs > sinceMs ? [`${pod} wrote under a new term`] : []),
    ...(lastMs < untilMs ? [`${pod} stopped writing ${after(lastMs)} ms after the fault`] : []),
    ...(gapMs > withinMs ? [`${pod} wrote nothing for ${gapMs.toFixed(0)} ms`] : []),
  ];
}

/** The longest time without a write, of those that do not all lie before `sinceMs`; at most up to `untilMs`. */
export function longestPause(reigns: readonly Reign[], sinceMs: number, untilMs: number): number {
  const pauses = reigns.map(({ firstMs, lastMs, gapMs }, index) => {
    const beforeMs = firstMs < sinceMs ? 0 : firstMs - (reigns[index - 1]?.lastMs ?? firstMs);
    return lastMs < sinceMs ? 0 : Math.max(gapMs, beforeMs);
  });
  return Math.max(...pauses, untilMs - Math.max(...reigns.map(({ lastMs }) => lastMs)));
}
