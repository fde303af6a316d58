import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Store } from '../../../src/adapters/kubernetes/store.ts';
import { compareVersions } from '../../../src/api/versions.ts';
import type { KubeObject } from '../../../src/api/objects.ts';
import { recordingLogger } from './support/recording-logger.ts';

interface Thing extends KubeObject {
  readonly spec?: { readonly node: string };
}

const thing = (name: string, uid: string, version: number | string, labels: Record<string, string> = {}): Thing => ({
  metadata: { name, namespace: 'ns', uid, resourceVersion: String(version), creationTimestamp: '', labels },
});

const terminating = (object: Thing): Thing => ({
  ...object,
  metadata: { ...object.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
});

function makeStore() {
  const logger = recordingLogger();
  const store = new Store<Thing, 'singleton' | 'node'>({
    name: 'things',
    logger,
    indices: {
      singleton: (object) => Object.values(object.metadata.labels ?? {}),
      node: (object) => (object.spec === undefined ? [] : [object.spec.node]),
    },
  });
  const changes: string[] = [];
  const name = (object: Thing | undefined): string =>
    object === undefined ? '-' : `${object.metadata.uid}@${object.metadata.resourceVersion}`;
  store.onChange((old, current) => changes.push(`${name(old)} → ${name(current)}`));
  return { store, changes, logger };
}

const versionOf = (store: Store<Thing, 'singleton' | 'node'>, name = 'a'): string | undefined =>
  store.get('ns', name)?.metadata.resourceVersion;

describe('versions', () => {
  it('are compared as numbers when both are decimal, and not at all otherwise', () => {
    expect(compareVersions('9', '10')).toBeLessThan(0);
    expect(compareVersions('18446744073709551615', '18446744073709551614')).toBeGreaterThan(0);
    expect(compareVersions('10', '10')).toBe(0);
    expect(compareVersions('abc', 'abc')).toBe(0);
    expect(compareVersions('abc', '10')).toBeUndefined();
  });
});

describe('a store', () => {
  it('tells its listeners old and new', () => {
    const { store, changes } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.apply('MODIFIED', thing('a', 'u1', 2));
    store.apply('DELETED', thing('a', 'u1', 3));
    expect(changes).toEqual(['- → u1@1', 'u1@1 → u1@2', 'u1@2 → -']);
  });

  it('says nothing when a watch brings what is already there', () => {
    const { store, changes } = makeStore();
    store.acceptWrite(thing('a', 'u1', 5));
    store.apply('ADDED', thing('a', 'u1', 5));
    store.replace([thing('a', 'u1', 5)], '9');
    expect(changes).toEqual(['- → u1@5']);
  });

  it('drops managedFields, or whatever its projection drops', () => {
    const { store } = makeStore();
    const object = { ...thing('a', 'u1', 1), metadata: { ...thing('a', 'u1', 1).metadata, managedFields: [{}] } };
    store.apply('ADDED', object);
    expect(store.get('ns', 'a')?.metadata).not.toHaveProperty('managedFields');
    expect(object.metadata).toHaveProperty('managedFields');
    const lean = new Store<Thing>({
      name: 'things',
      logger: recordingLogger(),
      project: ({ metadata }) => ({ metadata }),
    });
    lean.apply('ADDED', { ...object, spec: { node: 'n' } });
    expect(lean.get('ns', 'a')).not.toHaveProperty('spec');
  });

  it('goes on when a listener throws, tells the others, and logs it', () => {
    const logger = recordingLogger();
    const store = new Store<Thing>({ name: 'things', logger });
    const heard: unknown[] = [];
    store.onChange(() => {
      throw new Error('of the listener');
    });
    store.onChange((_old, current) => heard.push(current?.metadata.name));
    store.replace([thing('a', 'u1', 1), thing('b', 'u2', 2)], '2');
    expect(heard).toEqual(['a', 'b']);
    expect(logger.lines).toHaveLength(2);
  });

  it('tells a listener nothing more once it has gone', () => {
    const { store } = makeStore();
    const heard: unknown[] = [];
    const leave = store.onChange((_old, current) => heard.push(current));
    leave();
    store.apply('ADDED', thing('a', 'u1', 1));
    expect(heard).toEqual([]);
  });

  it('keeps objects of the same name in different namespaces apart, and those without one', () => {
    const { store } = makeStore();
    const other = { metadata: { ...thing('a', 'u2', 2).metadata, namespace: 'other' } };
    const { namespace: _none, ...clusterScoped } = thing('a', 'u3', 3).metadata;
    store.replace([thing('a', 'u1', 1), other, { metadata: clusterScoped }], '3');
    expect(store.size).toBe(3);
    expect(store.get('other', 'a')?.metadata.uid).toBe('u2');
    expect(store.get(undefined, 'a')?.metadata.uid).toBe('u3');
  });
});

describe('an index', () => {
  const names = (objects: readonly Thing[]): string[] => objects.map((object) => object.metadata.name).sort();

  it('finds objects by every key of theirs, and follows their changes', () => {
    const { store } = makeStore();
    store.apply('ADDED', { ...thing('a', 'u1', 1, { x: 'one' }), spec: { node: 'n1' } });
    store.apply('ADDED', { ...thing('b', 'u2', 2, { x: 'one', y: 'two' }), spec: { node: 'n1' } });
    expect(names(store.byIndex('singleton', 'one'))).toEqual(['a', 'b']);
    expect(names(store.byIndex('singleton', 'two'))).toEqual(['b']);
    expect(names(store.byIndex('node', 'n1'))).toEqual(['a', 'b']);
    store.apply('MODIFIED', { ...thing('a', 'u1', 3, { x: 'two' }), spec: { node: 'n2' } });
    expect(names(store.byIndex('singleton', 'one'))).toEqual(['b']);
    expect(names(store.byIndex('singleton', 'two'))).toEqual(['a', 'b']);
    store.apply('DELETED', thing('b', 'u2', 4));
    expect(names(store.byIndex('singleton', 'two'))).toEqual(['a']);
    expect(store.byIndex('node', 'n1')).toEqual([]);
    expect(store.byIndex('node', 'unknown')).toEqual([]);
  });

  it('has already followed when listeners are told', () => {
    const { store } = makeStore();
    const seen: string[][] = [];
    store.onChange(() => seen.push(names(store.byIndex('singleton', 'one'))));
    store.apply('ADDED', thing('a', 'u1', 1, { x: 'one' }));
    store.apply('DELETED', thing('a', 'u1', 2));
    expect(seen).toEqual([['a'], []]);
  });
});

describe('a list', () => {
  it('is compared by UID: what was deleted and created again under its name is gone and new', () => {
    const { store, changes } = makeStore();
    store.replace([thing('a', 'u1', 1), thing('b', 'u2', 2), thing('c', 'u3', 3)], '3');
    changes.length = 0;
    store.replace([thing('a', 'u9', 7), thing('b', 'u2', 2), thing('d', 'u4', 8)], '8');
    expect(changes).toEqual(['u1@1 → -', '- → u9@7', '- → u4@8', 'u3@3 → -']);
  });

  it('does not undo our writes that were answered while it was on its way', () => {
    const { store } = makeStore();
    store.replace([thing('patched', 'u1', 1), thing('deleted', 'u2', 2)], '2');
    const mark = store.mark();
    store.acceptWrite(thing('patched', 'u1', 11));
    store.acceptWrite(thing('created', 'u3', 12));
    store.forget(thing('deleted', 'u2', 2));
    store.replace([thing('patched', 'u1', 1), thing('deleted', 'u2', 2)], '10', mark);
    expect([...store.values()].map((object) => object.metadata.name).sort()).toEqual(['created', 'patched']);
    expect(versionOf(store, 'patched')).toBe('11');
  });

  it('goes before our writes that it is newer than', () => {
    const { store } = makeStore();
    const mark = store.mark();
    store.acceptWrite(thing('patched', 'u1', 11));
    store.acceptWrite(thing('created and gone', 'u3', 12));
    store.replace([thing('patched', 'u1', 20)], '20', mark);
    expect([...store.values()].map((object) => object.metadata.resourceVersion)).toEqual(['20']);
  });

  it('that was asked for after everything else goes before all of it, with lower versions too (a restored cluster)', () => {
    const { store } = makeStore();
    store.replace([thing('a', 'u1', 1_000), thing('b', 'u2', 2_000)], '2000');
    store.apply('DELETED', thing('b', 'u2', 2_001));
    store.replace([thing('a', 'u1', 10), thing('b', 'u2', 11)], '12', store.mark());
    expect(versionOf(store, 'a')).toBe('10');
    expect(versionOf(store, 'b')).toBe('11');
  });
});

describe('the answer to our own write', () => {
  it('is there at once', () => {
    const { store, changes } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.acceptWrite(thing('a', 'u1', 5));
    expect(changes.at(-1)).toBe('u1@1 → u1@5');
  });

  it('is not undone by a watch event that lags', () => {
    const { store, changes } = makeStore();
    store.acceptWrite(thing('a', 'u1', 10));
    store.apply('MODIFIED', thing('a', 'u1', 9));
    store.apply('ADDED', thing('a', 'u1', 5));
    expect(versionOf(store)).toBe('10');
    expect(changes).toHaveLength(1);
  });

  it('does not go before a watch event that is newer', () => {
    const { store } = makeStore();
    store.apply('MODIFIED', thing('a', 'u1', 11));
    store.acceptWrite(thing('a', 'u1', 10));
    expect(versionOf(store)).toBe('11');
  });

  it('does not bring back what a watch has shown to be deleted since', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.apply('DELETED', thing('a', 'u1', 11));
    store.acceptWrite(thing('a', 'u1', 10));
    expect(store.size).toBe(0);
  });

  it('is not deleted by the late end of another object of the same name', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.acceptWrite(thing('a', 'u2', 12));
    store.apply('DELETED', thing('a', 'u1', 11));
    expect(store.get('ns', 'a')?.metadata.uid).toBe('u2');
    store.apply('MODIFIED', thing('a', 'u1', 10));
    expect(store.get('ns', 'a')?.metadata.uid).toBe('u2');
  });
});

describe('a watch with a selector', () => {
  it('says DELETED of an object that stops to match, and it may come back', () => {
    const { store, changes } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.apply('DELETED', thing('a', 'u1', 5));
    store.apply('ADDED', thing('a', 'u1', 6));
    expect(changes).toEqual(['- → u1@1', 'u1@1 → -', '- → u1@6']);
  });

  it('does not undo, by a DELETED that lags, our own write that made it match again', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.acceptWrite(thing('a', 'u1', 6));
    store.apply('DELETED', thing('a', 'u1', 5));
    expect(versionOf(store)).toBe('6');
  });
});

describe('a read of one object', () => {
  it('is taken although later versions of others were told: the selector may not select it', () => {
    const { store } = makeStore();
    store.replace([thing('b', 'u2', 2)], '20');
    store.apply('MODIFIED', thing('b', 'u2', 30));
    store.acceptRead(thing('a', 'u1', 5), store.mark());
    expect(versionOf(store)).toBe('5');
  });

  it('brings back what has left the selection and exists', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    store.apply('DELETED', thing('a', 'u1', 5));
    store.apply('ADDED', thing('b', 'u2', 9));
    store.acceptRead(thing('a', 'u1', 5), store.mark());
    expect(versionOf(store)).toBe('5');
  });

  it('that was answered late does not bring back what was deleted meanwhile, as a watch or a list told', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u1', 1));
    const mark = store.mark();
    store.apply('DELETED', thing('a', 'u1', 5));
    store.acceptRead(thing('a', 'u1', 1), mark);
    expect(store.size).toBe(0);
    store.replace([], '7', store.mark());
    store.acceptRead(thing('a', 'u1', 1), mark);
    expect(store.size).toBe(0);
  });

  it('does not go before a watch event that is newer', () => {
    const { store } = makeStore();
    store.apply('MODIFIED', thing('a', 'u1', 11));
    store.acceptRead(thing('a', 'u1', 10), store.mark());
    expect(versionOf(store)).toBe('11');
  });
});

describe('our own delete', () => {
  it('is not undone by events that lag, whatever their version', () => {
    const { store } = makeStore();
    const object = thing('a', 'u1', 5);
    store.apply('ADDED', object);
    store.forget(object);
    store.apply('MODIFIED', thing('a', 'u1', 7));
    store.apply('ADDED', thing('a', 'u1', 5));
    expect(store.size).toBe(0);
    store.apply('DELETED', thing('a', 'u1', 8));
    store.apply('ADDED', thing('a', 'u2', 9));
    expect(store.get('ns', 'a')?.metadata.uid).toBe('u2');
  });

  it('is taken back when an event shows that the object is still there, only marked', () => {
    const { store } = makeStore();
    const object = thing('a', 'u1', 5);
    store.apply('ADDED', object);
    store.forget(object);
    store.apply('MODIFIED', terminating(thing('a', 'u1', 6)));
    expect(versionOf(store)).toBe('6');
  });

  it('is taken back when a list that was asked for afterwards has the object', () => {
    const { store } = makeStore();
    const object = thing('a', 'u1', 5);
    store.apply('ADDED', object);
    store.forget(object);
    store.replace([object], '9', store.mark());
    expect(versionOf(store)).toBe('5');
  });

  it('does not touch another object of the same name', () => {
    const { store } = makeStore();
    store.apply('ADDED', thing('a', 'u2', 9));
    store.forget(thing('a', 'u1', 5));
    expect(store.get('ns', 'a')?.metadata.uid).toBe('u2');
  });
});

/** What a server went through: at each version one object was put, deleted, or lost the label that is selected by. */
interface Step {
  readonly version: number;
  readonly name: string;
  readonly uid: string;
  readonly type: 'put' | 'deleted' | 'left';
  /** What a watch says of it. */
  readonly event: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Our own write: its answer may come at any time after it. */
  readonly own: boolean;
}

const entry = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  type: fc.constantFrom('put', 'put', 'deleted', 'left'),
  own: fc.boolean(),
});

const history = fc.array(entry, { maxLength: 30 }).map((entries) => {
  const alive = new Map<string, { readonly uid: string; readonly matches: boolean }>();
  const steps: Step[] = [];
  for (const [index, { name, type, own }] of entries.entries()) {
    const before = alive.get(name);
    if (type !== 'put' && before?.matches !== true) continue;
    const uid = before?.uid ?? `${name}-${index}`;
    if (type === 'deleted') alive.delete(name);
    else alive.set(name, { uid, matches: type === 'put' });
    const event = type !== 'put' ? 'DELETED' : before?.matches === true ? 'MODIFIED' : 'ADDED';
    steps.push({ version: index + 1, name, uid, type, event, own });
  }
  return steps;
});

const stateAfter = (steps: readonly Step[], version: number): Map<string, Thing> => {
  const state = new Map<string, Thing>();
  for (const step of steps.filter((step) => step.version <= version)) {
    if (step.type === 'put') state.set(step.name, thing(step.name, step.uid, step.version));
    else state.delete(step.name);
  }
  return state;
};

type TestStore = Store<Thing, 'singleton' | 'node'>;

/** Tells `store` of the whole history in an order that `choose` decides, as a reflector and a writer would. */
function tell(store: TestStore, steps: readonly Step[], choose: (below: number) => number): void {
  const last = steps.at(-1)?.version ?? 0;
  const answers = steps.filter((step) => step.own);
  let truth = 0;
  let watched = 0;
  let list: { readonly mark: number; readonly version: number } | undefined;
  while (truth < last || watched < last || answers.length > 0 || list !== undefined) {
    const next = choose(5);
    const due = answers.filter((step) => step.version <= truth);
    const answer = due.length === 0 ? undefined : due[choose(due.length)];
    if (next === 0) truth = Math.min(last, truth + 1 + choose(3));
    else if (next === 1 && answer !== undefined) {
      answers.splice(answers.indexOf(answer), 1);
      if (answer.type === 'deleted') store.forget(thing(answer.name, answer.uid, answer.version - 1));
      else store.acceptWrite(thing(answer.name, answer.uid, answer.version));
    } else if (list !== undefined) {
      if (next !== 2) continue; // no watch runs while a list is on its way
      store.replace([...stateAfter(steps, list.version).values()], String(list.version), list.mark);
      watched = list.version;
      list = undefined;
    } else if (next === 3 && watched < truth) list = { mark: store.mark(), version: truth };
    else if (next === 4 && watched < truth) {
      watched += 1;
      const step = steps.find((step) => step.version === watched);
      if (step !== undefined) store.apply(step.event, thing(step.name, step.uid, step.version));
    }
  }
}

describe('whatever the order in which a watch, lists and answers to our own writes tell of the same history,', () => {
  const byName = (a: Thing, b: Thing): number => a.metadata.name.localeCompare(b.metadata.name);

  it('no object goes back in time, what was deleted does not come back, and in the end the store is what the server has', () => {
    const arbitrary = fc.property(history, fc.infiniteStream(fc.nat({ max: 99 })), (steps, stream) => {
      const { store } = makeStore();
      const newest = new Map<string, number>();
      store.onChange((_old, current) => {
        if (current === undefined) return;
        const { uid, resourceVersion } = current.metadata;
        expect(Number(resourceVersion)).toBeGreaterThan(newest.get(uid) ?? 0);
        newest.set(uid, Number(resourceVersion));
      });
      tell(store, steps, (below) => (stream.next().value ?? 0) % below);
      const last = steps.at(-1)?.version ?? 0;
      expect([...store.values()].sort(byName)).toEqual([...stateAfter(steps, last).values()].sort(byName));
    });
    fc.assert(arbitrary, { numRuns: 3_000 });
  });
});
