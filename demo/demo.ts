/**
 * The main job, shown: three members on three nodes, one of them active; it is killed, the next one is deleted, and each
 * time another takes over. `make demo`; with USE_KUBECONFIG=1 on the cluster that KUBECONFIG names.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from '../test/control-plane/wait.ts';
import { existingCluster, ownCluster } from './cluster.ts';
import type { DemoCluster } from './cluster.ts';
import { startOperator } from './operator-process.ts';
import type { OperatorProcess } from './operator-process.ts';
import { Witness } from './witness.ts';

const NAMESPACE = 'default';
const NAME = 'echo';
const startedAt = performance.now();

const inProject = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
const say = (text: string): void =>
  console.log(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(5)} s] ${text}`);
const heading = (text: string): void => console.log(`\n=== ${text}`);

interface Stage {
  readonly cluster: DemoCluster;
  readonly witness: Witness;
  readonly kubectl: (...args: string[]) => string;
}

async function main(): Promise<void> {
  const ending: (() => Promise<void> | void)[] = [];
  let endedBy: NodeJS.Signals | undefined;
  const end = async (): Promise<void> => {
    for (const step of ending.splice(0).reverse()) await step();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      endedBy = signal;
      say(`${signal}: ending everything that was started`);
      void end().then(() => process.exit(130));
    });
  }
  try {
    await play(ending);
  } catch (error) {
    if (endedBy === undefined) throw error;
  } finally {
    await end();
  }
  say('done: nothing is left running');
}

async function play(ending: (() => Promise<void> | void)[]): Promise<void> {
  const cluster = await openCluster();
  ending.push(() => cluster.stop());
  say(cluster.description);
  const witness = new Witness(NAMESPACE, NAME);
  ending.push(() => witness.stop());
  const kubectl = (...args: string[]): string =>
    execFileSync(cluster.kubectlPath, ['--kubeconfig', cluster.kubeconfigPath, ...args], { encoding: 'utf8' });
  kubectl('apply', '-f', inProject('crds/singletonservices.yaml'));
  kubectl('wait', '--for=condition=Established', 'crd/singletonservices.singleton-operator.io', '--timeout=30s');
  const operator = await openOperator(cluster, ending);
  say(`the operator works (process ${operator.pid}, ${operator.residentMegabytes()} MB)`);
  witness.start(cluster.api);
  const stage: Stage = { cluster, witness, kubectl };
  ending.push(
    () => void kubectl('delete', '-f', inProject('deploy/samples/echo.yaml'), '--ignore-not-found', '--wait=false'),
  );
  await firstActive(stage);
  await killed(stage);
  await deleted(stage);
  heading('kubectl describe singletonservice echo');
  console.log(withoutSpec(kubectl('describe', 'singletonservice', NAME)));
  say(`the operator: ${operator.residentMegabytes()} MB resident`);
}

async function openCluster(): Promise<DemoCluster> {
  if (process.env['USE_KUBECONFIG'] !== '1') {
    say('starting a control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler');
    return ownCluster();
  }
  const path = process.env['KUBECONFIG'];
  if (path === undefined || path === '')
    throw new Error('USE_KUBECONFIG=1 is set but KUBECONFIG is not; set it to the file to use');
  return existingCluster(path);
}

async function openOperator(cluster: DemoCluster, ending: (() => Promise<void> | void)[]): Promise<OperatorProcess> {
  say('starting the operator: node dist/operator-main.js');
  const operator = await startOperator(inProject('dist/operator-main.js'), cluster.kubeconfigPath);
  ending.push(() => operator.stop());
  return operator;
}

async function firstActive({ kubectl, witness }: Stage): Promise<void> {
  heading('kubectl apply -f deploy/samples/echo.yaml');
  const appliedAtMs = Date.now();
  kubectl('apply', '-f', inProject('deploy/samples/echo.yaml'));
  await until('a first active', () => witness.routed, { timeoutMs: 120_000, intervalMs: 5 });
  await allReady({ kubectl });
  tell(witness, appliedAtMs, 'after the apply');
  show({ kubectl });
}

async function killed(stage: Stage): Promise<void> {
  const { cluster, witness } = stage;
  const old = activeOf(stage);
  heading(`the process of the active pod ${old} is killed`);
  witness.takeDiary();
  const sentAtMs = Date.now();
  const knownAtMs = await cluster.kill(NAMESPACE, old);
  await movedFrom(stage, old);
  tell(witness, knownAtMs ?? sentAtMs, knownAtMs === undefined ? 'after the kill' : 'after the API server knew');
  show(stage);
}

async function deleted(stage: Stage): Promise<void> {
  const { kubectl, witness } = stage;
  await allReady(stage);
  const old = activeOf(stage);
  heading(`kubectl delete pod ${old}`);
  witness.takeDiary();
  const sentAtMs = Date.now();
  kubectl('delete', 'pod', old, '--wait=false');
  await movedFrom(stage, old);
  tell(witness, sentAtMs, 'after kubectl was called, which takes most of it');
  await allReady(stage);
  show(stage);
}

const activeOf = ({ kubectl }: Pick<Stage, 'kubectl'>): string =>
  kubectl('get', 'singletonservice', NAME, '-o', 'jsonpath={.status.active.pod}');

const movedFrom = ({ witness, kubectl }: Stage, old: string): Promise<unknown> =>
  until(
    `another active than ${old}`,
    () => witness.routed !== undefined && witness.routed !== old && activeOf({ kubectl }) === witness.routed,
    {
      timeoutMs: 120_000,
      intervalMs: 20,
    },
  );

const allReady = ({ kubectl }: Pick<Stage, 'kubectl'>): Promise<unknown> =>
  until(
    'three Ready members',
    () => kubectl('get', 'singletonservice', NAME, '-o', 'jsonpath={.status.ready}') === '3/3',
    {
      timeoutMs: 120_000,
      intervalMs: 100,
    },
  );

/** The diary as a timeline: milliseconds since `zeroMs`, by the clock of this machine. */
function tell(witness: Witness, zeroMs: number, since: string): void {
  console.log(`  milliseconds ${since}`);
  for (const { atMs, what } of witness.takeDiary())
    console.log(`  ${String(Math.round(atMs - zeroMs)).padStart(6)}  ${what}`);
}

function show({ kubectl }: Pick<Stage, 'kubectl'>): void {
  console.log(`\n${kubectl('get', 'singletonservice', NAME)}`);
  const labels = ['role', 'term', 'slot'].map((label) => `singleton-operator.io/${label}`).join(',');
  console.log(kubectl('get', 'pods', '-l', `singleton-operator.io/name=${NAME}`, '-L', labels, '-o', 'wide'));
}

/** The spec is what the user wrote; its template alone fills a screen. */
function withoutSpec(text: string): string {
  const [head, rest = ''] = text.split(/^Spec:\n/m);
  const status = rest.indexOf('\nStatus:');
  return status === -1 ? text : `${head}Spec:  (as applied)\n${rest.slice(status + 1)}`;
}

try {
  await main();
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof Error && error.cause instanceof Error) console.error(`  last seen: ${error.cause.message}`);
  process.exitCode = 1;
}
