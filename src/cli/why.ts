/** `why`: who would be chosen and why, what waits, and what happens next. */
import { explain } from '../core/explain.ts';
import type { Explanation, Outlook, Standing } from '../core/explain.ts';
import { decide } from '../core/decide.ts';
import { describePlan } from '../core/plan.ts';
import type { Rank } from '../core/rank.ts';
import type { SingletonCommand } from './commands.ts';
import { EXIT } from './errors.ts';
import { lookAt } from './look.ts';
import { dataText, moment, table } from './terminal.ts';
import type { Cell, Paint, Row } from './terminal.ts';

export const why: SingletonCommand = async ({ flags, clock, paint, print }, { api }, ref) => {
  const { snapshot, now, unread } = await lookAt(api, clock, ref);
  const explanation = explain(snapshot, now);
  const unknown = [...unread, ...explanation.unknown];
  if (flags.output === 'text') print(whyText(`${ref.namespace}/${ref.name}`, { ...explanation, unknown }, paint));
  else {
    const plan = describePlan(decide(snapshot, now));
    print(dataText({ ...explanation, unknown, plan, now, snapshot }, flags.output));
  }
  return EXIT.ok;
};

/** @param name `namespace/name` */
export function whyText(name: string, explanation: Explanation, paint: Paint): string {
  const { active, broken, unknown, next, ifActiveFailed } = explanation;
  const isActive = active === undefined ? 'nobody is active' : `${active.pod} is active with term ${active.term}`;
  return [
    `${paint(name, 'bold')}: ${isActive}\n\n`,
    membersText(explanation.members, paint),
    ...fencingText(explanation, paint),
    ...broken.map((promise) => paint(`\nBroken: ${promise}\n`, 'red')),
    `\n${paint('Next', 'bold')}: ${outlookText(next, paint)}`,
    ...(ifActiveFailed === undefined || active === undefined
      ? []
      : [`\n${paint(`If ${active.pod} failed now`, 'bold')}: ${outlookText(ifActiveFailed, paint)}`]),
    ...(unknown.length > 0 ? [`\n${paint('Not known here', 'bold')}\n`] : []),
    ...unknown.map((sentence) => `  ${sentence}\n`),
  ].join('');
}

const fencingText = ({ fencing = [] }: Explanation, paint: Paint): string[] =>
  fencing.length === 0 ? [] : [`\n${paint('Fencing', 'bold')} (mode Agent)\n`, ...fencing.map((line) => `  ${line}\n`)];

// --- members ----------------------------------------------------------------------------------------------------------

/** The active, then the candidates, best first, then the rest. */
const orderOf = ({ role, place }: Standing): number => (role === 'active' ? 0 : (place ?? Number.MAX_SAFE_INTEGER));

function membersText(members: readonly Standing[], paint: Paint): string {
  if (members.length === 0) return 'There are no members.\n';
  const sorted = [...members].sort((a, b) => orderOf(a) - orderOf(b));
  const fields = fieldsOf(sorted);
  const header: Row = ['MEMBER', 'SLOT', 'ROLE', 'NODE', 'ELIGIBLE', 'PLACE', ...fields.map(titleOf), 'AHEAD BY'];
  const rows = sorted.map((member): Row => [
    member.pod,
    String(member.slot ?? '-'),
    { text: member.role, colour: member.role === 'active' ? 'bold' : undefined },
    member.node ?? '-',
    eligibleCell(member),
    member.place === undefined ? '-' : String(member.place),
    ...fields.map((field) => valueText(field, member.rank?.[field])),
    member.aheadBy === undefined ? '-' : titleOf(member.aheadBy).toLowerCase(),
  ]);
  const avoided = sorted.flatMap((member) => (member.avoided === undefined ? [] : [avoidedLine(member)]));
  return [table([header, ...rows], paint), ...(avoided.length > 0 ? ['\n', ...avoided] : [])].join('');
}

const avoidedLine = ({ pod, avoided }: Standing): string =>
  `${pod} is avoided (${avoided?.name ?? ''}): ${avoided?.message ?? ''}\n`;

function eligibleCell({ eligible, reason, avoided, role }: Standing): Cell {
  if (!eligible) return { text: `no: ${reason}`, colour: 'yellow' };
  const isAvoided = avoided !== undefined && role === 'standby';
  return isAvoided ? { text: `avoided: ${avoided.name}`, colour: 'yellow' } : { text: 'yes', colour: 'green' };
}

/** In the order of comparison. The slot has a column, and a UID says nothing to people; it still decides. */
const fieldsOf = (members: readonly Standing[]): (keyof Rank)[] =>
  (Object.keys(members[0]?.rank ?? {}) as (keyof Rank)[]).filter((field) => field !== 'slot' && field !== 'uid');

/** `readySinceWallMs` → `READY SINCE` */
const titleOf = (field: string): string =>
  field
    .replace(/WallMs$/, '')
    .replaceAll(/[A-Z]/g, (letter) => ` ${letter}`)
    .toUpperCase();

function valueText(field: string, value: Rank[keyof Rank] | boolean): string {
  if (value === undefined) return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' && field.endsWith('WallMs') ? moment(value) : String(value);
}

// --- what comes -------------------------------------------------------------------------------------------------------

const seconds = (ms: number): string => `${Math.ceil(ms / 100) / 10} s`;

function outlookText(looks: readonly Outlook[], paint: Paint): string {
  return looks.map((look, index) => lookText(look, index, paint)).join('');
}

function lookText(
  { afterMs, need, holds, reason, steps, grant, recheckAfterMs }: Outlook,
  index: number,
  paint: Paint,
) {
  const what = need === undefined ? reason : `${need.kind} (${need.reason}): ${need.message}`;
  const indent = index === 0 ? '  ' : '    ';
  const again = grant === undefined && recheckAfterMs !== undefined;
  return [
    index === 0 ? `${what}\n` : `  after ${seconds(afterMs)}, if nothing changes:\n`,
    ...holds.map(({ name, message }) => `${indent}${paint(`held by ${name}`, 'yellow')}: ${message}\n`),
    ...(steps.length > 0 ? [`${indent}${steps.join(', ')}\n`] : []),
    ...(grant === undefined
      ? []
      : [`${indent}${paint(`→ ${grant.pod} becomes the active with term ${grant.term}`, 'green')}\n`]),
    ...(again ? [`${indent}worth another look in ${seconds(recheckAfterMs)}, or as soon as something changes\n`] : []),
  ].join('');
}
