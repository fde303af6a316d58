/** `status`: who is active, of one singleton or of all, once or for as long as one likes. */
import { CONDITION } from '../api/names.ts';
import { fromIso } from '../api/time.ts';
import type { ActiveStatus, Move, SingletonService, Status } from '../api/types.ts';
import { getSingleton, listSingletons, noSuch } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { aborted } from './commands.ts';
import type { ClusterCommand, Context } from './commands.ts';
import { EXIT } from './errors.ts';
import { follow } from './follow.ts';
import { outcomeText, requestedOf, switchoverOf } from './switchover-status.ts';
import { age, dataText, rowText, table, widthsOf } from './terminal.ts';
import type { Cell, Colour, Paint, Row } from './terminal.ts';

export const status: ClusterCommand = async (context, cluster, name) => {
  const { flags, clock, paint } = context;
  const all = name === undefined ? await listSingletons(cluster.api, cluster.namespace) : [await one(cluster, name)];
  const objects = all.sort((a, b) => (fullName(a) < fullName(b) ? -1 : 1));
  if (flags.watch) return await watchFrom(objects, context, cluster, name);
  const [first] = objects;
  if (flags.output !== 'text') {
    context.print(
      dataText(name === undefined || first === undefined ? objects.map(dataOf) : dataOf(first), flags.output),
    );
  } else if (first === undefined) {
    context.note(
      `no SingletonServices in ${cluster.namespace === undefined ? 'any namespace' : `namespace "${cluster.namespace}"`}`,
    );
  } else {
    const { allNamespaces } = flags;
    const nowMs = clock.wallMs();
    context.print(
      name === undefined ? listText(objects, { allNamespaces, nowMs, paint }) : statusText(first, nowMs, paint),
    );
  }
  return EXIT.ok;
};

async function one({ api, namespace }: Cluster, name: string): Promise<SingletonService> {
  if (namespace !== undefined) return await getSingleton(api, { namespace, name });
  const found = (await listSingletons(api, undefined)).find(({ metadata }) => metadata.name === name);
  if (found === undefined) throw noSuch({ namespace: 'any', name });
  return found;
}

const fullName = ({ metadata }: SingletonService): string => `${metadata.namespace ?? ''}/${metadata.name}`;

const dataOf = (object: SingletonService) => ({
  namespace: object.metadata.namespace,
  name: object.metadata.name,
  generation: object.metadata.generation,
  switchoverRequested: requestedOf(object),
  status: object.status ?? {},
});

// --- a line for each --------------------------------------------------------------------------------------------------

export interface ListStyle {
  readonly allNamespaces: boolean;
  readonly nowMs: number;
  readonly paint: Paint;
}

export const listText = (objects: readonly SingletonService[], style: ListStyle): string =>
  table(rowsOf(objects, style), style.paint);

const rowsOf = (objects: readonly SingletonService[], style: ListStyle): Row[] => [
  [...(style.allNamespaces ? ['NAMESPACE'] : []), 'NAME', 'ACTIVE', 'NODE', 'READY', 'TERM', 'LAST MOVE', 'STATUS'],
  ...objects.map((object) => rowOf(object, style)),
];

function rowOf({ metadata, status = {} }: SingletonService, { allNamespaces, nowMs }: ListStyle): Row {
  const { active, lastMove } = status;
  return [
    ...(allNamespaces ? [metadata.namespace ?? ''] : []),
    metadata.name,
    active?.pod ?? '-',
    active?.node ?? '-',
    status.ready ?? '-',
    String(status.term ?? '-'),
    lastMove === undefined ? '-' : `${sinceMove(lastMove, nowMs)} (${lastMove.reason ?? lastMove.kind})`,
    verdictOf(status),
  ];
}

const sinceMove = (move: Move, nowMs: number): string => sinceText(move.routedAt ?? move.grantedAt, nowMs);

function sinceText(time: string | undefined, nowMs: number): string {
  const ms = fromIso(time);
  return ms === undefined ? '?' : `${age(nowMs - ms)} ago`;
}

const conditionOf = ({ conditions }: Status, type: string) => conditions?.find((condition) => condition.type === type);

/** `ActiveRouted`, `ActiveGone,Blocked:NoCandidate`, `ActiveRouted,Paused`. */
function verdictOf(status: Status): Cell {
  const ready = conditionOf(status, CONDITION.ready);
  const blocked = conditionOf(status, CONDITION.blocked);
  const isPaused = conditionOf(status, CONDITION.paused)?.status === 'True';
  const isBlocked = blocked?.status === 'True';
  const text = [
    ready?.reason ?? 'Unknown',
    ...(isBlocked ? [`Blocked:${blocked.reason ?? ''}`] : []),
    ...(isPaused ? ['Paused'] : []),
  ].join(',');
  if (ready?.status !== 'True') return { text, colour: 'red' };
  return { text, colour: isPaused || isBlocked ? 'yellow' : 'green' };
}

// --- one in full ------------------------------------------------------------------------------------------------------

export function statusText(object: SingletonService, nowMs: number, paint: Paint): string {
  const { metadata, status = {} } = object;
  const members = status.members ?? [];
  const conditions = status.conditions ?? [];
  const facts: Row[] = factsOf(object, nowMs);
  const isBehind = status.observedGeneration !== metadata.generation;
  return [
    table(facts, paint),
    ...(isBehind ? [paint('The operator has not told of the newest spec yet; does it run?\n', 'yellow')] : []),
    ...(members.length > 0 ? ['\n', table([MEMBER_HEADER, ...members.map(memberRow)], paint)] : []),
    ...(conditions.length > 0 ? ['\n', table([CONDITION_HEADER, ...conditions.map(conditionRow)], paint)] : []),
  ].join('');
}

function factsOf(object: SingletonService, nowMs: number): Row[] {
  const { status = {} } = object;
  const { active, lastMove } = status;
  const requested = requestedOf(object);
  const switchover = switchoverOf(object);
  const count = (value: number | undefined): string => String(value ?? '?');
  return [
    ['Singleton', fullName(object)],
    ['Status', verdictOf(status)],
    [
      'Active',
      active === undefined
        ? { text: 'nobody', colour: 'red' }
        : `${active.pod}${placeOf(active)}, since ${active.since ?? '?'}`,
    ],
    ['Term', String(status.term ?? '-')],
    [
      'Members',
      `${status.ready ?? '?'} Ready, ${count(status.eligibleReplicas)} eligible, ${count(status.updatedReplicas)} of the present template`,
    ],
    ['Last move', lastMove === undefined ? 'none' : `${moveText(lastMove)}, ${sinceMove(lastMove, nowMs)}`],
    ...(lastMove?.message === undefined ? [] : [['', lastMove.message]]),
    ...(requested === undefined ? [] : [['Switchover', `to ${requested} is asked for and not taken up yet`]]),
    ...(switchover === undefined
      ? []
      : [['Switchover', `to ${switchover.request}, ${sinceText(switchover.at, nowMs)}: ${outcomeText(switchover)}`]]),
  ];
}

function placeOf({ slot, node, zone }: ActiveStatus): string {
  const parts = [slot === undefined ? undefined : `slot ${slot}`, node, zone].filter((part) => part !== undefined);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

const moveText = ({ kind, reason, from, to, term, milliseconds }: Move): string =>
  [
    `${kind}${reason === undefined ? '' : ` (${reason})`}`,
    ...(from === undefined ? [] : [`from ${from}`]),
    `to ${to ?? '?'}, term ${term ?? '?'}`,
    ...(milliseconds === undefined ? [] : [`in ${milliseconds} ms`]),
  ].join(' ');

const MEMBER_HEADER = ['MEMBER', 'SLOT', 'ROLE', 'NODE', 'ZONE', 'READY', 'ELIGIBLE'];

const memberRow = (member: NonNullable<Status['members']>[number]): Row => [
  member.pod,
  String(member.slot ?? '-'),
  { text: member.role, colour: member.role === 'active' ? 'bold' : undefined },
  member.node ?? '-',
  member.zone ?? '-',
  member.ready ? 'yes' : { text: 'no', colour: 'red' },
  member.eligible ? 'yes' : { text: `no: ${member.reason ?? '?'}`, colour: 'yellow' },
];

const CONDITION_HEADER = ['CONDITION', 'STATUS', 'REASON', 'MESSAGE'];

/** Of some conditions True is the good news, of others False. */
const GOOD: Readonly<Record<string, 'True' | 'False'>> = {
  [CONDITION.ready]: 'True',
  [CONDITION.specAccepted]: 'True',
  [CONDITION.standbyReady]: 'True',
  [CONDITION.progressing]: 'False',
  [CONDITION.paused]: 'False',
  [CONDITION.blocked]: 'False',
};

function conditionRow({ type, status, reason = '', message = '' }: NonNullable<Status['conditions']>[number]): Row {
  const good = GOOD[type];
  const colour: Colour | undefined = good === undefined ? undefined : good === status ? 'green' : 'yellow';
  return [type, { text: status, colour }, reason, message];
}

// --- watching ---------------------------------------------------------------------------------------------------------

/** What is told of in a line: a change of anything else is none. */
const essenceOf = ({ status = {} }: SingletonService): string =>
  JSON.stringify([status.active?.uid, status.ready, status.term, verdictOf(status).text]);

/** A line for each that is there, and then one for each change. */
async function watchFrom(
  objects: readonly SingletonService[],
  context: Context,
  { api, namespace }: Cluster,
  name: string | undefined,
): Promise<typeof EXIT.ok> {
  const { flags, clock, paint, signal } = context;
  const shown = new Map(objects.map((object) => [fullName(object), essenceOf(object)]));
  const style = (): ListStyle => ({ allNamespaces: flags.allNamespaces, nowMs: clock.wallMs(), paint });
  const rows = rowsOf(objects, style());
  const widths = widthsOf(rows);
  const { output } = flags;
  const show = (object: SingletonService, isGone: boolean): void => {
    if (output !== 'text')
      return context.print(documentText({ ...dataOf(object), ...(isGone && { deleted: true }) }, output));
    const row = rowOf(object, style());
    return context.print(
      rowText(isGone ? [...row.slice(0, -1), { text: 'Deleted', colour: 'red' }] : row, widths, paint),
    );
  };
  if (output === 'text') for (const row of rows) context.print(rowText(row, widths, paint));
  else for (const object of objects) show(object, false);
  const end = follow({ api, clock, namespace, name, warn: context.note }, (old, current) => {
    const object = current ?? old;
    if (object === undefined) return;
    const key = fullName(object);
    const essence = current === undefined ? undefined : essenceOf(current);
    if (shown.get(key) === essence) return;
    if (essence === undefined) shown.delete(key);
    else shown.set(key, essence);
    show(object, current === undefined);
  });
  await aborted(signal);
  end();
  return EXIT.ok;
}

/** One of several: JSON in one line, YAML with its separator. */
const documentText = (data: unknown, output: 'json' | 'yaml'): string =>
  output === 'json' ? `${JSON.stringify(data)}\n` : `---\n${dataText(data, output)}`;
