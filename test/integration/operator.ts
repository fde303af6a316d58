/** The operator in the test's own process, put together as operator-main.ts does. */
import { createSystemClock } from '../../src/adapters/clock.ts';
import { loadKubeconfig } from '../../src/adapters/kubernetes/kubeconfig.ts';
import { createKubernetesApi } from '../../src/adapters/kubernetes/kubernetes-api.ts';
import { createLogger } from '../../src/adapters/logger.ts';
import { createMetrics } from '../../src/adapters/metrics.ts';
import type { Metrics } from '../../src/adapters/metrics.ts';
import { agentPlatform } from '../../src/core/agent-pod.ts';
import { electionTimes } from '../../src/core/leadership.ts';
import { Election } from '../../src/operator/election.ts';
import { Operator } from '../../src/operator/operator.ts';
import { waitForCluster } from '../../src/operator/startup.ts';
import { until } from '../control-plane/wait.ts';

export interface TestOperatorOptions {
  readonly kubeconfigPath: string;
  /** Test files share a control plane: each has an operator of its own, which must leave the others' objects alone. */
  readonly namespace: string;
  /** `--node-loss-brake`, 0 to 1. */
  readonly nodeLossBrake?: number;
  /** Elected by a Lease of this name in that namespace. Default: it leads from the start, and writes no Lease for that. */
  readonly leaderLease?: string;
}

export interface LogLine {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestOperator {
  /** By which the audit log tells its requests from the test's. */
  readonly userAgent: string;
  readonly metrics: Metrics;
  readonly log: readonly LogLine[];
  /** Takes no more work and closes its connections. Can be called again. */
  stop(): Promise<void>;
}

let started = 0;

/** Resolves when its caches are whole. */
export async function startOperator(options: TestOperatorOptions): Promise<TestOperator> {
  const { kubeconfigPath, namespace, leaderLease, nodeLossBrake = 0.55 } = options;
  const log: LogLine[] = [];
  const write = (line: string) => void log.push(JSON.parse(line) as LogLine);
  const logger = createLogger({ level: 'debug', format: 'json', write });
  const metrics = createMetrics();
  const clock = createSystemClock();
  const userAgent = `operator-of-${namespace}/${++started}`;
  const { server, credentials } = loadKubeconfig({ env: {}, path: kubeconfigPath });
  const onRequest = ({ verb, resource, code }: { verb: string; resource: string; code: number | string }) =>
    metrics.apiRequests.inc({ verb, resource, code: String(code) });
  const parts: { operator?: Operator; election?: Election } = {};
  const onConnected = () => {
    parts.operator?.reconnected();
    parts.election?.reconnected();
  };
  const api = createKubernetesApi({ server, credentials, userAgent, onRequest, onConnected });
  const { signal } = new AbortController();
  const cluster = await waitForCluster({ api, clock, logger, signal, namespace });
  if (cluster === undefined) throw new Error('the start was not aborted');
  const agent = agentPlatform('agent', cluster.minorVersion);
  const common = { ...cluster, api, clock, logger, metrics, namespace, agent };
  const operator = new Operator({ ...common, random: Math.random, concurrency: 16, nodeLossBrake });
  parts.operator = operator;
  operator.start();
  if (leaderLease === undefined) operator.lead();
  else {
    parts.election = new Election({
      api,
      clock,
      logger,
      namespace,
      name: leaderLease,
      identity: userAgent,
      random: Math.random,
      times: electionTimes(3_000),
      onLead: () => operator.lead(),
      onLost: () => operator.standDown(),
    });
    parts.election.start();
  }
  await until('the operator to have whole caches, and the lead', () => {
    return operator.isSynced && parts.election?.isLeading !== false;
  });
  return {
    userAgent,
    metrics,
    log,
    async stop() {
      await operator.stop();
      await parts.election?.stop();
      api.close();
    },
  };
}
