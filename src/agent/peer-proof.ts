/**
 * What the agents of one singleton say to each other, `onApiLoss: Hold`, and how they prove it: by a key that only they
 * have. A question names whom it is for, and an answer repeats the question with its nonce, so that neither another's answer
 * nor an old one is taken for it. There is no time in either: clocks of two machines are never compared.
 *
 * A question that is sent again by somebody who heard it is answered again. All that it does is to renew a promise that the
 * holder of that term asked for, and nobody who has seen a later term promises it anything.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { NoPromise, Question } from './ports.ts';

/** A question on its way. */
export interface Asked extends Question {
  readonly namespace: string;
  readonly singleton: string;
  /** UID of the pod that is asked. */
  readonly to: string;
  readonly nonce: string;
}

export interface Proven<T> {
  readonly said: T;
  /** Hexadecimal. */
  readonly proof: string;
}

/** Null: it is promised. */
export interface Answer {
  readonly refusal: NoPromise | null;
}

const LEAST_KEY_BYTES = 16;
const NONCE_BYTES = 16;

export const nonce = (): string => randomBytes(NONCE_BYTES).toString('hex');

export const proveQuestion = (key: Buffer, said: Asked): Proven<Asked> => ({
  said,
  proof: proofOf(key, partsOf(said)),
});

export const isProvenQuestion = (key: Buffer, { said, proof }: Proven<Asked>): boolean =>
  isSame(proof, proofOf(key, partsOf(said)));

export const proveAnswer = (key: Buffer, asked: Asked, said: Answer): Proven<Answer> => ({
  said,
  proof: proofOf(key, answerParts(asked, said)),
});

/** Of the pod that was asked, to this very question. */
export const isProvenAnswer = (key: Buffer, asked: Asked, { said, proof }: Proven<Answer>): boolean =>
  isSame(proof, proofOf(key, answerParts(asked, said)));

type Parts = readonly (string | number | null)[];

const partsOf = ({ namespace, singleton, holder, term, forMs, to, nonce: once }: Asked): Parts => [
  'question',
  namespace,
  singleton,
  holder,
  term,
  forMs,
  to,
  once,
];

const answerParts = (asked: Asked, { refusal }: Answer): Parts => ['answer', ...partsOf(asked).slice(1), refusal];

/** JSON keeps the parts apart, whatever is in them. */
function proofOf(key: Buffer, parts: Parts): string {
  if (key.length < LEAST_KEY_BYTES)
    throw new Error(`the agents' key has ${key.length} bytes, must have at least ${LEAST_KEY_BYTES}`);
  return createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex');
}

function isSame(given: unknown, expected: string): boolean {
  const [one, other] = [Buffer.from(String(given)), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Undefined for what is no question. */
export function questionIn(text: string): Proven<Asked> | undefined {
  const { said, proof } = Object(parsed(text)) as { readonly said?: Partial<Asked>; readonly proof?: unknown };
  const texts = [said?.namespace, said?.singleton, said?.holder, said?.to, said?.nonce, proof];
  const numbers = [said?.term, said?.forMs];
  const isWhole =
    texts.every((one) => typeof one === 'string') && numbers.every((one) => Number.isFinite(one) && Number(one) >= 0);
  return isWhole ? ({ said, proof } as Proven<Asked>) : undefined;
}

/** Undefined for what is no answer. */
export function answerIn(text: string): Proven<Answer> | undefined {
  const { said, proof } = Object(parsed(text)) as { readonly said?: Partial<Answer>; readonly proof?: unknown };
  const isWhole = (said?.refusal === null || typeof said?.refusal === 'string') && typeof proof === 'string';
  return isWhole ? ({ said, proof } as Proven<Answer>) : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
