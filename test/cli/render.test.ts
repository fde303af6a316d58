/** What people see, to the letter: `vitest -u` rewrites test/cli/testdata. */
import { describe, expect, it } from 'vitest';
import type { SingletonService, Status } from '../../src/api/types.ts';
import { historyText } from '../../src/cli/history.ts';
import { listText, statusText } from '../../src/cli/status.ts';
import { age, coloured, dataText, paintFor, plain, table } from '../../src/cli/terminal.ts';
import { whyText } from '../../src/cli/why.ts';
import { explain } from '../../src/core/explain.ts';
import { nextStatus } from '../../src/core/status.ts';
import { NOW, WALL_MS, aSteadyState } from '../builders.ts';
import type { SnapshotBuilder } from '../builders.ts';

const golden = (name: string): string => `testdata/${name}.txt`;
const steady = aSteadyState();
const LATER_MS = WALL_MS + 5 * 60_000;

const MOVES: NonNullable<Status['moves']> = [
  {
    kind: 'Failover',
    reason: 'ActiveCrashed',
    message: 'pod db-2-a crashed (app: exit code 1)',
    from: 'db-2-a',
    to: 'db-0-a',
    term: 1,
    detectedAt: '2026-01-01T00:00:00.000Z',
    grantedAt: '2026-01-01T00:00:00.020Z',
    routedAt: '2026-01-01T00:00:00.091Z',
    milliseconds: 91,
  },
  { kind: 'Initial', to: 'db-2-a', term: 1 },
];

/** As the operator would tell of it. */
function objectOf(builder: SnapshotBuilder, more: object = {}, annotations?: Record<string, string>): SingletonService {
  const snapshot = builder.build();
  const status = nextStatus({ snapshot, need: undefined, holds: [], now: NOW });
  const { namespace, name, uid, generation } = snapshot.singleton;
  const [lastMove] = MOVES;
  return {
    metadata: {
      namespace,
      name,
      uid,
      generation,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...(annotations !== undefined && { annotations }),
    },
    status: { ...status, lastMove, moves: MOVES, ...more },
  };
}

describe('why', () => {
  const zoned = steady.node('node-0', { zone: 'a' }).node('node-1', { zone: 'b' });
  const failure = { holder: 'db-1-a_uid-db-1-a', atWallMs: WALL_MS, reignMs: 60_000 };
  it.each<[string, SnapshotBuilder]>([
    ['steady', zoned.where(2, (pod) => pod.noFailover()).told()],
    ['crashed', steady.where(0, (pod) => pod.crashed())],
    [
      'grace',
      steady
        .spec({ failover: { unreadyGraceSeconds: 7 } })
        .where(0, (pod) => pod.notReady())
        .told(),
    ],
    ['broken-and-paused', steady.paused().where(1, (pod) => pod.active(1))],
    [
      'quarantined-and-draining',
      steady
        .leaseHeldBy(0, 1, { failures: Array.from({ length: 3 }, () => failure) })
        .node('node-0', { draining: 'cordoned' }),
    ],
    ['nobody', steady.withoutMember(0).withoutMember(1).withoutMember(2)],
  ])('of the state "%s"', async (name, builder) => {
    const text = whyText('default/db', explain(builder.build(), NOW), plain);
    await expect(text).toMatchFileSnapshot(golden(`why-${name}`));
  });
});

describe('status', () => {
  it('of one', async () => {
    await expect(statusText(objectOf(steady), LATER_MS, plain)).toMatchFileSnapshot(golden('status-one'));
  });

  it('of one that the operator has not seen yet', async () => {
    const { metadata } = objectOf(steady);
    await expect(statusText({ metadata }, LATER_MS, plain)).toMatchFileSnapshot(golden('status-new'));
  });

  it('of one with a switchover that was asked for, and one that was rolled back', async () => {
    const switchover = {
      request: 'slot:1',
      outcome: 'RolledBack',
      reason: 'TargetNotReady',
      message: 'pod db-1-a did not become Ready',
      at: '2026-01-01T00:04:00Z',
    };
    const object = objectOf(steady.paused(), { switchover }, { 'singleton-operator.io/switchover': 'any' });
    await expect(statusText(object, LATER_MS, plain)).toMatchFileSnapshot(golden('status-switchover'));
  });

  it('of all', async () => {
    const objects = [objectOf(steady), objectOf(steady.paused()), objectOf(steady.withoutMember(0))];
    const style = { nowMs: LATER_MS, paint: plain };
    const texts = [false, true].map((allNamespaces) => listText(objects, { ...style, allNamespaces }));
    await expect(texts.join('\n')).toMatchFileSnapshot(golden('status-all'));
  });
});

it('history', async () => {
  await expect(historyText(MOVES, plain)).toMatchFileSnapshot(golden('history'));
});

describe('colours', () => {
  it('are there only on a terminal that has them, for those who want them', () => {
    expect(paintFor(true, {})).toBe(coloured);
    expect(paintFor(true, { NO_COLOR: '' })).toBe(coloured);
    expect(paintFor(false, {})).toBe(plain);
    expect(paintFor(true, { NO_COLOR: '1' })).toBe(plain);
    expect(paintFor(true, { TERM: 'dumb' })).toBe(plain);
  });

  it('move no column', () => {
    const rows = [
      ['A', 'B'],
      [{ text: 'x', colour: 'red' as const }, 'y'],
      ['long', 'z'],
    ];
    const painted = table(rows, coloured);
    expect(painted).toContain('\u001B[31m');
    // oxlint-disable-next-line no-control-regex -- the escape is what is taken away
    expect(painted.replaceAll(/\u001B\[\d+m/g, '')).toBe(table(rows, plain));
  });
});

it.each([
  [0, '0s'],
  [119_000, '119s'],
  [120_000, '2m'],
  [7_199_000, '119m'],
  [7_200_000, '2h'],
  [172_800_000, '2d'],
  [-5, '0s'],
])('an age of %d ms is %s', (ms, text) => {
  expect(age(ms)).toBe(text);
});

it('what is undefined is absent in JSON and YAML', () => {
  const data = { a: undefined, b: [1], c: 'x: y' };
  expect(dataText(data, 'json')).toBe('{\n  "b": [\n    1\n  ],\n  "c": "x: y"\n}\n');
  expect(dataText(data, 'yaml')).toBe("b:\n  - 1\nc: 'x: y'\n");
});
