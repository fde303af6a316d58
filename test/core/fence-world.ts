/** A Lease on a server of its own and one agent's steps, for tests: what it asks is answered when the test says so. */
import type { Lease } from '../../src/api/objects.ts';
import { renewedLease, releasedLease, sightOf } from '../../src/core/fence-lease.ts';
import type { Sight } from '../../src/core/fence-lease.ts';
import { fenceRules, startFence, step } from '../../src/core/fence.ts';
import type { FenceAction, FenceEvent, FenceRules, FenceState, Remembered } from '../../src/core/fence-types.ts';

export const ME = 'web-0-aaaaa_uid-0';
export const OTHER = 'web-1-bbbbb_uid-1';

/** Fence deadline 5 s, requests 1.5 s, retries 200 ms. */
export const RULES: FenceRules = fenceRules({
  holder: ME,
  leaseDurationMs: 10_000,
  renewIntervalMs: 2_000,
  stopGraceMs: 2_000,
  enforcement: 'Probe',
  hooks: { activate: false, deactivate: false },
  containers: ['app'],
});

export type ActionOf<K extends FenceAction['kind']> = FenceAction & { readonly kind: K };

export class FenceWorld {
  state: FenceState;
  nowMs = 0;
  /** Of the last step. */
  actions: readonly FenceAction[] = [];
  version = 1;
  lease: Lease;

  constructor(rules: Partial<FenceRules> = {}, remembered?: Remembered) {
    this.state = startFence({ ...RULES, ...rules }, remembered, this.nowMs);
    this.lease = {
      metadata: { name: 'web-active', uid: 'lease', resourceVersion: '1', creationTimestamp: '' },
      spec: { holderIdentity: '', leaseTransitions: 0 },
    };
  }

  get workload(): FenceState['workload'] {
    return this.state.workload;
  }

  get isActive(): boolean {
    return this.state.told.report.active;
  }

  get sight(): Sight {
    return sightOf(this.lease);
  }

  hear(event: FenceEvent, afterMs = 0): readonly FenceAction[] {
    this.nowMs += afterMs;
    [this.state, this.actions] = step(this.state, event, this.nowMs);
    return this.actions;
  }

  see(): readonly FenceAction[] {
    return this.hear({ kind: 'seen', lease: this.sight });
  }

  /** Somebody else's write. */
  write(holder: string, term: number, annotations: Record<string, string> = {}): Sight {
    const { metadata } = this.lease;
    return this.#store({
      ...this.lease,
      metadata: { ...metadata, annotations: { ...metadata.annotations, ...annotations } },
      spec: { ...this.lease.spec, holderIdentity: holder, leaseTransitions: term },
    });
  }

  grant(holder: string, term: number, annotations: Record<string, string> = {}): readonly FenceAction[] {
    this.write(holder, term, annotations);
    return this.see();
  }

  did<K extends FenceAction['kind']>(kind: K): ActionOf<K> | undefined {
    return this.actions.find((action): action is ActionOf<K> => action.kind === kind);
  }

  /** The request that the last step sent, as the server performs it: its answer's event. */
  perform(request = this.request()): FenceEvent {
    const { id } = request;
    if (request.kind === 'read') return { kind: 'replied', id, lease: this.sight };
    if (request.lease.resourceVersion !== this.lease.metadata.resourceVersion) return { kind: 'refused', id };
    const body =
      request.kind === 'renew' ? renewedLease(request.lease, 0, request.holdSet) : releasedLease(request.lease);
    return { kind: 'replied', id, lease: this.#store(body) };
  }

  request(): ActionOf<'read' | 'renew' | 'release'> {
    const request = this.did('renew') ?? this.did('release') ?? this.did('read');
    if (request === undefined) throw new Error(`no request among ${JSON.stringify(this.actions)}`);
    return request;
  }

  answer(afterMs = 0): readonly FenceAction[] {
    return this.hear(this.perform(), afterMs);
  }

  /** Granted, renewed at once, active. */
  activate(term = 1): this {
    this.grant(ME, term);
    this.answer();
    return this;
  }

  #store(lease: Lease): Sight {
    this.version += 1;
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.version) } };
    return this.sight;
  }
}
