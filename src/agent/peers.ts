/**
 * The agents' HTTP among themselves, `onApiLoss: Hold`: a port of its own with one endpoint, since others than the kubelet
 * must reach it. Who does not have the key gets no promise, and nothing that it says is believed (peer-proof.ts).
 */
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../adapters/ports.ts';
import type { Peer } from '../core/hold-set.ts';
import {
  answerIn,
  isProvenAnswer,
  isProvenQuestion,
  nonce,
  proveAnswer,
  proveQuestion,
  questionIn,
} from './peer-proof.ts';
import type { Asked } from './peer-proof.ts';
import type { NoPromise, PeerPort, Question } from './ports.ts';
import { closeServer, listen } from './server.ts';

export interface PeerOptions {
  readonly namespace: string;
  readonly singleton: string;
  /** Of this pod. */
  readonly uid: string;
  /** Of this pod; empty: all addresses. */
  readonly host: string;
  /** The same for all; 0 (in tests): any. */
  readonly port: number;
  /** Read for each question: when the Secret was made anew, its file is replaced under the agent. */
  readonly keyFile: string;
  /** For a whole answer. */
  readonly deadlineMs: number;
  readonly logger: Logger;
}

export interface PeerServer {
  readonly port: number;
  close(): Promise<void>;
}

const PATH = '/v1/promise';
/** A question is some 300 bytes, an answer 100. */
const MAX_BYTES = 4_096;
const MAX_CONNECTIONS = 64;

/** @param asked gives the answer of this agent; undefined is its promise. Rejects when the port is taken. */
export async function servePeers(
  options: PeerOptions,
  asked: (question: Question) => NoPromise | undefined,
): Promise<PeerServer> {
  const server = createServer((incoming, response) => {
    answer(options, asked, incoming, response).catch((error: unknown) => {
      options.logger.error('a question of another agent could not be answered', { error: messageOf(error) });
      send(response, 500, { error: 'this agent cannot answer: see its log' });
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = options.deadlineMs;
  server.headersTimeout = options.deadlineMs;
  await listen(server, options.port, options.host);
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server) };
}

async function answer(
  { keyFile, namespace, singleton, uid, logger }: PeerOptions,
  asked: (question: Question) => NoPromise | undefined,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (incoming.method !== 'POST' || incoming.url !== PATH) return send(response, 404, { error: 'not found' });
  const question = questionIn(await textOf(incoming));
  if (question === undefined) return send(response, 400, { error: 'that is no question of an agent' });
  const key = readFileSync(keyFile);
  const { said } = question;
  if (!isProvenQuestion(key, question)) {
    logger.warn('a question that is not proven was refused', {
      from: incoming.socket.remoteAddress,
      holder: said.holder,
    });
    return send(response, 401, { error: 'not proven: this agent has another key' });
  }
  if (said.to !== uid || said.namespace !== namespace || said.singleton !== singleton)
    return send(response, 421, { error: 'that is for another pod' });
  const { holder, term, forMs } = said;
  const refusal = asked({ holder, term, forMs }) ?? null;
  return send(response, 200, proveAnswer(key, said, { refusal }));
}

/** @param port of the others */
export function peerPort(options: PeerOptions, port: number): PeerPort {
  return {
    async ask(peer, question) {
      const { keyFile, namespace, singleton } = options;
      const key = readFileSync(keyFile);
      const asked: Asked = { ...question, namespace, singleton, to: peer.uid, nonce: nonce() };
      const text = await post(peer, port, JSON.stringify(proveQuestion(key, asked)), options.deadlineMs);
      const said = answerIn(text);
      if (said === undefined || !isProvenAnswer(key, asked, said))
        throw new Error(`what answers at ${peer.ip}:${port} does not prove to be the agent of pod ${peer.pod}`);
      return said.said.refusal ?? undefined;
    },
  };
}

function post({ ip }: Peer, port: number, body: string, deadlineMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  // A connection of its own: one that was kept may be dead, and nobody has asked for long.
  const sent = request({ host: ip, port, path: PATH, method: 'POST', headers, agent: false }, (response) => {
    textOf(response).then((text) => {
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`${ip}:${port} answered ${response.statusCode}: ${text.slice(0, 200).trim()}`));
    }, reject);
  });
  const timer = setTimeout(
    () => sent.destroy(new Error(`${ip}:${port} did not answer in ${deadlineMs} ms`)),
    deadlineMs,
  );
  sent.on('error', reject);
  sent.end(body);
  return promise.finally(() => clearTimeout(timer));
}

async function textOf(stream: IncomingMessage): Promise<string> {
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) {
    text += chunk as string;
    if (text.length > MAX_BYTES) throw new Error('what came is too long');
  }
  return text;
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
