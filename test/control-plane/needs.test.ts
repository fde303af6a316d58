import { expect, test } from 'vitest';
import { needing, whyNot } from './needs.ts';

const LACKS = { etcd: 'it is in a container', 'own processes': 'they are K3s’s' } as const;

test('nothing stands in the way of tests whose needs are met', () => {
  expect(whyNot([], LACKS)).toBeUndefined();
  expect(whyNot(['audit log'], LACKS)).toBeUndefined();
  expect(whyNot(['etcd', 'own processes', 'audit log'], {})).toBeUndefined();
});

test('every need that is not met is told with its reason', () => {
  expect(whyNot(['etcd'], LACKS)).toBe('etcd: it is in a container');
  expect(whyNot(['audit log', 'own processes', 'etcd'], LACKS)).toBe(
    'own processes: they are K3s’s; etcd: it is in a container',
  );
});

const needy = needing('own processes', 'etcd', 'audit log');
let ran = false;
needy.test('without a shared control plane all needs are met', () => {
  ran = true;
});
test('and such tests run', () => expect(ran).toBe(true));
