import { describe, expect, it } from 'vitest';
import { OUT_OF_SERVICE } from '../../src/api/names.ts';
import type { Lease, Node } from '../../src/api/objects.ts';
import { createCaches } from '../../src/operator/caches.ts';
import { NodeBeats } from '../../src/operator/node-beats.ts';
import type { NodeCount } from '../../src/operator/node-beats.ts';
import { recordingLogger } from '../adapters/kubernetes/support/recording-logger.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { meta } from './objects.ts';

const BEAT_MS = 10_000;

/** Nodes whose kubelets beat every ten seconds, each a while after the other, while they live. */
class Beating {
  readonly clock = new ManualClock();
  readonly caches = createCaches(recordingLogger());
  readonly looked: string[] = [];
  count: NodeCount | undefined;
  readonly silent = new Set<string>();
  readonly beats: NodeBeats;
  #version = 1;

  constructor(names: readonly string[], { brake = 0.55, readsNodes = true, leaseSeconds = 40 } = {}) {
    const { nodes, nodeLeases } = this.caches;
    this.beats = new NodeBeats({
      leases: nodeLeases,
      nodes: readsNodes ? nodes : undefined,
      clock: this.clock,
      logger: recordingLogger(),
      brake,
      onChange: (node) => void this.looked.push(node),
      onCount: (count) => void (this.count = count),
    });
    this.beats.start();
    const everyMs = (leaseSeconds * 1_000) / 4;
    names.forEach((name, place) => {
      this.node(name);
      this.beat(name, leaseSeconds);
      const go = (): void => {
        if (!this.silent.has(name)) this.beat(name, leaseSeconds);
        this.clock.after(everyMs, go);
      };
      this.clock.after((everyMs * place) / names.length, go);
    });
    this.looked.length = 0;
  }

  beat(name: string, leaseDurationSeconds = 40): void {
    const resourceVersion = String((this.#version += 1));
    const metadata = meta(name, { namespace: 'kube-node-lease', resourceVersion });
    const lease: Lease = { metadata, spec: { leaseDurationSeconds, renewTime: `beat ${this.#version}` } };
    this.caches.nodeLeases.apply('MODIFIED', lease);
  }

  node(name: string, ready: 'True' | 'Unknown' = 'True', taints: string[] = []): void {
    const resourceVersion = String((this.#version += 1));
    const node: Node = {
      metadata: { ...meta(name, { resourceVersion }), namespace: '' },
      spec: { taints: taints.map((key) => ({ key, effect: 'NoExecute' })) },
      status: { conditions: [{ type: 'Ready', status: ready }] },
    };
    this.caches.nodes.apply('MODIFIED', node);
  }

  removeNode(name: string): void {
    const node = this.caches.nodes.get(undefined, name);
    if (node !== undefined)
      this.caches.nodes.apply('DELETED', {
        metadata: { ...node.metadata, resourceVersion: String((this.#version += 1)) },
      });
  }

  silentForMs(name: string): number | undefined {
    const sinceMs = this.beats.troubleOf(name)?.silentSinceMs;
    return sinceMs === undefined ? undefined : this.clock.monotonicMs() - sinceMs;
  }
}

describe('a node that beats', () => {
  it('is in no trouble, and nobody is looked at for it', async () => {
    const world = new Beating(['a', 'b', 'c']);
    await world.clock.advance(10 * 60_000);
    expect(['a', 'b', 'c'].map((name) => world.beats.troubleOf(name))).toEqual([undefined, undefined, undefined]);
    expect(world.looked).toEqual([]);
    expect(world.count).toEqual({ all: 3, dark: 0, isBraked: false });
  });

  it('of which nobody ever heard but its Node object is in no trouble', () => {
    const world = new Beating(['a']);
    world.node('new');
    expect(world.beats.troubleOf('new')).toBeUndefined();
  });
});

describe('a node that falls silent', () => {
  it('is suspect before its second beat is due, and whoever is on it is looked at once', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.silent.add('a');
    await world.clock.advance(17_000);
    expect(world.beats.troubleOf('a')).toBeUndefined();
    await world.clock.advance(3_000);
    expect(world.beats.troubleOf('a')).toEqual({ silentSinceMs: 0, outOfService: false, gone: false });
    await world.clock.advance(60_000);
    expect(world.looked).toEqual(['a']);
    expect(world.silentForMs('a')).toBe(80_000);
  });

  it('is judged by how often it promised to beat', async () => {
    const world = new Beating(['a', 'b', 'c'], { leaseSeconds: 4 });
    world.silent.add('a');
    await world.clock.advance(3_000);
    expect(world.silentForMs('a')).toBe(3_000);
  });

  it('is well again with its first beat, and whoever is on it is looked at again', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.silent.add('a');
    await world.clock.advance(25_000);
    world.beat('a');
    expect(world.beats.troubleOf('a')).toBeUndefined();
    expect(world.looked).toEqual(['a', 'a']);
  });

  it('has beaten only when its renewTime has changed, whatever else becomes of its Lease', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.silent.add('a');
    await world.clock.advance(25_000);
    const lease = world.caches.nodeLeases.get('kube-node-lease', 'a');
    if (lease === undefined) throw new Error('there is no Lease');
    const metadata = { ...lease.metadata, resourceVersion: '999999' };
    world.caches.nodeLeases.apply('MODIFIED', { ...lease, metadata });
    expect(world.silentForMs('a')).toBe(25_000);
  });

  it('and whose Lease somebody deletes is not known to be silent any more', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.silent.add('a');
    await world.clock.advance(25_000);
    const lease = world.caches.nodeLeases.get('kube-node-lease', 'a');
    if (lease === undefined) throw new Error('there is no Lease');
    world.caches.nodeLeases.apply('DELETED', { metadata: { ...lease.metadata, resourceVersion: '999999' } });
    expect(world.beats.troubleOf('a')).toBeUndefined();
  });
});

describe('when nobody is heard', () => {
  it('no node counts as silent: the watch, or the API server, is', async () => {
    const world = new Beating(['a', 'b', 'c']);
    for (const name of ['a', 'b', 'c']) world.silent.add(name);
    await world.clock.advance(10 * 60_000);
    expect(['a', 'b', 'c'].map((name) => world.beats.troubleOf(name))).toEqual([undefined, undefined, undefined]);
  });

  it('a node that had been silent before is given its time anew, and whoever is heard first does not condemn the others', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.silent.add('a');
    await world.clock.advance(20_000);
    expect(world.silentForMs('a')).toBe(20_000);
    for (const name of ['b', 'c']) world.silent.add(name);
    await world.clock.advance(60_000);
    expect(world.silentForMs('a')).toBe(0);
    world.silent.delete('b');
    world.beat('b');
    expect(['a', 'b', 'c'].map((name) => world.beats.troubleOf(name))).toEqual([undefined, undefined, undefined]);
    await world.clock.advance(19_000);
    expect(['a', 'c'].map((name) => world.silentForMs(name))).toEqual([19_000, 19_000]);
  });
});

describe('what Kubernetes says of a node', () => {
  it('counts from when it is first seen, where there is no Lease', async () => {
    const world = new Beating([], {});
    world.node('old');
    await world.clock.advance(60_000);
    world.node('old', 'Unknown');
    await world.clock.advance(5_000);
    expect(world.silentForMs('old')).toBe(5_000);
    world.node('old');
    expect(world.beats.troubleOf('old')).toBeUndefined();
    expect(world.looked).toEqual(['old', 'old']);
  });

  it('makes a node suspect at once, whose silence goes on counting from its last beat', async () => {
    const world = new Beating(['a', 'b', 'c']);
    await world.clock.advance(60_000);
    world.node('a', 'Unknown');
    expect(world.silentForMs('a')).toBe(0);
  });

  it('is proof when it is out of service', () => {
    const world = new Beating(['a', 'b', 'c']);
    world.node('a', 'True', [OUT_OF_SERVICE]);
    expect(world.beats.troubleOf('a')).toEqual({ silentSinceMs: undefined, outOfService: true, gone: false });
    expect(world.looked).toEqual(['a']);
  });

  it('is proof when it is gone for some seconds: a new node may be known later than the first pod on it', async () => {
    const world = new Beating(['a', 'b', 'c']);
    world.removeNode('a');
    expect(world.beats.troubleOf('a')).toBeUndefined();
    await world.clock.advance(6_000);
    expect(world.beats.troubleOf('a')).toMatchObject({ gone: true });
    expect(world.looked).toEqual(['a']);
    world.node('a');
    expect(world.beats.troubleOf('a')).toBeUndefined();
    expect(world.looked).toEqual(['a', 'a']);
  });

  it('is no proof where Nodes can not be read', async () => {
    const world = new Beating([], { readsNodes: false });
    expect(world.beats.troubleOf('a')).toBeUndefined();
    await world.clock.advance(60_000);
    expect(world.beats.troubleOf('a')).toBeUndefined();
  });
});

describe('the brake on node loss', () => {
  it.each<[string, string[], string[], number, boolean]>([
    ['one of one', ['a'], ['a'], 0.55, false],
    ['one of two', ['a', 'b'], ['a'], 0.55, false],
    ['one of two, with a brake that is never on for one alone', ['a', 'b'], ['a'], 0, false],
    ['one of three', ['a', 'b', 'c'], ['a'], 0.55, false],
    ['two of three', ['a', 'b', 'c'], ['a', 'b'], 0.55, true],
    ['two of four', ['a', 'b', 'c', 'd'], ['a', 'b'], 0.55, false],
    ['two of four, with a brake at half of them', ['a', 'b', 'c', 'd'], ['a', 'b'], 0.5, false],
    ['three of four', ['a', 'b', 'c', 'd'], ['a', 'b', 'c'], 0.55, true],
  ])('is on when %s are dark: %s of %s, above %f: %s', async (_case, names, lost, brake, isBraked) => {
    const world = new Beating(names, { brake });
    for (const name of lost) world.silent.add(name);
    await world.clock.advance(2 * BEAT_MS + 10_000);
    expect(world.beats.isBraked).toBe(isBraked);
  });

  it('is on before the first of many that fall silent together has been so for the default 30 s', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const world = new Beating(names);
    await world.clock.advance(100_000);
    for (const name of names.slice(0, 4)) world.silent.add(name);
    for (let ms = 0; ms < 60_000; ms += 100) {
      await world.clock.advance(100);
      const longest = Math.max(...names.map((name) => world.silentForMs(name) ?? 0));
      if (longest >= 30_000) expect(world.beats.isBraked).toBe(true);
    }
    expect(world.count).toEqual({ all: 5, dark: 4, isBraked: true });
  });

  it('has everybody on dark nodes looked at when it is taken off', async () => {
    const world = new Beating(['a', 'b', 'c']);
    for (const name of ['a', 'b']) world.silent.add(name);
    await world.clock.advance(40_000);
    world.looked.length = 0;
    world.beat('b');
    expect(world.beats.isBraked).toBe(false);
    expect(new Set(world.looked)).toEqual(new Set(['a', 'b']));
  });

  it('does not count the Leases of nodes that were removed', async () => {
    const world = new Beating(['a', 'b', 'c', 'd', 'e']);
    for (const name of ['a', 'b', 'c']) {
      world.silent.add(name);
      world.removeNode(name);
    }
    await world.clock.advance(40_000);
    expect(world.beats.isBraked).toBe(false);
  });
});
