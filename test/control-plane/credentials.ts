/** Who may talk to the control plane: static tokens, kubeconfigs, and the key that signs service-account tokens. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export interface Credential extends User {
  readonly token: string;
}

export const ADMIN: User = { name: 'admin', groups: ['system:masters'] };
export const CONTROLLER_MANAGER: User = { name: 'system:kube-controller-manager', groups: [] };
export const SCHEDULER: User = { name: 'system:kube-scheduler', groups: [] };

export const withToken = (user: User): Credential => ({ ...user, token: randomBytes(16).toString('hex') });

/** For `--token-auth-file`: CSV of token, user name, user id, and the groups as one quoted field. */
export const tokenFile = (credentials: readonly Credential[]): string =>
  credentials.map(({ token, name, groups }) => `${token},${name},${name},"${groups.join(',')}"\n`).join('');

export interface Connection {
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  readonly token: string;
}

/** A kubeconfig in JSON, which every reader of YAML takes and this folder can read back without a YAML parser. */
export function kubeconfig({ server, ca, token }: Connection): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Reads what `kubeconfig` wrote; not meant for other kubeconfigs. */
export function parseKubeconfig(text: string): Connection {
  const config = JSON.parse(text) as {
    clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }];
    users: [{ user: { token: string } }];
  };
  const { server, 'certificate-authority-data': ca } = config.clusters[0].cluster;
  return { server, ca: Buffer.from(ca, 'base64').toString(), token: config.users[0].user.token };
}

/** PEM keys: the controller manager and the API server sign tokens with the private one. */
export function serviceAccountKeys(): { privateKey: string; publicKey: string } {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}
