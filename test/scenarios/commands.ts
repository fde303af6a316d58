/** The words of a script. Each does something to the world; then the operator looks, and the trace tells what it did. */
import { GUARDED, LABEL } from '../../src/api/names.ts';
import type { Member } from '../../src/core/snapshot.ts';
import { aBudget, aTemplate } from '../builders.ts';
import { nextVersion } from '../core/effects.ts';
import type { World } from './world.ts';

type Command = (world: World, ...args: string[]) => void;

const SECOND_MS = 1000;

const milliseconds = (text: string): number =>
  text.endsWith('ms') ? Number.parseFloat(text) : Number.parseFloat(text) * SECOND_MS;

const everyone = (world: World, change: (member: Member) => void): void => {
  for (const member of world.snapshot.members) change(member);
};

/** `3/600/300`: failures, window and duration in seconds. */
const quarantine = (text = ''): object => {
  const [failures, windowSeconds, durationSeconds] = text.split('/').map(Number);
  return { failures, windowSeconds, durationSeconds };
};

const preference = (text: string): object => {
  const [key, value, weight] = text.split(':');
  return { weight: Number(weight), preference: { matchExpressions: [{ key, operator: 'In', values: [value] }] } };
};

export const COMMANDS: Readonly<Record<string, Command>> = {
  /**
   * `spec selector=yes`: instead of the template.
   * `spec replicas=3 paused=true grace=10 nodeLoss=Wait after=30 strategy=Priority priorities=1,3,2
   * prefer=zone:a:10,disk:ssd:1 stable=60 quarantine=3/600/300 budget=false deadline=30 image=2 switchover=Manual
   * mode=Agent`: the spec from here on. A preference is a label, its value and the weight. `stable` switches preemption on, after so many seconds.
   */
  spec: (world, ...settings) => {
    const fields = Object.fromEntries(settings.map((setting) => setting.split('=')) as [string, string][]);
    world.setSpec({
      ...(fields['selector'] === 'yes' && { template: null, selector: { matchLabels: { app: 'web' } } }),
      replicas: Number(fields['replicas'] ?? 3),
      paused: fields['paused'] === 'true',
      failover: {
        unreadyGraceSeconds: Number(fields['grace'] ?? 0),
        ...(fields['quarantine'] !== undefined && { quarantine: quarantine(fields['quarantine']) }),
        nodeLoss: { policy: fields['nodeLoss'], afterSeconds: Number(fields['after'] ?? 30) },
      },
      service: { type: fields['type'] ?? 'ClusterIP', ...(fields['selector'] === 'yes' && { ports: [{ port: 80 }] }) },
      ...(fields['selector'] !== 'yes' && { template: aTemplate(fields['image']) }),
      update: { switchover: fields['switchover'] ?? 'Automatic' },
      disruptionBudget: fields['budget'] !== 'false',
      election: {
        strategy: fields['strategy'] ?? 'Oldest',
        priorities: fields['priorities']?.split(',').map(Number),
        preferences: fields['prefer']?.split(',').map(preference),
        ...(fields['stable'] !== undefined && {
          preemption: 'AfterStable',
          stableSeconds: Number(fields['stable']),
        }),
      },
      switchover: { deadlineSeconds: Number(fields['deadline'] ?? 30) },
      ...(fields['mode'] !== undefined && { fencing: { mode: fields['mode'] } }),
    });
  },
  /** `adopted 0a 1a`: pods of somebody else's that the selector selects, Ready and without a label of ours. */
  adopted: (world, ...names) => {
    for (const name of names) world.adopt(name);
  },
  /** What the operator has made so far is none of what the spec asks for any more. */
  leftovers: (world) =>
    everyone(world, (member) => (member.adopted === true ? undefined : world.change(member, { leaving: true }))),
  /** The selector does not select it any more. */
  'let-go': (world, name = 'active') => world.letGo(world.member(name)),
  /** `request any`, `request slot:2`, `request pod 2a`: the annotation. `unrequest`: its user takes it away. */
  request: (world, what = '', name) => world.ask(name === undefined ? what : world.member(name).pod),
  unrequest: (world) => world.ask(undefined),
  /** `node node-1 zone=b`: its labels from here on. */
  node: (world, name = '', ...labels) => {
    world.changeNode(name, { labels: Object.fromEntries(labels.map((each) => each.split('='))) });
  },
  /** `cordon node-1`: as `kubectl drain` begins; `uncordon node-1`. */
  cordon: (world, name = '') => world.changeNode(name, { draining: 'cordoned' }),
  'shut-down': (world, name = '') => world.changeNode(name, { draining: 'shutting down' }),
  uncordon: (world, name = '') => world.changeNode(name, { draining: undefined }),
  /** Where the scheduler puts a new pod, which is on the node of its slot's number otherwise. */
  place: (world, name = 'active', node = '') => world.change(world.member(name), { node }),
  /** The last beats of the nodes were two beats ago, which is when somebody notices. */
  silent: (world, ...nodes) => {
    for (const node of nodes) world.setTrouble(node, { silentSinceMs: world.now.monotonicMs - 18 * SECOND_MS });
  },
  beats: (world, ...nodes) => {
    for (const node of nodes) world.setTrouble(node, undefined);
  },
  'out-of-service': (world, node = '') => world.setTrouble(node, { outOfService: true }),
  'node-gone': (world, node = '') => world.setTrouble(node, { gone: true }),
  brake: (world, is) => world.edit({ nodeLoss: { ...world.snapshot.nodeLoss, isBraked: is === 'on' } }),
  'bad-spec': (world) => world.rejectSpec(),
  delete: (world, what, ...rest) => {
    if (what === 'singleton') return world.edit({ singleton: { ...world.snapshot.singleton, deleting: true } });
    if (what === 'lease') return world.edit({ lease: undefined });
    if (what === 'service') return world.edit({ service: undefined });
    if (what === 'headless') return world.edit({ headless: undefined });
    if (what === 'budget') return world.edit({ budget: undefined });
    return world.change(world.member(what ?? rest.join(' ')), { terminating: true });
  },
  // Kubelets.
  ready: (world, ...names) => {
    for (const name of names) world.makeReady(world.member(name));
  },
  'all-ready': (world) => everyone(world, (member) => (member.terminating ? undefined : world.makeReady(member))),
  unready: (world, name = 'active') => world.change(world.member(name), { ready: false, readySinceWallMs: undefined }),
  'all-unready': (world) =>
    everyone(world, (member) => world.change(member, { ready: false, readySinceWallMs: undefined })),
  crash: (world, name = 'active') =>
    world.change(world.member(name), { ready: false, readySinceWallMs: undefined, crash: 'app: exit code 1' }),
  'finds-no-node': (world, name = '') =>
    world.change(world.member(name), { unschedulable: true, waiting: '0/3 nodes are available' }),
  'pulls-no-image': (world, name = '') => world.change(world.member(name), { waiting: 'app: ImagePullBackOff' }),
  fail: (world, name = 'active', reason) =>
    world.change(world.member(name), {
      ready: false,
      phase: 'Failed',
      podReason: reason,
      ...(world.member(name).agent !== undefined && { hasStopped: true }),
    }),
  /** Mode `Agent`: the agent of the member does not reach the API server; `reach` ends it. */
  'cut-off': (world, name = 'active') => world.cutOff(world.member(name), true),
  reach: (world, name = 'active') => world.cutOff(world.member(name), false),
  /** By the eviction API, which asks the budget; not by a kubelet. */
  evict: (world, name = 'active') => world.evict(world.member(name)),
  /** Force-deleted: gone without a trace. */
  vanish: (world, name = 'active') => world.remove(world.member(name)),
  /** The kubelets finish what is being deleted. */
  reap: (world) => everyone(world, (member) => (member.terminating ? world.remove(member) : undefined)),
  'endpoints-stop': (world) => world.stopEndpoints(),
  'endpoints-start': (world) => world.startEndpoints(),
  'standbys-need-the-active': (world) => world.setStandbysNeedTheActive(),
  // Users.
  label: (world, name = 'active', ...labels) => {
    const member = world.member(name);
    for (const [key, value] of labels.map((label) => label.split('='))) {
      if (key === 'role') world.change(member, { role: value === 'active' || value === 'standby' ? value : undefined });
      if (key === 'term') world.change(member, { term: value === undefined ? undefined : Number(value) });
      if (key === 'guarded') world.change(member, { guarded: value === GUARDED });
      if (key === 'name') world.change(member, { named: false });
      if (key === 'slot') world.change(member, { slot: value === undefined ? undefined : Number(value) });
      if (key === 'no-failover') world.change(member, { noFailover: true });
    }
  },
  'edit-lease': (world, ...settings) => {
    const { lease } = world.snapshot;
    if (lease === undefined) throw new Error('there is no Lease to edit');
    const fields = Object.fromEntries(settings.map((setting) => setting.split('=')) as [string, string][]);
    const { holder, term, record } = fields;
    const to = holder === undefined || holder === '' ? holder : world.member(holder);
    world.edit({
      lease: {
        ...lease,
        resourceVersion: nextVersion(world.snapshot),
        ...(to !== undefined && { holder: typeof to === 'string' ? to : `${to.pod}_${to.uid}` }),
        ...(term !== undefined && { term: Number(term) }),
        ...(record !== undefined && { move: undefined }),
      },
    });
  },
  'edit-selector': (world, ...settings) => {
    const { service } = world.snapshot;
    if (service === undefined) throw new Error('there is no Service to edit');
    const keys: Record<string, string> = { name: LABEL.name, term: LABEL.term };
    const selector = Object.fromEntries(
      settings.map((setting) => setting.split('=')).map(([key = '', value = '']) => [keys[key] ?? key, value]),
    );
    const resourceVersion = nextVersion(world.snapshot);
    world.edit({ service: { ...service, resourceVersion, spec: { ...service.spec, selector } } });
  },
  'edit-service': (world, type) => {
    const { service } = world.snapshot;
    if (service === undefined) throw new Error('there is no Service to edit');
    const spec = { ...service.spec, ...(type !== undefined && { type }) };
    world.edit({ service: { ...service, resourceVersion: nextVersion(world.snapshot), spec } });
  },
  'edit-budget': (world, minAvailable = '0') => {
    const { budget } = world.snapshot;
    if (budget === undefined) throw new Error('there is no PodDisruptionBudget to edit');
    const spec = { ...budget.spec, minAvailable: Number(minAvailable) };
    world.edit({ budget: { ...budget, resourceVersion: nextVersion(world.snapshot), spec } });
  },
  /** Somebody's own, in the place of ours. */
  'foreign-budget': (world) => world.edit({ budget: aBudget({ ours: false, spec: { maxUnavailable: 0 } }) }),
  stranger: (world, ...settings) => {
    const fields = Object.fromEntries(settings.map((setting) => setting.split('=')) as [string, string][]);
    const resourceVersion = nextVersion(world.snapshot);
    const stranger = {
      pod: 'stranger',
      uid: 'uid-stranger',
      resourceVersion,
      role: fields['role'],
      term: fields['term'],
      guarded: fields['guarded'],
    };
    world.edit({ strangers: [stranger] });
  },
  // The operator, and time.
  'operator-stops': (world) => world.stopOperator(),
  'operator-starts': (world) => world.startOperator(),
  'operator-restarts': (world) => world.restartOperator(),
  'operator-crashes-after': (world, writes = '0') => world.crashAfter(Number(writes), false),
  'operator-dies-after': (world, writes = '0') => world.crashAfter(Number(writes), true),
  tick: (world, text = '1s') => world.tick(milliseconds(text)),
  look: () => undefined,
};

/** Does what the line says; `;` puts several commands into one moment, before the operator looks. */
export function run(world: World, line: string): void {
  for (const part of line.split(';')) {
    const [word = '', ...args] = part.trim().split(/\s+/);
    const command = COMMANDS[word];
    if (command === undefined) throw new Error(`no such command: ${word}`);
    command(world, ...args);
  }
  world.settle();
}
