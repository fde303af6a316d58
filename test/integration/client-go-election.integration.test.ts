/**
 * Our election of a leader against client-go's, on the same Lease: a kube-controller-manager and an operator, each as a
 * process. Whatever one of them does, the other must take it for one of its own kind.
 */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import type { Lease } from '../../src/api/objects.ts';
import { findBinaries } from '../control-plane/binaries.ts';
import { candidateArgs } from '../control-plane/components.ts';
import { needing } from '../control-plane/needs.ts';
import { LOOPBACK, freePorts } from '../control-plane/ports.ts';
import { superviseProcesses } from '../control-plane/processes.ts';
import type { ProcessHandle, Processes } from '../control-plane/processes.ts';
import type { ApiObject } from '../control-plane/rest-client.ts';
import { useSuite } from '../control-plane/use-suite.ts';
import { until } from '../control-plane/wait.ts';
import { installCrd } from './crd.ts';
import type { LogLine } from './operator.ts';
import { bundleOperator } from './operator-process.ts';
import type { OperatorBundle } from './operator-process.ts';

const { describe, test } = needing('own processes');
const LEASE = 'shared-by-both';
/** Different, so that it shows whose duration is waited for. */
const CLIENT_GO_SECONDS = 4;
const OUR_SECONDS = 2;
const RETRY_MS = 500;
/** Written by two processes with the wall clock of one machine, which may be slewed meanwhile. */
const SLEW_MS = 20;

/** One state of the Lease, as a watch told it. */
interface Sight {
  readonly holder: string;
  readonly durationSeconds: number;
  readonly acquiredMs: number;
  readonly renewedMs: number;
  readonly transitions: number;
}

const suite = useSuite();
const end = new AbortController();
const sights: Sight[] = [];
let processes: Processes;
let bundle: OperatorBundle;
let clientGo: ProcessHandle;
let ours: ProcessHandle;
let ourHealth: string;

const sightOf = ({ spec }: Lease): Sight => ({
  holder: spec?.holderIdentity ?? '',
  durationSeconds: spec?.leaseDurationSeconds ?? Number.NaN,
  acquiredMs: Date.parse(spec?.acquireTime ?? ''),
  renewedMs: Date.parse(spec?.renewTime ?? ''),
  transitions: spec?.leaseTransitions ?? Number.NaN,
});

function followTheLease(): void {
  const { api, namespace } = suite();
  const record = (object: Lease): void => void sights.push(sightOf(object));
  const handler = {
    onList: (items: (Lease & ApiObject)[]) => items.forEach(record),
    onEvent: (_type: string, object: Lease & ApiObject) => record(object),
  };
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  void api.follow(path, { fieldSelector: `metadata.name=${LEASE}` }, handler, end.signal).catch(() => undefined);
}

const now = (): Sight => {
  const last = sights.at(-1);
  if (last === undefined) throw new Error('the Lease was not seen yet');
  return last;
};

/** Of all its lives; empty before the first. */
const logOf = ({ logFile }: ProcessHandle): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');

const ourLines = (): LogLine[] =>
  logOf(ours)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine);

/** Of each of our leads. */
const ourIdentities = (): string[] =>
  ourLines().flatMap(({ msg, identity }) => (msg === 'leading' ? [String(identity)] : []));

const isOurs = ({ holder }: Sight): boolean => ourIdentities().includes(holder);

/** The first state in which somebody else than at `from` holds the Lease; nobody is somebody. */
const nextHolder = (from: number, isWanted: (sight: Sight) => boolean): Promise<Sight> =>
  until('another holder of the Lease', () =>
    sights.slice(from).find((sight) => sight.holder !== '' && isWanted(sight)),
  );

const oursLeads = (from: number): Promise<Sight> => nextHolder(from, isOurs);
const clientGoLeads = (from: number): Promise<Sight> => nextHolder(from, (sight) => !isOurs(sight) && isRecent(sight));

/** Not a renewal of a client-go that was there before. */
const clientGoOfOld = new Set<string>();
const isRecent = ({ holder }: Sight): boolean => !clientGoOfOld.has(holder);

/** The holder renews so many times more, and nobody else writes. */
async function renews(times: number): Promise<readonly Sight[]> {
  const from = sights.length;
  const { holder } = now();
  await until(`${times} renewals`, () => sights.length >= from + times);
  const seen = sights.slice(from);
  expect(new Set(seen.map((sight) => sight.holder))).toEqual(new Set([holder]));
  return seen;
}

/** A renewal changes nothing but its time. */
function areRenewals(seen: readonly Sight[]): void {
  for (const [index, sight] of seen.entries()) {
    const before = seen[index - 1];
    if (before === undefined) continue;
    expect(sight).toEqual({ ...before, renewedMs: sight.renewedMs });
    expect(sight.renewedMs).toBeGreaterThan(before.renewedMs);
  }
}

async function startOurs(): Promise<void> {
  await ours.start();
  await until('the operator to be ready', async () => (await fetch(`${ourHealth}/readyz`)).ok);
}

async function startClientGo(): Promise<void> {
  const tries = () => logOf(clientGo).split('attempting to acquire leader lease').length;
  const before = tries();
  await clientGo.start();
  await until('client-go to try', () => tries() > before);
}

async function killClientGo(): Promise<{ before: Sight; from: number }> {
  const before = now();
  expect(isOurs(before)).toBe(false);
  clientGoOfOld.add(before.holder);
  await clientGo.stop('SIGKILL');
  return { before, from: sights.length };
}

beforeAll(async () => {
  const { api, controlPlane, namespace } = suite();
  const [binaries, made, ports] = await Promise.all([findBinaries(), bundleOperator(), freePorts(3), installCrd(api)]);
  const [port = 0, health = 0, metrics = 0] = ports;
  bundle = made;
  processes = await superviseProcesses();
  const { kubeconfigPath: kubeconfig, minorVersion } = controlPlane;
  const candidate = { kubeconfig, port, minorVersion, lease: { namespace, name: LEASE }, retryMs: RETRY_MS };
  clientGo = processes.define(
    binaries.path['kube-controller-manager'],
    candidateArgs({ ...candidate, leaseSeconds: CLIENT_GO_SECONDS, renewDeadlineSeconds: CLIENT_GO_SECONDS - 1 }),
    'client-go',
  );
  ourHealth = `http://${LOOPBACK}:${health}`;
  const flags = {
    kubeconfig,
    namespace,
    'leader-lease-namespace': namespace,
    'leader-lease-name': LEASE,
    'leader-lease-duration': `${OUR_SECONDS}s`,
    'metrics-address': `${LOOPBACK}:${metrics}`,
    'health-address': `${LOOPBACK}:${health}`,
  };
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
  ours = processes.define(process.execPath, [bundle.path, ...args], 'operator');
  followTheLease();
});

afterAll(async () => {
  end.abort();
  await processes.shutDown();
  bundle.remove();
});

describe('an election against client-go', () => {
  test('ours waits for as long as client-go renews', async () => {
    await startClientGo();
    await until('client-go to lead', () => sights.length > 0);
    expect(now()).toMatchObject({ durationSeconds: CLIENT_GO_SECONDS, transitions: 0 });
    await startOurs();
    // Three of its durations, seven of ours.
    areRenewals(await renews((3 * CLIENT_GO_SECONDS * 1000) / RETRY_MS / 1.25));
    expect(ourIdentities()).toEqual([]);
  });

  test('ours leads when client-go was killed and its duration has passed, not ours, with the next transition', async () => {
    const { before, from } = await killClientGo();
    const after = await oursLeads(from);
    expect(after.acquiredMs - before.renewedMs).toBeGreaterThanOrEqual(CLIENT_GO_SECONDS * 1000 - SLEW_MS);
    expect(after).toMatchObject({ durationSeconds: OUR_SECONDS, transitions: before.transitions + 1 });
    expect(after.acquiredMs).toBe(after.renewedMs);
  });

  test('client-go waits for as long as ours renews', async () => {
    await startClientGo();
    const seen = await renews((3 * CLIENT_GO_SECONDS) / (OUR_SECONDS / 3));
    areRenewals(seen);
    expect(seen.every(isOurs)).toBe(true);
    expect(clientGo.pid).toBeDefined();
  });

  test('client-go leads soon after ours was stopped, with the next transition', async () => {
    const before = now();
    const from = sights.length;
    await ours.stop('SIGTERM');
    const released = await until('the release', () => sights.slice(from).find(({ holder }) => holder === ''));
    expect(released).toMatchObject({
      durationSeconds: 1,
      transitions: before.transitions,
      acquiredMs: before.acquiredMs,
    });
    const after = await clientGoLeads(from);
    // It looks every 500 ms, up to 2.2 times that with its jitter.
    expect(after.acquiredMs - released.renewedMs).toBeLessThan(CLIENT_GO_SECONDS * 1000);
    expect(after).toMatchObject({ durationSeconds: CLIENT_GO_SECONDS, transitions: before.transitions + 1 });
  });

  test.each([
    ['frozen', () => ours.freeze()],
    ['killed', () => ours.stop('SIGKILL')],
  ] as const)('client-go leads when ours was %s and the duration has passed', async (how, lose) => {
    if (ours.pid === undefined) await startOurs();
    const { from: atKill } = await killClientGo();
    await oursLeads(atKill);
    await startClientGo();
    await renews(2);
    const before = now();
    const from = sights.length;
    const linesBefore = ourLines().length;
    await lose();
    const after = await clientGoLeads(from);
    // Which duration it waits for, its own or the holder's, depends on its version; both are longer than ours leads.
    expect(after.acquiredMs - before.renewedMs).toBeGreaterThanOrEqual(OUR_SECONDS * 1000 - SLEW_MS);
    expect(after).toMatchObject({ durationSeconds: CLIENT_GO_SECONDS, transitions: before.transitions + 1 });
    if (how !== 'frozen') return;
    await ours.thaw();
    await until('ours to know', () =>
      ourLines()
        .slice(linesBefore)
        .some(({ msg }) => msg.startsWith('not leading any more')),
    );
    await renews(6);
  });
});
