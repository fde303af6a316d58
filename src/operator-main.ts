/** The operator's process: reads flags and environment, puts the parts together, and ends in good order. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createSystemClock } from './adapters/clock.ts';
import { serveHttp } from './adapters/http-server.ts';
import { KubeconfigError, loadKubeconfig } from './adapters/kubernetes/kubeconfig.ts';
import { createKubernetesApi } from './adapters/kubernetes/kubernetes-api.ts';
import { createLogger } from './adapters/logger.ts';
import { createMetrics } from './adapters/metrics.ts';
import { ConfigError, helpText, parseConfig } from './config.ts';
import type { Config } from './config.ts';
import { electionTimes } from './core/leadership.ts';
import { Election } from './operator/election.ts';
import type { ElectionOptions } from './operator/election.ts';
import { agentPlatform } from './core/agent-pod.ts';
import { Operator } from './operator/operator.ts';
import { StartupError, waitForCluster } from './operator/startup.ts';

/** SIGTERM to exit: writes under way have this long to end. */
const STOP_DEADLINE_MS = 5_000;
/** A wrong call of the program, as in other command-line tools. */
const EXIT_USAGE = 2;

async function run(config: Config): Promise<void> {
  const logger = createLogger({
    level: config['log-level'],
    format: config['log-format'],
    write: (line) => void process.stdout.write(line),
  });
  const metrics = createMetrics();
  const clock = createSystemClock();
  const access = loadKubeconfig({
    env: process.env,
    ...(config.kubeconfig !== undefined && { path: config.kubeconfig }),
  });
  let operator: Operator | undefined;
  let election: Election | undefined;
  const api = createKubernetesApi({
    server: access.server,
    credentials: access.credentials,
    userAgent: 'singleton-operator/0.1.0',
    ...(config['kube-api-qps'] > 0 && { qps: config['kube-api-qps'] }),
    onConnected: () => [operator, election].forEach((part) => part?.reconnected()),
    onRequest: ({ verb, resource, code }) => metrics.apiRequests.inc({ verb, resource, code: String(code) }),
  });
  const aborted = new AbortController();
  const health = await serveHttp(config['health-address'], {
    '/livez': () => ({ status: 200, body: 'ok\n' }),
    '/readyz': () =>
      operator?.isSynced === true ? { status: 200, body: 'ok\n' } : { status: 503, body: 'caches are not whole yet\n' },
  });
  const exposed = await serveHttp(config['metrics-address'], {
    '/metrics': async () => ({
      status: 200,
      body: await metrics.registry.metrics(),
      contentType: metrics.registry.contentType,
    }),
  });
  const stop = stopper(async () => {
    aborted.abort();
    await operator?.stop();
    await election?.stop();
    api.close();
    await Promise.all([health.close(), exposed.close()]);
  });
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  logger.info('starting', { server: access.server, from: access.source, metrics: exposed.port, health: health.port });
  const cluster = await waitForCluster({
    api,
    clock,
    logger,
    signal: aborted.signal,
    namespace: config.namespace,
  });
  if (cluster === undefined) return;
  const { concurrency, namespace } = config;
  operator = new Operator({
    ...cluster,
    api,
    clock,
    logger,
    metrics,
    concurrency,
    random: Math.random,
    nodeLossBrake: config['node-loss-brake'],
    agent: agentPlatform(config['agent-image'], cluster.minorVersion),
    ...(namespace !== undefined && { namespace }),
  });
  operator.start();
  election = electionFor(operator, config, { api, clock, logger, namespace: access.namespace });
  election.start();
}

interface ElectionParts extends Pick<ElectionOptions, 'api' | 'clock' | 'logger'> {
  /** The pod's own, or the kubeconfig's. */
  readonly namespace: string | undefined;
}

function electionFor(operator: Operator, config: Config, { namespace, ...parts }: ElectionParts): Election {
  return new Election({
    ...parts,
    random: Math.random,
    namespace: config['leader-lease-namespace'] ?? namespace ?? 'default',
    name: config['leader-lease-name'],
    // The UUID, so that a process that was restarted under the same name does not take itself for its predecessor.
    identity: `${hostname()}_${randomUUID()}`,
    times: electionTimes(config['leader-lease-duration']),
    onLead: () => operator.lead(),
    onLost: () => operator.standDown(),
  });
}

/** Ends the process with 0 when `end` is through, and in any case after the deadline. */
const stopper = (end: () => Promise<void>) => (): void => {
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  void end().then(() => process.exit(0));
};

function fail(error: unknown): never {
  const isForPeople = error instanceof ConfigError || error instanceof KubeconfigError || error instanceof StartupError;
  const text =
    isForPeople || (error instanceof Error && error.message.startsWith('cannot listen'))
      ? error.message
      : String((error as Error).stack ?? error);
  process.stderr.write(`singleton-operator: ${text}\n`);
  process.exit(error instanceof ConfigError || error instanceof KubeconfigError ? EXIT_USAGE : 1);
}

try {
  const config = parseConfig(process.argv.slice(2), process.env);
  if (config === 'help') process.stdout.write(helpText());
  else await run(config);
} catch (error) {
  fail(error);
}
