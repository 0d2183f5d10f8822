import { describe, expect, test } from "@jest/globals";
import { backoff, backoffDelayMs } from "./backoff.ts";
import { ManualClock } from "./clock.ts";

describe("backoffDelayMs()", () => {
  test("doubles up to the maximum", () => {
    const options = { firstMs: 100, maxMs: 1_000, random: () => 1 };
    expect([0, 1, 2, 3, 4, 5_000].map((n) => backoffDelayMs(n, options))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ]);
  });

  test("never waits less than half of the step", () => {
    expect(backoffDelayMs(1, { firstMs: 100, maxMs: 1_000, random: () => 0 })).toBe(100);
  });

  test("differs between processes", () => {
    const delays = Array.from({ length: 50 }, () =>
      backoffDelayMs(6, { firstMs: 100, maxMs: 60_000 }),
    );
    expect(new Set(delays).size).toBeGreaterThan(10);
  });
});

describe("backoff()", () => {
  test("yields at once, then after each wait", async () => {
    const clock = new ManualClock();
    const control = new AbortController();
    const options = { firstMs: 100, maxMs: 1_000, random: () => 1, clock, signal: control.signal };
    const start = clock.now();
    const seen: number[][] = [];
    const done = (async () => {
      for await (const attempt of backoff(options)) {
        seen.push([attempt, clock.now() - start]);
        if (attempt === 2) break;
      }
    })();
    await clock.advance(1_000);
    await done;
    expect(seen).toEqual([
      [0, 0],
      [1, 100],
      [2, 300],
    ]);
  });

  test("ends when the signal aborts during a wait", async () => {
    const clock = new ManualClock();
    const control = new AbortController();
    const attempts = backoff({ firstMs: 100, maxMs: 100, clock, signal: control.signal });
    expect(await attempts.next()).toEqual({ done: false, value: 0 });
    const next = attempts.next();
    control.abort();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  test("yields nothing when the signal has aborted before", async () => {
    const attempts = backoff({
      firstMs: 1,
      maxMs: 1,
      clock: new ManualClock(),
      signal: AbortSignal.abort(),
    });
    expect((await attempts.next()).done).toBe(true);
  });
});
