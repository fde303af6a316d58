/** The custom resource on a test's API server. */
import { parse } from 'yaml';
import { crdYaml } from '../../scripts/generate-crd.ts';
import { API_VERSION } from '../../src/api/names.ts';
import { hasStatus } from '../control-plane/rest-client.ts';
import type { ApiObject, RestClient } from '../control-plane/rest-client.ts';
import { until } from '../control-plane/wait.ts';

export interface Crd extends ApiObject {
  spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
  status?: { conditions?: { type: string; status: string }[] };
}

export interface Schema {
  properties?: Record<string, Schema>;
  [keyword: string]: unknown;
}

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
export const CRD_PATH = `${CRDS}/singletonservices.singleton-operator.io`;
export const readCrd = (): Crd => parse(crdYaml('portable')) as Crd;

/** Installs the CRD, or finds that another test file has, and waits until its objects are served. */
export async function installCrd(api: RestClient, crd: Crd = readCrd()): Promise<void> {
  await api.create(CRDS, crd).catch((error: unknown) => {
    if (!hasStatus(error, 409)) throw error;
  });
  await until('the CRD to be established and served', async () => {
    const { status } = await api.get<Crd>(CRD_PATH);
    const isEstablished = status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
    return isEstablished === true && (await api.list(`/apis/${API_VERSION}/singletonservices`, { limit: '1' }));
  });
}
