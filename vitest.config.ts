import { defineConfig } from 'vitest/config';

/**
 * Three levels, by file name: `*.integration.test.ts` runs against a real control plane, started once for all of them;
 * `*.store.test.ts` against a real PostgreSQL and a real Redis; everything else needs nothing but Node.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.integration.test.ts', 'test/**/*.store.test.ts'],
        },
      },
      {
        test: {
          name: 'stores',
          include: ['test/**/*.store.test.ts'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/**/*.integration.test.ts'],
          globalSetup: ['test/control-plane/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // The machine that counts has two cores, and the control plane needs one of them.
          maxWorkers: 2,
        },
      },
    ],
  },
});
