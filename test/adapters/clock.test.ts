import { describe, expect, it } from 'vitest';
import { createSystemClock } from '../../src/adapters/clock.ts';

describe('the system clock', () => {
  const clock = createSystemClock({ keepAlive: true });

  it('never fires before its time', async () => {
    for (const delayMs of [0, 0.2, 1.4, 5.9, 12.5, 1, 2, 3, 4, 5, 6, 7, 8, 9]) {
      const startMs = clock.monotonicMs();
      await new Promise<void>((resolve) => void clock.after(delayMs, resolve));
      expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(delayMs);
    }
  });

  it('does not fire what was cancelled', async () => {
    let fired = false;
    const cancel = clock.after(1, () => {
      fired = true;
    });
    cancel();
    await new Promise<void>((resolve) => void clock.after(5, resolve));
    expect(fired).toBe(false);
  });

  it('takes delays longer than a Node timer, without firing at once', async () => {
    let fired = false;
    const cancel = clock.after(2 ** 40, () => {
      fired = true;
    });
    await new Promise<void>((resolve) => void clock.after(5, resolve));
    cancel();
    expect(fired).toBe(false);
  });
});
