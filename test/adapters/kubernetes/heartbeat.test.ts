import { afterEach, describe, expect, it } from 'vitest';
import { Heartbeat, type HeartbeatProbe, type HeartbeatTimes } from '../../../src/adapters/kubernetes/heartbeat.ts';

const LONG_MS = 60_000;
let heartbeat: Heartbeat | undefined;
afterEach(() => heartbeat?.stop());

/** Resolves when the heartbeat says so. */
function begin(times: Partial<HeartbeatTimes>, probe: Partial<HeartbeatProbe>): Promise<number> {
  return new Promise((resolve) => {
    heartbeat = new Heartbeat(
      { pingAfterMs: LONG_MS, pingWhenIdleMs: LONG_MS, pongWithinMs: LONG_MS, ...times },
      { ping: () => true, bytesRead: () => 0, busy: () => true, onDead: resolve, ...probe },
    );
  });
}

const blockFor = (ms: number): void => {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
};

describe('a heartbeat', () => {
  it('declares a peer dead that answers neither request nor ping, and says for how long it was silent', async () => {
    const silentMs = await begin({ pingAfterMs: 20, pongWithinMs: 30 }, {});
    expect(silentMs).toBeGreaterThanOrEqual(45);
  });

  it('pings a connection that is idle, too, though less often', async () => {
    await begin({ pingWhenIdleMs: 20, pongWithinMs: 20 }, { busy: () => false });
  });

  it('looks soon when something begins to be awaited on an idle connection', async () => {
    let busy = false;
    const dead = begin({ pingAfterMs: 20, pongWithinMs: 20 }, { busy: () => busy });
    busy = true;
    heartbeat?.expectAnswer();
    await dead;
  });

  it('sends a ping at once when an answer is overdue', async () => {
    let pings = 0;
    const dead = begin({ pongWithinMs: 20 }, { ping: () => (pings += 1) > 0 });
    heartbeat?.suspect();
    expect(pings).toBe(1);
    await dead;
  });

  it('does not blame the peer for a stop of this process: what has come meanwhile is read first', async () => {
    let bytes = 0;
    let pings = 0;
    let died = false;
    await new Promise<void>((resolve) => {
      void begin(
        { pingAfterMs: 20, pongWithinMs: 20 },
        {
          bytesRead: () => bytes,
          ping(onPong) {
            pings += 1;
            if (pings === 3) resolve();
            setImmediate(() => {
              blockFor(60);
              // The answer is here when the process goes on, but behind the timers that are due.
              setImmediate(() => {
                bytes += 1;
                onPong();
              });
            });
            return true;
          },
          onDead: () => {
            died = true;
            resolve();
          },
        },
      );
    });
    expect(died).toBe(false);
  });

  it('takes any byte for a sign of life, not only a pong', async () => {
    let bytes = 0;
    let pings = 0;
    let died = false;
    await new Promise<void>((resolve) => {
      void begin(
        { pingAfterMs: 10, pongWithinMs: 50 },
        {
          bytesRead: () => bytes,
          ping: () => {
            pings += 1;
            if (pings === 3) resolve();
            setImmediate(() => void (bytes += 1));
            return true;
          },
          onDead: () => {
            died = true;
            resolve();
          },
        },
      );
    });
    expect(died).toBe(false);
  });
});
