/** Real stores for one test file: on loopback, in a folder of their own, as processes that the test owns and ends. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../control-plane/wait.ts';
import { program } from './programs.ts';

const run = promisify(execFile);

/** Debian's `nobody`: PostgreSQL refuses to run as root. */
const NOBODY = 65_534;
const asWho = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

export interface StoreServer {
  /** What the examples, and the store's own client, need to find it. */
  readonly env: Record<string, string>;
  readonly dir: string;
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function ownFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'store-'));
  const data = join(dir, 'data');
  mkdirSync(data, { mode: 0o700 });
  // The folder itself is root's, and the server must get through it.
  chmodSync(dir, 0o755);
  if (asWho.uid !== undefined) chownSync(data, asWho.uid, asWho.gid);
  return dir;
}

/** Ends when the server has ended: with `signal`, and by force when that takes more than 10 s. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(force);
}

interface Start {
  readonly command: string;
  readonly args: readonly string[];
  readonly dir: string;
  readonly env: Record<string, string>;
  readonly isReady: () => Promise<unknown>;
  readonly stopSignal: NodeJS.Signals;
}

async function start({ command, args, dir, env, isReady, stopSignal }: Start): Promise<StoreServer> {
  const child = spawn(command, args, { ...asWho, cwd: join(dir, 'data'), stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(`${command} to answer`, async () => {
    if (child.exitCode !== null) throw new Error(`it ended: ${said}`);
    return isReady().then(
      () => true,
      () => undefined,
    );
  });
  const stop = async (): Promise<void> => {
    await end(child, stopSignal);
    rmSync(dir, { recursive: true, force: true });
  };
  return { env, dir, stop };
}

/** With the log of changes that replicas would be fed from, which tells in which order they were committed. */
export async function startPostgresql(): Promise<StoreServer> {
  const dir = ownFolder();
  const data = join(dir, 'data');
  const port = String(await freePort());
  const cluster = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
  execFileSync(program('initdb'), cluster, { ...asWho, cwd: data, stdio: 'pipe' });
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    wal_level: 'logical',
    jit: 'off',
  };
  const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const env = { PGHOST: '127.0.0.1', PGPORT: port, PGUSER: 'postgres', PGDATABASE: 'postgres' };
  const isReady = () => run(program('psql'), ['-Xc', 'SELECT 1'], { env: { ...process.env, ...env } });
  return start({ command: program('postgres'), args, dir, env, isReady, stopSignal: 'SIGINT' });
}

/** With the file of commands from which it would be restored, which has them in the order in which they were carried out. */
export async function startRedis(): Promise<StoreServer> {
  const dir = ownFolder();
  const port = String(await freePort());
  const settings = { port, bind: '127.0.0.1', dir: join(dir, 'data'), appendonly: 'yes', save: '' };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const env = { REDIS_URL: `redis://127.0.0.1:${port}` };
  const isReady = () => run(program('redis-cli'), ['-u', env.REDIS_URL, 'PING']);
  return start({ command: program('redis-server'), args, dir, env, isReady, stopSignal: 'SIGTERM' });
}
