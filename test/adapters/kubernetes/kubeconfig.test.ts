import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CachedCredentials, tlsKeyOf, type Credentials } from '../../../src/adapters/kubernetes/credentials.ts';
import {
  KubeconfigError,
  loadKubeconfig,
  type KubeconfigOptions,
} from '../../../src/adapters/kubernetes/kubeconfig.ts';
import { settle } from '../../support/manual-clock.ts';

// Real connections and processes, on machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'kubeconfig-test-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (name: string, text: string, mode?: number): string => {
  const file = path.join(dir, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  if (mode !== undefined) chmodSync(file, mode);
  return file;
};

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** `user` and `cluster` are lines of YAML. */
const kubeconfig = (user: string[] = ['token: secret'], cluster: string[] = [], name = 'one'): string => `
apiVersion: v1
kind: Config
current-context: ${name}
contexts:
- name: ${name}
  context: { cluster: ${name}, user: ${name}, namespace: here }
clusters:
- name: ${name}
  cluster:
    server: https://${name}.example:6443/
${cluster.map((line) => `    ${line}\n`).join('')}
users:
- name: ${name}
  user:
${user.map((line) => `    ${line}\n`).join('')}
`;

const load = (options: Partial<KubeconfigOptions> = {}) =>
  loadKubeconfig({ env: { HOME: dir }, serviceAccountDir: path.join(dir, 'nowhere'), ...options });

const messageOf = (options: Partial<KubeconfigOptions>): string => {
  try {
    load(options);
  } catch (error) {
    if (!(error instanceof KubeconfigError)) throw error;
    expect(error.message).not.toContain('\n');
    return error.message;
  }
  throw new Error('it did not fail');
};

const authorizationOf = async (options: Partial<KubeconfigOptions>): Promise<unknown> =>
  (await load(options).credentials.current()).headers['authorization'];

describe('where the kubeconfig comes from', () => {
  const inPod = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' };
  const writeServiceAccount = (): string => {
    write('sa/token', 'pod token\n');
    write('sa/ca.crt', 'pod CA');
    write('sa/namespace', 'operators\n');
    return path.join(dir, 'sa');
  };

  it('is --kubeconfig before everything else', () => {
    const file = write('chosen', kubeconfig(undefined, undefined, 'chosen'));
    const listed = write('listed', kubeconfig());
    const options = { path: file, env: { ...inPod, KUBECONFIG: listed }, serviceAccountDir: writeServiceAccount() };
    expect(load(options).server).toBe('https://chosen.example:6443');
  });

  it('is KUBECONFIG before the service account and the home directory', () => {
    const listed = write('listed', kubeconfig());
    write('.kube/config', kubeconfig(undefined, undefined, 'home'));
    const options = { env: { ...inPod, HOME: dir, KUBECONFIG: listed }, serviceAccountDir: writeServiceAccount() };
    expect(load(options)).toMatchObject({
      server: 'https://one.example:6443',
      namespace: 'here',
      source: `context "one" of kubeconfig ${listed}`,
    });
  });

  it('is the service account in a pod', async () => {
    write('.kube/config', kubeconfig());
    const access = load({ env: { ...inPod, HOME: dir }, serviceAccountDir: writeServiceAccount() });
    expect(access).toMatchObject({ server: 'https://10.0.0.1:443', namespace: 'operators' });
    expect(await access.credentials.current()).toMatchObject({
      headers: { authorization: 'Bearer pod token' },
      tls: { ca: Buffer.from('pod CA') },
    });
  });

  it('is the service account of a pod with IPv6 too', () => {
    const options = { env: { KUBERNETES_SERVICE_HOST: 'fd00::1' }, serviceAccountDir: writeServiceAccount() };
    expect(load(options).server).toBe('https://[fd00::1]:443');
  });

  it('is the home directory otherwise', () => {
    write('.kube/config', kubeconfig(undefined, undefined, 'home'));
    expect(load().server).toBe('https://home.example:6443');
  });

  it('of several files, merges them as kubectl does: the first to name something wins', async () => {
    const first = write('first', 'current-context: two\nusers: [{ name: two, user: { token: of first } }]\n');
    const missing = path.join(dir, 'missing');
    const second = write('second', kubeconfig(['token: of second'], [], 'two'));
    const third = write('third', kubeconfig(['token: of third'], [], 'three'));
    const env = { KUBECONFIG: [first, missing, second, third].join(path.delimiter) };
    expect(load({ env }).server).toBe('https://two.example:6443');
    expect(await authorizationOf({ env })).toBe('Bearer of first');
    expect(load({ env, context: 'three' }).server).toBe('https://three.example:6443');
  });
});

describe('a mistake is said in one line that names the file and what to do:', () => {
  it('no kubeconfig at all', () => {
    expect(messageOf({})).toBe(
      `no kubeconfig: this is not a pod with a service account, KUBECONFIG is not set and ${dir}/.kube/config does not exist; pass --kubeconfig`,
    );
  });

  it('a file that does not exist', () => {
    expect(messageOf({ path: '/no/such' })).toBe(
      'kubeconfig /no/such does not exist; check --kubeconfig or KUBECONFIG',
    );
    expect(messageOf({ env: { KUBECONFIG: '/no/such:/nor/this' } })).toBe(
      'KUBECONFIG names /no/such, /nor/this, which does not exist; set it to an existing file',
    );
  });

  it('a directory', () => {
    expect(messageOf({ path: dir })).toContain(`kubeconfig ${dir} cannot be read: EISDIR`);
  });

  it('a file that is not YAML', () => {
    const file = write('broken', 'a: [1\nb: {');
    expect(messageOf({ path: file })).toMatch(new RegExp(`^kubeconfig ${file} is not YAML: .*; correct the file$`));
  });

  it('a file that is something else', () => {
    for (const text of ['just text', '- a\n- b', '5']) {
      expect(messageOf({ path: write('other', text) })).toContain('is not a kubeconfig');
    }
  });

  it('an empty file, and one without a current context', () => {
    for (const text of ['', 'apiVersion: v1\nkind: Config\n', 'current-context: ""\n']) {
      const file = write('empty', text);
      expect(messageOf({ path: file })).toBe(
        `kubeconfig ${file} has no current-context; run kubectl config use-context, or pass --context`,
      );
    }
  });

  it('a context, cluster or user that is not there', () => {
    const file = write('config', kubeconfig());
    expect(messageOf({ path: file, context: 'other' })).toBe(
      `kubeconfig ${file} has no context "other" (it has: one); correct the file or choose another context`,
    );
    const dangling = (what: 'cluster' | 'user'): string => kubeconfig().replace(`${what}: one`, `${what}: lost`);
    expect(messageOf({ path: write('cluster', dangling('cluster')) })).toContain(
      'has no cluster of context "one", "lost" (it has: one)',
    );
    expect(messageOf({ path: write('user', dangling('user')) })).toContain('has no user of context "one", "lost"');
  });

  it('an entry without a name or a server', () => {
    const file = write('config', kubeconfig().replace('server:', 'sever:'));
    expect(messageOf({ path: file })).toBe(
      `kubeconfig ${file}: clusters[0].cluster.server is missing; correct the file`,
    );
  });

  it('a server that is no URL', () => {
    const file = write('config', kubeconfig().replace('https://one.example:6443/', 'one.example:6443'));
    expect(messageOf({ path: file })).toContain('server "one.example:6443" is not a URL');
  });

  it('a certificate, key or token file that does not exist', () => {
    for (const [user, cluster] of [
      [['client-certificate: gone.crt', 'client-key: gone.key'], []],
      [['tokenFile: gone.token'], []],
      [['token: x'], ['certificate-authority: gone.ca']],
    ] as const) {
      const file = write('config', kubeconfig([...user], [...cluster]));
      expect(messageOf({ path: file })).toMatch(
        new RegExp(`^kubeconfig ${file} .* ${dir}/gone\\..*, which does not exist; `),
      );
    }
  });
});

describe('credentials', () => {
  it('may be a token', async () => {
    expect(await authorizationOf({ path: write('c', kubeconfig(['token: abc'])) })).toBe('Bearer abc');
  });

  it('may be a token file, next to the kubeconfig, that goes before the token', async () => {
    write('tokens/mine', 'from file\n');
    for (const key of ['tokenFile', 'token-file']) {
      const file = write('c', kubeconfig(['token: abc', `${key}: tokens/mine`]));
      expect(await authorizationOf({ path: file })).toBe('Bearer from file');
    }
  });

  it('may be name and password', async () => {
    const file = write('c', kubeconfig(['username: me', 'password: pw']));
    expect(await authorizationOf({ path: file })).toBe(`Basic ${base64('me:pw')}`);
  });

  it('may be a client certificate, as data or as files', async () => {
    const data = kubeconfig(
      [`client-certificate-data: ${base64('cert')}`, `client-key-data: ${base64('key')}`],
      [`certificate-authority-data: ${base64('ca')}`, 'tls-server-name: other'],
    );
    const tls = { ca: Buffer.from('ca'), cert: Buffer.from('cert'), key: Buffer.from('key') };
    expect((await load({ path: write('c', data) }).credentials.current()).tls).toEqual({
      ...tls,
      servername: 'other',
      skipVerify: false,
    });
    for (const name of ['ca', 'cert', 'key']) write(name, name);
    const files = kubeconfig(
      ['client-certificate: cert', 'client-key: key'],
      ['certificate-authority: ca', 'insecure-skip-tls-verify: true'],
    );
    expect((await load({ path: write('c', files) }).credentials.current()).tls).toEqual({ ...tls, skipVerify: true });
  });

  it('may come from an exec plugin, whose command is found next to the kubeconfig', async () => {
    write(
      'bin/plugin',
      `#!/bin/sh\nprintf '{"apiVersion":"v1","kind":"ExecCredential","status":{"token":"%s-%s-%s"}}' "$1" "$GREETING" "$(echo "$KUBERNETES_EXEC_INFO" | grep -c '"interactive":false')"`,
      0o755,
    );
    const exec = [
      'exec:',
      '  apiVersion: client.authentication.k8s.io/v1',
      '  command: bin/plugin',
      '  args: [arg]',
      '  env: [{ name: GREETING, value: hi }]',
    ];
    expect(await authorizationOf({ path: write('c', kubeconfig(exec)) })).toBe('Bearer arg-hi-1');
  });

  it('of an exec plugin that fails are an error that says why, and not a crash', async () => {
    write('plugin', '#!/bin/sh\necho "please log in" >&2\nexit 1\n', 0o755);
    const exec = ['exec:', '  apiVersion: client.authentication.k8s.io/v1', '  command: ./plugin'];
    await expect(authorizationOf({ path: write('c', kubeconfig(exec)) })).rejects.toMatchObject({
      name: 'TransportError',
      failure: 'connect',
      message: expect.stringContaining('please log in'),
    });
  });

  it('of an exec plugin that is not installed are an error that names it', async () => {
    const exec = ['exec:', '  apiVersion: client.authentication.k8s.io/v1', '  command: no-such-plugin'];
    await expect(authorizationOf({ path: write('c', kubeconfig(exec)) })).rejects.toThrow(
      'spawn no-such-plugin ENOENT',
    );
  });

  it('of an exec plugin are asked for again when the server refuses them', async () => {
    const counter = write('counter', '');
    write(
      'plugin',
      `#!/bin/sh\necho >> ${counter}\nprintf '{"status":{"token":"%s"}}' "$(wc -l < ${counter} | tr -d ' ')"`,
      0o755,
    );
    const exec = ['exec:', '  apiVersion: client.authentication.k8s.io/v1', '  command: ./plugin'];
    const { credentials } = load({ path: write('c', kubeconfig(exec)) });
    const token = async (): Promise<unknown> => (await credentials.current()).headers['authorization'];
    expect([await token(), await token()]).toEqual(['Bearer 1', 'Bearer 1']);
    credentials.invalidate();
    expect(await token()).toBe('Bearer 2');
  });

  it('may act as somebody else', async () => {
    const file = write(
      'c',
      kubeconfig(['token: x', 'as: jane', 'as-uid: u', 'as-groups: [a, b]', 'as-user-extra: { Reason/x: [because] }']),
    );
    expect((await load({ path: file }).credentials.current()).headers).toEqual({
      authorization: 'Bearer x',
      'impersonate-user': 'jane',
      'impersonate-uid': 'u',
      'impersonate-group': ['a', 'b'],
      'impersonate-extra-reason%2fx': ['because'],
    });
  });

  it('may be none at all, as for kubectl proxy', async () => {
    const file = write('c', kubeconfig([]).replace('https://', 'http://'));
    const access = load({ path: file });
    expect(access.server).toBe('http://one.example:6443');
    expect((await access.credentials.current()).headers).toEqual({});
  });

  it('of a legacy auth provider come from client-node', async () => {
    const provider = [
      'auth-provider:',
      '  name: gcp',
      "  config: { access-token: old, expiry: '2999-01-01T00:00:00Z' }",
    ];
    expect(await authorizationOf({ path: write('c', kubeconfig(provider)) })).toBe('Bearer old');
  });
});

describe('cached credentials', () => {
  const make = (answers: (() => Promise<string>)[]) => {
    const asked: boolean[] = [];
    let nowMs = 0;
    const read = async (fresh: boolean): Promise<Credentials> => {
      asked.push(fresh);
      const token = await (answers[Math.min(asked.length, answers.length) - 1]?.() ??
        Promise.reject(new Error('none')));
      return { headers: { authorization: token }, tls: {}, tlsKey: tlsKeyOf({}) };
    };
    const cached = new CachedCredentials(read, () => nowMs);
    return {
      asked,
      cached,
      token: async (): Promise<unknown> => (await cached.current()).headers['authorization'],
      pass: (ms: number): void => void (nowMs += ms),
    };
  };
  const is = (token: string) => (): Promise<string> => Promise.resolve(token);
  const fails = (): Promise<string> => Promise.reject(new Error('gone'));

  it('are read once for many calls, also for calls at the same time', async () => {
    const { asked, token } = make([is('a')]);
    await Promise.all([token(), token()]);
    await token();
    expect(asked).toHaveLength(1);
  });

  it('are read again after 10 s without holding up a call, and after 60 s before it', async () => {
    const { asked, token, pass } = make([is('a'), is('b'), is('c')]);
    await token();
    pass(10_001);
    expect(await token()).toBe('a');
    await settle();
    expect(await token()).toBe('b');
    pass(60_001);
    expect(await token()).toBe('c');
    expect(asked).toEqual([false, false, false]);
  });

  it('are read again, afresh, after the server refused them', async () => {
    const { asked, cached, token } = make([is('a'), is('b')]);
    await token();
    cached.invalidate();
    expect(await token()).toBe('b');
    expect(asked).toEqual([false, true]);
  });

  it('are kept when reading them again fails, and it is not tried for each call', async () => {
    const { asked, cached, token, pass } = make([is('a'), fails]);
    await token();
    cached.invalidate();
    expect([await token(), await token(), await token()]).toEqual(['a', 'a', 'a']);
    expect(asked).toHaveLength(2);
    pass(60_001);
    expect([await token(), await token(), await token()]).toEqual(['a', 'a', 'a']);
    expect(asked).toHaveLength(3);
  });

  it('that do not come are not waited for for ever, and are asked for again', async () => {
    let asked = 0;
    const read = async (): Promise<Credentials> => {
      asked += 1;
      if (asked === 1) await new Promise(() => undefined);
      return { headers: {}, tls: {}, tlsKey: '' };
    };
    const cached = new CachedCredentials(read, undefined, 10);
    await expect(cached.current()).rejects.toThrow(
      'they did not come within 10 ms (does an exec plugin wait for input?)',
    );
    expect(await cached.current()).toMatchObject({ headers: {} });
  });

  it('that cannot be read the first time are an error, and are tried again', async () => {
    const { token } = make([fails, is('b')]);
    await expect(token()).rejects.toMatchObject({
      failure: 'connect',
      message: 'no credentials for the API server: gone',
    });
    expect(await token()).toBe('b');
  });
});
