/** Which rights the operator lacked, from the lines of an audit log about its requests. */

interface Line {
  readonly verb: string;
  readonly requestURI: string;
  readonly objectRef?: { readonly apiGroup?: string; readonly resource?: string; readonly subresource?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

const DECISION = 'authorization.k8s.io/decision';

/**
 * By the authorizer, not by admission, which answers 403 as well in a namespace that is being deleted. An API server that has
 * just started knows no roles yet and refuses everything: a right that is lacking is one that was never given.
 *
 * @returns the requests, each once
 */
export function refusedIn(lines: readonly string[]): string[] {
  const requests = lines.map((line) => JSON.parse(line) as Line);
  const by = (decision: string): Line[] => requests.filter(({ annotations }) => annotations?.[DECISION] === decision);
  const allowed = new Set(by('allow').map(rightOf));
  const refused = by('forbid').filter((request) => !allowed.has(rightOf(request)));
  return [...new Set(refused.map(({ verb, requestURI }) => `${verb} ${requestURI}`))];
}

const rightOf = ({ verb, objectRef: { apiGroup = '', resource = '', subresource = '' } = {} }: Line): string =>
  `${verb} ${apiGroup}/${resource}/${subresource}`;
