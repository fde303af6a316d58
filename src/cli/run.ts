/** `kubectl singleton …` as a function: from arguments to output and an exit code. */
import type { Clock } from '../adapters/ports.ts';
import { helpText, parseCommandLine } from './args.ts';
import type { Call } from './args.ts';
import { connect } from './cluster.ts';
import type { ClusterCommand, Context, SingletonCommand } from './commands.ts';
import { CliError, EXIT, UsageError, lineFor } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { history } from './history.ts';
import { pause, resume } from './pause.ts';
import { replayFile } from './replay.ts';
import { status } from './status.ts';
import { switchover } from './switchover.ts';
import { paintFor } from './terminal.ts';
import { why } from './why.ts';

export interface Surroundings {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether stdout is one: without it there are no colours. */
  readonly isTerminal: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Never rejects: what goes wrong is one line on stderr and the exit code. */
export async function runCli(surroundings: Surroundings): Promise<ExitCode> {
  const { args, stdout, stderr } = surroundings;
  try {
    const call = parseCommandLine(args);
    if (call.command !== 'help') return await perform(call, surroundings);
    stdout(helpText(call.of));
    return EXIT.ok;
  } catch (error) {
    stderr(`kubectl singleton: ${lineFor(error)}\n`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}

type Asked = Exclude<Call, { command: 'help' }>;

const ONE: Readonly<Record<Exclude<Asked['command'], 'status' | 'replay'>, SingletonCommand>> = {
  history,
  why,
  switchover,
  pause,
  resume,
};

async function perform({ command, name, flags }: Asked, surroundings: Surroundings): Promise<ExitCode> {
  const { env, isTerminal, clock, signal, stdout, stderr } = surroundings;
  const note = (line: string): void => stderr(`${line}\n`);
  const context: Context = { flags, clock, signal, paint: paintFor(isTerminal, env), print: stdout, note };
  if (command === 'replay') return replayFile(name ?? '-', context);
  const cluster = connect(flags, env);
  try {
    const work: ClusterCommand = command === 'status' ? status : onOne(ONE[command]);
    return await work(context, cluster, name);
  } finally {
    cluster.api.close();
  }
}

const onOne =
  (work: SingletonCommand): ClusterCommand =>
  async (context, cluster, name) => {
    const { namespace } = cluster;
    if (name === undefined || namespace === undefined) throw new CliError('a name and a namespace are needed');
    return await work(context, cluster, { namespace, name });
  };
