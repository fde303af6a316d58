/**
 * Where the API server is and how to be let in: a kubeconfig as kubectl reads it, or the pod's service account.
 *
 * Parsing and the exec plugins are client-node's, imported by file: its index brings every generated model along
 * (bundled: 87 MB RSS with the index, 74 MB with `dist/config.js`, 58 MB with the two files below, 54 MB with nothing).
 * Only a user with a legacy `auth-provider` (oidc, gcp, azure) loads client-node's whole KubeConfig, and only then.
 */
import { readFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { RequestOptions } from 'node:https';
import { load } from 'js-yaml';
import {
  newClusters,
  newContexts,
  newUsers,
  type Cluster,
  type User,
} from '@kubernetes/client-node/dist/config_types.js';
import { ExecAuth } from '@kubernetes/client-node/dist/exec_auth.js';
import {
  CachedCredentials,
  tlsKeyOf,
  type CredentialSource,
  type Credentials,
  type TlsMaterial,
} from './credentials.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Something a person has to put right; the message is one line that names the file and what to do. */
export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
}

export interface ClusterAccess {
  /** `https://host:port`, perhaps with a path; no slash at the end. */
  readonly server: string;
  /** The context's namespace, or the pod's own. */
  readonly namespace: string | undefined;
  /** For logs: where this came from. */
  readonly source: string;
  readonly credentials: CredentialSource;
}

export interface KubeconfigOptions {
  /** `--kubeconfig`: this file and no other. */
  readonly path?: string;
  /** `--context` instead of `current-context`. */
  readonly context?: string;
  /** KUBECONFIG, HOME, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are read from here. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account; for tests. */
  readonly serviceAccountDir?: string;
}

/**
 * In this order: `path`; the files in KUBECONFIG, merged; the service account when running in a pod; `~/.kube/config`.
 * (The order of controller-runtime's `config.GetConfig`.)
 *
 * @throws KubeconfigError
 */
export function loadKubeconfig(options: KubeconfigOptions): ClusterAccess {
  const { env } = options;
  if (options.path !== undefined) return fromFiles([readKubeconfig(options.path)], options);
  const listed = (env['KUBECONFIG'] ?? '').split(path.delimiter).filter((file) => file !== '');
  if (listed.length > 0) return fromFiles(readListed(listed), options);
  const inCluster = fromServiceAccount(options);
  if (inCluster !== undefined) return inCluster;
  const home = path.join(env['HOME'] ?? '/', '.kube', 'config');
  if (existsSync(home)) return fromFiles([readKubeconfig(home)], options);
  throw new KubeconfigError(
    `no kubeconfig: this is not a pod with a service account, KUBECONFIG is not set and ${home} does not exist; pass --kubeconfig`,
  );
}

// --- in a pod ---------------------------------------------------------------------------------------------------------

function fromServiceAccount({
  env,
  serviceAccountDir = SERVICE_ACCOUNT,
}: KubeconfigOptions): ClusterAccess | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const tokenFile = path.join(serviceAccountDir, 'token');
  if (host === undefined || host === '' || !existsSync(tokenFile)) return undefined;
  const caFile = path.join(serviceAccountDir, 'ca.crt');
  const namespaceFile = path.join(serviceAccountDir, 'namespace');
  const read = async (): Promise<Credentials> => {
    const [token, ca] = await Promise.all([readFile(tokenFile, 'utf8'), readFile(caFile)]);
    return assemble({ authorization: `Bearer ${token.trim()}` }, { ca });
  };
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: existsSync(namespaceFile) ? readFileSync(namespaceFile, 'utf8').trim() : undefined,
    source: `the pod's service account in ${serviceAccountDir}`,
    credentials: new CachedCredentials(read),
  };
}

function assemble(headers: Record<string, string | string[]>, tls: TlsMaterial): Credentials {
  return { headers, tls, tlsKey: tlsKeyOf(tls) };
}

// --- kubeconfig files -------------------------------------------------------------------------------------------------

/** A user as client-node parses it, and what it leaves out. */
interface FullUser extends User {
  readonly file: string;
  /** client-go's `tokenFile`; wins over `token`. */
  readonly tokenFile: string | undefined;
  readonly impersonate: Record<string, string | string[]>;
}

interface KubeconfigFile {
  readonly file: string;
  readonly currentContext: string | undefined;
  readonly clusters: readonly (Cluster & { readonly file: string })[];
  readonly users: readonly FullUser[];
  readonly contexts: readonly {
    readonly name: string;
    readonly cluster: string;
    readonly user: string;
    readonly namespace?: string;
  }[];
}

/** As kubectl: of several files those that do not exist are skipped, unless none does. */
function readListed(files: readonly string[]): KubeconfigFile[] {
  const existing = files.filter((file) => existsSync(file));
  if (existing.length === 0) {
    throw new KubeconfigError(`KUBECONFIG names ${files.join(', ')}, which does not exist; set it to an existing file`);
  }
  return existing.map(readKubeconfig);
}

function readKubeconfig(file: string): KubeconfigFile {
  const raw = parseYaml(file, readText(file));
  try {
    const directory = path.dirname(path.resolve(file));
    return {
      file,
      currentContext: textOf(raw['current-context']),
      clusters: newClusters(raw['clusters']).map((cluster) => ({
        ...cluster,
        ...absolute(directory, cluster, ['caFile']),
        file,
      })),
      users: newUsers(withoutTokenFiles(raw['users'])).map((user, index) =>
        fullUser(file, directory, user, raw['users'], index),
      ),
      contexts: newContexts(raw['contexts']),
    };
  } catch (error) {
    throw new KubeconfigError(`kubeconfig ${file}: ${messageOf(error)}; correct the file`, { cause: error });
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const what = missing ? 'does not exist; check --kubeconfig or KUBECONFIG' : `cannot be read: ${messageOf(error)}`;
    throw new KubeconfigError(`kubeconfig ${file} ${what}`, { cause: error });
  }
}

function parseYaml(file: string, text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = text.trim() === '' ? {} : load(text);
  } catch (error) {
    const firstLine = messageOf(error).split('\n', 1)[0];
    throw new KubeconfigError(`kubeconfig ${file} is not YAML: ${firstLine}; correct the file`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new KubeconfigError(
      `kubeconfig ${file} is not a kubeconfig (its top level is not a mapping); correct the file`,
    );
  }
  return parsed as Record<string, unknown>;
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

function absolute<K extends string>(directory: string, from: { readonly [P in K]?: string }, keys: readonly K[]) {
  const resolved: { [P in K]?: string } = {};
  for (const key of keys) {
    const file = from[key];
    if (typeof file === 'string' && file !== '') resolved[key] = path.resolve(directory, file);
  }
  return resolved;
}

/** client-node reads `token-file` once, while parsing, and never again: kept from it. */
function withoutTokenFiles(users: unknown): unknown {
  if (!Array.isArray(users)) return users;
  return users.map((entry: unknown) => {
    const { 'token-file': _dropped, ...user } = recordOf(recordOf(entry)['user']);
    return { ...recordOf(entry), user };
  });
}

function fullUser(file: string, directory: string, parsed: User, rawUsers: unknown, index: number): FullUser {
  const raw = recordOf(recordOf((rawUsers as unknown[])[index])['user']);
  const tokenFile = textOf(raw['tokenFile']) ?? textOf(raw['token-file']);
  return {
    ...parsed,
    ...absolute(directory, parsed, ['certFile', 'keyFile']),
    exec: execOf(directory, parsed.exec),
    file,
    tokenFile: tokenFile === undefined ? undefined : path.resolve(directory, tokenFile),
    impersonate: impersonationOf(raw),
  };
}

/**
 * As client-go: a command with a slash is relative to the kubeconfig, and the plugin is told that nobody is there to
 * answer its questions.
 */
function execOf(directory: string, exec: unknown): Record<string, unknown> | undefined {
  const raw = recordOf(exec);
  const command = textOf(raw['command']);
  if (command === undefined) return undefined;
  const info = { kind: 'ExecCredential', apiVersion: raw['apiVersion'], spec: { interactive: false } };
  const env: unknown[] = Array.isArray(raw['env']) ? raw['env'] : [];
  return {
    ...raw,
    command: command.includes('/') ? path.resolve(directory, command) : command,
    env: [...env, { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }],
  };
}

function impersonationOf(raw: Record<string, unknown>): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  const user = textOf(raw['as']);
  const uid = textOf(raw['as-uid']);
  const groups = raw['as-groups'];
  if (user !== undefined) headers['impersonate-user'] = user;
  if (uid !== undefined) headers['impersonate-uid'] = uid;
  if (Array.isArray(groups)) headers['impersonate-group'] = groups.map(String);
  for (const [key, values] of Object.entries(recordOf(raw['as-user-extra']))) {
    if (Array.isArray(values))
      headers[`impersonate-extra-${encodeURIComponent(key)}`.toLowerCase()] = values.map(String);
  }
  return headers;
}

/** As kubectl merges: the first file to name a context, cluster, user or the current context wins. */
function fromFiles(files: readonly KubeconfigFile[], options: KubeconfigOptions): ClusterAccess {
  const names = files.map((file) => file.file).join(', ');
  const contextName = options.context ?? files.find((file) => file.currentContext !== undefined)?.currentContext;
  if (contextName === undefined) {
    throw new KubeconfigError(
      `kubeconfig ${names} has no current-context; run kubectl config use-context, or pass --context`,
    );
  }
  const find = <T extends { readonly name: string }>(what: string, all: readonly T[], name: string): T => {
    const found = all.find((entry) => entry.name === name);
    if (found !== undefined) return found;
    const known = all.map((entry) => entry.name).join(', ') || 'none';
    throw new KubeconfigError(
      `kubeconfig ${names} has no ${what} "${name}" (it has: ${known}); correct the file or choose another context`,
    );
  };
  const context = find(
    'context',
    files.flatMap((file) => file.contexts),
    contextName,
  );
  const cluster = find(
    `cluster of context "${contextName}",`,
    files.flatMap((file) => file.clusters),
    context.cluster,
  );
  const user =
    context.user === undefined
      ? undefined
      : find(
          `user of context "${contextName}",`,
          files.flatMap((file) => file.users),
          context.user,
        );
  return access(contextName, context.namespace, cluster, user);
}

function access(
  context: string,
  namespace: string | undefined,
  cluster: Cluster & { readonly file: string },
  user: FullUser | undefined,
): ClusterAccess {
  const where = `kubeconfig ${cluster.file}, cluster "${cluster.name}"`;
  if (!/^https?:\/\/./.test(cluster.server)) {
    throw new KubeconfigError(
      `${where}: server "${cluster.server}" is not a URL; it must begin with https:// or http://`,
    );
  }
  if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== null) {
    throw new KubeconfigError(`${where}: proxy-url is not supported; remove it, or forward a port`);
  }
  requireFiles(cluster, user);
  let exec = new ExecAuth();
  const read = async (fresh: boolean): Promise<Credentials> => {
    // It offers no way to forget a credential that the server refused before it expired.
    if (fresh) exec = new ExecAuth();
    return await readCredentials(cluster, user, exec);
  };
  return {
    server: cluster.server.replace(/\/+$/, ''),
    namespace,
    source: `context "${context}" of kubeconfig ${cluster.file}`,
    credentials: new CachedCredentials(read),
  };
}

/** Said when the program starts rather than with the first request. Later they may be away for a moment, as they rotate. */
function requireFiles(cluster: Cluster & { readonly file: string }, user: FullUser | undefined): void {
  const named: readonly (readonly [string, string | undefined])[] = [
    ['certificate-authority', cluster.caFile],
    ['client-certificate', user?.certFile],
    ['client-key', user?.keyFile],
    ['tokenFile', user?.tokenFile],
  ];
  for (const [field, file] of named) {
    if (typeof file !== 'string' || existsSync(file)) continue;
    throw new KubeconfigError(
      `kubeconfig ${cluster.file} has for ${field} ${file}, which does not exist; correct the file`,
    );
  }
}

async function readCredentials(cluster: Cluster, user: FullUser | undefined, exec: ExecAuth): Promise<Credentials> {
  const options: RequestOptions & { headers: Record<string, string> } = { headers: {} };
  if (user !== undefined) await authenticate(cluster, user, exec, options);
  const authorization = options.headers['Authorization'];
  const ca = await pem(cluster.caFile, cluster.caData);
  const cert = (await pem(user?.certFile, user?.certData)) ?? (options.cert as string | undefined);
  const key = (await pem(user?.keyFile, user?.keyData)) ?? (options.key as string | undefined);
  return assemble(
    { ...user?.impersonate, ...(authorization === undefined ? {} : { authorization }) },
    {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(typeof cluster.tlsServerName === 'string' ? { servername: cluster.tlsServerName } : {}),
      skipVerify: cluster.skipTLSVerify,
    },
  );
}

/** Puts `Authorization`, or a client certificate, into `options`. */
async function authenticate(
  cluster: Cluster,
  user: FullUser,
  exec: ExecAuth,
  options: RequestOptions & { headers: Record<string, string> },
): Promise<void> {
  if (user.tokenFile !== undefined) {
    options.headers['Authorization'] = `Bearer ${(await readFile(user.tokenFile, 'utf8')).trim()}`;
  } else if (textOf(user.token) !== undefined) {
    options.headers['Authorization'] = `Bearer ${user.token}`;
  } else if (textOf(user.username) !== undefined) {
    const pair = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    options.headers['Authorization'] = `Basic ${pair}`;
  } else if (exec.isAuthProvider(user)) {
    await exec.applyAuthentication(user, options);
  } else if (user.authProvider !== undefined && user.authProvider !== null) {
    await authenticateWithProvider(cluster, user, options);
  }
}

async function authenticateWithProvider(cluster: Cluster, user: FullUser, options: RequestOptions): Promise<void> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(cluster, user);
  await config.applyToHTTPSOptions(options);
}

async function pem(file: string | undefined, base64: string | undefined): Promise<Buffer | undefined> {
  if (file !== undefined && file !== null) return await readFile(file);
  return base64 === undefined || base64 === null ? undefined : Buffer.from(base64, 'base64');
}
