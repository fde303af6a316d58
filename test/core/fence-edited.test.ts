import { describe, expect, it } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import type { Lease } from '../../src/api/objects.ts';
import { heldTerm, sees, sightOf } from '../../src/core/fence-lease.ts';
import type { LeaseKnowledge } from '../../src/core/fence-lease.ts';

const NOTHING: LeaseKnowledge = { sight: undefined, sightAtMs: -Infinity, highest: { term: 0, holder: '' } };

const lease = (holder: string, record: string | undefined): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name: 'db-active',
    namespace: 'default',
    uid: 'uid',
    resourceVersion: '7',
    creationTimestamp: '2026-01-01T00:00:00Z',
    ...(record !== undefined && { annotations: { [ANNOTATION.move]: record } }),
  },
  spec: { holderIdentity: holder, leaseTransitions: 3 },
});

/** What an agent that has seen nothing before makes of it. */
const held = (holder: string, record: string | undefined): number | undefined =>
  heldTerm(sees(NOTHING, sightOf(lease(holder, record)), 0), holder);

describe('a holder that somebody wrote into the Lease by hand', () => {
  it('is not the one whom the record of the grant names, and holds nothing', () => {
    expect(held('db-1_b', JSON.stringify({ to: 'db-0_a', term: 3 }))).toBeUndefined();
    expect(held('db-0_a', JSON.stringify({ to: 'db-0_a', term: 3 }))).toBe(3);
  });

  it('is taken at its word where there is no record that can be read', () => {
    expect(held('db-1_b', undefined)).toBe(3);
    expect(held('db-1_b', '{')).toBe(3);
    expect(held('db-1_b', 'null')).toBe(3);
  });
});
