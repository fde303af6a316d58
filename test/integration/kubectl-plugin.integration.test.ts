/** `kubectl singleton` against a real API server, with the real operator at work. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ANNOTATION } from '../../src/api/names.ts';
import type { SingletonService, Status } from '../../src/api/types.ts';
import type { Explanation, Outlook } from '../../src/core/explain.ts';
import { LOOPBACK } from '../control-plane/ports.ts';
import { until } from '../control-plane/wait.ts';
import { bundleOperator } from './operator-process.ts';
import { Plugin } from './plugin.ts';
import type { Output, Running } from './plugin.ts';
import { World, aSpec, conditionOf, isReady, nameOf, slotOf, useWorld } from './world.ts';
import type { Settled } from './world.ts';

const world = useWorld();
let plugin: Plugin;
/** Of somebody who works in the operator's namespace. */
let here: string;

beforeAll(() => {
  plugin = new Plugin(world().suite.controlPlane);
  here = plugin.kubeconfig({ namespace: world().namespace });
});
afterAll(() => plugin?.remove());

const start = (line: string): Running => plugin.start(line, here);
const run = (line: string, kubeconfig = here): Promise<Output> => plugin.start(line, kubeconfig).done;

/** What it prints, when all is well. */
async function printed(line: string): Promise<string> {
  const { code, out, err } = await run(line);
  expect([code, err]).toEqual([0, '']);
  return out;
}

const healed = (name: string, check: (state: Settled) => void = () => {}): Promise<Settled> =>
  world().settled(name, (state) => {
    expect(state.pods.every(isReady)).toBe(true);
    expect(state.status.readyReplicas).toBe(state.pods.length);
    check(state);
  });

const explained = async (name: string): Promise<Explanation> =>
  JSON.parse(await printed(`why ${name} -o json`)) as Explanation;

const grantOf = (looks: readonly Outlook[] | undefined) => looks?.find(({ grant }) => grant !== undefined)?.grant;

describe('status', () => {
  test('tells who is active, of one and of all, for people and for programs', async () => {
    await world().create('told');
    const { active, term } = await healed('told');
    const [header = '', row = ''] = (await printed('status')).split('\n');
    expect(header.split(/ {2,}/)).toEqual(['NAME', 'ACTIVE', 'NODE', 'READY', 'TERM', 'LAST MOVE', 'STATUS']);
    const cells = [
      'told',
      nameOf(active),
      active.spec?.nodeName,
      '3/3',
      String(term),
      expect.anything(),
      'ActiveRouted',
    ];
    expect(row.split(/ {2,}/)).toEqual(cells);
    const text = await printed('status told');
    expect(text).toContain(`Active     ${nameOf(active)} (slot ${slotOf(active)}, ${active.spec?.nodeName}`);
    expect(text).not.toContain('\u001B');
    const data = JSON.parse(await printed('status told -o json')) as { name: string; status: Status };
    expect(data).toMatchObject({
      name: 'told',
      namespace: world().namespace,
      status: { active: { pod: nameOf(active) } },
    });
    expect(await printed('status told -o yaml')).toContain(`    pod: ${nameOf(active)}\n`);
  });

  test('looks where it is told to: -n, or -A', async () => {
    const anywhere = plugin.kubeconfig();
    const { namespace } = world();
    expect(await run('status', anywhere)).toEqual({
      code: 0,
      out: '',
      err: 'no SingletonServices in namespace "default"\n',
    });
    expect((await run(`status -n ${namespace}`, anywhere)).out).toContain('told');
    const { out } = await run('status -A', anywhere);
    expect(out.split('\n').filter((line) => line.startsWith(`${namespace} `))).toHaveLength(1);
    expect((await run('status told -A', anywhere)).out).toContain(`${namespace}/told`);
  });

  test('--watch has a line for each change, until it is interrupted', async () => {
    await world().create('watched', aSpec({ replicas: 2 }));
    const before = await healed('watched');
    const watching = start('status watched --watch');
    await until('the first line', () => watching.text().includes('ActiveRouted'));
    await world().suite.nodes.crash(before.active.metadata);
    const after = await world().settled('watched', ({ term }) => expect(term).toBe(before.term + 1));
    await until('the next active', () => watching.text().includes(nameOf(after.active)));
    await world().api.delete(world().of('watched').singleton);
    await until('the end', () => watching.text().includes('Deleted'));
    watching.interrupt();
    const { code, out, err } = await watching.done;
    expect([code, err]).toEqual([0, '']);
    const [header = '', ...rows] = out.trimEnd().split('\n');
    expect(header).toMatch(/^NAME/);
    const actives = rows.map((row) => row.split(/ {2,}/)[1]);
    expect([actives[0], actives.at(-2)]).toEqual([nameOf(before.active), nameOf(after.active)]);
  });
});

describe('what why says would happen next is what happens', () => {
  const elections: Readonly<Record<string, object>> = {
    'why-oldest': {},
    'why-priority': { strategy: 'Priority', priorities: [10, 30, 20] },
    'why-ring': { strategy: 'Ring' },
  };

  beforeAll(() =>
    Promise.all(Object.entries(elections).map(([name, election]) => world().create(name, aSpec({ election })))),
  );

  test.each(Object.keys(elections))('%s: the active crashes, then the next is deleted', async (name) => {
    const first = await healed(name);
    const { nodes } = world().suite;
    const afterCrash = grantOf((await explained(name)).ifActiveFailed);
    await nodes.crash(first.active.metadata);
    const second = await world().settled(name, ({ term }) => expect(term).toBe(first.term + 1));
    expect({ pod: nameOf(second.active), term: second.term }).toEqual(afterCrash);

    await nodes.restart(first.active.metadata);
    const later = await healed(name);
    const afterDeletion = grantOf((await explained(name)).ifActiveFailed);
    await world().api.delete(`${world().paths.pods}/${nameOf(later.active)}`);
    const third = await healed(name, ({ term }) => expect(term).toBe(first.term + 2));
    expect({ pod: nameOf(third.active), term: third.term }).toEqual(afterDeletion);
  });

  test('also while a pause and a grace are in the way, and when a member is excluded', async () => {
    await world().create('why-held', aSpec({ failover: { unreadyGraceSeconds: 3 } }));
    const before = await healed('why-held');
    const first = (await explained('why-held')).members.find(({ place }) => place === 1)?.pod ?? '';
    const labels = { 'singleton-operator.io/no-failover': 'true' };
    await world().api.patch(`${world().paths.pods}/${first}`, { metadata: { labels } });
    await world().told('why-held', ({ eligibleReplicas }) => expect(eligibleReplicas).toBe(2));
    const excluded = await explained('why-held');
    expect(excluded.members.find(({ pod }) => pod === first)).toMatchObject({ eligible: false, reason: 'NoFailover' });
    expect(excluded.ifActiveFailed?.map(({ afterMs, holds }) => [afterMs, holds[0]?.name])).toEqual([
      [0, 'UnreadyGrace'],
      [3_000, undefined],
    ]);

    await printed('pause why-held');
    await world().suite.nodes.hang(before.active.metadata);
    await world().told('why-held', (status) => expect(conditionOf(status, 'Blocked')?.reason).toBe('Paused'));
    const paused = await explained('why-held');
    expect(paused.next.map(({ need, holds, grant }) => [need?.reason, holds[0]?.name, grant])).toEqual([
      ['ActiveUnready', 'Paused', undefined],
    ]);
    expect((await world().read('why-held')).lease.spec?.leaseTransitions).toBe(before.term);

    await printed('resume why-held');
    const { next, unknown } = await explained('why-held');
    const announced = grantOf(next);
    expect(announced?.pod).not.toBe(first);
    // The grace may have passed while it was paused, which only the operator knows.
    if (next.length > 1) expect(unknown.join()).toContain('since when the operator sees the trouble');
    const after = await world().settled('why-held', ({ term }) => expect(term).toBe(before.term + 1));
    expect({ pod: nameOf(after.active), term: after.term }).toEqual(announced);
  });
});

describe('why', () => {
  test('tells people of each member, of what is next, and of a failure', async () => {
    await world().create('plain');
    const { active, standbys, term } = await healed('plain');
    const text = await printed('why plain');
    expect(text).toContain(`${world().namespace}/plain: ${nameOf(active)} is active with term ${term}\n`);
    for (const pod of standbys) expect(text).toMatch(new RegExp(`^${nameOf(pod)} .* standby .* yes `, 'm'));
    expect(text).toContain('\nNext: in order\n\n');
    expect(text).toMatch(new RegExp(`If ${nameOf(active)} failed now: Failover \\(ActiveCrashed\\)`));
    expect(text).toMatch(new RegExp(`becomes the active with term ${term + 1}\n$`));
  });

  test.each(['json', 'yaml'])(
    '-o %s prints a snapshot that replay takes, and that gives the same plan',
    async (format) => {
      const saved = await printed(`why plain -o ${format}`);
      writeFileSync(plugin.path('saved'), saved);
      expect(await printed(`replay ${plugin.path('saved')}`)).toBe('in order\n');
    },
  );

  test('writes nothing', async () => {
    const before = await world().read('plain');
    await printed('why plain');
    await printed('status plain');
    await printed('history plain');
    const after = await world().read('plain');
    const versions = ({ singleton, lease, service, pods }: typeof before) =>
      [singleton, lease, service, ...pods].map(({ metadata }) => metadata.resourceVersion);
    expect(versions(after)).toEqual(versions(before));
  });

  test('goes on without the right to read nodes, and says what that hides', async () => {
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${world().namespace}`;
    const apiGroups = ['', 'coordination.k8s.io', 'discovery.k8s.io', 'singleton-operator.io'];
    const rules = [{ apiGroups, resources: ['*'], verbs: ['get', 'list', 'watch'] }];
    await world().api.create(`${rbac}/roles`, { metadata: { name: 'reader' }, rules });
    const apiGroup = 'rbac.authorization.k8s.io';
    await world().api.create(`${rbac}/rolebindings`, {
      metadata: { name: 'reader' },
      roleRef: { apiGroup, kind: 'Role', name: 'reader' },
      subjects: [{ apiGroup, kind: 'User', name: 'reader' }],
    });
    const reader = plugin.kubeconfig({ namespace: world().namespace, as: 'reader' });
    const look = () => run('why plain', reader);
    const { out } = await until('the right to be known', async () => {
      const output = await look();
      return output.code === 0 && output;
    });
    expect(out).toContain('\nNot known here\n');
    expect(out).toContain('\n  the nodes, for lack of the right to list them: ');
    expect(out).toContain('\n  poddisruptionbudgets, for lack of the right to list them: ');
    const { code, err } = await run('pause plain', reader);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^kubectl singleton: .*"reader" cannot patch .*; ask whoever runs the cluster for that right\n$/,
    );
  });
});

describe('pause and resume', () => {
  test('write spec.paused, and say so when there is nothing to do', async () => {
    const name = `${world().namespace}/plain`;
    expect(await printed('pause plain')).toBe(
      `${name} is paused: nothing moves and no pod is made, also if the active fails\n`,
    );
    await world().told('plain', (status) => expect(conditionOf(status, 'Paused')?.status).toBe('True'));
    expect(await printed('status plain')).toContain('ActiveRouted,Paused');
    expect(await printed('pause plain')).toBe(`${name} is paused already\n`);
    expect(await printed('resume plain')).toBe(`${name} is no longer paused\n`);
    await world().told('plain', (status) => expect(conditionOf(status, 'Paused')?.status).toBe('False'));
    expect(await printed('resume plain')).toBe(`${name} is not paused already\n`);
  });
});

describe('history', () => {
  test('has a row for each move, the newest first', async () => {
    const { status } = await world().read('why-ring');
    const [header = '', ...rows] = (await printed('history why-ring')).trimEnd().split('\n');
    expect(header.split(/ +/)).toEqual(['WHEN', 'KIND', 'REASON', 'FROM', 'TO', 'TERM', 'MS']);
    const told = (status.moves ?? []).map((move) => [move.kind, move.reason, move.to, String(move.term)]);
    expect(told.map(([kind]) => kind)).toEqual(['Failover', 'Failover', 'Initial']);
    expect(rows.map((row) => row.split(/ +/)).map(([, kind, reason, , to, term]) => [kind, reason, to, term])).toEqual(
      told,
    );
    expect(JSON.parse(await printed('history why-ring -o json'))).toEqual(status.moves);
  });
});

describe('switchover', () => {
  test('--wait follows it until the operator has done it, once and again', async () => {
    await world().create('over');
    const before = await healed('over', ({ status }) => expect(status.eligibleReplicas).toBe(3));
    const [standby] = before.standbys;
    if (standby === undefined) throw new Error('there is no standby');
    const done = `pod ${nameOf(standby)} is the active, Ready and routed`;
    expect(await printed(`switchover over --to ${nameOf(standby)} --wait`)).toBe(
      `${world().namespace}/over: ${nameOf(standby)} is active with term ${before.term + 1}: Completed (Requested): ${done}\n`,
    );
    // What it says holds at once: nobody has to wait once more.
    expect((await world().read('over')).lease.spec?.holderIdentity).toContain(nameOf(standby));
    expect(await printed('status over')).toContain(`Completed (Requested): ${done}`);
    await printed('switchover over --wait');
    await world().settled('over', ({ term }) => expect(term).toBe(before.term + 2));
    expect(await printed('switchover over --to slot:2 --wait')).toContain('Completed');
    expect(slotOf((await world().settled('over')).active)).toBe(2);
  });

  test('--wait says why the operator refused it, also when the last one was done', async () => {
    const { term } = await healed('over');
    const { code, out, err } = await run('switchover over --to over-9-nobody --wait');
    const line = `${world().namespace}/over: the switchover did not happen: Refused (NoSuchPod): over has no member over-9-nobody`;
    expect([code, out, err]).toEqual([1, '', `kubectl singleton: ${line}\n`]);
    expect((await world().settled('over')).term).toBe(term);
    await printed('pause over');
    expect((await run('switchover over --wait')).err).toContain('Refused (Paused): spec.paused is true');
    await printed('resume over');
  });

  test('writes the annotation once, and does not overwrite a request that waits', async () => {
    // Where no operator looks, so that the request stays.
    const namespace = await world().suite.createNamespace();
    const elsewhere = new World(world().suite, namespace);
    try {
      await elsewhere.create('asked');
      const requested = async () =>
        (await world().api.get<SingletonService>(elsewhere.of('asked').singleton)).metadata.annotations;
      expect(await printed(`switchover asked --to slot:1 -n ${namespace}`)).toBe(
        `${namespace}/asked: switchover to slot:1 is asked for; "kubectl singleton status asked" tells the outcome\n`,
      );
      expect(await requested()).toEqual({ [ANNOTATION.switchover]: 'slot:1' });
      const { code, err } = await run(`switchover asked -n ${namespace}`);
      expect(code).toBe(1);
      expect(err).toMatch(
        /^kubectl singleton: a switchover to slot:1 is asked for already and not taken up yet; .*\n$/,
      );
      expect(await requested()).toEqual({ [ANNOTATION.switchover]: 'slot:1' });
      const status = await printed(`status asked -n ${namespace}`);
      expect(status).toContain('to slot:1 is asked for and not taken up yet');
      expect(status).toContain('has not told of the newest spec yet; does it run?');
      const why = await printed(`why asked -n ${namespace}`);
      expect(why).toContain('nobody is active');
      expect(why).toContain('createLease term 0 holder nobody');
    } finally {
      elsewhere.close();
    }
  });
});

describe('what goes wrong is one line and an exit code', () => {
  test.each(['status none', 'why none', 'history none', 'pause none', 'resume none', 'switchover none'])(
    'no such singleton: %s',
    async (line) => {
      const says = `no SingletonService "none" in namespace "${world().namespace}"; "kubectl singleton status -A" lists all`;
      expect(await run(line)).toEqual({ code: 1, out: '', err: `kubectl singleton: ${says}\n` });
    },
  );

  test('an API server that is not there', async () => {
    const file = plugin.kubeconfig({ server: `https://${LOOPBACK}:1` });
    for (const line of ['status', 'why plain', 'pause plain']) {
      const { code, out, err } = await run(line, file);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(/^kubectl singleton: .*ECONNREFUSED.*; check --context and --kubeconfig, .*\n$/);
    }
  });

  test('credentials that are not accepted', async () => {
    const { code, err } = await run('status', plugin.kubeconfig({ token: 'wrong' }));
    expect(code).toBe(1);
    expect(err).toMatch(/^kubectl singleton: .*\(401\): the API server does not accept these credentials; .*\n$/);
  });

  test('a context and a kubeconfig that are not there', async () => {
    const { code, err } = await run('status --context nowhere');
    expect(code).toBe(1);
    expect(err).toMatch(/^kubectl singleton: kubeconfig .* has no context "nowhere" \(it has: test\); .*\n$/);
    expect((await run('status --kubeconfig nowhere.yaml')).err).toContain('kubeconfig nowhere.yaml does not exist');
  });

  test('a flag that is none', async () => {
    const { code, err } = await run('why plain --watch');
    expect(code).toBe(2);
    expect(err).toBe("kubectl singleton: why: Unknown option '--watch' (kubectl singleton why --help)\n");
  });
});

describe('through kubectl', () => {
  let bin: string;

  beforeAll(async () => {
    const bundle = await bundleOperator();
    try {
      bin = plugin.path('bin');
      mkdirSync(bin);
      // Nothing but the one file, under the name that kubectl looks for.
      copyFileSync(join(dirname(bundle.path), 'kubectl-singleton.js'), join(bin, 'kubectl-singleton'));
    } finally {
      bundle.remove();
    }
  });

  const kubectl = async (...args: string[]): Promise<Output> => {
    const PATH = [bin, dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter);
    const { kubectlPath } = world().suite.controlPlane;
    const ran = promisify(execFile)(kubectlPath, ['singleton', ...args], { env: { PATH, KUBECONFIG: here } });
    return await ran.then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        out: error.stdout,
        err: error.stderr,
      }),
    );
  };

  test('it is found, and flags, output and exit code pass through', async () => {
    const { active } = await healed('plain');
    const { code, out, err } = await kubectl('why', 'plain', '-n', world().namespace);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(`${nameOf(active)} is active with term`);
    expect((await kubectl('--help')).out).toContain('kubectl singleton COMMAND');
    expect(await kubectl('pause', 'none')).toMatchObject({ code: 1, out: '' });
    expect(await kubectl('paws', 'plain')).toMatchObject({ code: 2, out: '' });
    expect(await kubectl('pause', 'plain')).toMatchObject({ code: 0, err: '' });
    expect((await world().read('plain')).singleton.spec).toMatchObject({ paused: true });
    expect(await kubectl('resume', 'plain')).toMatchObject({ code: 0, err: '' });
  });
});
