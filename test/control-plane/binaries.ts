/** Finds the programs of a control plane, and says where it found them. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The version that scripts/build-kubernetes.sh makes. */
const BUILT_VERSION = 'v1.20.2';
const PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const;
export type Program = (typeof PROGRAMS)[number];

export interface Binaries {
  readonly path: Readonly<Record<Program, string>>;
  /** The API server's minor version: 20 for v1.20.2. */
  readonly minorVersion: number;
  /** One line for people: which program was taken from where. */
  readonly source: string;
}

export interface Environment {
  readonly KUBEBUILDER_ASSETS?: string | undefined;
  readonly XDG_CACHE_HOME?: string | undefined;
  readonly PATH?: string | undefined;
}

export const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

const cacheFolder = (env: Environment): string =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'singleton-operator', 'kubernetes', BUILT_VERSION, 'bin');

/** Where each program is, for those that `folder` has. */
const programsIn = (folder: string): Map<Program, string> =>
  new Map(PROGRAMS.map((name) => [name, join(folder, name)] as const).filter(([, file]) => isExecutable(file)));

async function build(folder: string): Promise<void> {
  const script = fileURLToPath(new URL('../../scripts/build-kubernetes.sh', import.meta.url));
  process.stderr.write(`No Kubernetes found. Building ${BUILT_VERSION} into ${folder}: once, about 7 minutes.\n`);
  const [code] = (await once(spawn(script, [folder], { stdio: ['ignore', 2, 2] }), 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${script} failed (exit ${code}); its messages above say why`);
}

async function versionLine(command: string, args: string[]): Promise<string | undefined> {
  try {
    return (await run(command, args)).stdout.trim().split('\n')[0];
  } catch {
    return undefined;
  }
}

/** The first kubectl on PATH that runs: people's own is newer than the cache's and describes more. */
async function kubectlOnPath(env: Environment): Promise<string | undefined> {
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const file of folders.map((folder) => join(folder, 'kubectl')).filter(isExecutable)) {
    if ((await versionLine(file, ['version', '--client'])) !== undefined) return file;
  }
  return undefined;
}

/** The first kubectl on PATH that runs, else the one beside the servers; builds nothing. */
export async function findKubectl(env: Environment = process.env): Promise<string | undefined> {
  return (await kubectlOnPath(env)) ?? programsIn(env.KUBEBUILDER_ASSETS || cacheFolder(env)).get('kubectl');
}

const SERVERS = PROGRAMS.filter((name) => name !== 'kubectl');

/** All from one place: programs of different versions rarely get on, and a mixture would be nobody's cluster. */
async function servers(env: Environment): Promise<{ found: Map<Program, string>; source: string }> {
  const assets = env.KUBEBUILDER_ASSETS;
  if (assets) {
    const found = programsIn(assets);
    const lacking = SERVERS.filter((name) => !found.has(name));
    if (lacking.length === 0) return { found, source: `KUBEBUILDER_ASSETS (${assets})` };
    const advice = `Put them there, of the same version, or unset it to use ${BUILT_VERSION} from the cache.`;
    throw new Error(`KUBEBUILDER_ASSETS=${assets} lacks ${lacking.join(', ')}. ${advice}`);
  }
  const folder = cacheFolder(env);
  if (PROGRAMS.some((name) => !programsIn(folder).has(name))) await build(folder);
  return { found: programsIn(folder), source: `the cache (${folder})` };
}

/**
 * The programs to start a control plane with. In this order: `KUBEBUILDER_ASSETS` (the envtest convention), the cache,
 * a build from Debian's source package into the cache (minutes; it prints its progress to stderr). kubectl: the one on
 * PATH if it runs, else the one beside the others.
 *
 * @throws when KUBEBUILDER_ASSETS names a folder that lacks one of the servers, or the build fails.
 */
export async function findBinaries(env: Environment = process.env): Promise<Binaries> {
  const { found, source } = await servers(env);
  const onPath = await kubectlOnPath(env);
  const path = Object.fromEntries([...found, ...(onPath === undefined ? [] : [['kubectl', onPath] as const])]);
  const version = await versionLine(join(found.get('kube-apiserver') ?? ''), ['--version']);
  const minor = /v1\.(\d+)\./.exec(version ?? '')?.[1];
  if (minor === undefined) throw new Error(`kube-apiserver from ${source} does not run: ${version ?? 'no answer'}`);
  return {
    path: path as Record<Program, string>,
    minorVersion: Number(minor),
    source: `${version} from ${source}; kubectl: ${path['kubectl'] ?? 'none'}`,
  };
}
