/** Faults in a kind cluster, whose nodes are containers of this machine's Docker. */
import { setTimeout as sleep } from 'node:timers/promises';
import { kubectl, run } from './shell.ts';

const docker = (...args: string[]): Promise<string> => run('docker', args);
const inNode = (node: string, script: string): Promise<string> => docker('exec', node, 'sh', '-ec', script);

/** The Node.js processes of a pod. Its UID is in the path of its cgroup, with `_` for `-` where systemd names them. */
const processesOf = (podUid: string, command = '^node '): string =>
  `grep -l -e ${podUid} -e ${podUid.replaceAll('-', '_')} /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3 |
   while read -r pid; do if tr '\\0' ' ' < /proc/$pid/cmdline 2>/dev/null | grep -q '${command}'; then echo $pid; fi; done`;

export async function signalPod(node: string, podUid: string, signal: 'KILL' | 'STOP' | 'CONT'): Promise<void> {
  const pids = await inNode(node, `pids=$(${processesOf(podUid)}); [ -n "$pids" ]; kill -${signal} $pids; echo $pids`);
  if (pids.trim() === '') throw new Error(`no process of pod ${podUid} on ${node}`);
}

/**
 * To those of a pod's processes whose command line has `command` in it.
 *
 * @returns when, in ms since 1970 by the clock that all containers of the machine have
 */
export async function signalProcesses(
  node: string,
  podUid: string,
  command: string,
  signal: 'KILL' | 'STOP',
): Promise<number> {
  const pids = processesOf(podUid, command);
  return wallMsIn(await inNode(node, `pids=$(${pids}); [ -n "$pids" ]; date +%s.%N; kill -${signal} $pids`));
}

/** Those that are gone are passed over. */
export const thawProcesses = (node: string, podUid: string, command: string): Promise<string> =>
  inNode(node, `for pid in $(${processesOf(podUid, command)}); do kill -CONT $pid || true; done`);

const wallMsIn = (text: string): number => Number(text.trim().split('\n')[0]) * 1000;

export const pause = (node: string): Promise<string> => docker('pause', node);
export const unpause = (node: string): Promise<string> => docker('unpause', node);

const dropAll = (operation: '-I' | '-D'): string =>
  `iptables -t raw ${operation} PREROUTING -i eth+ -j DROP; iptables -t mangle ${operation} POSTROUTING -o eth+ -j DROP`;

/** No packet gets in or out of the node; all that runs on it goes on. */
export const cut = (node: string): Promise<string> => inNode(node, dropAll('-I'));
export const heal = (node: string): Promise<string> => inNode(node, dropAll('-D'));

const dropAllBut = (operation: '-I' | '-D', address: string): string =>
  `iptables -t raw ${operation} PREROUTING -i eth+ ! -s ${address} -j DROP
   iptables -t mangle ${operation} POSTROUTING -o eth+ ! -d ${address} -j DROP`;

/** The same, but for one address, which the node and its pods go on reaching. Returns when, as `signalProcesses` does. */
export const cutBut = async (node: string, address: string): Promise<number> =>
  wallMsIn(await inNode(node, `date +%s.%N\n${dropAllBut('-I', address)}`));
export const healBut = (node: string, address: string): Promise<string> => inNode(node, dropAllBut('-D', address));

/** What pods send there has the node's address, since nobody but nodes knows the way to pods. Once, however often it is asked for. */
export const masquerade = (node: string, address: string): Promise<string> => {
  const rule = `POSTROUTING -d ${address} -j MASQUERADE`;
  return inNode(node, `iptables -t nat -C ${rule} 2>/dev/null || iptables -t nat -I ${rule}`);
};

const MANIFESTS = '/etc/kubernetes/manifests';

/** Resolves when nobody listens any more. */
async function stopApiServer(node: string): Promise<void> {
  await inNode(node, `mv ${MANIFESTS}/kube-apiserver.yaml /etc/kubernetes/kube-apiserver.stopped`);
  await inNode(node, 'for i in $(seq 300); do pidof kube-apiserver >/dev/null || exit 0; sleep 0.1; done; exit 1');
}

async function startApiServer(node: string): Promise<void> {
  await inNode(node, `mv /etc/kubernetes/kube-apiserver.stopped ${MANIFESTS}/kube-apiserver.yaml`);
  for (let attempt = 0; ; attempt++) {
    try {
      await kubectl('get', '--raw', '/readyz', '--request-timeout=2s');
      return;
    } catch (error) {
      if (attempt > 240) throw error;
      await sleep(500);
    }
  }
}

/** It is back when this ends, however that is. */
export async function awhileWithoutApiServer(node: string, ms: number): Promise<void> {
  try {
    await stopApiServer(node);
    await sleep(ms);
  } finally {
    await startApiServer(node);
  }
}

export const readFileOf = (node: string, path: string): Promise<string> => docker('exec', node, 'cat', path);
export const readEndOf = (node: string, path: string, lines: number): Promise<string> =>
  docker('exec', node, 'tail', '-n', String(lines), path);

/** Undefined when this is a kind cluster of this machine's Docker, else why its nodes are out of reach. */
export async function whyNoNodeFaults(nodes: readonly string[]): Promise<string | undefined> {
  try {
    const running = (await docker('ps', '--format', '{{.Names}}')).split('\n');
    const missing = nodes.find((node) => !running.includes(node));
    return missing === undefined ? undefined : `node ${missing} is not a container of this machine's Docker`;
  } catch (error) {
    return `Docker can't be used: ${(error as Error).message.split('\n')[0]}`;
  }
}
