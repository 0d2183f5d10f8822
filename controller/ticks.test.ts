import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "../runtime/clock.ts";
import { createBell, createTicks } from "./ticks.ts";

const never = new AbortController().signal;

describe("createTicks()", () => {
  test("a slow reader gets one tick for all that it missed", async () => {
    const ticks = createTicks();
    const end = new AbortController();
    const iterator = ticks.each(end.signal)[Symbol.asyncIterator]();
    ticks.tick();
    ticks.tick();
    expect((await iterator.next()).done).toBe(false);
    const next = iterator.next();
    ticks.tick();
    expect((await next).done).toBe(false);
    const last = iterator.next();
    end.abort();
    expect((await last).done).toBe(true);
  });

  test("a tick between each() and the first read is not lost", async () => {
    const ticks = createTicks();
    const each = ticks.each(never);
    ticks.tick();
    expect((await each[Symbol.asyncIterator]().next()).done).toBe(false);
  });

  test("ends at once with a signal that has aborted", async () => {
    const each = createTicks().each(AbortSignal.abort());
    expect((await each[Symbol.asyncIterator]().next()).done).toBe(true);
  });
});

describe("createBell()", () => {
  test("wait() resolves to whether it rang", async () => {
    const clock = new ManualClock();
    const bell = createBell();
    bell.ring();
    expect(await bell.wait(1_000, clock, never)).toBe(true);
    const timed = bell.wait(1_000, clock, never);
    await clock.advance(1_000);
    expect(await timed).toBe(false);
    const rung = bell.wait(1_000, clock, never);
    bell.ring();
    expect(await rung).toBe(true);
  });

  test("wait() resolves with the signal", async () => {
    const end = new AbortController();
    const waiting = createBell().wait(1_000, new ManualClock(), end.signal);
    end.abort();
    expect(await waiting).toBe(false);
  });
});
