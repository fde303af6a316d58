import { apiVersionOf } from '../../../src/adapters/kubernetes/resources.ts';
import type { ResourceType } from '../../../src/adapters/ports.ts';
import { notServed } from './errors.ts';

/**
 * `/version`, `/api/v1`, `/apis/<group>`, `/apis/<group>/<version>`.
 *
 * @throws ApiError 404 for any other path
 */
export function discoveryDocument(path: string, types: readonly ResourceType[]): object {
  if (path === '/version') return { major: '1', minor: '21', gitVersion: 'v1.21.0-simulated' };
  const [, root, group = '', version] = path.split('/');
  const inGroup = types.filter((type) =>
    root === 'api' ? type.group === '' : root === 'apis' && type.group === group,
  );
  if (inGroup.length === 0) throw notServed();
  if (root === 'apis' && version === undefined) return apiGroup(group, inGroup);
  const served = inGroup.filter((type) => type.version === (root === 'api' ? group : version));
  if (served.length === 0) throw notServed();
  return {
    kind: 'APIResourceList',
    groupVersion: path.replace(/^\/apis?\//, ''),
    resources: served.map(({ plural, kind, namespaced }) => ({ name: plural, kind, namespaced })),
  };
}

function apiGroup(name: string, types: readonly ResourceType[]): object {
  const versions = [...new Set(types.map(({ version }) => version))].map((version) => ({
    groupVersion: apiVersionOf({ group: name, version, plural: '', kind: '', namespaced: true }),
    version,
  }));
  return { kind: 'APIGroup', apiVersion: 'v1', name, versions, preferredVersion: versions[0] };
}
