import { describe, expect, it } from 'vitest';
import { SettingsError, parseSettings } from '../../src/agent/settings.ts';

const ENV = {
  SINGLETON_NAME: 'web',
  SINGLETON_NAMESPACE: 'shop',
  SINGLETON_LEASE: 'web-active',
  SINGLETON_POD_NAME: 'web-0',
  SINGLETON_POD_UID: 'uid-0',
  SINGLETON_LEASE_DURATION_MS: '10000',
  SINGLETON_RENEW_INTERVAL_MS: '2000',
  SINGLETON_STOP_GRACE_MS: '2000',
  SINGLETON_ENFORCEMENT: 'Probe',
  'SINGLETON_LIVENESS_my-app': '{"tcpSocket":{"port":80}}',
  SINGLETON_LIVENESS_other: '{}',
  KUBERNETES_SERVICE_HOST: '10.0.0.1',
  KUBERNETES_SERVICE_PORT: '6443',
};

describe('the environment of the agent', () => {
  it('is read as the operator sets it', () => {
    expect(parseSettings(ENV)).toEqual({
      singleton: 'web',
      namespace: 'shop',
      lease: 'web-active',
      holder: 'web-0_uid-0',
      port: 8700,
      stateFile: '/run/singleton/state.json',
      timing: { leaseDurationMs: 10_000, renewIntervalMs: 2_000, stopGraceMs: 2_000, enforcement: 'Probe' },
      hooks: { activate: undefined, deactivate: undefined },
      probes: new Map([
        ['my-app', { tcpSocket: { port: 80 } }],
        ['other', undefined],
      ]),
      apiHost: '10.0.0.1',
      apiPort: 6443,
      accountDir: '/var/run/secrets/kubernetes.io/serviceaccount',
    });
  });

  it('says how to ask the other agents, with Hold', () => {
    const { hold } = parseSettings({ ...ENV, SINGLETON_ON_API_LOSS: 'Hold', SINGLETON_POD_IP: '10.0.0.9' });
    expect(hold).toEqual({ uid: 'uid-0', podIp: '10.0.0.9', port: 8701, keyFile: '/run/singleton-key/key' });
  });

  it.each([
    [{ SINGLETON_NAME: '' }, /SINGLETON_NAME is not set/],
    [{ SINGLETON_LEASE_DURATION_MS: '10s' }, /SINGLETON_LEASE_DURATION_MS is 10s, must be a whole number/],
    [{ SINGLETON_STOP_GRACE_MS: '3000' }, /must be less than the lease duration/],
    [{ SINGLETON_RENEW_INTERVAL_MS: '3000' }, /twice the renew interval/],
    [{ SINGLETON_ENFORCEMENT: 'Hope' }, /SINGLETON_ENFORCEMENT is Hope/],
    [{ SINGLETON_ON_ACTIVATE_URL: 'https://web' }, /must be a URL with http:/],
    [{ SINGLETON_LIVENESS_app: 'http' }, /SINGLETON_LIVENESS_app is not JSON/],
    [{ SINGLETON_ON_API_LOSS: 'Pray' }, /must be Fence or Hold/],
  ])('with %j is refused, and which variable is wrong is said', (change, message) => {
    expect(() => parseSettings({ ...ENV, ...change })).toThrow(SettingsError);
    expect(() => parseSettings({ ...ENV, ...change })).toThrow(message);
  });
});
