/** From the command line to what is asked for. */
import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';

export type Format = 'text' | 'json' | 'yaml';

export interface Flags {
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly output: Format;
  readonly watch: boolean;
  readonly wait: boolean;
  readonly to: string | undefined;
}

export type CommandName = 'status' | 'history' | 'why' | 'switchover' | 'pause' | 'resume' | 'replay';

export type Call =
  | { readonly command: 'help'; readonly of: CommandName | undefined }
  | { readonly command: CommandName; readonly name: string | undefined; readonly flags: Flags };

const OPTIONS = {
  namespace: { type: 'string', short: 'n', help: ['NAMESPACE', "default: the kubeconfig context's"] },
  'all-namespaces': { type: 'boolean', short: 'A', help: ['', 'of all namespaces'] },
  kubeconfig: { type: 'string', help: ['FILE', 'default: KUBECONFIG, or ~/.kube/config'] },
  context: { type: 'string', help: ['NAME', "default: the kubeconfig's current-context"] },
  output: { type: 'string', short: 'o', help: ['json|yaml', 'for programs'] },
  watch: { type: 'boolean', short: 'w', help: ['', 'go on with a line for each change, until Ctrl-C'] },
  to: { type: 'string', help: ['POD|slot:N', 'who becomes the active; default: any, the best candidate'] },
  wait: { type: 'boolean', help: ['', 'follow until the outcome stands in the status: exit 0 when it moved, else 1'] },
  help: { type: 'boolean', short: 'h', help: ['', 'this text'] },
} as const;

type OptionName = keyof typeof OPTIONS;

interface Command {
  readonly operand: 'NAME' | '[NAME]' | 'FILE';
  readonly summary: string;
  /** Besides those of all commands. */
  readonly options: readonly OptionName[];
  readonly about: string;
}

const CLUSTER: readonly OptionName[] = ['namespace', 'kubeconfig', 'context'];

const COMMANDS: Readonly<Record<CommandName, Command>> = {
  status: {
    operand: '[NAME]',
    summary: 'who is active, since when, and what is in the way',
    options: ['all-namespaces', 'watch', 'output', ...CLUSTER],
    about: 'Without NAME one line for each SingletonService.',
  },
  history: {
    operand: 'NAME',
    summary: 'the last ten moves',
    options: ['output', ...CLUSTER],
    about: 'When, why, from whom to whom, with which term, and how long it took from being noticed to being routed.',
  },
  why: {
    operand: 'NAME',
    summary: 'who would be chosen and why, what waits, what happens next',
    options: ['output', ...CLUSTER],
    about: `Reads what the operator reads, lets the operator's own code decide, and writes nothing. -o json prints the
snapshot too, which "kubectl singleton replay" takes.`,
  },
  switchover: {
    operand: 'NAME',
    summary: 'ask for a planned move',
    options: ['to', 'wait', ...CLUSTER],
    about: 'The operator checks the request, and refuses it with a reason or moves; "status" tells the outcome.',
  },
  pause: {
    operand: 'NAME',
    summary: 'nothing moves, no pod is made or deleted (spec.paused: true)',
    options: CLUSTER,
    about: 'If the active fails while paused, nobody takes over.',
  },
  resume: {
    operand: 'NAME',
    summary: 'end a pause (spec.paused: false)',
    options: CLUSTER,
    about: 'What waited goes on at once.',
  },
  replay: {
    operand: 'FILE',
    summary: 'the plan that a saved snapshot gives',
    options: ['output'],
    about: `FILE, or - for stdin, is what "why -o json" or "-o yaml" printed, or the operator's log, of which each line with a
snapshot in it is decided again. Needs no cluster.`,
  },
};

const COMMAND_NAMES = Object.keys(COMMANDS) as CommandName[];

const isCommand = (word: string | undefined): word is CommandName =>
  word !== undefined && Object.hasOwn(COMMANDS, word);

/** @throws UsageError */
export function parseCommandLine(args: readonly string[]): Call {
  const [word, ...rest] = args;
  if (word === undefined || word === '--help' || word === '-h') return { command: 'help', of: undefined };
  if (word === 'help') return { command: 'help', of: isCommand(rest[0]) ? rest[0] : undefined };
  if (!isCommand(word)) {
    const what = word.startsWith('-') ? 'a command comes first' : `there is no command "${word}"`;
    throw new UsageError(`${what}; the commands are ${COMMAND_NAMES.join(', ')} (kubectl singleton --help)`);
  }
  const { values, positionals } = parse(word, rest);
  if (values['help'] === true) return { command: 'help', of: word };
  return { command: word, name: operandOf(word, positionals), flags: flagsOf(word, values) };
}

type Values = Readonly<Partial<Record<string, string | boolean>>>;

function parse(command: CommandName, args: readonly string[]): { values: Values; positionals: readonly string[] } {
  const known: OptionName[] = [...COMMANDS[command].options, 'help'];
  const options = Object.fromEntries(
    known.map((name) => {
      const { help: _help, ...option } = OPTIONS[name];
      return [name, option];
    }),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { values, positionals };
  } catch (error) {
    const [first = ''] = (error instanceof Error ? error.message : String(error)).split(/\.\s|\n/);
    throw usageError(command, first);
  }
}

function operandOf(command: CommandName, positionals: readonly string[]): string | undefined {
  const { operand } = COMMANDS[command];
  const [name, surplus] = positionals;
  if (surplus !== undefined)
    throw usageError(command, `takes one ${operand.replaceAll(/[[\]]/g, '')}, not "${surplus}" too`);
  if (name === undefined && operand !== '[NAME]') throw usageError(command, `which one? ${operand} is missing`);
  return name;
}

function flagsOf(command: CommandName, values: Values): Flags {
  const text = (name: OptionName): string | undefined => {
    const value = values[name];
    if (value === '') throw usageError(command, `--${name} is empty`);
    return typeof value === 'string' ? value : undefined;
  };
  const output = text('output') ?? 'text';
  if (output !== 'text' && output !== 'json' && output !== 'yaml') {
    throw usageError(command, `-o ${output} is not known; it is json or yaml`);
  }
  return {
    namespace: text('namespace'),
    allNamespaces: values['all-namespaces'] === true,
    kubeconfig: text('kubeconfig'),
    context: text('context'),
    output,
    watch: values['watch'] === true,
    wait: values['wait'] === true,
    to: targetOf(command, text('to')),
  };
}

/** A pod's name or `slot:<n>`, as the annotation takes it. Whether there is such a member is the operator's to say. */
function targetOf(command: CommandName, to: string | undefined): string | undefined {
  if (to === undefined || /^slot:\d{1,2}$/.test(to) || /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(to)) return to;
  throw usageError(command, `--to ${to} is neither the name of a pod nor slot:N`);
}

const usageError = (command: CommandName, what: string): UsageError =>
  new UsageError(`${command}: ${what} (kubectl singleton ${command} --help)`);

export function helpText(of: CommandName | undefined): string {
  return of === undefined ? helpForAll() : helpFor(of);
}

function helpForAll(): string {
  const lines = COMMAND_NAMES.map((name) => {
    const { operand, summary } = COMMANDS[name];
    return `  ${`${name} ${operand}`.padEnd(17)}  ${summary}`;
  });
  return `kubectl singleton COMMAND

${lines.join('\n')}

Each has -n NAMESPACE, --kubeconfig FILE, --context NAME (but replay) and --help. Exit: 0 done, 1 failed, 2 wrong call.
`;
}

function helpFor(name: CommandName): string {
  const { operand, summary, options, about } = COMMANDS[name];
  const rows = [...options, 'help' as const].map((option) => {
    const { help, ...rest } = OPTIONS[option];
    const short = 'short' in rest ? `-${rest.short}, ` : '    ';
    return `  ${`${short}--${option} ${help[0]}`.padEnd(28)}  ${help[1]}`;
  });
  return `kubectl singleton ${name} ${operand}: ${summary}

${about}

${rows.join('\n')}
`;
}
