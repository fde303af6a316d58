/**
 * The status, as the operator writes it. Deliberately without ranges and with few required fields: a status that the
 * API server refuses would hide what is going on just when something unforeseen does.
 */
import { z } from 'zod';

import { oneOf } from './fields.ts';
import { ROLE } from './names.ts';

const word = (text: string) => z.string().describe(text);
const count = (text: string) => z.int().describe(text);
const instant = (text: string) => z.string().meta({ description: text, format: 'date-time' });

const active = z
  .object({
    pod: word('Name of the pod.'),
    uid: word('UID of the pod.'),
    slot: count('Slot of the member.').optional(),
    node: word('Node on which it runs.').optional(),
    zone: word('Zone of that node (topology.kubernetes.io/zone).').optional(),
    term: count('The term that it was granted: the fencing token.'),
    since: instant('When it was granted that term.').optional(),
  })
  .describe('The member that holds the Lease and that the Service routes to.');

const member = z
  .object({
    pod: word('Name of the pod.'),
    slot: count('Slot of the member.').optional(),
    role: oneOf([ROLE.active, ROLE.standby], 'What the member is now.'),
    node: word('Node on which it runs.').optional(),
    zone: word('Zone of that node (topology.kubernetes.io/zone).').optional(),
    ready: z.boolean().describe('Whether the pod is Ready.'),
    eligible: z.boolean().describe('Whether it could be granted now. The active is eligible while it is healthy.'),
    reason: word('Why it is no candidate, when it is not.').optional(),
  })
  .describe('One pod of the singleton.');

/** The same shape in `lastMove` and in `moves`; the text says which one. */
const move = (text: string) =>
  z
    .object({
      kind: oneOf(
        ['Failover', 'Switchover', 'Initial'],
        'Failover: the old active failed. Switchover: it was planned. Initial: there was no active before.',
      ),
      reason: word('Why it happened, in one word.').optional(),
      message: word('Why it happened, in a sentence.').optional(),
      from: word('Pod that was active before.').optional(),
      to: word('Pod that became active.').optional(),
      term: count('Term that was granted.').optional(),
      detectedAt: instant('When the operator knew that a move was needed.').optional(),
      fencedAt: instant('When the old active was fenced as far as the mode demands.').optional(),
      grantedAt: instant('When the Lease was granted.').optional(),
      labelledAt: instant('When the new active had its labels.').optional(),
      routedAt: instant('When the Service selected the new active.').optional(),
      milliseconds: z
        .number()
        .describe('From detectedAt to routedAt, by a monotonic clock where one operator saw both.')
        .optional(),
    })
    .describe(text);

const switchover = z
  .object({
    request: word('What was asked for, as the annotation said it.'),
    outcome: oneOf(
      ['Pending', 'Completed', 'RolledBack', 'Refused'],
      'Pending: under way, or waiting. Completed: the pod that was asked for is active, Ready and routed. RolledBack: it ' +
        'could not be made, or was undone. Refused: it could not be done, and nothing was moved.',
    ),
    reason: word('Why, in one word.'),
    message: word('Why, in a sentence.'),
    from: word('Pod that was active before.').optional(),
    to: word('Pod that it was moved to, whether it stayed there or not.').optional(),
    requestedAt: instant('When it was taken up. With request it names one request.'),
    at: instant('When this outcome was told.'),
  })
  .describe('The last requested switchover.');

const condition = z
  .object({
    type: word('Ready, SpecAccepted, StandbyReady, Progressing, Paused or Blocked.'),
    status: oneOf(['True', 'False', 'Unknown'], 'Whether the condition holds.'),
    reason: word('Why, in one word.').optional(),
    message: word('Why, in a sentence.').optional(),
    lastTransitionTime: instant('When status changed last.').optional(),
    observedGeneration: count('The generation of the object that this was decided for.').optional(),
  })
  .describe('One aspect of the state.');

export const statusSchema = z
  .object({
    observedGeneration: count('The generation of the object that this status was decided for.').optional(),
    replicas: count('Members that exist.').optional(),
    readyReplicas: count('Members that are Ready.').optional(),
    eligibleReplicas: count('Members that could be active now, the active included.').optional(),
    updatedReplicas: count('Members that were made from the present template.').optional(),
    ready: word('Ready members of wanted ones, such as 2/3: for the printed table.').optional(),
    selector: word('Label selector of the members, for the scale subresource.').optional(),
    active: active.optional(),
    term: count('The highest term that was ever granted.').optional(),
    lease: word(
      'UID of the Lease in which terms are granted, written before the first one. Mode Agent only.',
    ).optional(),
    members: z.array(member).optional().describe('All members, by slot.'),
    lastMove: move('The last change of the active.').optional(),
    moves: z.array(move('One move.')).optional().describe('The last ten moves, the newest first.'),
    switchover: switchover.optional(),
    conditions: z
      .array(condition)
      .optional()
      .meta({
        description: 'Ready, SpecAccepted, StandbyReady, Progressing, Paused and Blocked, each with its reason.',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
      }),
  })
  .describe('What the operator saw and did.');

export type Status = z.output<typeof statusSchema>;
export type ActiveStatus = z.output<typeof active>;
export type MemberStatus = z.output<typeof member>;
export type SwitchoverStatus = z.output<typeof switchover>;
export type Move = z.output<ReturnType<typeof move>>;
