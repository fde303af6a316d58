/** `kubectl singleton` in the test's own process: all of it but the few lines of kubectl-main.ts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '../../src/adapters/clock.ts';
import type { Clock } from '../../src/adapters/ports.ts';
import { runCli } from '../../src/cli/run.ts';
import { kubeconfig } from '../control-plane/credentials.ts';
import type { SharedControlPlane } from '../control-plane/suite.ts';

export interface Output {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly done: Promise<Output>;
  /** What stdout has so far. */
  text(): string;
  /** Ctrl-C. */
  interrupt(): void;
}

export interface KubeconfigContext {
  readonly namespace?: string;
  /** Acts as this user: one with no rights but those that the test gives. */
  readonly as?: string;
  readonly server?: string;
  readonly token?: string;
}

/** The plugin of somebody with a kubeconfig. */
export class Plugin {
  readonly #controlPlane: SharedControlPlane;
  readonly #directory = mkdtempSync(join(tmpdir(), 'kubectl-singleton-'));
  #files = 0;

  constructor(controlPlane: SharedControlPlane) {
    this.#controlPlane = controlPlane;
  }

  /** A file in a folder that goes with the plugin. */
  path = (name: string): string => join(this.#directory, name);

  kubeconfig({ namespace, as, server, token }: KubeconfigContext = {}): string {
    const { server: own, ca, tokens } = this.#controlPlane;
    const text = kubeconfig({ server: server ?? own, ca, token: token ?? tokens['admin'] ?? '' });
    const config = JSON.parse(text) as { users: { user: object }[]; contexts: { context: object }[] };
    Object.assign(config.contexts[0]?.context ?? {}, namespace === undefined ? {} : { namespace });
    Object.assign(config.users[0]?.user ?? {}, as === undefined ? {} : { as });
    const file = this.path(`${++this.#files}.kubeconfig`);
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  start(line: string, file: string, clock: Clock = createSystemClock()): Running {
    let out = '';
    let err = '';
    const controller = new AbortController();
    const done = runCli({
      args: line.split(' '),
      env: { KUBECONFIG: file },
      isTerminal: false,
      clock,
      signal: controller.signal,
      stdout: (text) => void (out += text),
      stderr: (text) => void (err += text),
    }).then((code): Output => ({ code, out, err }));
    return { done, text: () => out, interrupt: () => controller.abort() };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
