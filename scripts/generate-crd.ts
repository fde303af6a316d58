/**
 * node scripts/generate-crd.ts
 *
 * Writes from src/api: crds/singletonservices.yaml, for every server; crds/cel/singletonservices.yaml, the same with all
 * CEL rules, for Kubernetes 1.25 and later; and the README's list of fields that are not acted upon yet.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';

import { type CelRules, customResourceDefinition } from '../src/api/crd.ts';
import { NOT_YET_BEGIN, withNotYetList } from '../src/api/not-yet.ts';

const GENERATED =
  '# Generated from src/api by `npm run generate` (node scripts/generate-crd.ts). Do not edit: change src/api.\n';

const ABOUT: Readonly<Record<CelRules, string>> = {
  portable:
    '# For Kubernetes 1.20 and later. Rules between fields are checked by the operator (condition SpecAccepted); on 1.25\n' +
    '# and later cel/singletonservices.yaml, applied instead of this, lets the API server refuse what breaks them.\n',
  every:
    '# For Kubernetes 1.25 and later: ../singletonservices.yaml with all rules between fields in CEL, so that the API server\n' +
    '# refuses at once what the operator would not accept. Older servers and their kubectl refuse this file.\n',
};

/** Where each is written, from the root of the repository. */
export const CRD_FILES: Readonly<Record<CelRules, string>> = {
  portable: 'crds/singletonservices.yaml',
  every: 'crds/cel/singletonservices.yaml',
};

/** The text of the file. */
export const crdYaml = (celRules: CelRules): string =>
  GENERATED +
  ABOUT[celRules] +
  stringify(customResourceDefinition(celRules), { lineWidth: 120, aliasDuplicateObjects: false });

const writeReadme = (file: URL): void => {
  if (!existsSync(file)) return;
  const text = withNotYetList(readFileSync(file, 'utf8'));
  if (text === undefined) console.warn(`README.md has no ${NOT_YET_BEGIN}: its list was not written`);
  else writeFileSync(file, text);
};

if (import.meta.main) {
  const root = new URL('../', import.meta.url);
  mkdirSync(new URL('crds/cel/', root), { recursive: true });
  for (const celRules of ['portable', 'every'] as const) {
    writeFileSync(new URL(CRD_FILES[celRules], root), crdYaml(celRules));
  }
  writeReadme(new URL('README.md', root));
}
