/** `switchover`: asks for a planned move by the annotation, and with --wait follows it to its outcome. */
import { SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import { isConflict } from '../adapters/ports.ts';
import type { KubernetesApi } from '../adapters/ports.ts';
import { ANNOTATION } from '../api/names.ts';
import type { SingletonService, SwitchoverStatus } from '../api/types.ts';
import { getSingleton, telling } from './cluster.ts';
import type { Ref } from './cluster.ts';
import type { Context, SingletonCommand } from './commands.ts';
import { CliError, EXIT } from './errors.ts';
import type { ExitCode } from './errors.ts';
import { follow } from './follow.ts';
import { hasSucceeded, isOver, outcomeText, requestedOf, switchoverOf } from './switchover-status.ts';

export const switchover: SingletonCommand = async (context, { api }, ref) => {
  const { flags, print } = context;
  const request = flags.to ?? 'any';
  const asked = await ask(api, ref, request);
  const name = `${ref.namespace}/${ref.name}`;
  if (flags.wait) return await outcome(context, api, asked);
  print(`${name}: switchover to ${request} is asked for; "kubectl singleton status ${ref.name}" tells the outcome\n`);
  return EXIT.ok;
};

const MAX_ATTEMPTS = 10;

/**
 * The annotation holds one request: one that is there is not overwritten, not even if it came a moment ago.
 *
 * @returns the object as it was with the request: any other `status.switchover` than this one's came after it
 */
async function ask(api: KubernetesApi, ref: Ref, request: string): Promise<SingletonService> {
  for (let attempt = 1; ; attempt += 1) {
    const object = await getSingleton(api, ref);
    const other = requestedOf(object);
    if (other !== undefined) {
      throw new CliError(
        `a switchover to ${other} is asked for already and not taken up yet; does the operator run? To withdraw it: kubectl annotate -n ${ref.namespace} singletonservice ${ref.name} ${ANNOTATION.switchover}-`,
      );
    }
    const { resourceVersion } = object.metadata;
    const patch = { metadata: { resourceVersion, annotations: { [ANNOTATION.switchover]: request } } };
    try {
      return await telling(api, ref, () => api.mergePatch<SingletonService>(SINGLETON_SERVICE, ref, patch));
    } catch (error) {
      if (!isConflict(error) || attempt === MAX_ATTEMPTS) throw error;
    }
  }
}

/** As the schema's default; the operator rolls back by then. */
const DEFAULT_DEADLINE_SECONDS = 30;
/** For taking the request up, for rolling back, and for telling. */
const SLACK_MS = 15_000;

const patienceMs = ({ spec }: SingletonService): number => {
  const { switchover } = (spec ?? {}) as { readonly switchover?: { readonly deadlineSeconds?: number } };
  return (switchover?.deadlineSeconds ?? DEFAULT_DEADLINE_SECONDS) * 1000 + SLACK_MS;
};

/** @param asked the object with the request in it */
function outcome(
  { clock, signal, print, note }: Context,
  api: KubernetesApi,
  asked: SingletonService,
): Promise<ExitCode> {
  const { namespace = '', name } = asked.metadata;
  const limitMs = patienceMs(asked);
  const outcomeOf = outcomes(asked);
  const replacedBy = replacements(asked);
  return new Promise((resolve, reject) => {
    let last = asked;
    const settle = (end: () => void): void => {
      stop();
      cancel();
      end();
    };
    const fail = (line: string): void => settle(() => reject(new CliError(`${namespace}/${name}: ${line}`)));
    const stop = follow({ api, clock, namespace, name, warn: note }, (_old, current) => {
      if (current === undefined || current.metadata.uid !== asked.metadata.uid) return fail('it was deleted meanwhile');
      last = current;
      const told = outcomeOf(current);
      if (told === undefined) {
        const other = replacedBy(current);
        return other === undefined ? undefined : fail(`the request was replaced by a later one, to ${other}`);
      }
      if (!hasSucceeded(told)) return fail(`the switchover did not happen: ${outcomeText(told)}`);
      return settle(() => {
        print(`${namespace}/${name}: ${activeText(current)}: ${outcomeText(told)}\n`);
        resolve(EXIT.ok);
      });
    });
    const cancel = clock.after(limitMs, () => fail(withoutOutcome(last, limitMs)));
    signal.addEventListener('abort', () => fail('not waited for any longer; the request stands'), { once: true });
  });
}

const activeText = ({ status }: SingletonService): string =>
  status?.active === undefined ? 'nobody is active' : `${status.active.pod} is active with term ${status.active.term}`;

/**
 * The outcome of this request, once the object tells it: not that of the last one, and not that of one which was under way
 * when this one was asked for and ends before this one is taken up.
 */
function outcomes(asked: SingletonService): (current: SingletonService) => SwitchoverStatus | undefined {
  const request = requestedOf(asked);
  const first = switchoverOf(asked);
  let before = JSON.stringify(first);
  let isOtherUnderWay = first !== undefined && !isOver(first);
  return (current) => {
    const told = switchoverOf(current);
    if (told === undefined || !isOver(told) || JSON.stringify(told) === before) return undefined;
    if (isOtherUnderWay && requestedOf(current) !== undefined) {
      before = JSON.stringify(told);
      isOtherUnderWay = false;
      return undefined;
    }
    return told.request === request ? told : undefined;
  };
}

/** The request that came in place of this one, which the operator has given up for it. */
function replacements(asked: SingletonService): (current: SingletonService) => string | undefined {
  const identityOf = (told: SwitchoverStatus | undefined): string => JSON.stringify([told?.requestedAt, told?.request]);
  const request = requestedOf(asked);
  /** What was told before this one was taken up: another one's, which may be told of late. */
  let before = identityOf(switchoverOf(asked));
  let own: string | undefined;
  return (current) => {
    const told = switchoverOf(current);
    const identity = identityOf(told);
    if (own === undefined && requestedOf(current) === request) before = identity;
    if (told === undefined || identity === before || identity === own) return undefined;
    if (own !== undefined || told.request !== request) return told.request;
    own = identity;
    return undefined;
  };
}

const withoutOutcome = (object: SingletonService, limitMs: number): string =>
  requestedOf(object) === undefined
    ? `the request was taken up, and no outcome was told within ${limitMs / 1000} s; "kubectl singleton why" tells what is in the way`
    : `the request was not taken up within ${limitMs / 1000} s, and stands; does the operator run, in a version that knows switchovers?`;
