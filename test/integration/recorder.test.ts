/** The recorder's judgement of histories, so that its silence means something. */
import { describe, expect, test } from 'vitest';
import { LABEL } from '../../src/api/names.ts';
import type { KubeObject, Lease, Pod, Service } from '../../src/api/objects.ts';
import { brokenInvariants, flipsToNobody } from './recorder.ts';
import type { Change } from './recorder.ts';

type WithoutVersion<T> = T extends Change ? Omit<T, 'version'> : never;
type Step = WithoutVersion<Change>;

const meta = (name: string, labels: Record<string, string> = {}): KubeObject['metadata'] => ({
  name,
  uid: name,
  resourceVersion: '',
  creationTimestamp: '',
  labels: { [LABEL.name]: 'db', ...labels },
});

const pod = (name: string, role: string, term?: number): Step => {
  const object: Pod = { metadata: meta(name, { [LABEL.role]: role, ...(term && { [LABEL.term]: String(term) }) }) };
  return { kind: 'pod', object, deleted: false };
};
const gone = (name: string): Step => ({ ...pod(name, 'standby'), deleted: true });
const service = (term: number): Step => {
  const object: Service = {
    metadata: meta('db'),
    spec: { selector: { [LABEL.name]: 'db', [LABEL.term]: String(term) } },
  };
  return { kind: 'service', object, deleted: false };
};
const lease = (holder: string, term: number, uid = 'first'): Step => {
  const object: Lease = {
    metadata: { ...meta('db-active'), uid },
    spec: { holderIdentity: holder, leaseTransitions: term },
  };
  return { kind: 'lease', object, deleted: false };
};

const history = (...steps: Step[]): Change[] => steps.map((step, index) => ({ ...step, version: index + 1 }));

const BEGIN = [
  lease('', 0),
  service(0),
  pod('a', 'standby'),
  pod('b', 'standby'),
  lease('a', 1),
  pod('a', 'active', 1),
];
const MOVE = [service(1), pod('a', 'standby', 1), lease('b', 2), pod('b', 'active', 2), service(2)];

describe('a record', () => {
  test('of moves as they should be is found in order', () => {
    const good = history(...BEGIN, ...MOVE, gone('a'));
    expect(brokenInvariants(good)).toEqual([]);
    expect(flipsToNobody(good)).toEqual([]);
  });

  test('of a lost Lease that is made anew, empty, and goes on above every term is found in order', () => {
    const good = history(...BEGIN, ...MOVE, lease('', 0, 'second'), lease('b', 1002, 'second'));
    expect(brokenInvariants(good)).toEqual([]);
  });

  test.each<[string, Step[], string]>([
    ['a term that goes back', [...BEGIN, ...MOVE, lease('b', 1)], 'I1: db-active goes back from term 2 to 1'],
    ['a Lease that is emptied', [...BEGIN, ...MOVE, lease('', 0)], 'I1: db-active goes back from term 2 to 0'],
    [
      'a Lease that is made anew and begins from the start',
      [...BEGIN, ...MOVE, lease('', 0, 'second'), lease('b', 1, 'second')],
      'I1: db-active goes back from term 2 to 1',
    ],
    [
      'a Lease that is made anew with an old term',
      [...BEGIN, ...MOVE, lease('a', 1, 'second')],
      'I1: db-active goes back from term 2 to 1',
    ],
    ['a term with two holders', [...BEGIN, lease('b', 1)], 'I1: term 1 of db-active was given to a and to b'],
    ['a term with two holders, one after nobody', [...BEGIN, lease('', 1), lease('b', 1)], 'I1: term 1'],
    [
      'two pods with the selected term',
      [...BEGIN, service(1), pod('b', 'standby', 1)],
      'I2: Service db selects a and b',
    ],
    ['a Service that selects two', [...BEGIN, pod('b', 'standby', 1), service(1)], 'I2: Service db selects a and b'],
    ['two pods with the role', [...BEGIN, pod('b', 'active', 2)], 'I3: a and b of db have role active'],
  ])('of %s is found wrong', (_what, steps, sentence) => {
    expect(brokenInvariants(history(...steps)).join('\n')).toContain(sentence);
  });

  test('of a Service that is flipped before the label is there is found wrong', () => {
    expect(flipsToNobody(history(...BEGIN, service(2), pod('b', 'active', 2)))).toEqual([
      'at version 7: Service db selects term 2',
    ]);
  });
});
