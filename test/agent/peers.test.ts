/** The agents' HTTP among themselves, over real loopback connections: who is believed, and who is not. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../src/adapters/ports.ts';
import { proveAnswer, proveQuestion } from '../../src/agent/peer-proof.ts';
import type { Asked } from '../../src/agent/peer-proof.ts';
import { peerPort, servePeers } from '../../src/agent/peers.ts';
import type { PeerOptions, PeerServer } from '../../src/agent/peers.ts';
import type { NoPromise, Question } from '../../src/agent/ports.ts';

const HOST = '127.0.0.1';
const QUESTION: Question = { holder: 'web-0_uid-0', term: 3, forMs: 9_500 };
const KEY = Buffer.alloc(32, 1);
const PEER = { pod: 'web-1', uid: 'uid-1', ip: HOST };
const nothing = (): void => undefined;
const logger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

let dir: string;
let server: PeerServer;
let asked: Question[];
let refusal: NoPromise | undefined;

const options = (more: Partial<PeerOptions> = {}): PeerOptions => ({
  namespace: 'shop',
  singleton: 'web',
  uid: 'uid-1',
  host: HOST,
  port: 0,
  keyFile: join(dir, 'key'),
  deadlineMs: 2_000,
  logger,
  ...more,
});

const ask = (more: Partial<PeerOptions> = {}, question = QUESTION) =>
  peerPort(options({ uid: 'uid-0', ...more }), server.port).ask(PEER, question);

const post = (body: unknown, path = '/v1/promise') =>
  fetch(`http://${HOST}:${server.port}${path}`, { method: 'POST', body: JSON.stringify(body) });

function keyIn(name: string, key: Buffer): string {
  writeFileSync(join(dir, name), key);
  return join(dir, name);
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'peers-'));
  keyIn('key', KEY);
  asked = [];
  refusal = undefined;
  server = await servePeers(options(), (question) => {
    asked.push(question);
    return refusal;
  });
});

afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('an agent that asks another', () => {
  it('hears of its promise', async () => {
    expect(await ask()).toBeUndefined();
    expect(asked).toEqual([QUESTION]);
  });

  it('hears why there is none', async () => {
    refusal = 'LaterTerm';
    expect(await ask()).toBe('LaterTerm');
  });

  it.each<[string, () => Partial<PeerOptions>]>([
    ['has another key', () => ({ keyFile: keyIn('other', Buffer.alloc(32, 2)) })],
    ['is of another singleton', () => ({ singleton: 'db' })],
    ['is of another namespace', () => ({ namespace: 'bank' })],
  ])('that %s gets no promise, and makes none be given', async (_who, more) => {
    await expect(ask(more())).rejects.toThrow(/answered 4/);
    expect(asked).toEqual([]);
  });

  it('asks for a pod, and not for an address', async () => {
    const port = peerPort(options({ uid: 'uid-0' }), server.port);
    await expect(port.ask({ ...PEER, uid: 'uid-2' }, QUESTION)).rejects.toThrow(/another pod/);
    expect(asked).toEqual([]);
  });

  it('goes by the key as it is now', async () => {
    keyIn('key', Buffer.alloc(32, 3));
    expect(await ask()).toBeUndefined();
  });

  it.each([['is too short to be one', Buffer.alloc(8), /at least 16/]])(
    'says what is wrong with a key that %s',
    async (_what, key, message) => {
      keyIn('key', key);
      await expect(ask()).rejects.toThrow(message);
    },
  );

  it('is answered what is wrong when the other has no key', async () => {
    const keyFile = keyIn('mine', KEY);
    rmSync(join(dir, 'key'));
    await expect(ask({ keyFile })).rejects.toThrow(/see its log/);
  });
});

describe('an answer', () => {
  let liar: Server;
  let seen: string[];
  let reply: (body: string) => string;

  beforeEach(async () => {
    seen = [];
    liar = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        seen.push(body);
        response.end(reply(body));
      });
    });
    await new Promise<void>((resolve) => liar.listen(0, HOST, resolve));
  });

  afterEach(() => void liar.close());

  const askLiar = (question = QUESTION) =>
    peerPort(options({ uid: 'uid-0' }), (liar.address() as AddressInfo).port).ask(PEER, question);

  it('without a proof is not believed', async () => {
    reply = () => JSON.stringify({ said: { refusal: null }, proof: '' });
    await expect(askLiar()).rejects.toThrow(/does not prove/);
    reply = () => 'yes';
    await expect(askLiar()).rejects.toThrow(/does not prove/);
  });

  it('that was given before is not believed again, though it was to the same question', async () => {
    let heard = '';
    reply = (body) => {
      const { said } = JSON.parse(body) as { said: Asked };
      heard = heard === '' ? JSON.stringify(proveAnswer(KEY, said, { refusal: null })) : heard;
      return heard;
    };
    expect(await askLiar()).toBeUndefined();
    await expect(askLiar()).rejects.toThrow(/does not prove/);
  });

  it.each<[string, (said: Asked) => Asked]>([
    ['of another pod', (said) => ({ ...said, to: 'uid-2' })],
    ['to another term', (said) => ({ ...said, term: 2 })],
    ['to another holder', (said) => ({ ...said, holder: 'web-2_uid-2' })],
    ['for another singleton', (said) => ({ ...said, singleton: 'db' })],
  ])('%s is not believed', async (_what, change) => {
    reply = (body) =>
      JSON.stringify(proveAnswer(KEY, change((JSON.parse(body) as { said: Asked }).said), { refusal: null }));
    await expect(askLiar()).rejects.toThrow(/does not prove/);
  });

  it('that was no is not turned into a yes', async () => {
    reply = (body) => {
      const { said } = JSON.parse(body) as { said: Asked };
      return JSON.stringify({ ...proveAnswer(KEY, said, { refusal: 'Active' }), said: { refusal: null } });
    };
    await expect(askLiar()).rejects.toThrow(/does not prove/);
  });

  it('is none when nothing comes in time', async () => {
    const port = peerPort(options({ uid: 'uid-0', deadlineMs: 50 }), (liar.address() as AddressInfo).port);
    liar.removeAllListeners('request');
    await expect(port.ask(PEER, QUESTION)).rejects.toThrow(/did not answer in 50 ms/);
  });
});

describe('a question', () => {
  const said: Asked = { ...QUESTION, namespace: 'shop', singleton: 'web', to: 'uid-1', nonce: 'n' };

  it('that was changed on its way is refused', async () => {
    const proven = proveQuestion(KEY, said);
    const changed = await post({ ...proven, said: { ...said, term: 4 } });
    expect([changed.status, (await post(proven)).status]).toEqual([401, 200]);
    expect(asked).toHaveLength(1);
  });

  it.each([{}, { said }, { said: { ...said, term: '3' }, proof: 'x' }, [], 'x'])('like %j is none', async (body) => {
    expect((await post(body)).status).toBe(400);
    expect(asked).toEqual([]);
  });

  it('is all that is answered on this port', async () => {
    for (const path of ['/v1/state', '/', '/livez']) expect((await post({}, path)).status).toBe(404);
    expect((await fetch(`http://${HOST}:${server.port}/v1/promise`)).status).toBe(404);
  });

  it('that is too long is cut off', async () => {
    expect((await post({ said, proof: 'x'.repeat(10_000) })).status).toBe(500);
    expect(asked).toEqual([]);
  });
});
