/** Timers, requests and calls around the agent's step function: what it decides is done here, and what comes of it is told to it. */
import type { Clock, Logger } from '../adapters/ports.ts';
import type { Lease } from '../api/objects.ts';
import { isRefused, releasedLease, renewedLease, sightOf } from '../core/fence-lease.ts';
import type { FenceAction, FenceEvent, FenceRules, FenceState, Hook, Remembered, Report } from '../core/fence-types.ts';
import { startFence, step } from '../core/fence.ts';
import { watchLease } from './lease-watch.ts';
import { LeaseError } from './ports.ts';
import type { LeaseSource, NoPromise, PeerPort, Question, WorkloadPort } from './ports.ts';

export interface AgentOptions {
  readonly rules: FenceRules;
  readonly clock: Clock;
  readonly source: LeaseSource;
  readonly workload: WorkloadPort;
  readonly logger: Logger;
  /** `onApiLoss: Hold`; absent: `Fence`. */
  readonly peers?: PeerPort | undefined;
  /** Of an earlier process of this agent on this machine. */
  readonly remembered: Remembered | undefined;
  /** It has let go of everything, after `terminate`. */
  readonly onExit: () => void;
}

const US_PER_MS = 1_000;

type Write = FenceAction & { readonly kind: 'renew' | 'release' };
type Ask = FenceAction & { readonly kind: 'ask' };

export class Agent {
  readonly #options: AgentOptions;
  readonly #stopped = new AbortController();
  readonly #events: FenceEvent[] = [];
  #state: FenceState;
  #isStepping = false;
  #sequence = 0;
  /** What was said after this was said after the workload was asked to stop. */
  #stopSequence = 0;
  #cancelTimer: () => void = () => undefined;
  #hook: AbortController | undefined;
  #isHealthy = true;
  #isWritten = true;
  #refusal: NoPromise | undefined;
  /** It goes on by promises, and said so. */
  #isHeld = false;
  #complaint: string | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#state = startFence(options.rules, options.remembered, options.clock.monotonicMs());
  }

  start(): void {
    const { source, clock } = this.#options;
    const onLease = (lease: Lease | undefined, askedAtMs?: number): void =>
      this.hear({
        kind: 'seen',
        lease: lease && sightOf(lease),
        ...(askedAtMs !== undefined && { askedAtMs }),
      });
    const onProblem = (error: unknown): void => this.#complain('the Lease cannot be watched', error);
    this.#options.workload.publish(this.#state.told);
    this.hear({ kind: 'timer' });
    void watchLease({ source, clock, onLease, onProblem, signal: this.#stopped.signal });
  }

  /** What the workload is told at this moment: no deadline is overlooked because its timer is late. */
  get report(): Report {
    const { report } = this.#state.told;
    const isOver = report.active && this.#options.clock.monotonicMs() >= report.untilMs;
    if (isOver) this.hear({ kind: 'timer' });
    return this.#state.told.report;
  }

  /** Microseconds since the machine was booted, and never the same twice: what is said later has a higher one. */
  nextSequence(): number {
    this.#sequence = Math.max(this.#sequence + 1, Math.floor(this.#options.clock.monotonicMs() * US_PER_MS));
    return this.#sequence;
  }

  /** The workload was told to stop and is not known to have stopped. */
  get isStopping(): boolean {
    return this.#state.workload.kind === 'stopping';
  }

  /** Whether the kubelet may leave this container running. */
  probe(container: string): boolean {
    this.#isHealthy = false;
    this.hear({ kind: 'probed', container });
    return this.#isHealthy;
  }

  /** Somebody who has proven to be the holder of that term asks for a promise. Undefined: it is given, and written down. */
  asked(question: Question): NoPromise | undefined {
    this.#refusal = 'Unwritten';
    this.hear({ kind: 'asked', ...question });
    return this.#refusal;
  }

  /**
   * The workload does not act under `term`, and has heard what was said with `sequence`. An answer to what was said before
   * the stop that is under way is no answer to it: it may have been told to act in between.
   */
  acknowledge(term: number, sequence: number): void {
    if (sequence > this.#stopSequence) this.hear({ kind: 'acknowledged', term });
  }

  /** Takes effect before it returns, unless it comes out of another event's effects: then right after that one. */
  hear(event: FenceEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#isStepping = false;
    }
  }

  /** Lets go of timers and connections; the Lease and the workload are left as they are. */
  close(): void {
    this.#cancelTimer();
    this.#stopped.abort();
    this.#hook?.abort();
  }

  #step(event: FenceEvent): void {
    const before = this.#state;
    const [state, actions] = step(before, event, this.#options.clock.monotonicMs());
    this.#state = state;
    if (state.workload.kind === 'stopping' && before.workload !== state.workload && before.workload.kind !== 'stopping')
      this.#stopSequence = this.nextSequence();
    this.#log(before, state, event.kind);
    for (const action of actions) this.#perform(action);
  }

  #perform(action: FenceAction): void {
    const { workload, source, clock, onExit } = this.#options;
    switch (action.kind) {
      case 'publish':
        this.#isWritten = workload.publish(action.told);
        return undefined;
      case 'read':
        return this.#ask(action.id, source.read());
      case 'renew':
      case 'release':
        return this.#ask(action.id, source.replace(this.#written(action)));
      case 'callHook':
        return this.#callHook(action.hook, action.term);
      case 'abortHook':
        return this.#hook?.abort();
      case 'kill':
        return workload.kill();
      case 'answerProbe':
        this.#isHealthy = action.healthy;
        return undefined;
      case 'ask':
        return this.#askPeers(action);
      case 'answerQuestion':
        this.#refusal = action.refusal ?? (this.#isWritten ? undefined : 'Unwritten');
        return undefined;
      case 'setTimer': {
        this.#cancelTimer();
        if (action.atMs === undefined) return undefined;
        const delayMs = action.atMs - clock.monotonicMs();
        this.#cancelTimer = clock.after(Math.max(0, delayMs), () => this.hear({ kind: 'timer' }));
        return undefined;
      }
      case 'exit':
        return onExit();
      default:
        return action satisfies never;
    }
  }

  #written({ kind, lease, holdSet }: Write): Lease {
    return kind === 'renew' ? renewedLease(lease, this.#options.clock.wallMs(), holdSet) : releasedLease(lease);
  }

  #askPeers({ peers, term, askedAtMs }: Ask): void {
    const { peers: port, rules, logger } = this.#options;
    const forMs = rules.hold?.promiseMs;
    if (port === undefined || forMs === undefined) return;
    for (const peer of peers) {
      const { uid, pod } = peer;
      port.ask(peer, { holder: rules.holder, term, forMs }).then(
        (refusal) => {
          if (refusal === undefined) this.hear({ kind: 'promised', uid, term, askedAtMs });
          else logger.warn('a member does not promise to stay standby', { pod, refusal });
        },
        (error: unknown) => logger.warn('a member does not answer', { pod, error: messageOf(error) }),
      );
    }
  }

  #ask(id: number, answer: Promise<Lease>): void {
    const { clock, rules } = this.#options;
    const cancel = clock.after(rules.requestDeadlineMs, () => {
      this.#complain('the API server does not answer in time', undefined);
      this.hear({ kind: 'unanswered', id });
    });
    answer.then(
      (lease) => {
        cancel();
        this.#complaint = undefined;
        this.hear({ kind: 'replied', id, lease: sightOf(lease) });
      },
      (error: unknown) => {
        cancel();
        const status = error instanceof LeaseError ? error.status : undefined;
        if (status !== 409) this.#complain('a request for the Lease failed', error);
        this.hear({ kind: status === 409 ? 'refused' : 'failed', id });
      },
    );
  }

  #callHook(hook: Hook, term: number): void {
    const { workload, logger } = this.#options;
    this.#hook = new AbortController();
    workload.callHook({ hook, term, sequence: this.nextSequence() }, this.#hook.signal).then(
      () => this.hear({ kind: 'hookAnswered', hook }),
      (error: unknown) => {
        logger.warn('a hook was not answered with success', { hook, term, error: messageOf(error) });
        this.hear({ kind: 'hookFailed', hook });
      },
    );
  }

  /** Once for as long as it lasts: while the API server is away there are several a second. */
  #complain(message: string, error: unknown): void {
    const complaint = `${message}: ${messageOf(error)}`;
    if (complaint === this.#complaint || this.#stopped.signal.aborted) return;
    this.#complaint = complaint;
    this.#options.logger.warn(message, { error: messageOf(error) });
  }

  #log(
    { workload: before, lease: known }: FenceState,
    { workload: after, lease, rules }: FenceState,
    event: FenceEvent['kind'],
  ): void {
    const { logger } = this.#options;
    if (isRefused(lease, rules.holder) && lease !== known)
      logger.error('the Lease names this pod with a term that it must refuse', {
        term: lease.sight?.term,
        highest: lease.highest.term,
      });
    this.#logHold(before, after, event);
    if (before.kind === after.kind) return;
    const term = after.kind === 'stopped' ? undefined : after.term;
    logger.info(`the workload is ${after.kind}`, { term, ...(after.kind === 'stopping' && { reason: after.reason }) });
  }

  /** Once for each time that it begins, and ends. */
  #logHold(before: FenceState['workload'], after: FenceState['workload'], event: FenceEvent['kind']): void {
    const isActive = after.kind === 'active';
    const isLater = isActive && before.kind === 'active' && after.untilMs > before.untilMs;
    const isHeld = isActive && (isLater ? event === 'promised' : this.#isHeld);
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld)
      this.#options.logger.warn('the Lease cannot be renewed: the active goes on by the promises of all members');
    else if (isActive) this.#options.logger.info('the Lease is renewed again');
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
