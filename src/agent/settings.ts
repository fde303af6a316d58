/** The agent's environment, as the operator sets it. */
import type { Enforcement, TimingInput } from '../api/timing.ts';
import { expirySumBroken, renewalSumBroken } from '../api/timing.ts';
import { holderIdentity } from '../api/names.ts';
import type { HookUrls } from './hooks.ts';
import type { UserProbeSpec } from './user-probe.ts';

export interface AgentSettings {
  readonly singleton: string;
  readonly namespace: string;
  readonly lease: string;
  readonly holder: string;
  readonly port: number;
  readonly stateFile: string;
  readonly timing: TimingInput;
  readonly hooks: HookUrls;
  /** By container: the probe that the user gave it; undefined: none. */
  readonly probes: ReadonlyMap<string, UserProbeSpec | undefined>;
  /** `onApiLoss: Hold`; undefined: `Fence`. */
  readonly hold: HoldSettings | undefined;
  readonly apiHost: string;
  readonly apiPort: number;
  readonly accountDir: string;
}

/** How the agents ask each other. */
export interface HoldSettings {
  readonly uid: string;
  readonly podIp: string;
  /** The same in all members. */
  readonly port: number;
  readonly keyFile: string;
}

/** One line that says which variable is wrong and why. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

export type Environment = Readonly<Record<string, string | undefined>>;

const LIVENESS = 'SINGLETON_LIVENESS_';
const ENFORCEMENTS: readonly Enforcement[] = ['Probe', 'Signal', 'Cooperative'];

/** @throws SettingsError */
export function parseSettings(env: Environment): AgentSettings {
  const namespace = required(env, 'SINGLETON_NAMESPACE');
  const timing = timingIn(env);
  const broken = renewalSumBroken(timing) ?? expirySumBroken(timing);
  if (broken !== undefined) throw new SettingsError(broken);
  return {
    singleton: required(env, 'SINGLETON_NAME'),
    namespace,
    lease: required(env, 'SINGLETON_LEASE'),
    holder: holderIdentity(required(env, 'SINGLETON_POD_NAME'), required(env, 'SINGLETON_POD_UID')),
    port: number(env, 'SINGLETON_AGENT_PORT', 8700),
    stateFile: env['SINGLETON_AGENT_STATE_FILE'] ?? '/run/singleton/state.json',
    timing,
    hooks: { activate: url(env, 'SINGLETON_ON_ACTIVATE_URL'), deactivate: url(env, 'SINGLETON_ON_DEACTIVATE_URL') },
    probes: probesIn(env),
    hold: holdIn(env),
    apiHost: required(env, 'KUBERNETES_SERVICE_HOST'),
    apiPort: number(env, 'KUBERNETES_SERVICE_PORT', 443),
    accountDir: env['SINGLETON_SERVICE_ACCOUNT_DIR'] ?? '/var/run/secrets/kubernetes.io/serviceaccount',
  };
}

function holdIn(env: Environment): HoldSettings | undefined {
  const text = env['SINGLETON_ON_API_LOSS'] ?? 'Fence';
  if (text === 'Fence') return undefined;
  if (text !== 'Hold') throw new SettingsError(`SINGLETON_ON_API_LOSS is ${text}, must be Fence or Hold`);
  return {
    uid: required(env, 'SINGLETON_POD_UID'),
    podIp: env['SINGLETON_POD_IP'] ?? '',
    port: number(env, 'SINGLETON_PEER_PORT', 8701),
    keyFile: env['SINGLETON_KEY_FILE'] ?? '/run/singleton-key/key',
  };
}

function timingIn(env: Environment): TimingInput {
  const text = env['SINGLETON_ENFORCEMENT'] ?? 'Probe';
  const enforcement = ENFORCEMENTS.find((one) => one === text);
  if (enforcement === undefined)
    throw new SettingsError(`SINGLETON_ENFORCEMENT is ${text}, must be one of ${ENFORCEMENTS.join(', ')}`);
  return {
    leaseDurationMs: number(env, 'SINGLETON_LEASE_DURATION_MS'),
    renewIntervalMs: number(env, 'SINGLETON_RENEW_INTERVAL_MS'),
    stopGraceMs: number(env, 'SINGLETON_STOP_GRACE_MS'),
    enforcement,
  };
}

function required(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === '') throw new SettingsError(`${name} is not set`);
  return value;
}

function number(env: Environment, name: string, otherwise?: number): number {
  if (env[name] === undefined && otherwise !== undefined) return otherwise;
  const text = required(env, name);
  if (!/^\d{1,9}$/.test(text)) throw new SettingsError(`${name} is ${text}, must be a whole number`);
  return Number(text);
}

function url(env: Environment, name: string): string | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  if (!URL.canParse(text) || new URL(text).protocol !== 'http:')
    throw new SettingsError(`${name} is ${text}, must be a URL with http:`);
  return text;
}

/** The name of the container is what follows the prefix, as it is. */
function probesIn(env: Environment): AgentSettings['probes'] {
  const names = Object.keys(env).filter((name) => name.startsWith(LIVENESS));
  return new Map(names.map((name) => [name.slice(LIVENESS.length), probeIn(name, env[name] ?? '')]));
}

function probeIn(name: string, text: string): UserProbeSpec | undefined {
  if (text === '' || text === '{}' || text === 'null') return undefined;
  try {
    return JSON.parse(text) as UserProbeSpec;
  } catch {
    throw new SettingsError(`${name} is not JSON: ${text}`);
  }
}
