/** What must hold of agents and workloads, seen from outside, in true time. */
import type { Lease } from '../../src/api/objects.ts';
import { podOf } from '../../src/core/lease.ts';
import type { ActWatcher } from './agent-workload.ts';
import type { Violation } from './checkers.ts';

export class AgentCheckers implements ActWatcher {
  readonly #onViolation: (violation: Violation) => void;
  readonly #note: (text: string) => void;
  readonly #acting = new Map<string, number>();
  /** A frozen machine is not promised anything for, until what runs there has stopped once. */
  readonly #exempt = new Set<string>();
  /** Who was granted a term. */
  readonly #holders = new Map<number, string>();
  /** The same of all that ever was, as `<pod> <term>`. */
  readonly #granted = new Set<string>();
  /** Who acted under a term. */
  readonly #used = new Map<number, string>();
  #highest = 0;
  #actCount = 0;

  constructor(onViolation: (violation: Violation) => void, note: (text: string) => void) {
    this.#onViolation = onViolation;
    this.#note = note;
  }

  get acting(): readonly string[] {
    return [...this.#acting.keys()];
  }

  get highestTerm(): number {
    return this.#highest;
  }

  /** How often one began to act. */
  get actCount(): number {
    return this.#actCount;
  }

  exempt(member: string): void {
    this.#exempt.add(member);
  }

  /** I4, and that a token is never used again once a higher one was. */
  acts(member: string, term: number): void {
    this.#actCount += 1;
    this.#note(`${member} acts under term ${term}`);
    const others = [...this.#acting].filter(([other]) => other !== member && !this.#exempt.has(other));
    this.#acting.set(member, term);
    if (this.#exempt.has(member)) return;
    for (const [other, theirs] of others)
      this.#onViolation({
        checker: 'I4',
        message: `${member} acts under term ${term} while ${other} does under ${theirs}`,
      });
    const usedBy = this.#used.get(term);
    if (usedBy !== undefined && usedBy !== member)
      this.#onViolation({ checker: 'I1', message: `${member} acts under term ${term}, which was ${usedBy}'s` });
    this.#used.set(term, member);
    if (!this.#granted.has(`${member} ${term}`))
      this.#onViolation({ checker: 'I1', message: `${member} acts under term ${term}, which it was never granted` });
  }

  /** A frozen workload ceases, and acts again when it wakes up: it stays exempt. */
  ceases(member: string, forGood: boolean = true): void {
    this.#acting.delete(member);
    if (forGood) this.#exempt.delete(member);
    this.#note(`${member} does not act`);
  }

  /** Nothing tells of later terms any more: a grant may give them again, and who knows better refuses it. */
  restored(term: number): void {
    for (const given of [this.#holders, this.#used])
      for (const later of given.keys()) if (later > term) given.delete(later);
  }

  /** I1. */
  onLease(before: Lease | undefined, after: Lease): void {
    const [term, holder] = [after.spec?.leaseTransitions ?? 0, after.spec?.holderIdentity ?? ''];
    if (term < (before?.spec?.leaseTransitions ?? 0))
      this.#onViolation({ checker: 'I1', message: `the term went back to ${term}` });
    this.#highest = Math.max(this.#highest, term);
    const isSame = before?.spec?.leaseTransitions === term && before.spec.holderIdentity === holder;
    if (holder === '') return;
    const had = this.#holders.get(term);
    if (had !== undefined && had !== holder && !isSame)
      this.#onViolation({ checker: 'I1', message: `term ${term} is given to ${holder}, and was ${had}'s` });
    this.#holders.set(term, holder);
    this.#granted.add(`${podOf(holder)} ${term}`);
  }
}
