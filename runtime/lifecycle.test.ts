import { EventEmitter } from "node:events";
import { describe, expect, test } from "@jest/globals";
import { ManualClock } from "./clock.ts";
import { runUntilSignal } from "./lifecycle.ts";
import { silentLog } from "./log.ts";

function setUp() {
  const signals = new EventEmitter();
  const clock = new ManualClock();
  return { signals, clock, options: { signals, clock, log: silentLog, drainTimeoutMs: 25_000 } };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("runUntilSignal()", () => {
  test.each(["SIGTERM", "SIGINT"])("closes in reverse order at %s", async (signal) => {
    const { signals, options } = setUp();
    const closed: string[] = [];
    const done = runUntilSignal(options, async () => {
      const stack = new AsyncDisposableStack();
      stack.defer(() => void closed.push("first opened"));
      stack.defer(() => void closed.push("last opened"));
      return stack;
    });
    await tick();
    expect(closed).toEqual([]);
    signals.emit(signal);
    expect(await done).toEqual({ inTime: true });
    expect(closed).toEqual(["last opened", "first opened"]);
    expect(signals.listenerCount(signal)).toBe(0);
  });

  test("ends at the deadline when something hangs", async () => {
    const { signals, clock, options } = setUp();
    const done = runUntilSignal(options, async () => ({
      [Symbol.asyncDispose]: () => new Promise<void>(() => undefined),
    }));
    await tick();
    signals.emit("SIGTERM");
    await tick();
    await clock.advance(25_000);
    expect(await done).toEqual({ inTime: false });
  });

  test("ends at once at a second signal", async () => {
    const { signals, options } = setUp();
    const done = runUntilSignal(options, async () => ({
      [Symbol.asyncDispose]: () => new Promise<void>(() => undefined),
    }));
    await tick();
    signals.emit("SIGTERM");
    signals.emit("SIGINT");
    expect(await done).toEqual({ inTime: false });
  });

  test("a signal while it opens aborts the opening, and what was opened is closed", async () => {
    const { signals, options } = setUp();
    let closed = false;
    const done = runUntilSignal(options, async (stop) => {
      signals.emit("SIGTERM");
      expect(stop.aborted).toBe(true);
      return { [Symbol.asyncDispose]: async () => void (closed = true) };
    });
    expect(await done).toEqual({ inTime: true });
    expect(closed).toBe(true);
  });

  test("passes on what the opening throws, and leaves no listener", async () => {
    const { signals, options } = setUp();
    const open = async (): Promise<AsyncDisposable> => {
      throw new Error("port in use");
    };
    await expect(runUntilSignal(options, open)).rejects.toThrow("port in use");
    expect(signals.listenerCount("SIGTERM")).toBe(0);
  });
});
