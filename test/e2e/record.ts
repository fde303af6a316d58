/** What a client's record says: failed requests, the longest hole, overlap of two pods' answers, terms going backwards. */

/** As the client in the pod sends it. Times in ms since `startedWallMs`. */
export interface ClientRecord {
  readonly startedWallMs: number;
  readonly pods: readonly string[];
  readonly errors: readonly string[];
  readonly fresh: Columns;
  readonly kept: Columns;
}

export interface Columns {
  readonly sentMs: readonly number[];
  readonly tookMs: readonly number[];
  /** An index into `pods`, or -1 - an index into `errors`. */
  readonly answer: readonly number[];
}

export interface Answer {
  readonly sentMs: number;
  readonly doneMs: number;
  /** UID. */
  readonly pod: string | undefined;
  readonly error: string | undefined;
}

export interface Verdict {
  readonly requests: number;
  readonly failed: number;
  /** How often each error was seen. */
  readonly errors: Readonly<Record<string, number>>;
  /** When the first few of them were asked, and what became of them, in words. */
  readonly failures: readonly string[];
  /** Longest time without an answer. */
  readonly longestHoleMs: number;
  /** The answer that took longest. */
  readonly slowestMs: number;
  /** Longest time for which a pod of an older term still answered new requests after one of a newer term had answered. */
  readonly overlapMs: number;
  /** How many answers were of an older term than one that had arrived before they were asked for. */
  readonly backwards: number;
  /** Answers of pods that were never granted a term. */
  readonly unknown: number;
  /** The first few of these answers, in words. */
  readonly strays: readonly string[];
}

/** In the order in which they were sent. */
export function answersOf(record: ClientRecord, columns: Columns): Answer[] {
  return columns.sentMs
    .map((sentMs, index) => {
      const answer = columns.answer[index] ?? 0;
      return {
        sentMs,
        doneMs: sentMs + (columns.tookMs[index] ?? 0),
        pod: answer >= 0 ? record.pods[answer] : undefined,
        error: answer < 0 ? (record.errors[-1 - answer] ?? 'unknown') : undefined,
      };
    })
    .toSorted((a, b) => a.sentMs - b.sentMs);
}

/** @param termsOf all terms that a pod (UID) was ever granted, ascending */
export function judge(answers: readonly Answer[], termsOf: ReadonlyMap<string, readonly number[]>): Verdict {
  const errors: Record<string, number> = {};
  for (const { error } of answers) if (error !== undefined) errors[error] = (errors[error] ?? 0) + 1;
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  const answered = answers.filter(({ error }) => error === undefined);
  return {
    requests: answers.length,
    failed,
    errors,
    failures: answers
      .filter(({ error }) => error !== undefined)
      .slice(0, MAX_FAILURES_TOLD)
      .map(({ sentMs, error }) => `${error} at ${(sentMs / 1000).toFixed(2)} s`),
    longestHoleMs: longestHole(answers),
    slowestMs: answered.reduce((slowest, { sentMs, doneMs }) => Math.max(slowest, doneMs - sentMs), 0),
    ...order(answers, termsOf),
  };
}

const MAX_FAILURES_TOLD = 3;

/** From the first request to the last: one that lasts until the clients are stopped is at least that long. */
function longestHole(answers: readonly Answer[]): number {
  const answered = answers
    .filter(({ error }) => error === undefined)
    .map(({ doneMs }) => doneMs)
    .toSorted((a, b) => a - b);
  const times = [answers[0]?.sentMs ?? 0, ...answered, answers.at(-1)?.sentMs ?? 0];
  return times.slice(1).reduce((longest, time, index) => Math.max(longest, time - (times[index] ?? time)), 0);
}

const MAX_STRAYS = 10;

interface Arrival {
  readonly doneMs: number;
  readonly term: number;
}

/**
 * What counts is what was known when a request was sent: answers cross on their way, and that breaks no promise. A pod
 * that was granted several terms is taken to answer with the lowest that is not older than what has been seen.
 */
function order(answers: readonly Answer[], termsOf: ReadonlyMap<string, readonly number[]>) {
  // What has arrived, in that order; those before `next` are known already.
  const byArrival: Arrival[] = [];
  let next = 0;
  let newest: Arrival = { doneMs: 0, term: 0 };
  const verdict = { overlapMs: 0, backwards: 0, unknown: 0, strays: [] as string[] };
  const stray = (text: string): void => void (verdict.strays.length < MAX_STRAYS && verdict.strays.push(text));
  for (const { sentMs, doneMs, pod } of answers) {
    if (pod === undefined) continue;
    while (next < byArrival.length && (byArrival[next]?.doneMs ?? Infinity) <= sentMs) {
      const seen = byArrival[next];
      if (seen !== undefined && seen.term > newest.term) newest = seen;
      next += 1;
    }
    const terms = termsOf.get(pod);
    if (terms === undefined) {
      verdict.unknown += 1;
      stray(`${pod} answered at ${doneMs.toFixed(1)} ms without a term`);
      continue;
    }
    const term = terms.find((term) => term >= newest.term);
    if (term === undefined) {
      verdict.backwards += 1;
      stray(
        `${pod} (terms ${terms.join(', ')}) asked at ${sentMs.toFixed(1)} ms and answering at ${doneMs.toFixed(1)} ms, ` +
          `after term ${newest.term} had answered at ${newest.doneMs.toFixed(1)} ms`,
      );
      verdict.overlapMs = Math.max(verdict.overlapMs, sentMs - newest.doneMs);
      continue;
    }
    insert(byArrival, { doneMs, term }, next);
  }
  return verdict;
}

/** Keeps the list sorted by arrival; requests overlap by a few places at most. */
function insert(list: Arrival[], item: Arrival, from: number): void {
  let index = list.length;
  while (index > from && (list[index - 1]?.doneMs ?? 0) > item.doneMs) index -= 1;
  list.splice(index, 0, item);
}
