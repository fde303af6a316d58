import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseSettings } from '../../src/agent/settings.ts';
import { agentAccess } from '../../src/core/agent-access.ts';
import { agentPlatform, livenessVariable } from '../../src/core/agent-pod.ts';
import { decide } from '../../src/core/decide.ts';
import { memberPod, templateRevision } from '../../src/core/objects.ts';
import type { AgentPlatform } from '../../src/core/snapshot.ts';
import { NOW, aFencedState, aSnapshot, aSpec, aTemplate } from '../builders.ts';

const { singleton } = aSnapshot().build();
const NEW = agentPlatform('registry/agent:1', 33);
const OLD = agentPlatform('registry/agent:1', 24);

type Fields = Record<string, unknown>;
interface Container extends Fields {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}
interface PodSpec extends Fields {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

const template = (podSpec: object = {}, container: object = {}) => {
  const { spec } = aTemplate();
  return { spec: { ...podSpec, containers: spec.containers.map((one) => ({ ...one, ...container })) } };
};

function pod(fields: object = {}, agent: AgentPlatform = NEW): PodSpec {
  const { fencing, ...rest } = fields as { fencing?: object };
  const spec = aSpec({ ...rest, fencing: { mode: 'Agent', ...fencing } });
  return memberPod(singleton, spec, { slot: 0, name: 'db-0-x', agent }).spec as unknown as PodSpec;
}

const agentIn = ({ containers, initContainers = [] }: PodSpec): Container => {
  const agent = [...initContainers, ...containers].find(({ name }) => name === 'singleton-agent');
  if (agent === undefined) throw new Error('no agent');
  return agent;
};

const app = ({ containers }: PodSpec): Container => {
  const found = containers.find(({ name }) => name === 'app');
  if (found === undefined) throw new Error('no workload');
  return found;
};

const valueOf = ({ env = [] }: Container, name: string): string | undefined =>
  env.find((one) => one.name === name)?.value;

describe('a pod of mode Agent', () => {
  it('has the agent as an init container that goes on running, before those of the user, where the server knows that', () => {
    const { initContainers, containers } = pod({ template: template({ initContainers: [{ name: 'migrate' }] }) });
    expect(initContainers).toMatchObject([{ name: 'singleton-agent', restartPolicy: 'Always' }, { name: 'migrate' }]);
    expect(containers.map(({ name }) => name)).toEqual(['app']);
  });

  it('has the agent as a container elsewhere', () => {
    const { initContainers, containers } = pod({}, OLD);
    expect(initContainers).toBeUndefined();
    expect(containers.map(({ name }) => name)).toEqual(['app', 'singleton-agent']);
    expect(containers[1]).not.toHaveProperty('restartPolicy');
  });

  it('tells the agent what it goes by', () => {
    const hooks = { onActivate: { path: '/on', port: 9000 }, onDeactivate: { path: '/off', port: 9001 } };
    const election = { leaseDurationSeconds: 20, renewIntervalSeconds: 3 };
    const { env } = agentIn(pod({ election, fencing: { hooks, stopGraceSeconds: 4, onApiLoss: 'Hold' } }));
    expect(Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]))).toEqual({
      SINGLETON_NAME: 'db',
      SINGLETON_NAMESPACE: 'default',
      SINGLETON_LEASE: 'db-active',
      SINGLETON_POD_NAME: undefined,
      SINGLETON_POD_UID: undefined,
      SINGLETON_AGENT_PORT: '8700',
      SINGLETON_AGENT_STATE_FILE: '/run/singleton/state.json',
      SINGLETON_LEASE_DURATION_MS: '20000',
      SINGLETON_RENEW_INTERVAL_MS: '3000',
      SINGLETON_STOP_GRACE_MS: '4000',
      SINGLETON_ENFORCEMENT: 'Probe',
      SINGLETON_ON_API_LOSS: 'Hold',
      SINGLETON_POD_IP: undefined,
      SINGLETON_PEER_PORT: '8701',
      SINGLETON_KEY_FILE: '/run/singleton-key/key',
      SINGLETON_ON_ACTIVATE_URL: 'http://127.0.0.1:9000/on',
      SINGLETON_ON_DEACTIVATE_URL: 'http://127.0.0.1:9001/off',
      SINGLETON_LIVENESS_app: '{}',
    });
    expect(env).toContainEqual({
      name: 'SINGLETON_POD_UID',
      valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.uid' } },
    });
  });

  it('has the key and the port by which agents ask each other with Hold, and nothing of it without', () => {
    const holding = pod({ fencing: { onApiLoss: 'Hold' } });
    const { volumeMounts, ports } = agentIn(holding);
    expect(holding.volumes).toContainEqual({
      name: 'singleton-agent-key',
      secret: { secretName: 'db-agent-key', defaultMode: 0o444, items: [{ key: 'key', path: 'key' }] },
    });
    expect(volumeMounts).toContainEqual({
      name: 'singleton-agent-key',
      mountPath: '/run/singleton-key',
      readOnly: true,
    });
    expect(ports).toContainEqual({ name: 'singleton-peer', containerPort: 8701, protocol: 'TCP' });
    expect(JSON.stringify(holding.containers)).not.toContain('singleton-agent-key');
    expect(JSON.stringify(pod())).not.toMatch(/agent-key|8701|POD_IP/);
  });

  it('asks for little, and for no more rights than the Pod Security Standard restricted gives', () => {
    expect(agentIn(pod())).toMatchObject({
      image: 'registry/agent:1',
      resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '128Mi' } },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsNonRoot: true,
        runAsUser: 65_532,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
    });
  });

  it('is Ready when its workload is, whatever its agent does', () => {
    expect(agentIn(pod())).not.toHaveProperty('readinessProbe');
    expect(agentIn(pod())).not.toHaveProperty('startupProbe');
  });

  it('tells the workload where its state is, and lets it only read it', () => {
    const workload = app(pod({ template: template({}, { env: [{ name: 'SINGLETON_POD_NAME', value: 'mine' }] }) }));
    expect(valueOf(workload, 'SINGLETON_STATE_URL')).toBe('http://127.0.0.1:8700/v1/state');
    expect(valueOf(workload, 'SINGLETON_STATE_FILE')).toBe('/run/singleton/state.json');
    expect(valueOf(workload, 'SINGLETON_POD_NAME')).toBe('mine');
    expect(workload.env?.filter(({ name }) => name === 'SINGLETON_POD_NAME')).toHaveLength(1);
    expect(workload['volumeMounts']).toEqual([
      { name: 'singleton-state', mountPath: '/run/singleton', readOnly: true },
    ]);
    expect(pod()['volumes']).toContainEqual(
      expect.objectContaining({ name: 'singleton-state', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }),
    );
  });

  it('keeps what the user gave it', () => {
    const volumes = [{ name: 'data', emptyDir: {} }];
    const mounts = [{ name: 'data', mountPath: '/data' }];
    const made = pod({ template: template({ volumes, nodeSelector: { disk: 'ssd' } }, { volumeMounts: mounts }) });
    expect(made).toMatchObject({ nodeSelector: { disk: 'ssd' } });
    expect(made['volumes']).toMatchObject([
      { name: 'data' },
      { name: 'singleton-state' },
      { name: 'singleton-agent-token' },
    ]);
    expect(app(made)['volumeMounts']).toMatchObject([{ name: 'data' }, { name: 'singleton-state' }]);
    expect(app(made)).toMatchObject({ readinessProbe: { httpGet: { port: 'http' } } });
  });
});

describe('the environment of the agent', () => {
  it('is what the agent understands', () => {
    const livenessProbe = { tcpSocket: { port: 'http' } };
    const hooks = { onDeactivate: { path: '/off', port: 9001 } };
    const { env = [] } = agentIn(
      pod({ fencing: { hooks }, template: template({}, { name: 'my-app', livenessProbe }) }),
    );
    const given = { SINGLETON_POD_NAME: 'db-0-x', SINGLETON_POD_UID: 'u', KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    const settings = parseSettings({ ...Object.fromEntries(env.map(({ name, value }) => [name, value])), ...given });
    expect(settings).toMatchObject({
      lease: 'db-active',
      holder: 'db-0-x_u',
      port: 8700,
      timing: { leaseDurationMs: 10_000, renewIntervalMs: 2_000, stopGraceMs: 2_000, enforcement: 'Probe' },
      hooks: { activate: undefined, deactivate: 'http://127.0.0.1:9001/off' },
    });
    expect([...settings.probes]).toEqual([['my-app', { tcpSocket: { port: 8080 } }]]);
  });
});

describe('what stops a workload that does not stop', () => {
  it('is a liveness probe in the arithmetic of the lease: once a second, with a second to answer', () => {
    expect(app(pod({ fencing: { stopGraceSeconds: 2 } }))['livenessProbe']).toEqual({
      httpGet: { path: '/probe/liveness?container=app', port: 8700, scheme: 'HTTP' },
      periodSeconds: 1,
      timeoutSeconds: 1,
      failureThreshold: 1,
      successThreshold: 1,
    });
  });

  it('leaves the pod no other grace, also when it is deleted on a node that is cut off', () => {
    const made = pod({ template: template({ terminationGracePeriodSeconds: 60 }), fencing: { stopGraceSeconds: 2 } });
    expect(made['terminationGracePeriodSeconds']).toBe(2);
  });

  it.each(['Signal', 'Cooperative'])(
    'leaves the agent time to release after the grace of its workload: %s',
    (enforcement) => {
      const graceOf = (seconds: number | undefined, stopGraceSeconds: number): unknown => {
        const terms = seconds === undefined ? {} : { terminationGracePeriodSeconds: seconds };
        return pod({ template: template(terms), fencing: { enforcement, stopGraceSeconds } })[
          'terminationGracePeriodSeconds'
        ];
      };
      expect(graceOf(0, 2)).toBe(4);
      expect(graceOf(3, 2)).toBe(4);
      expect(graceOf(4, 2)).toBe(4);
      expect(graceOf(60, 2)).toBe(60);
      // Kubernetes' own 30.
      expect(graceOf(undefined, 2)).toBeUndefined();
    },
  );

  it("makes the user's own probe through the agent, which knows no names of ports", () => {
    const livenessProbe = { httpGet: { path: '/live', port: 'http' }, periodSeconds: 7 };
    const made = pod({ template: template({}, { livenessProbe }) });
    expect(JSON.parse(valueOf(agentIn(made), livenessVariable('app')) ?? '')).toEqual({
      httpGet: { path: '/live', port: 8080 },
      periodSeconds: 7,
    });
    expect(app(made)['livenessProbe']).toMatchObject({ httpGet: { port: 8700 } });
  });

  it('is the agent itself with enforcement Signal, as the same user in one process namespace', () => {
    const made = pod({
      fencing: { enforcement: 'Signal' },
      template: template({ securityContext: { runAsUser: 1000 } }),
    });
    expect(made).toMatchObject({ shareProcessNamespace: true });
    expect(app(made)).not.toHaveProperty('livenessProbe');
    expect(agentIn(made)['securityContext']).toMatchObject({ runAsUser: 1000, runAsNonRoot: true });
  });

  it('needs one more right with enforcement Signal for a workload whose user is not known', () => {
    expect(agentIn(pod({ fencing: { enforcement: 'Signal' } }))['securityContext']).toMatchObject({
      runAsUser: 0,
      capabilities: { drop: ['ALL'], add: ['KILL'] },
    });
  });

  it('is nothing with enforcement Cooperative', () => {
    const livenessProbe = { exec: { command: ['true'] } };
    const made = pod({ fencing: { enforcement: 'Cooperative' }, template: template({}, { livenessProbe }) });
    expect(app(made)['livenessProbe']).toEqual(livenessProbe);
    expect(made).not.toHaveProperty('shareProcessNamespace');
  });
});

describe('the rights of an agent', () => {
  const accessOf = (podSpec: object = {}) =>
    agentAccess(singleton, aSpec({ fencing: { mode: 'Agent' }, template: template(podSpec) }));

  it('are to get, watch and update the one Lease', () => {
    expect(accessOf().role).toMatchObject({
      metadata: {
        name: 'db-agent',
        labels: { 'singleton-operator.io/name': 'db' },
        ownerReferences: [{ uid: 'uid-db' }],
      },
      rules: [
        {
          apiGroups: ['coordination.k8s.io'],
          resources: ['leases'],
          resourceNames: ['db-active'],
          verbs: ['get', 'watch', 'update'],
        },
      ],
    });
  });

  it('are held by an account of its own, whose token only the agent has', () => {
    expect(accessOf().serviceAccount).toMatchObject({ metadata: { name: 'db-agent' } });
    expect(accessOf().roleBinding).toMatchObject({ subjects: [{ kind: 'ServiceAccount', name: 'db-agent' }] });
    const made = pod();
    expect(made).toMatchObject({ serviceAccountName: 'db-agent', automountServiceAccountToken: false });
    expect(agentIn(made)['volumeMounts']).toContainEqual({
      name: 'singleton-agent-token',
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
      readOnly: true,
    });
  });

  it("are given to the account that the template names, which stays the workload's", () => {
    const own = { serviceAccountName: 'mine' };
    expect(accessOf(own).serviceAccount).toBeUndefined();
    expect(accessOf(own).roleBinding).toMatchObject({ subjects: [{ kind: 'ServiceAccount', name: 'mine' }] });
    const made = pod({ template: template(own) });
    expect(made).toMatchObject({ serviceAccountName: 'mine' });
    expect(made).not.toHaveProperty('automountServiceAccountToken');
  });

  it('are all held by the operator, which may give nobody more than it has', () => {
    const manifests = parseAllDocuments(readFileSync('deploy/rbac.yaml', 'utf8')).map((each) => each.toJS() as Fields);
    const rules = manifests.flatMap(({ rules = [] }) => rules as Rule[]);
    const held = rules.filter(({ resources }) => resources.includes('leases')).flatMap(({ verbs }) => verbs);
    const { rules: given } = accessOf().role as { rules: Rule[] };
    expect(given.flatMap(({ verbs }) => verbs).filter((verb) => !held.includes(verb))).toEqual([]);
  });
});

describe('the image of the agents', () => {
  it("is the operator's own where deploy/ sets it", () => {
    const text = readFileSync('deploy/operator.yaml', 'utf8');
    const deployment = parseAllDocuments(text)
      .map((each) => each.toJS() as { kind: string; spec: { template: { spec: PodSpec } } })
      .find(({ kind }) => kind === 'Deployment');
    const [operator] = deployment?.spec.template.spec.containers ?? [];
    expect(operator?.env).toContainEqual({ name: 'SINGLETON_AGENT_IMAGE', value: operator?.['image'] });
  });
});

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

describe('when they are made', () => {
  const fresh = aFencedState().remembering({ access: undefined });
  const kinds = (builder = fresh) => decide(builder.build(), NOW).actions.map(({ kind }) => kind);

  it('is before the first pod, once by each operator', () => {
    const start = fresh.but({ members: [], lease: undefined, service: undefined, routedUids: [] });
    expect(kinds(start).indexOf('ensureAccess')).toBeLessThan(kinds(start).indexOf('createPod'));
    expect(kinds()).toContain('ensureAccess');
    expect(kinds(aFencedState())).toEqual([]);
  });

  it('is again when the template names another account', () => {
    expect(kinds(aFencedState().remembering({ access: { atMs: NOW.monotonicMs, account: 'other' } }))).toContain(
      'ensureAccess',
    );
  });

  it('is again when an agent is silent, which may be for lack of them', () => {
    const silent = aFencedState({ seenMs: 10_000 })
      .where(1, (pod) => pod.notReady())
      .where(2, (pod) => pod.notReady());
    const access = { atMs: NOW.monotonicMs - 10_000, account: undefined };
    expect(kinds(silent.remembering({ access }))).toContain('ensureAccess');
    expect(kinds(silent)).not.toContain('ensureAccess');
  });

  it('no pod is made by somebody who does not know what an agent is made of', () => {
    const start = aFencedState().but({ members: [], lease: undefined, service: undefined, routedUids: [] });
    const { agent: _agent, ...without } = start.build();
    expect(decide(without, NOW).actions.map(({ kind }) => kind)).not.toContain('createPod');
  });
});

describe('the revision', () => {
  const revision = (fields: object) => templateRevision(aSpec(fields));
  const agent = revision({ fencing: { mode: 'Agent' } });

  it('is another one in mode Agent, so that a change of mode is rolled out', () => {
    expect(agent).not.toBe(revision({}));
  });

  it.each([
    ['the times', { fencing: { mode: 'Agent' }, election: { leaseDurationSeconds: 12 } }],
    ['the enforcement', { fencing: { mode: 'Agent', enforcement: 'Cooperative' } }],
    ['a hook', { fencing: { mode: 'Agent', hooks: { onActivate: { path: '/on', port: 80 } } } }],
  ])('is another one with %s', (_what, fields) => {
    expect(revision(fields)).not.toBe(agent);
  });

  it('in mode Routing is of the template alone', () => {
    expect(revision({ election: { leaseDurationSeconds: 20 }, fencing: { stopGraceSeconds: 3 } })).toBe(revision({}));
  });
});
