/**
 * The CustomResourceDefinition, made from the zod schemas. zod's JSON schema is nearly what Kubernetes calls structural;
 * here it becomes so, and what cannot is refused by a throw, since the API server would otherwise drop it in silence.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
import { z } from 'zod';

import { DNS_1035 } from './fields.ts';
import { GROUP, KIND, MAX_NAME_LENGTH, PLURAL, VERSION } from './names.ts';
import { NOT_YET } from './not-yet.ts';
import { RULES } from './rules.ts';
import { specSchema } from './schema.ts';
import { statusSchema } from './status-schema.ts';

/** A node of a structural schema. */
export interface SchemaNode {
  description?: string;
  type?: string;
  format?: string;
  default?: unknown;
  properties?: Record<string, SchemaNode>;
  additionalProperties?: SchemaNode;
  items?: SchemaNode;
  'x-kubernetes-validations'?: { rule: string; message: string }[];
  [keyword: string]: unknown;
}

type JsonNode = Readonly<Record<string, unknown>>;

/** What may stand in a node as it is. Everything else is handled by name below, or refused. */
const KEPT = [
  'description',
  'type',
  'format',
  'enum',
  'default',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'required',
  'x-kubernetes-int-or-string',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
] as const;

/** What zod writes and Kubernetes forbids or cannot say, and what loses nothing when it goes. */
const DROPPED = ['$schema', 'propertyNames', 'properties', 'additionalProperties', 'items', 'anyOf'];

const INT32_MAX = 2 ** 31 - 1;
const LOOK_AROUND = /\(\?<?[=!]/;

const isNode = (value: unknown): value is JsonNode =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const refuse = (path: string, why: string): never => {
  throw new Error(`the schema of ${path} ${why}`);
};

const checked = (json: JsonNode, path: string): void => {
  const unknown = Object.keys(json).filter((key) => ![...KEPT, ...DROPPED].includes(key));
  if (unknown.length > 0) refuse(path, `is not structural: it has ${unknown.join(', ')}`);
  if (typeof json['description'] !== 'string') refuse(path, 'has no description');
  const intOrString = json['x-kubernetes-int-or-string'] === true;
  if (typeof json['type'] !== 'string' && !intOrString) refuse(path, 'has no type');
  if (json['anyOf'] !== undefined && !intOrString) refuse(path, 'is a union, which only int-or-string may be');
  const { pattern } = json;
  if (typeof pattern === 'string' && LOOK_AROUND.test(pattern)) refuse(path, `looks around in ${pattern}: RE2 cannot`);
};

/** zod bounds whole numbers by what JavaScript can hold; Kubernetes wants a format instead. */
const integer = (node: SchemaNode): SchemaNode => {
  const { minimum, maximum, ...rest } = node;
  const small = typeof maximum === 'number' && maximum <= INT32_MAX;
  return {
    ...rest,
    format: small ? 'int32' : 'int64',
    ...(minimum === Number.MIN_SAFE_INTEGER ? {} : { minimum }),
    ...(maximum === Number.MAX_SAFE_INTEGER ? {} : { maximum }),
  };
};

const children = (json: JsonNode, path: string): SchemaNode => {
  const { properties, additionalProperties, items } = json;
  if (isNode(additionalProperties)) {
    if (isNode(properties)) refuse(path, 'has both properties and additionalProperties');
    return { additionalProperties: structural(additionalProperties, `${path}{}`) };
  }
  return {
    ...(isNode(items) ? { items: structural(items, `${path}[]`) } : {}),
    ...(isNode(properties)
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, child]) => [
              name,
              structural(isNode(child) ? child : {}, `${path}.${name}`),
            ]),
          ),
        }
      : {}),
  };
};

/**
 * The structural schema of a node of JSON schema (OpenAPI 3.0). Throws, with `path` in the message, on what Kubernetes
 * would refuse or silently drop: references, unions, nodes without type, look-around; and on a missing description.
 */
export const structural = (json: JsonNode, path: string): SchemaNode => {
  checked(json, path);
  const node: SchemaNode = Object.fromEntries(
    KEPT.flatMap((key) => (json[key] === undefined ? [] : [[key, json[key]] as const])),
  );
  if (json['x-kubernetes-preserve-unknown-fields'] === true) {
    const { required: _required, ...opaque } = node;
    return opaque;
  }
  if (node.type === 'integer') return integer(node);
  return { ...node, ...children(json, path) };
};

const schemaOf = (schema: z.ZodType, path: string): SchemaNode =>
  structural(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }), path);

/** The node at a path such as `selector.matchExpressions[]`; '' is the root itself. */
const nodeAt = (root: SchemaNode, path: string): SchemaNode => {
  const steps = path
    .replaceAll('[]', '.[]')
    .split('.')
    .filter((step) => step !== '');
  return steps.reduce((node, step) => {
    const next = step === '[]' ? node.items : node.properties?.[step];
    return next ?? refuse(path, `does not exist (at ${step})`);
  }, root);
};

/**
 * Which CEL rules go into the CRD. `every`: all of them, for servers that know CEL (1.25 and later). `portable`: only
 * those inside lists. Older servers ignore CEL, but kubectl does not let it come that far: both `kubectl apply` and
 * server-side apply refuse `x-kubernetes-validations` as an unknown field, except under `items`, which they do not check.
 * Nothing is lost but the earlier refusal, since `parseSpec` checks every rule.
 */
export type CelRules = 'every' | 'portable';

const withCelRules = (spec: SchemaNode, which: CelRules): SchemaNode => {
  const rules = RULES.flatMap(({ cel }) => (typeof cel === 'string' ? [] : cel));
  for (const { at, rule, message } of rules) {
    if (which === 'portable' && !at.includes('[]')) continue;
    (nodeAt(spec, at)['x-kubernetes-validations'] ??= []).push({ rule, message });
  }
  return spec;
};

/** So that `kubectl explain` promises nothing that this version does not do. */
const withNotYet = (spec: SchemaNode): SchemaNode => {
  for (const { path, sentence } of NOT_YET) {
    if (!path.startsWith('spec.')) continue;
    const node = nodeAt(spec, path.slice('spec.'.length));
    node.description = `${node.description} NOT YET IN THIS VERSION: ${sentence}`;
  }
  return spec;
};

const rootSchema = (celRules: CelRules): SchemaNode => ({
  description:
    'Keeps exactly one pod of several active: a Service routes to that one, the others are warm standbys, and when the ' +
    'active fails one of them takes over within milliseconds.',
  type: 'object',
  required: ['spec'],
  properties: {
    apiVersion: { description: `${GROUP}/${VERSION}`, type: 'string' },
    kind: { description: KIND, type: 'string' },
    // The server itself describes metadata, and refuses a CRD that says more than this about it.
    metadata: {
      type: 'object',
      properties: {
        name: {
          description: 'A DNS label that begins with a letter, since the Service has the same name.',
          type: 'string',
          maxLength: MAX_NAME_LENGTH,
          pattern: DNS_1035.source,
        },
      },
    },
    spec: withNotYet(withCelRules(schemaOf(specSchema, 'spec'), celRules)),
    status: schemaOf(statusSchema, 'status'),
  },
});

export const PRINTER_COLUMNS = [
  { name: 'Active', type: 'string', jsonPath: '.status.active.pod', description: 'The pod that is active.' },
  { name: 'Ready', type: 'string', jsonPath: '.status.ready', description: 'Ready members of wanted ones.' },
  { name: 'Term', type: 'integer', jsonPath: '.status.term', description: 'The highest term ever granted.' },
  {
    name: 'Last move',
    type: 'date',
    jsonPath: '.status.lastMove.routedAt',
    description: 'How long ago the active changed.',
  },
  {
    name: 'Status',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
    description: 'The reason of the condition Ready.',
  },
  { name: 'Node', type: 'string', jsonPath: '.status.active.node', description: 'Node of the active.', priority: 1 },
  {
    name: 'Strategy',
    type: 'string',
    jsonPath: '.spec.election.strategy',
    description: 'Which candidate is next.',
    priority: 1,
  },
  { name: 'Mode', type: 'string', jsonPath: '.spec.fencing.mode', description: 'How far it is fenced.', priority: 1 },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Age of the object.' },
] as const;

/** The whole CustomResourceDefinition, as an object ready for YAML or JSON. */
export const customResourceDefinition = (celRules: CelRules) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${PLURAL}.${GROUP}` },
  spec: {
    group: GROUP,
    names: {
      kind: KIND,
      listKind: `${KIND}List`,
      plural: PLURAL,
      singular: 'singletonservice',
      shortNames: ['sgs', 'singleton'],
      categories: ['all'],
    },
    scope: 'Namespaced',
    versions: [
      {
        name: VERSION,
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: {
            specReplicasPath: '.spec.replicas',
            statusReplicasPath: '.status.replicas',
            labelSelectorPath: '.status.selector',
          },
        },
        additionalPrinterColumns: PRINTER_COLUMNS,
        schema: { openAPIV3Schema: rootSchema(celRules) },
      },
    ],
  },
});
