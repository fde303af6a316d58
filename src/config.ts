/** Every flag of the operator: its default, unit and range, and from where it is read. */
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { parseAddress } from './adapters/http-server.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

/** `3s`, `500ms`, `1m` → milliseconds. */
const duration = z.string().transform((text, context) => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (match === null) {
    context.addIssue({ code: 'custom', message: 'must be a duration such as 3s or 500ms' });
    return z.NEVER;
  }
  return Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 1);
});

const address = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed === undefined) {
    context.addIssue({ code: 'custom', message: 'must be an address such as :8080 or 127.0.0.1:8080' });
    return z.NEVER;
  }
  return parsed;
});

const numeric = (schema: z.ZodNumber) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'must be a number')
    .transform(Number)
    .pipe(schema);

const percentage = z
  .string()
  .regex(/^\d{1,3}%?$/, 'must be a percentage such as 55%')
  .transform((text) => Number(text.replace('%', '')) / 100)
  .pipe(z.number().min(0).max(1, 'must be at most 100%'));

interface Flag<T extends z.ZodType> {
  readonly schema: T;
  readonly default?: string;
  readonly help: string;
}

const flag = <T extends z.ZodType>(schema: T, help: string, byDefault?: string): Flag<T> => ({
  schema,
  help,
  ...(byDefault !== undefined && { default: byDefault }),
});

const FLAGS = {
  kubeconfig: flag(
    z.string().min(1).optional(),
    'kubeconfig file; in a pod the service account is used, elsewhere KUBECONFIG or ~/.kube/config',
  ),
  namespace: flag(
    z
      .string()
      .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'must be the name of a namespace')
      .optional(),
    'watch this namespace only; default: all',
  ),
  'leader-lease-namespace': flag(
    z.string().min(1).optional(),
    "namespace of the operator replicas' own Lease; default: the pod's or the kubeconfig's",
  ),
  'leader-lease-name': flag(z.string().min(1), 'name of that Lease', 'singleton-operator'),
  'leader-lease-duration': flag(
    duration.pipe(z.number().min(1_000, 'must be at least 1s').max(300_000, 'must be at most 5m')),
    'how long after its last renewal a leader is replaced, 1s to 5m; rounded up to whole seconds',
    '3s',
  ),
  concurrency: flag(numeric(z.number().int().min(1).max(256)), 'singletons worked on at once, 1 to 256', '16'),
  'kube-api-qps': flag(
    numeric(z.number().min(0).max(100_000)),
    'requests to the API server a second; 0 is unlimited',
    '0',
  ),
  'metrics-address': flag(address, 'where /metrics listens', ':8080'),
  'health-address': flag(address, 'where /livez and /readyz listen', ':8081'),
  'node-loss-brake': flag(
    percentage,
    'share of nodes silent at once above which none of them is taken for lost (one alone always may be)',
    '55%',
  ),
  'agent-image': flag(
    z.string().min(1).max(512),
    "image of the agent that fencing mode Agent puts into members: the operator's own",
    'singleton-operator',
  ),
  'log-level': flag(z.enum(['debug', 'info', 'warn', 'error', 'silent']), 'debug, info, warn, error or silent', 'info'),
  'log-format': flag(z.enum(['json', 'pretty']), 'json or pretty', 'json'),
} as const;

type FlagName = keyof typeof FLAGS;
export type Config = { readonly [K in FlagName]: z.output<(typeof FLAGS)[K]['schema']> };

/** What is wrong with the command line or the environment, in one line for people. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export const variableOf = (name: string): string => `SINGLETON_${name.toUpperCase().replaceAll('-', '_')}`;

/** A flag on the command line wins over its environment variable, and that over the default. Throws `ConfigError`. */
export function parseConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Config | 'help' {
  const given = parseFlags(args);
  if (given['help'] === true) return 'help';
  const config: Record<string, unknown> = {};
  for (const name of Object.keys(FLAGS) as FlagName[]) {
    const { schema, default: byDefault } = FLAGS[name] as Flag<z.ZodType>;
    const fromFlag = given[name];
    const raw = typeof fromFlag === 'string' ? fromFlag : (env[variableOf(name)] ?? byDefault);
    const result = schema.safeParse(raw);
    if (!result.success) {
      const source = fromFlag === undefined ? variableOf(name) : `--${name}`;
      throw new ConfigError(
        `${source}=${String(raw)}: ${result.error.issues[0]?.message ?? 'is not valid'} (${FLAGS[name].help})`,
      );
    }
    config[name] = result.data;
  }
  return config as Config;
}

function parseFlags(args: readonly string[]): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      strict: true,
    });
    return values;
  } catch (error) {
    throw new ConfigError(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
  }
}

export function helpText(): string {
  const lines = Object.entries(FLAGS as Record<string, Flag<z.ZodType>>).map(
    ([name, { help, default: byDefault }]) =>
      `  --${name.padEnd(24)} ${help}${byDefault === undefined ? '' : ` (${byDefault})`}`,
  );
  return `Usage: operator-main [flags]\n\nEach flag can be given as an environment variable, e.g. ${variableOf('log-level')}.\n\n${lines.join('\n')}\n`;
}
