/** Prometheus metrics, by the names that users' dashboards rely on. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export interface MoveMetric {
  readonly namespace: string;
  readonly name: string;
  readonly kind: string;
  readonly reason: string;
  /** Milliseconds; a phase that nobody timed is left out. */
  readonly phasesMs: Readonly<Record<string, number | undefined>>;
}

export interface SingletonMetric {
  readonly namespace: string;
  readonly name: string;
  readonly isRouted: boolean;
  readonly term: number;
  readonly members: Readonly<Record<'ready' | 'notReady' | 'terminating', number>>;
}

/** Seconds; a move takes tens of milliseconds, what blocks one takes minutes. */
const MOVE_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.5, 1, 2, 5, 15, 60, 300];

export type Metrics = ReturnType<typeof createMetrics>;

const SINGLETON = ['namespace', 'name'] as const;

/** How often the event loop's delay is measured. Each is a wake-up; by default there are 100 a second, for ever. */
const EVENT_LOOP_EVERY_MS = 100;

export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_EVERY_MS });
  return { registry, ...operatorMetrics(registry), ...singletonMetrics(registry), ...moveMetrics(registry) };
}

/** Of the process as a whole. */
function operatorMetrics(registry: Registry) {
  const registers = [registry];
  return {
    isLeader: new Gauge({ name: 'singleton_operator_leader', help: '1 while this replica leads.', registers }),
    reconcileDuration: new Histogram({
      name: 'singleton_reconcile_duration_seconds',
      help: 'Time of one look at one singleton, its writes included.',
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
      registers,
    }),
    reconcileErrors: new Counter({
      name: 'singleton_reconcile_errors_total',
      help: 'Looks that ended early; reason Conflict is ordinary.',
      labelNames: ['reason'],
      registers,
    }),
    nodes: nodeMetrics(registry),
    queueDepth: new Gauge({
      name: 'singleton_queue_depth',
      help: 'Singletons waiting or being worked on.',
      registers,
    }),
    apiRequests: new Counter({
      name: 'singleton_api_requests_total',
      help: 'Requests to the API server; code is the HTTP status or how the request failed.',
      labelNames: ['verb', 'resource', 'code'],
      registers,
    }),
    watchRestarts: new Counter({
      name: 'singleton_watch_restarts_total',
      help: 'Watches started again, by resource and why.',
      labelNames: ['resource', 'reason'],
      registers,
    }),
    invariantViolations: new Counter({
      name: 'singleton_invariant_violations_total',
      help: 'Invariants of the protocol seen broken. Must stay 0.',
      labelNames: ['invariant'],
      registers,
    }),
  };
}

function nodeMetrics(registry: Registry) {
  const registers = [registry];
  const nodes = new Gauge({
    name: 'singleton_nodes',
    help: 'Nodes by whether they are heard of.',
    labelNames: ['state'],
    registers,
  });
  const brake = new Gauge({
    name: 'singleton_node_loss_brake',
    help: '1 while more nodes are dark at once than --node-loss-brake allows: nothing on them is moved.',
    registers,
  });
  return ({ all, dark, isBraked }: { all: number; dark: number; isBraked: boolean }): void => {
    nodes.set({ state: 'heard' }, all - dark);
    nodes.set({ state: 'dark' }, dark);
    brake.set(isBraked ? 1 : 0);
  };
}

/** Of each singleton, as it was seen last. Written out when they are asked for: a look on its way to a move has no time. */
function singletonMetrics(registry: Registry) {
  const registers = [registry];
  const seen = new Map<string, SingletonMetric>();
  const gauge = (name: string, help: string, value: (metric: SingletonMetric) => number): Gauge =>
    new Gauge({
      name,
      help,
      labelNames: [...SINGLETON],
      registers,
      collect() {
        this.reset();
        for (const metric of seen.values()) this.set({ namespace: metric.namespace, name: metric.name }, value(metric));
      },
    });
  gauge('singleton_active', '1 while an active member is routed.', ({ isRouted }) => (isRouted ? 1 : 0));
  gauge('singleton_term', 'The highest term granted.', ({ term }) => term);
  void new Gauge({
    name: 'singleton_members',
    help: 'Members by state.',
    labelNames: [...SINGLETON, 'state'],
    registers,
    collect() {
      this.reset();
      for (const { namespace, name, members } of seen.values())
        for (const [state, count] of Object.entries(members)) this.set({ namespace, name, state }, count);
    },
  });
  const keyOf = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}/${name}`;
  return {
    seen: (metric: SingletonMetric): void => void seen.set(keyOf(metric), metric),
    /** A deleted singleton leaves no series behind, but for its counters: a rate needs their past. */
    gone: (singleton: { namespace: string; name: string }): void => void seen.delete(keyOf(singleton)),
  };
}

/** Of the moves that were completed. */
function moveMetrics(registry: Registry) {
  const registers = [registry];
  const moves = new Counter({
    name: 'singleton_moves_total',
    help: 'Completed moves of the active.',
    labelNames: [...SINGLETON, 'kind', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'singleton_move_duration_seconds',
    help: 'Time each phase of a move took: detect, fence (mode Agent), grant, label, route.',
    labelNames: ['kind', 'phase'],
    buckets: MOVE_BUCKETS,
    registers,
  });
  return {
    moved({ namespace, name, kind, reason, phasesMs }: MoveMetric): void {
      moves.inc({ namespace, name, kind, reason });
      for (const [phase, ms] of Object.entries(phasesMs)) {
        if (ms !== undefined) duration.observe({ kind, phase }, ms / 1000);
      }
    },
  };
}
