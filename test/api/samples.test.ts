/** The program inside deploy/samples/hang.yaml does what its comments promise. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { LOOPBACK, freePorts } from '../control-plane/ports.ts';
import { until } from '../control-plane/wait.ts';

interface Sample {
  readonly spec: { readonly template: { readonly spec: { readonly containers: [{ readonly command: string[] }] } } };
}

const sample = parse(readFileSync(new URL('../../deploy/samples/hang.yaml', import.meta.url), 'utf8')) as Sample;

test('the sample hang answers, says that it is about to hang, and then answers neither requests nor probes', async () => {
  const [, ...args] = sample.spec.template.spec.containers[0].command;
  const [port = 0] = await freePorts(1);
  const child = spawn(process.execPath, args, { env: { PORT: String(port) }, stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ask = async (path: string): Promise<string> => {
    const response = await fetch(`http://${LOOPBACK}:${port}${path}`, { signal: AbortSignal.timeout(1_000) });
    return response.text();
  };
  expect(await until('it to listen', () => ask('/'))).toBe(`${hostname()} answers\n`);
  expect(await ask('/hang')).toBe(`${hostname()} hangs for 60 s\n`);
  await expect(ask('/healthz')).rejects.toThrow('timeout');
  await expect(ask('/')).rejects.toThrow('timeout');
  // Hanging, not gone.
  expect(child.exitCode ?? child.signalCode).toBeNull();
});
