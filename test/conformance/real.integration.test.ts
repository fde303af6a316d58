import { describe } from 'vitest';
import { describeKubernetesApi } from './kubernetes-api.suite.ts';
import { useRealWorld } from './real-world.ts';

describe('a real API server', () => describeKubernetesApi(useRealWorld()));
