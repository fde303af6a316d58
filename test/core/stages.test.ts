import { describe, expect, it } from 'vitest';
import { stagesOf } from '../../src/core/plan.ts';
import type { Action } from '../../src/core/plan.ts';
import { aMove, aSwitchover } from '../builders.ts';

const expectation = { uid: 'u', resourceVersion: '1' };
const strip = (pod: string): Action => ({ kind: 'stripRole', pod, expect: expectation, labels: {} });
const grant: Action = {
  kind: 'grantLease',
  lease: 'db-active',
  expect: expectation,
  to: { pod: 'db-1', uid: 'u1' },
  from: 'db-0',
  term: 2,
  move: aMove(),
};
const label: Action = { kind: 'labelActive', pod: 'db-1', expect: expectation, labels: {} };
const flip: Action = { kind: 'flipService', service: 'db', expect: expectation, term: 2, selector: {} };
const create = (slot: number): Action => ({ kind: 'createPod', pod: `db-${slot}`, slot, body: {} });
const service: Action = { kind: 'createService', service: 'db', body: {} };
const lease: Action = { kind: 'createLease', lease: 'db-active' };
const record: Action = {
  kind: 'recordSwitchover',
  lease: 'db-active',
  expect: expectation,
  switchover: aSwitchover({ from: 'db-0_u' }),
};
const removal: Action = { kind: 'removeRequest', singleton: 'db', expect: expectation };
const event: Action = { kind: 'emitEvent', event: { identity: 'i', reason: 'Granted', type: 'Normal', message: 'm' } };
const status: Action = { kind: 'writeStatus', resourceVersion: '1', status: {} };

const kinds = (...actions: Action[]): string[][] => stagesOf(actions).map((stage) => stage.map(({ kind }) => kind));

describe('the stages of a plan', () => {
  it('let strips run beside the grant, and the label wait for both, and the flip for the label', () => {
    expect(kinds(strip('db-0'), strip('db-2'), grant, label, flip)).toEqual([
      ['stripRole', 'stripRole', 'grantLease'],
      ['labelActive'],
      ['flipService'],
    ]);
  });

  it('let Services and members be created together, after the Lease', () => {
    expect(kinds(lease, service, create(0), create(1))).toEqual([
      ['createLease'],
      ['createService', 'createPod', 'createPod'],
    ]);
  });

  it('never let the status overtake its events', () => {
    expect(kinds(event, event, status)).toEqual([['emitEvent', 'emitEvent'], ['writeStatus']]);
  });

  it('remove a request only when it stands in the Lease', () => {
    expect(kinds(record, removal)).toEqual([['recordSwitchover'], ['removeRequest']]);
  });

  it('do not put together what the plan keeps apart', () => {
    expect(kinds(event, status, create(0), flip, create(1))).toHaveLength(5);
  });

  it('have at most 8 requests in flight, and leave none out', () => {
    const stages = stagesOf(Array.from({ length: 32 }, (_, slot) => create(slot)));
    expect(stages.map(({ length }) => length)).toEqual([8, 8, 8, 8]);
  });
});
