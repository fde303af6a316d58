/** Services that are deleted, and somebody else's in their place. */
import { SERVICE } from '../../src/adapters/kubernetes/resources.ts';
import { serviceName } from '../../src/api/names.ts';
import { USER, seconds } from './fault-words.ts';
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

/** Somebody else's Service in the place of ours, for a while. */
export const foreignService: Fault = ({ cluster, engine, chance }) => {
  const name = serviceName(SINGLETON);
  const ours = cluster.get(SERVICE, name, NAMESPACE);
  if (ours !== undefined) cluster.delete(USER, SERVICE, ours);
  const body = { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: NAMESPACE } };
  if (!cluster.create(USER, SERVICE, { ...body, spec: { selector: { app: 'other' }, ports: [{ port: 80 }] } }))
    return undefined;
  const made = cluster.get(SERVICE, name, NAMESPACE);
  const forMs = chance.logBetween(100, 20_000);
  engine.after(forMs, () => {
    const now = cluster.get(SERVICE, name, NAMESPACE);
    if (now !== undefined && now.metadata.uid === made?.metadata.uid) cluster.delete(USER, SERVICE, now);
  });
  return `somebody puts a Service of their own in the place of ours for ${seconds(forMs)}`;
};
