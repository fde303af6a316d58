/** Programs that the suite calls: kubectl, docker. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** stdout of a program that ended with 0. Rejects with what it wrote to stderr. */
export function run(program: string, args: readonly string[], input?: string, timeoutMs = 120_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: 256 * 1024 * 1024 };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.slice(0, 6).join(' ')}: ${stderr.trim() || error.message}`));
    });
    child.stdin?.end(input);
  });
}

export const kubectl = (...args: string[]): Promise<string> => run('kubectl', args);

export const apply = (...objects: object[]): Promise<string> =>
  run('kubectl', ['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));

/** Whatever a kubeconfig says, exec plugins too, is kubectl's business: behind its proxy the API is plain HTTP. */
export async function startProxy(): Promise<{ url: string; stop(): void }> {
  const child: ChildProcess = spawn('kubectl', ['proxy', '--port=0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const stop = (): void => void child.kill('SIGTERM');
  process.once('exit', stop);
  if (child.stdout === null) throw new Error('kubectl proxy has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (address === undefined) continue;
    // It ends with this process, and does not keep it from ending.
    child.unref();
    if (child.stdout instanceof Socket) child.stdout.unref();
    return { url: `http://${address}`, stop };
  }
  throw new Error('kubectl proxy ended at once');
}
