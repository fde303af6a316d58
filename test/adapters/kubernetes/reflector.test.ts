import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Reflector, type ReflectorOptions, type RestartReason } from '../../../src/adapters/kubernetes/reflector.ts';
import { Store } from '../../../src/adapters/kubernetes/store.ts';
import { ApiError, TransportError, type ResourceType } from '../../../src/adapters/ports.ts';
import type { KubeObject } from '../../../src/api/objects.ts';
import { ManualClock, settle } from '../../support/manual-clock.ts';
import { FakeApi, type FakeWatch } from './support/fake-api.ts';
import { recordingLogger, type LogLine, type RecordingLogger } from './support/recording-logger.ts';

const THING: ResourceType = { group: 'example.org', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
const MINUTE_MS = 60_000;

interface World {
  readonly api: FakeApi;
  readonly clock: ManualClock;
  readonly store: Store<KubeObject>;
  readonly logger: RecordingLogger;
  readonly changes: string[];
  readonly restarts: RestartReason[];
  readonly reflector: Reflector<KubeObject>;
  activity: number;
}

const started: Reflector<KubeObject>[] = [];
let rejections: unknown[] = [];
const noteRejection = (reason: unknown): void => void rejections.push(reason);

beforeEach(() => {
  rejections = [];
  process.on('unhandledRejection', noteRejection);
});

afterEach(async () => {
  for (const reflector of started.splice(0)) reflector.stop();
  await settle();
  process.off('unhandledRejection', noteRejection);
  expect(rejections).toEqual([]);
});

function makeWorld(options: Partial<ReflectorOptions<KubeObject, never>> = {}): World {
  const api = new FakeApi();
  const clock = new ManualClock();
  const logger = recordingLogger();
  const store = new Store<KubeObject>({ name: 'things', logger });
  const changes: string[] = [];
  const restarts: RestartReason[] = [];
  store.onChange((old, current) => {
    const sign = old === undefined ? '+' : current === undefined ? '-' : '~';
    changes.push(`${sign}${(current ?? old)?.metadata.name}`);
  });
  const reflector = new Reflector<KubeObject>({
    api,
    type: THING,
    store,
    clock,
    random: () => 0.5,
    logger,
    onRestart: (reason) => restarts.push(reason),
    onActivity: () => {
      world.activity += 1;
    },
    ...options,
  });
  started.push(reflector);
  const world: World = { api, clock, store, logger, changes, restarts, reflector, activity: 0 };
  return world;
}

/** A world with `names`, listed and being watched. */
async function watching(
  names: readonly string[] = ['a'],
  options?: Partial<ReflectorOptions<KubeObject, never>>,
): Promise<World> {
  const world = makeWorld(options);
  for (const name of names) world.api.put(name);
  world.reflector.start();
  await settle();
  expect(world.reflector.hasSynced).toBe(true);
  expect(world.api.openWatches).toHaveLength(1);
  world.changes.length = 0;
  return world;
}

function onlyWatch(world: World): FakeWatch {
  const [watch, ...others] = world.api.openWatches;
  if (watch === undefined || others.length > 0) throw new Error(`${world.api.openWatches.length} watches are open`);
  return watch;
}

const times = (count: number, value: unknown): unknown[] => Array.from({ length: count }, () => value);
const namesIn = (world: World): string[] => [...world.store.values()].map((object) => object.metadata.name).sort();
const problems = (world: World): LogLine[] =>
  world.logger.lines.filter((line) => line.level === 'warn' || line.level === 'error');

describe('a reflector', () => {
  it('lists, then watches from the version of the list', async () => {
    const world = await watching(['a', 'b']);
    expect(namesIn(world)).toEqual(['a', 'b']);
    expect(onlyWatch(world).query.resourceVersion).toBe(world.api.version);
    world.api.put('c');
    world.api.remove('a');
    world.api.put('b', { changed: 'yes' });
    expect(world.changes).toEqual(['+c', '-a', '~b']);
    expect(world.activity).toBeGreaterThanOrEqual(4);
  });

  it('has not synced before the whole list is there', async () => {
    const world = makeWorld();
    world.api.put('a');
    let open = (): void => undefined;
    world.api.listGate = new Promise((resolve) => {
      open = resolve;
    });
    world.reflector.start();
    await settle();
    expect(world.reflector.hasSynced).toBe(false);
    open();
    await settle();
    expect(world.reflector.hasSynced).toBe(true);
  });

  it('asks the server to end each watch after a random 5 to 10 minutes', async () => {
    for (const [random, seconds] of [
      [0, 300],
      [0.5, 450],
      [0.999_999, 600],
    ] as const) {
      const world = await watching(['a'], { random: () => random });
      expect(onlyWatch(world).query.timeoutSeconds).toBe(seconds);
    }
  });

  it('resumes a quiet watch without listing again', async () => {
    const world = await watching();
    for (let round = 0; round < 5; round += 1) {
      await world.clock.advance(5 * MINUTE_MS);
      onlyWatch(world).end();
      await settle();
    }
    expect(world.api.lists).toHaveLength(1);
    expect(world.api.watches).toHaveLength(6);
    expect(world.changes).toEqual([]);
    expect(problems(world)).toEqual([]);
  });

  it('resumes from the version of the last bookmark', async () => {
    const world = await watching();
    world.api.skip(1_000);
    world.api.bookmark();
    world.api.compact();
    await world.clock.advance(MINUTE_MS);
    onlyWatch(world).end();
    await settle();
    expect(onlyWatch(world).query.resourceVersion).toBe(world.api.version);
    expect(world.api.lists).toHaveLength(1);
  });

  it('resumes at once from the last event when the connection is cut, and misses nothing', async () => {
    const world = await watching();
    world.api.put('b');
    await world.clock.advance(2_000);
    onlyWatch(world).fail(new TransportError('cut', 'cut'));
    world.api.put('c');
    world.api.remove('a');
    await settle();
    expect(namesIn(world)).toEqual(['b', 'c']);
    expect(world.api.lists).toHaveLength(1);
    expect(world.restarts).toEqual(['cut']);
  });

  it('lists again when the version has expired, and tells only the differences', async () => {
    const world = await watching(['kept', 'changed', 'deleted', 'recreated']);
    await world.clock.advance(2_000);
    onlyWatch(world).fail(new TransportError('cut', 'cut'));
    world.api.put('changed', { x: 'y' });
    world.api.remove('deleted');
    world.api.remove('recreated');
    world.api.put('recreated');
    world.api.put('added');
    world.api.compact();
    await settle();
    expect(world.changes.sort()).toEqual(['+added', '+recreated', '-deleted', '-recreated', '~changed']);
    expect(world.restarts).toEqual(['cut', 'expired']);
    expect(world.api.lists).toHaveLength(2);
  });

  it('lists again after an ERROR event that says Expired', async () => {
    const world = await watching();
    onlyWatch(world).fail(new ApiError(410, 'Expired', 'too old resource version'));
    await settle();
    expect(world.api.lists).toHaveLength(2);
    expect(onlyWatch(world)).toBeDefined();
  });

  it('does not spin when every list is already expired', async () => {
    const world = await watching();
    world.api.watchFailures.push(...times(1_000, new ApiError(410, 'Expired', 'too old')));
    onlyWatch(world).fail(new ApiError(410, 'Expired', 'too old'));
    await world.clock.advance(MINUTE_MS);
    expect(world.api.lists.length).toBeLessThan(10);
  });
});

describe('a long list', () => {
  const many = Array.from({ length: 1_203 }, (_, index) => `thing-${index}`);

  it('comes in pages of 500 and causes no phantom deletions', async () => {
    const world = await watching(many);
    expect(world.api.lists.map((list) => list.query.limit)).toEqual([500, 500, 500]);
    expect(world.store.size).toBe(many.length);
    onlyWatch(world).fail(new ApiError(410, 'Expired', 'too old'));
    await settle();
    expect(world.api.lists).toHaveLength(6);
    expect(world.changes).toEqual([]);
  });

  it('begins again from scratch when the token of a page has expired', async () => {
    const world = makeWorld();
    for (const name of many) world.api.put(name);
    world.api.listFailures.push(undefined, new ApiError(410, 'Expired', 'the provided continue parameter is too old'));
    world.reflector.start();
    await settle();
    expect(world.store.size).toBe(many.length);
    expect(world.api.lists.map((list) => list.query.continueToken !== undefined)).toEqual([false, true, false]);
    expect(world.api.openWatches).toHaveLength(1);
  });

  it('that breaks off changes nothing', async () => {
    const world = await watching(many);
    world.api.listFailures.push(undefined, undefined, new TransportError('cut', 'cut'));
    onlyWatch(world).fail(new ApiError(410, 'Expired', 'too old'));
    await settle();
    expect(world.changes).toEqual([]);
    expect(world.store.size).toBe(many.length);
    await world.clock.advance(MINUTE_MS);
    expect(world.api.openWatches).toHaveLength(1);
  });

  it('does not undo a write of ours that was answered while it was on its way', async () => {
    const world = makeWorld();
    world.api.put('old');
    let open = (): void => undefined;
    world.api.listGate = new Promise((resolve) => {
      open = resolve;
    });
    world.reflector.start();
    await settle();
    world.store.acceptWrite(world.api.put('created'));
    world.store.forget(world.api.remove('old'));
    open();
    await settle();
    expect(namesIn(world)).toEqual(['created']);
    expect(world.changes).toEqual(['+created']);
  });
});

const EVERY_ERROR: [string, unknown][] = [
  ['no connection', new TransportError('connect', 'ECONNREFUSED')],
  ['a bad certificate', new TransportError('tls', 'self-signed')],
  ['a cut', new TransportError('cut', 'cut')],
  ['a freeze', new TransportError('deadline', 'no answer')],
  ['broken JSON', new TransportError('malformed', 'not JSON')],
  ['400', new ApiError(400, 'BadRequest', 'bad')],
  ['401', new ApiError(401, 'Unauthorized', 'who?')],
  ['403', new ApiError(403, 'Forbidden', 'no')],
  ['404', new ApiError(404, 'NotFound', 'page not found')],
  ['410', new ApiError(410, 'Expired', 'too old')],
  ['429', new ApiError(429, 'TooManyRequests', 'later', 1_000)],
  ['500', new ApiError(500, 'InternalError', 'oh')],
  ['502 of a proxy', new ApiError(502, 'Unknown', 'Bad Gateway')],
  ['503', new ApiError(503, 'ServiceUnavailable', 'no')],
  ['504', new ApiError(504, 'Timeout', 'Too large resource version: 5, current: 3', 1_000)],
  ['a bug', new TypeError('undefined is not a function')],
  ['nothing', undefined],
];

describe.each(EVERY_ERROR)('after %s', (_name, error) => {
  it('of a watch it is up to date again within seconds', async () => {
    const world = await watching();
    await world.clock.advance(20_000);
    const watch = onlyWatch(world);
    if (error === undefined) watch.end();
    else watch.fail(error);
    world.api.put('b');
    await world.clock.advance(5_000);
    expect(namesIn(world)).toEqual(['a', 'b']);
    expect(world.api.openWatches).toHaveLength(1);
  });

  it('that lasts for ten minutes it is up to date again within 30 s, having asked less than 60 times', async () => {
    const world = await watching();
    const forLong = times(10_000, error ?? new ApiError(500, 'InternalError', 'oh'));
    world.api.watchFailures.push(...forLong);
    world.api.listFailures.push(...forLong);
    onlyWatch(world).fail(error ?? new TransportError('cut', 'cut'));
    await world.clock.advance(10 * MINUTE_MS);
    // 404 is asked for more often, since a CRD may come; 429 says itself when.
    const status = error instanceof ApiError ? error.status : 0;
    const asked = world.api.lists.length + world.api.watches.length;
    expect(asked).toBeLessThan(status === 404 ? 150 : status === 429 || status === 504 ? 700 : 60);
    expect(problems(world).length).toBeLessThan(10);
    world.api.watchFailures.length = 0;
    world.api.listFailures.length = 0;
    world.api.put('b');
    await world.clock.advance(30_000);
    expect(namesIn(world)).toEqual(['a', 'b']);
    expect(world.api.openWatches).toHaveLength(1);
  });
});

describe('a server in trouble', () => {
  it('that says 429 is asked again after its Retry-After, and not before', async () => {
    const world = await watching();
    onlyWatch(world).fail(new ApiError(429, 'TooManyRequests', 'later', 7_000));
    await world.clock.advance(6_999);
    expect(world.api.watches).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.api.watches).toHaveLength(2);
    expect(world.api.lists).toHaveLength(1);
  });

  it('of its own making is not listed anew: the watch is resumed', async () => {
    const world = await watching();
    onlyWatch(world).fail(new ApiError(500, 'InternalError', 'oh'));
    await world.clock.advance(5_000);
    expect(world.api.watches).toHaveLength(2);
    expect(world.api.lists).toHaveLength(1);
  });

  it('that is behind the version of a watch, perhaps for ever, is listed anew', async () => {
    const world = await watching();
    onlyWatch(world).fail(new ApiError(504, 'Timeout', 'Too large resource version: 102, current: 7', 1_000));
    await world.clock.advance(5_000);
    expect(world.api.lists).toHaveLength(2);
  });

  it('that says 429 to a list is asked again after its Retry-After, and not before', async () => {
    const world = makeWorld();
    world.api.listFailures.push(new ApiError(429, 'TooManyRequests', 'later', 7_000));
    world.reflector.start();
    await world.clock.advance(6_999);
    expect(world.api.lists).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.api.lists).toHaveLength(2);
  });

  it('is asked again after 0.8, 1.6, 3.2 … 30 s, and up to twice that but never more than 30 s', async () => {
    for (const [random, expected] of [
      [0, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]],
      [0.5, [1_200, 2_400, 4_800, 9_600, 19_200, 30_000, 30_000, 30_000]],
    ] as const) {
      const world = makeWorld({ random: () => random });
      world.api.listFailures.push(...times(8, new TransportError('connect', 'ECONNREFUSED')));
      world.reflector.start();
      await settle();
      const pauses: number[] = [];
      for (let round = 0; round < 8; round += 1) {
        const pauseMs = world.clock.nextInMs ?? 0;
        pauses.push(pauseMs);
        await world.clock.advance(pauseMs);
      }
      expect(pauses).toEqual(expected);
      expect(world.reflector.hasSynced).toBe(true);
    }
  });

  it('is asked soon again once it has been well for a while', async () => {
    const world = await watching();
    world.api.watchFailures.push(...times(6, new TransportError('connect', 'ECONNREFUSED')));
    onlyWatch(world).fail(new TransportError('connect', 'ECONNREFUSED'));
    await world.clock.advance(2 * MINUTE_MS);
    await world.clock.advance(20_000);
    onlyWatch(world).fail(new TransportError('connect', 'ECONNREFUSED'));
    await settle();
    expect(world.clock.nextInMs).toBe(1_200);
  });

  it('that ends every watch at once is not asked in a spin', async () => {
    const world = await watching();
    const watch = world.api.watch.bind(world.api);
    world.api.watch = async (...args) => {
      const running = watch(...args);
      world.api.openWatches[0]?.end();
      await running;
    };
    onlyWatch(world).end();
    await world.clock.advance(MINUTE_MS);
    expect(world.api.watches.length).toBeLessThan(10);
  });

  it('that never ends a watch has it taken away, and resumed, soon after the time it was given', async () => {
    const world = await watching();
    const frozen = onlyWatch(world);
    await world.clock.advance(450_000 + 30_000);
    expect(frozen.over).toBe(true);
    expect(onlyWatch(world)).not.toBe(frozen);
    expect(world.api.lists).toHaveLength(1);
  });

  it('whose versions went backwards is listed anew and taken as it is', async () => {
    const world = await watching(['a', 'b']);
    world.api.goBack(7);
    world.api.remove('b');
    world.api.bookmark();
    await world.clock.advance(5_000);
    expect(world.restarts).toContain('went-back');
    expect(namesIn(world)).toEqual(['a']);
    world.api.put('a', { after: 'restore' });
    expect(world.changes.at(-1)).toBe('~a');
    expect(onlyWatch(world).query.resourceVersion).toBe('8');
  });

  it('that is known to be back is asked at once', async () => {
    const world = makeWorld();
    world.api.listFailures.push(...times(5, new TransportError('connect', 'ECONNREFUSED')));
    world.reflector.start();
    await settle();
    for (let round = 0; round < 5; round += 1) {
      world.reflector.retryNow();
      await settle();
    }
    expect(world.reflector.hasSynced).toBe(true);
    expect(world.clock.monotonicMs()).toBe(0);
  });
});

describe('a resource that the server does not serve', () => {
  const notFound = new ApiError(404, 'NotFound', '404 page not found');

  it('counts as an empty one, is logged in one line, and is listed soon after its CRD came', async () => {
    const world = makeWorld();
    world.api.listFailures.push(...times(8, notFound));
    world.reflector.start();
    await settle();
    expect(world.reflector.hasSynced).toBe(true);
    expect(world.store.size).toBe(0);
    world.api.put('a');
    await world.clock.advance(40_000);
    expect(namesIn(world)).toEqual(['a']);
    expect(problems(world).map((line) => line.message)).toEqual([
      'the API server does not serve things.example.org (is its CRD installed?); trying on',
    ]);
    expect(world.logger.lines.at(-1)).toMatchObject({ level: 'info', message: 'listing things works again' });
  });

  it('any more, its CRD deleted, empties the store', async () => {
    const world = await watching(['a', 'b']);
    world.api.listFailures.push(...times(3, notFound));
    onlyWatch(world).fail(notFound);
    await world.clock.advance(10_000);
    expect(world.changes.slice(0, 2)).toEqual(['-a', '-b']);
  });

  it('for one answer only, as while the server starts, keeps its store, every time', async () => {
    const world = await watching(['a', 'b']);
    for (let time = 0; time < 3; time += 1) {
      world.api.listFailures.push(notFound);
      onlyWatch(world).fail(notFound);
      await world.clock.advance(20_000);
    }
    expect(world.changes).toEqual([]);
    expect(world.api.lists).toHaveLength(7);
  });
});

describe('what is logged', () => {
  it('of a missing permission is one clear line with verb and resource', async () => {
    const world = makeWorld();
    const message = 'things.example.org is forbidden: User "x" cannot list resource "things"';
    world.api.listFailures.push(...times(4, new ApiError(403, 'Forbidden', message)));
    world.reflector.start();
    await world.clock.advance(30_000);
    expect(problems(world)).toEqual([
      {
        level: 'error',
        message: 'cannot list things.example.org: forbidden; the operator lacks this permission (see its ClusterRole)',
        fields: { verb: 'list', resource: 'things', cause: message, times: 1 },
      },
    ]);
  });

  it('of a problem that lasts comes at growing intervals, and once more when it is over', async () => {
    const world = await watching();
    world.api.watchFailures.push(...times(10_000, new ApiError(500, 'InternalError', 'oh')));
    onlyWatch(world).fail(new ApiError(500, 'InternalError', 'oh'));
    await world.clock.advance(60 * MINUTE_MS);
    // At once, and after about 1, 3, 7, 15 and 31 minutes.
    expect(problems(world)).toHaveLength(6);
    world.api.watchFailures.length = 0;
    await world.clock.advance(MINUTE_MS);
    world.api.put('b');
    const healed = world.logger.lines.filter((line) => line.level === 'info');
    expect(healed).toHaveLength(1);
    expect(healed[0]).toMatchObject({ message: 'watching things works again' });
  });

  it('of watches that end and are resumed is nothing', async () => {
    const world = await watching();
    for (let round = 0; round < 20; round += 1) {
      await world.clock.advance(5 * MINUTE_MS);
      if (round % 2 === 0) onlyWatch(world).end();
      else onlyWatch(world).fail(new TransportError('cut', 'cut'));
      await settle();
    }
    expect(world.logger.lines).toEqual([]);
  });
});

describe('a stop', () => {
  it('during a list leaves no watch behind, changes nothing, and rejects nothing', async () => {
    const world = makeWorld();
    world.api.put('a');
    world.api.listGate = new Promise(() => undefined);
    world.reflector.start();
    await settle();
    world.reflector.stop();
    await world.clock.advance(10 * MINUTE_MS);
    expect(world.api.watches).toEqual([]);
    expect(world.changes).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });

  it('during a list that does not obey its signal leaves no watch behind either', async () => {
    const world = makeWorld();
    world.api.put('a');
    let open = (): void => undefined;
    world.api.listGate = new Promise((resolve) => {
      open = resolve;
    });
    const list = world.api.list.bind(world.api);
    world.api.list = (type, query) => list(type, query);
    world.reflector.start();
    await settle();
    world.reflector.stop();
    open();
    await world.clock.advance(10 * MINUTE_MS);
    expect(world.api.watches).toEqual([]);
    expect(world.changes).toEqual([]);
  });

  it('during a watch ends it, and nothing more reaches the store', async () => {
    const world = await watching();
    const watch = onlyWatch(world);
    world.reflector.stop();
    expect(watch.over).toBe(true);
    await settle();
    expect(world.clock.pending).toBe(0);
    watch.emit({ type: 'ADDED', object: world.api.put('late') });
    await world.clock.advance(10 * MINUTE_MS);
    expect(world.changes).toEqual([]);
    expect(world.api.watches).toHaveLength(1);
    expect(world.clock.pending).toBe(0);
  });

  it('during a pause is final', async () => {
    const world = makeWorld();
    world.api.listFailures.push(new TransportError('connect', 'ECONNREFUSED'));
    world.reflector.start();
    await settle();
    world.reflector.stop();
    expect(world.clock.pending).toBe(0);
    await world.clock.advance(10 * MINUTE_MS);
    expect(world.api.lists).toHaveLength(1);
  });

  it('before the start is final too', async () => {
    const world = makeWorld();
    world.reflector.stop();
    world.reflector.start();
    await world.clock.advance(MINUTE_MS);
    expect(world.api.lists).toEqual([]);
  });
});

describe('a listener that throws', () => {
  it('harms neither the watch nor the other listeners', async () => {
    const world = makeWorld();
    const heard: string[] = [];
    world.store.onChange(() => {
      throw new Error('of the listener');
    });
    world.store.onChange((_old, current) => heard.push(current?.metadata.name ?? '-'));
    world.api.put('a');
    world.reflector.start();
    await settle();
    world.api.put('b');
    expect(heard).toEqual(['a', 'b']);
    expect(onlyWatch(world).over).toBe(false);
    expect(world.logger.lines.filter((line) => line.message.includes('a listener of things failed'))).toHaveLength(2);
  });
});
