import { afterAll, beforeAll, inject } from 'vitest';
import { startControlPlane } from './control-plane.ts';
import type { HollowNodesOptions } from './hollow-nodes.ts';
import { enterSuite, share } from './suite.ts';
import type { SharedControlPlane, Suite } from './suite.ts';

const HOOK_TIMEOUT_MS = 120_000;

/**
 * Gives the surrounding file or `describe` a suite: a namespace and hollow nodes of its own. On the control plane of the
 * global setup; without one, on a control plane started for it alone, so that a single file runs without any config.
 *
 * @returns a function, as the suite is there only when tests run
 */
export function useSuite(options: HollowNodesOptions = {}): () => Suite {
  let suite: Suite | undefined;
  let stop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    let shared = inject('controlPlane') as SharedControlPlane | undefined;
    if (shared === undefined) {
      const own = await startControlPlane();
      stop = () => own.stop();
      shared = share(own);
    }
    suite = await enterSuite(shared, options);
  }, HOOK_TIMEOUT_MS);
  afterAll(async () => {
    await suite?.leave();
    await stop?.();
  }, HOOK_TIMEOUT_MS);
  return () => {
    if (suite === undefined) throw new Error('the suite exists only while tests run');
    return suite;
  };
}
