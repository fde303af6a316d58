/** The same in fencing mode `Agent`, where a move waits for the old active's agent, for its expiry, and for the new one's agent. */
import { describe, it } from 'vitest';
import { survives } from './lives.ts';
import { FENCED_SCENARIOS } from './scenarios.ts';

describe('whichever write is the last of an operator in mode Agent', { timeout: 120_000 }, () => {
  it.each(FENCED_SCENARIOS)('another one finishes what it began when $name', survives);
});
