/** Where PostgreSQL's and Redis' programs are: on this machine, or unpacked from Debian's packages by an earlier run. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isExecutable } from '../control-plane/binaries.ts';

export const STORES = {
  PostgreSQL: { programs: ['initdb', 'postgres', 'psql'], package: 'postgresql' },
  Redis: { programs: ['redis-server', 'redis-cli'], package: 'redis-server' },
} as const;
export type Store = keyof typeof STORES;

const isRoot = process.getuid?.() === 0;

/** Not in root's home: PostgreSQL does not run as root, and nobody else may look in there. */
const CACHE = join(
  isRoot ? '/var/cache' : process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'singleton-operator',
  'stores',
);

/** Debian keeps PostgreSQL's servers out of PATH, by version. */
const folders = (): readonly string[] => [
  ...globSync('/usr/lib/postgresql/*/bin').toSorted().toReversed(),
  ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean),
  join(CACHE, 'bin'),
];

const find = (program: string): string | undefined =>
  folders()
    .map((folder) => join(folder, program))
    .find(isExecutable);

const missing = (store: Store): readonly string[] =>
  STORES[store].programs.filter((program) => find(program) === undefined);

/** Why a store cannot be had here, for those that cannot. */
export function whyNot(store: Store): string | undefined {
  const programs = missing(store);
  return programs.length === 0 ? undefined : `${store}: no ${programs.join(', no ')}`;
}

/** Unpacks what is missing into the cache, once a machine; undefined when all is there. */
export function obtainStores(): string | undefined {
  const wanted = (Object.keys(STORES) as Store[]).filter((store) => whyNot(store) !== undefined);
  if (wanted.length === 0) return undefined;
  const packages = wanted.map((store) => STORES[store].package);
  process.stderr.write(`unpacking Debian's ${packages.join(' and ')} into ${CACHE}: once, about 15 seconds\n`);
  const script = fileURLToPath(new URL('../../scripts/fetch-stores.sh', import.meta.url));
  const { status } = spawnSync(script, [CACHE, ...packages], { stdio: ['ignore', 2, 2], timeout: 300_000 });
  const reasons = wanted.flatMap((store) => whyNot(store) ?? []);
  if (reasons.length === 0) return undefined;
  return `${reasons.join('; ')}, and Debian's packages could not be fetched (exit ${status})`;
}

/** @throws for a program that is not there */
export function program(name: (typeof STORES)[Store]['programs'][number]): string {
  const file = find(name);
  if (file === undefined) throw new Error(`no ${name}`);
  return file;
}
