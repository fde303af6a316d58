import { describe, expect, it } from 'vitest';
import { refusedIn } from './rights.ts';

const line = (verb: string, resource: string, decision: 'allow' | 'forbid', subresource?: string): string =>
  JSON.stringify({
    verb,
    requestURI: `/api/v1/${resource}${subresource === undefined ? '' : `/x/${subresource}`}`,
    objectRef: { resource, subresource },
    annotations: { 'authorization.k8s.io/decision': decision },
  });

describe('the rights that the operator lacked, from the audit log', () => {
  it('are what the authorizer refused, each once', () => {
    const lines = [
      line('list', 'pods', 'allow'),
      line('watch', 'secrets', 'forbid'),
      line('watch', 'secrets', 'forbid'),
    ];
    expect(refusedIn(lines)).toEqual(['watch /api/v1/secrets']);
  });

  it('are none of those that were given at another time: an API server that has just started knows no roles', () => {
    const lines = [line('watch', 'pods', 'allow'), line('watch', 'pods', 'forbid'), line('watch', 'pods', 'allow')];
    expect(refusedIn(lines)).toEqual([]);
  });

  it('are told apart by verb and subresource', () => {
    const lines = [
      line('patch', 'pods', 'allow'),
      line('patch', 'pods', 'forbid', 'status'),
      line('create', 'pods', 'forbid'),
    ];
    expect(refusedIn(lines)).toEqual(['patch /api/v1/pods/x/status', 'create /api/v1/pods']);
  });

  it('are not what admission refuses, which says nothing of the authorizer', () => {
    const inAdmission = JSON.stringify({ verb: 'create', requestURI: '/api/v1/pods', objectRef: { resource: 'pods' } });
    expect(refusedIn([inAdmission])).toEqual([]);
  });
});
