import { describe, expect, it } from 'vitest';
import { helpText, parseCommandLine } from '../../src/cli/args.ts';
import type { CommandName } from '../../src/cli/args.ts';
import { UsageError } from '../../src/cli/errors.ts';

const NONE = {
  namespace: undefined,
  allNamespaces: false,
  kubeconfig: undefined,
  context: undefined,
  output: 'text',
  watch: false,
  wait: false,
  to: undefined,
};
const COMMANDS: readonly CommandName[] = ['status', 'history', 'why', 'switchover', 'pause', 'resume', 'replay'];

describe('a command line', () => {
  it.each<[string, object]>([
    ['status', { command: 'status', name: undefined, flags: NONE }],
    ['status db', { command: 'status', name: 'db', flags: NONE }],
    ['status -A -w', { command: 'status', name: undefined, flags: { ...NONE, allNamespaces: true, watch: true } }],
    ['status db --watch -o json', { command: 'status', name: 'db', flags: { ...NONE, watch: true, output: 'json' } }],
    ['why -n prod db', { command: 'why', name: 'db', flags: { ...NONE, namespace: 'prod' } }],
    ['why db --namespace=prod', { command: 'why', name: 'db', flags: { ...NONE, namespace: 'prod' } }],
    ['history db -oyaml', { command: 'history', name: 'db', flags: { ...NONE, output: 'yaml' } }],
    ['switchover db', { command: 'switchover', name: 'db', flags: NONE }],
    [
      'switchover db --to slot:2 --wait',
      { command: 'switchover', name: 'db', flags: { ...NONE, to: 'slot:2', wait: true } },
    ],
    ['switchover db --to db-1-x2', { command: 'switchover', name: 'db', flags: { ...NONE, to: 'db-1-x2' } }],
    ['pause db --context c', { command: 'pause', name: 'db', flags: { ...NONE, context: 'c' } }],
    ['resume db --kubeconfig f', { command: 'resume', name: 'db', flags: { ...NONE, kubeconfig: 'f' } }],
    ['replay -', { command: 'replay', name: '-', flags: NONE }],
    ['', { command: 'help', of: undefined }],
    ['--help', { command: 'help', of: undefined }],
    ['help why', { command: 'help', of: 'why' }],
    ['why --help', { command: 'help', of: 'why' }],
  ])('"%s" is understood', (line, call) => {
    expect(parseCommandLine(line.split(' ').filter((word) => word !== ''))).toEqual(call);
  });

  it.each<[string, string]>([
    ['statu', 'there is no command "statu"; the commands are status, history, why, switchover, pause, resume, replay'],
    ['-n prod why db', 'a command comes first; the commands are'],
    ['why', 'why: which one? NAME is missing (kubectl singleton why --help)'],
    ['replay', 'replay: which one? FILE is missing'],
    ['why a b', 'why: takes one NAME, not "b" too'],
    ['why db --watch', "why: Unknown option '--watch' (kubectl singleton why --help)"],
    ['pause db -o json', "pause: Unknown option '-o'"],
    ['why db -o xml', 'why: -o xml is not known; it is json or yaml'],
    ['why db -n', "why: Option '-n, --namespace <value>' argument missing"],
    ['why db --namespace=', 'why: --namespace is empty'],
    ['switchover db --to slot:x', 'switchover: --to slot:x is neither the name of a pod nor slot:N'],
  ])('"%s" is refused in one line', (line, message) => {
    const parse = () => parseCommandLine(line.split(' '));
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(message);
    expect(parse).not.toThrow('\n');
  });
});

describe('help', () => {
  it('names all commands', () => {
    const text = helpText(undefined);
    expect(COMMANDS.filter((command) => text.includes(`  ${command} `))).toEqual(COMMANDS);
  });

  it.each(COMMANDS)('of %s names each of its flags, and no other', (command) => {
    const text = helpText(command);
    const flags = [...text.matchAll(/^ .*--([a-z-]+) ?(\S*)/gm)].map(([, flag = '', value = '']) => [flag, value]);
    const operand = command === 'status' ? [] : ['x'];
    const values: Record<string, string> = { output: 'json' };
    for (const [flag = '', value = ''] of flags) {
      const given = /^[A-Zj]/.test(value) ? [`--${flag}`, values[flag] ?? 'x'] : [`--${flag}`];
      expect(() => parseCommandLine([command, ...operand, ...given])).not.toThrow();
    }
    expect(text.startsWith(`kubectl singleton ${command} `)).toBe(true);
    expect(text.includes('--kubeconfig')).toBe(command !== 'replay');
    expect(text.includes('--wait')).toBe(command === 'switchover');
  });
});
