/** Starts, signals and ends the programs of a control plane through a supervisor that outlives this process. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SupervisorMessage, SupervisorRequest } from './supervisor.ts';

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;
type Reply = SupervisorMessage & { kind: 'reply' };

/** A program that can be ended, started again with the same arguments, and frozen. */
export interface ProcessHandle {
  readonly name: string;
  /** Undefined while it is not running. */
  readonly pid: number | undefined;
  readonly logFile: string;
  start(): Promise<void>;
  /** Default SIGKILL, as when its node dies. Resolves when the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** SIGSTOP: its sockets stay open and nobody answers. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

export interface Processes {
  /** Removed when the last of them has ended. */
  readonly directory: string;
  readonly supervisorPid: number;
  /** @param name unique; default: the file name of the command */
  define(command: string, args: string[], name?: string): ProcessHandle;
  /** Ends everything and removes the folder (unless `keepFiles`). Can be called again. */
  shutDown(keepFiles?: boolean): Promise<void>;
}

/** The last lines of a program's output, for error messages. */
export function logTail(file: string, lines = 15): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch (error) {
    return `(no log: ${String(error)})`;
  }
}

class Supervisor {
  readonly #child: ChildProcess;
  readonly #directory: string;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #running = new Map<string, number>();
  /** Programs that have been told to end. */
  readonly #toEnd = new Set<string>();
  #nextId = 1;
  #over = false;
  #keepFiles = false;

  constructor(child: ChildProcess, directory: string) {
    this.#child = child;
    this.#directory = directory;
    child.on('message', (message: SupervisorMessage) => this.#receive(message));
    child.once('exit', () => this.#lost());
  }

  pid(name: string): number | undefined {
    return this.#running.get(name);
  }

  get over(): boolean {
    return this.#over;
  }

  async ask(request: Unnumbered<SupervisorRequest>): Promise<number | undefined> {
    if (this.#over) throw new Error('the control plane has been shut down');
    const id = this.#nextId++;
    if (request.kind === 'start') this.#toEnd.delete(request.name);
    if (request.kind === 'signal' && request.awaitExit) this.#toEnd.add(request.name);
    if (request.kind === 'shutdown') for (const name of this.#running.keys()) this.#toEnd.add(name);
    const replied = new Promise<Reply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ ...request, id });
    const reply = await replied;
    if (reply.error !== undefined) throw new Error(reply.error);
    if (request.kind === 'start' && reply.pid !== undefined) this.#running.set(request.name, reply.pid);
    return reply.pid;
  }

  async end(keepFiles: boolean): Promise<void> {
    if (this.#over) return;
    this.#keepFiles = keepFiles;
    await this.ask({ kind: 'shutdown', keepFiles });
    this.#over = true;
    if (!this.#child.connected) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }

  #receive(message: SupervisorMessage): void {
    if (message.kind === 'exited') this.#exited(message);
    if (message.kind !== 'reply') return;
    this.#waiting.get(message.id)?.(message);
    this.#waiting.delete(message.id);
  }

  /** Said aloud, as a test that goes on without its API server fails in ways that tell nothing. */
  #exited({ name, pid, code, signal }: SupervisorMessage & { kind: 'exited' }): void {
    this.#running.delete(name);
    if (this.#toEnd.has(name)) return;
    process.stderr.write(`${name} (pid ${pid}) ended by itself: ${signal ?? `exit ${code}`}\n`);
  }

  /** The supervisor itself was killed: what it ran is nobody's now, so it is ended from here. */
  #lost(): void {
    this.#over = true;
    for (const pid of this.#running.values()) killGroup(pid);
    this.#running.clear();
    if (!this.#keepFiles) rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
    for (const [id, resolve] of this.#waiting) resolve({ kind: 'reply', id, error: 'the supervisor has ended' });
    this.#waiting.clear();
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Starts a supervisor with an empty temporary folder. While it runs, it keeps this process alive. */
export async function superviseProcesses(): Promise<Processes> {
  const script = fileURLToPath(new URL('supervisor.ts', import.meta.url));
  // No execArgv: a test runner's own loaders have no business there.
  const child = fork(script, [], { detached: true, execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`the supervisor of the control plane's programs did not start (exit ${code})`);
  });
  const [hello] = (await Promise.race([once(child, 'message'), failed])) as [SupervisorMessage];
  failed.catch(() => {});
  if (hello.kind !== 'ready') throw new Error(`the supervisor began with ${hello.kind}`);
  const { directory } = hello;
  const supervisor = new Supervisor(child, directory);
  return {
    directory,
    supervisorPid: child.pid ?? 0,
    define: (command, args, name = basename(command)) =>
      processHandle(supervisor, name, join(directory, `${name}.log`), command, args),
    shutDown: (keepFiles = false) => supervisor.end(keepFiles),
  };
}

function processHandle(
  supervisor: Supervisor,
  name: string,
  logFile: string,
  command: string,
  args: string[],
): ProcessHandle {
  const signal = (signal: NodeJS.Signals, awaitExit: boolean) =>
    supervisor.ask({ kind: 'signal', name, signal, awaitExit });
  return {
    name,
    logFile,
    get pid() {
      return supervisor.pid(name);
    },
    async start() {
      await supervisor.ask({ kind: 'start', name, command, args, logFile });
    },
    async stop(how = 'SIGKILL') {
      await signal(how, true);
    },
    async freeze() {
      await signal('SIGSTOP', false);
    },
    async thaw() {
      await signal('SIGCONT', false);
    },
  };
}
