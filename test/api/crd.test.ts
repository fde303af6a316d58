import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

import { CRD_FILES, crdYaml } from '../../scripts/generate-crd.ts';
import { PRINTER_COLUMNS, type SchemaNode, customResourceDefinition, structural } from '../../src/api/crd.ts';
import { MAX_NAME_LENGTH } from '../../src/api/names.ts';
import { RULES } from '../../src/api/rules.ts';
import { parseSpec } from '../../src/api/spec.ts';
import { statusSchema } from '../../src/api/status-schema.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const schemaOf = (celRules: 'every' | 'portable'): SchemaNode => {
  const [version] = customResourceDefinition(celRules).spec.versions;
  if (version === undefined) throw new Error('the CRD has no version');
  return version.schema.openAPIV3Schema;
};

/** Each node with its path, the root first. */
const nodes = (node: SchemaNode, path = ''): [string, SchemaNode][] => [
  [path, node],
  ...Object.entries(node.properties ?? {}).flatMap(([name, child]) => nodes(child, `${path}.${name}`)),
  ...(node.items === undefined ? [] : nodes(node.items, `${path}[]`)),
  ...(node.additionalProperties === undefined ? [] : nodes(node.additionalProperties, `${path}{}`)),
];

describe('the CRD', () => {
  test.each(['every', 'portable'] as const)(
    'in crds/ is the generated one (%s): if not, npm run generate',
    (celRules) => {
      expect(read(CRD_FILES[celRules])).toBe(crdYaml(celRules));
    },
  );

  test('describes every field, and what the server describes itself it leaves alone', () => {
    const bare = nodes(schemaOf('every'))
      .filter(([, { description }]) => (description ?? '').length < 5)
      .map(([path]) => path);
    expect(bare).toEqual(['.metadata']);
  });

  test('describes in sentences', () => {
    for (const [path, { description }] of nodes(schemaOf('every'))) {
      if (['.metadata', '.apiVersion', '.kind'].includes(path)) continue;
      expect(description, path).toMatch(/^[A-Z].*\.$/);
    }
  });

  test('gives a default to every object between the spec and a default', () => {
    const withDefault = nodes(schemaOf('every')).filter(([, node]) => node.default !== undefined);
    const paths = new Set(withDefault.map(([path]) => path));
    for (const [path] of withDefault) {
      // A default inside a list's item needs the item, which only the user can make.
      if (path.includes('[]')) continue;
      const parent = path.slice(0, path.lastIndexOf('.'));
      expect(parent === '.spec' || paths.has(parent), `${path} has a default, ${parent} has none`).toBe(true);
    }
  });

  test('bounds every number of the spec, and gives every whole number a format', () => {
    for (const [path, node] of nodes(schemaOf('every'))) {
      if (node.type === 'integer') expect(node.format, path).toMatch(/^int(32|64)$/);
      if (node.type === 'integer' && path.startsWith('.spec')) {
        expect(node['minimum'], path).toBeTypeOf('number');
        expect(node['maximum'], path).toBeTypeOf('number');
      }
      expect(Math.abs(Number(node['maximum'] ?? 0)), path).toBeLessThan(Number.MAX_SAFE_INTEGER);
    }
  });

  test('bounds every list of the spec, which the cost of CEL rules is estimated from', () => {
    for (const [path, node] of nodes(schemaOf('every'))) {
      if (node.type === 'array' && path.startsWith('.spec')) expect(node['maxItems'], path).toBeTypeOf('number');
    }
  });

  test('leaves the template to the API server', () => {
    const template = schemaOf('every').properties?.['spec']?.properties?.['template'];
    expect(Object.keys(template ?? {}).sort()).toEqual(['description', 'type', 'x-kubernetes-preserve-unknown-fields']);
  });

  test('refuses names that no Service can have', () => {
    const name = schemaOf('every').properties?.['metadata']?.properties?.['name'];
    expect(name?.['maxLength']).toBe(MAX_NAME_LENGTH);
    expect(name?.['pattern']).toBe('^[a-z]([-a-z0-9]*[a-z0-9])?$');
  });

  test('has each CEL rule once, and in the portable form only those that old versions of kubectl let through', () => {
    const rulesOf = (celRules: 'every' | 'portable') =>
      nodes(schemaOf(celRules)).flatMap(([path, node]) =>
        (node['x-kubernetes-validations'] ?? []).map(({ rule }) => `${path}: ${rule}`),
      );
    const all = RULES.flatMap(({ cel }) => (typeof cel === 'string' ? [] : cel));
    expect(rulesOf('every')).toHaveLength(all.length);
    expect(rulesOf('portable').length).toBeGreaterThan(0);
    for (const place of rulesOf('portable')) expect(place).toContain('[]');
  });

  test('prints the columns that users know', () => {
    const shown = PRINTER_COLUMNS.filter((column) => !('priority' in column)).map(({ name }) => name);
    expect(shown).toEqual(['Active', 'Ready', 'Term', 'Last move', 'Status', 'Age']);
    const wide = PRINTER_COLUMNS.filter((column) => 'priority' in column).map(({ name }) => name);
    expect(wide).toEqual(['Node', 'Strategy', 'Mode']);
  });
});

describe('the status schema', () => {
  const aStatus = {
    observedGeneration: 1,
    replicas: 2,
    ready: '1/2',
    active: { pod: 'echo-0-abcde', uid: 'u', slot: 0, term: 3, since: '2026-01-02T03:04:05.678Z' },
    term: 3,
    members: [{ pod: 'echo-0-abcde', slot: 0, role: 'active', ready: true, eligible: true }],
    lastMove: { kind: 'Initial', to: 'echo-0-abcde', term: 3, milliseconds: 12.5 },
    conditions: [{ type: 'Ready', status: 'True', reason: 'ActiveRouted' }],
  };

  test('takes what the operator writes', () => {
    expect(statusSchema.parse(aStatus)).toEqual(aStatus);
  });

  test('requires nothing of a status that is only beginning', () => {
    expect(statusSchema.parse({})).toEqual({});
  });
});

describe('a schema that Kubernetes would refuse or silently cut is refused by the generator:', () => {
  const described = { description: 'A field.' };
  test.each([
    ['a reference', { ...described, $ref: '#/x' }, /not structural: it has \$ref/],
    ['a node without type', described, /has no type/],
    ['a node without description', { type: 'string' }, /has no description/],
    ['an empty node', {}, /has no description/],
    ['a union', { ...described, type: 'string', anyOf: [] }, /is a union/],
    ['allOf', { ...described, type: 'string', allOf: [] }, /not structural: it has allOf/],
    ['look-ahead', { ...described, type: 'string', pattern: '^(?=a)' }, /looks around/],
    [
      'fields beside any other field',
      { ...described, type: 'object', properties: {}, additionalProperties: { ...described, type: 'string' } },
      /has both/,
    ],
    ['a bad node deep inside', { ...described, type: 'object', properties: { a: {} } }, /schema of spec\.a/],
  ])('%s', (_what, json, message) => {
    expect(() => structural(json, 'spec')).toThrow(message);
  });
});

interface SampleObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

describe('the samples', () => {
  const files = readdirSync(new URL('deploy/samples/', root)).filter((file) => file.endsWith('.yaml'));

  test.each(files)('%s has a spec that is accepted', (file) => {
    // The one of ours comes first; what it adopts may follow.
    const [first] = parseAllDocuments(read(`deploy/samples/${file}`));
    const sample = first?.toJS() as SampleObject;
    expect(sample.kind).toBe('SingletonService');
    const parsed = parseSpec(sample.spec, sample.metadata);
    expect(parsed.ok ? [] : parsed.problems).toEqual([]);
  });
});
