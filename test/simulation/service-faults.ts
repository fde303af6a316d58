/** Services that are deleted, and somebody else's in their place. */
import { SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { serviceName } from '../../src/api/names.ts';
import { USER } from './fault-words.ts';
import { foreign } from './foreign.ts';
import { NAMESPACE, SINGLETON } from './manifest.ts';
import type { Fault } from './nemesis.ts';

export const deleteService =
  (name: string): Fault =>
  ({ cluster }) => {
    const service = cluster.get(SERVICE, name, NAMESPACE);
    if (service === undefined) return undefined;
    cluster.delete(USER, SERVICE, service);
    return `somebody deletes the Service ${name}`;
  };

export const foreignService = foreign({
  type: () => SERVICE,
  kind: 'Service',
  name: serviceName(SINGLETON),
  body: { apiVersion: 'v1', kind: 'Service', spec: { selector: { app: 'other' }, ports: [{ port: 80 }] } },
  longestMs: 20_000,
});
