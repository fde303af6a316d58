/** `onActivate` and `onDeactivate` as HTTP calls to the workload. */
import { request } from 'node:http';
import type { Hook } from '../core/fence-types.ts';
import type { HookCall } from './ports.ts';

export interface HookUrls {
  readonly activate: string | undefined;
  readonly deactivate: string | undefined;
}

/** Any answer of 200 to 299 is a success. Rejects for every other, after `deadlineMs`, and when aborted. */
export function callHook(url: string, call: HookCall, deadlineMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const body = JSON.stringify(call);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const sent = request(url, { method: 'POST', headers, signal }, (response) => {
    response.resume();
    const { statusCode = 0 } = response;
    if (statusCode >= 200 && statusCode < 300) resolve();
    else reject(new Error(`${url} answered ${statusCode}`));
  });
  const timer = setTimeout(() => sent.destroy(new Error(`${url} did not answer in ${deadlineMs} ms`)), deadlineMs);
  sent.on('error', reject);
  sent.end(body);
  return promise.finally(() => clearTimeout(timer));
}

export const urlOf = (urls: HookUrls, hook: Hook): string => {
  const url = urls[hook];
  if (url === undefined) throw new Error(`there is no hook to ${hook}`);
  return url;
};
