/**
 * `onApiLoss: Hold`, broken in one place at a time (see mutations.ts): each of the rules of fence-hold.ts and hold-set.ts once.
 *
 * Not here, since another rule covers each: a promise that is looked at only before the renewal is sent (who has seen its
 * own term promises nothing for an earlier one), and a set that is written by an agent with the renewal by which it
 * becomes active (that is sent when whoever was active before is dead). So what is broken here is that somebody else
 * writes it, and that nobody looks at promises at all.
 */
import type { Mutation } from './mutations.ts';

const HOLD = 'core/fence-hold.ts';
const SET = 'core/hold-set.ts';
const FENCE = 'core/fence.ts';
const TIMING = 'api/timing.ts';
const OPERATOR = '../test/simulation/agent-operator.ts';

const hold = (mutation: Omit<Mutation, 'mode'>): Mutation => ({ ...mutation, mode: 'Hold' });

export const HOLD_MUTATIONS: readonly Mutation[] = [
  {
    name: 'promise-to-the-deadline',
    what: 'a promise lapses when whoever it was given to begins to stop',
    file: TIMING,
    find: 'export const promiseMs = (input: TimingInput): number => expirySumOf(input).sumMs;',
    replace: 'export const promiseMs = (input: TimingInput): number => timingOf(input).fenceDeadlineMs;',
  },
  {
    name: 'promise-without-margin',
    what: 'the clocks of who promises and who is promised are taken to run at the same rate',
    file: TIMING,
    find: 'export const promiseMs = (input: TimingInput): number => expirySumOf(input).sumMs;',
    replace:
      'export const promiseMs = (input: TimingInput): number => expirySumOf(input).sumMs - timingOf(input).clockRateMarginMs;',
  },
  {
    name: 'hold-from-the-answer',
    what: 'the deadline counts from when a promise came, not from before it was asked for',
    file: FENCE,
    find: 'return [promised(state, event), []];',
    replace: 'return [promised(state, { ...event, askedAtMs: nowMs }), []];',
  },
  {
    name: 'forget-the-promise-given',
    what: 'a member becomes active whatever it has promised',
    file: HOLD,
    find: 'return Math.max(hold.given?.untilMs ?? -Infinity, hold.forgottenUntilMs);',
    replace: 'return hold.forgottenUntilMs;',
  },
  {
    name: 'promise-lost-with-the-process',
    what: 'a new process of the agent does not know what the one before has promised',
    file: HOLD,
    find: 'given: remembered?.promise,',
    replace: 'given: undefined,',
  },
  {
    name: 'remember-nothing-and-go-on',
    what: 'a process that remembers nothing takes itself for one that has promised nothing',
    file: HOLD,
    find: 'forgottenUntilMs: remembered === undefined ? nowMs + rules.promiseMs : -Infinity,',
    replace: 'forgottenUntilMs: -Infinity,',
  },
  {
    name: 'some-promises-are-enough',
    what: 'the active goes on when one has promised',
    file: HOLD,
    find: 'return Math.min(...needed.map(',
    replace: 'return Math.max(...needed.map(',
  },
  {
    name: 'unanswered-set-forgotten',
    what: 'a set that was sent with a renewal without an answer is taken for one that did not land',
    file: HOLD,
    find: 'const setsOf = ({ confirmed, sent }: HoldState): readonly HoldSet[] => [confirmed, ...sent.map(({ set }) => set)];',
    replace: 'const setsOf = ({ confirmed }: HoldState): readonly HoldSet[] => [confirmed];',
  },
  {
    name: 'sent-set-taken-for-confirmed',
    what: 'a set that was sent with a renewal without an answer is taken for one that landed',
    file: HOLD,
    find: 'const setsOf = ({ confirmed, sent }: HoldState): readonly HoldSet[] => [confirmed, ...sent.map(({ set }) => set)];',
    replace: 'const setsOf = ({ confirmed, sent }: HoldState): readonly HoldSet[] => [sent.at(-1)?.set ?? confirmed];',
  },
  {
    name: 'hold-without-a-set',
    what: 'the active goes on although the Lease may bind nobody',
    file: HOLD,
    find: 'others.length === 0 || sets.some((set) => set.length === 0) ? undefined : others;',
    replace: 'others.length === 0 ? undefined : others;',
  },
  {
    name: 'grant-outside-the-set',
    what: 'when the Lease has expired anybody is granted',
    file: SET,
    find: 'set.length > 0 && (isExpiry || !isTakenUp) ? set : undefined;',
    replace: 'set.length > 0 && !isExpiry && !isTakenUp ? set : undefined;',
  },
  {
    name: 'proof-of-a-term-not-taken-up',
    what: 'that the holder has stopped, which never took up its term, is taken for proof of whoever was active before it',
    file: SET,
    find: 'set.length > 0 && (isExpiry || !isTakenUp) ? set : undefined;',
    replace: 'set.length > 0 && isExpiry ? set : undefined;',
  },
  {
    name: 'operator-takes-the-set-away',
    what: 'the operator binds nobody any more when the Lease has expired',
    file: OPERATOR,
    find: 'set.length > 0 && bound === undefined ?',
    replace: 'set.length > 0 ?',
  },
  {
    name: 'operator-writes-the-set',
    what: 'the set becomes all members as soon as the operator knows them, whom nobody has asked',
    file: OPERATOR,
    find: 'annotations: { [ANNOTATION.members]: text } } });',
    replace:
      "annotations: { [ANNOTATION.members]: text, [ANNOTATION.holdSet]: pods.map(({ metadata }) => metadata.uid).join(' ') } } });",
  },
].map(hold);
