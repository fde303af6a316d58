/**
 * The operator dies right after a write of its landed, before the answer came, and another one takes over: after every
 * single write of every scenario. What it leaves behind must break no invariant, and must be finished.
 */
import { describe, it } from 'vitest';
import { survives } from './lives.ts';
import { SCENARIOS } from './scenarios.ts';

describe('whichever write is the last of an operator, another one finishes what it began', { timeout: 60_000 }, () => {
  it.each(SCENARIOS)('when $name', survives);
});
