import { describe, expect, it } from 'vitest';
import { avoidingNodes } from '../../src/core/avoid-nodes.ts';

const wishes = (body: object): unknown[] => {
  const { spec } = body as {
    spec: { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } } };
  };
  return spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution;
};

describe('a pod that is to keep off some nodes', () => {
  it('is what it was when there are none', () => {
    const body = { spec: { containers: [] } };
    expect(avoidingNodes(body, [])).toBe(body);
  });

  it('wishes not to be there, and does not insist', () => {
    const body = avoidingNodes({ spec: { containers: [] } }, ['b', 'a']);
    expect(wishes(body)).toEqual([
      {
        weight: 100,
        preference: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'NotIn', values: ['a', 'b'] }] },
      },
    ]);
    expect(body.spec).toMatchObject({ containers: [] });
  });

  it('keeps what its template says of affinity', () => {
    const required = { nodeSelectorTerms: [] };
    const nodeAffinity = {
      requiredDuringSchedulingIgnoredDuringExecution: required,
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1 }],
    };
    const template = { spec: { affinity: { podAntiAffinity: { some: 'rule' }, nodeAffinity } } };
    const before = structuredClone(template);
    const body = avoidingNodes(template, ['a']);
    expect(wishes(body)).toMatchObject([{ weight: 1 }, { weight: 100 }]);
    expect(body).toMatchObject({
      spec: {
        affinity: {
          podAntiAffinity: { some: 'rule' },
          nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required },
        },
      },
    });
    expect(template).toEqual(before);
  });
});
