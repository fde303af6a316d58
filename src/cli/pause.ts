/** `pause` and `resume`: spec.paused. */
import { SINGLETON_SERVICE } from '../adapters/kubernetes/resources.ts';
import { getSingleton, telling } from './cluster.ts';
import type { SingletonCommand } from './commands.ts';
import { EXIT } from './errors.ts';

const set =
  (paused: boolean, done: string): SingletonCommand =>
  async ({ print }, { api }, ref) => {
    const { spec } = await getSingleton(api, ref);
    const isPaused = (spec as { readonly paused?: unknown } | undefined)?.paused === true;
    const name = `${ref.namespace}/${ref.name}`;
    if (isPaused === paused) {
      print(`${name} is ${paused ? 'paused' : 'not paused'} already\n`);
      return EXIT.ok;
    }
    await telling(api, ref, () => api.mergePatch(SINGLETON_SERVICE, ref, { spec: { paused } }));
    print(`${name} ${done}\n`);
    return EXIT.ok;
  };

export const pause = set(true, 'is paused: nothing moves and no pod is made, also if the active fails');
export const resume = set(false, 'is no longer paused');
