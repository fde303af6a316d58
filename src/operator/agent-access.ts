/**
 * The rights of the members' agents: a ServiceAccount, a Role for that one Lease, and what binds them. They are not watched,
 * since a singleton in mode `Routing` has none: they are read when they are about to be needed, and made or mended then.
 */
import { randomBytes } from 'node:crypto';
import { ROLE as ROLES, ROLE_BINDING, SECRET, SERVICE_ACCOUNT } from '../adapters/kubernetes/resources.ts';
import { isAlreadyExists, isNotFound } from '../adapters/ports.ts';
import type { KubernetesApi, ResourceType } from '../adapters/ports.ts';
import { KEY_ENTRY, agentAccessName } from '../api/names.ts';
import type { KubeObject } from '../api/objects.ts';
import { sameJson } from '../core/hash.ts';
import type { AgentAccess } from '../core/plan.ts';
import type { SingletonView } from '../core/snapshot.ts';
import { controllerOf } from './views.ts';

/** What of each kind must be as it should be; what else somebody adds is theirs. */
interface Right extends KubeObject {
  readonly rules?: unknown;
  readonly subjects?: readonly unknown[] | undefined;
}

/** Rejects with the server's answer, or when somebody else's object has one of the names. */
export async function ensureAccess(api: KubernetesApi, singleton: SingletonView, access: AgentAccess): Promise<void> {
  if (access.serviceAccount !== undefined) await ensure(api, singleton, SERVICE_ACCOUNT, access.serviceAccount);
  await ensure(api, singleton, ROLES, access.role);
  await ensure(api, singleton, ROLE_BINDING, access.roleBinding);
  if (access.key !== undefined) await ensureKey(api, singleton, access.key);
}

const KEY_BYTES = 32;

/**
 * Made once. The operator may make Secrets and read none, so one that is there stays as it is, whoever made it and whatever
 * is in it: what is not known can't be told, nor replaced unnoticed.
 */
async function ensureKey(api: KubernetesApi, { namespace }: SingletonView, secret: object): Promise<void> {
  try {
    const key = randomBytes(KEY_BYTES).toString('base64');
    await api.create(SECRET, namespace, { ...secret, data: { [KEY_ENTRY]: key } });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

async function ensure(api: KubernetesApi, singleton: SingletonView, type: ResourceType, wanted: object): Promise<void> {
  const name = agentAccessName(singleton.name);
  const found = await find(api, type, { namespace: singleton.namespace, name });
  if (found === undefined) return void (await api.create(type, singleton.namespace, wanted));
  if (controllerOf(found)?.uid !== singleton.uid)
    throw new Error(`${type.kind} ${name} exists and is not owned by this SingletonService; delete or rename it`);
  const patch = missing(found, wanted as Right);
  if (patch === undefined) return undefined;
  const { uid, resourceVersion } = found.metadata;
  return void (await api.mergePatch(
    type,
    { namespace: singleton.namespace, name },
    { metadata: { uid, resourceVersion }, ...patch },
  ));
}

/** Subjects are added and never taken away: while a template with another account is rolled out, both are needed. */
function missing({ rules, subjects = [] }: Right, wanted: Right): Pick<Right, 'rules' | 'subjects'> | undefined {
  const isBound = (subject: unknown): boolean => subjects.some((other) => sameJson(other, subject));
  const unbound = (wanted.subjects ?? []).filter((subject) => !isBound(subject));
  if (unbound.length > 0) return { subjects: [...subjects, ...unbound] };
  return wanted.rules === undefined || sameJson(rules, wanted.rules) ? undefined : { rules: wanted.rules };
}

async function find(
  api: KubernetesApi,
  type: ResourceType,
  ref: { readonly namespace: string; readonly name: string },
): Promise<Right | undefined> {
  try {
    return await api.get<Right>(type, ref);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
