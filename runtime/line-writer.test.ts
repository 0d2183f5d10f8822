import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Writable } from "node:stream";
import { beforeEach, describe, expect, test } from "@jest/globals";
import { ManualClock } from "./clock.ts";
import type { LineWriter, LineWriterOptions } from "./line-writer.ts";
import { createLineWriter } from "./line-writer.ts";

/** A stream whose reader is as slow as the test wants: it takes a batch when told to. */
class SlowStream extends Writable {
  readonly batches: string[] = [];
  #taken: ((error?: Error) => void) | undefined;

  constructor() {
    super({ highWaterMark: 100, decodeStrings: false });
  }

  override _write(text: string, _encoding: string, taken: (error?: Error) => void): void {
    this.batches.push(text);
    this.#taken = taken;
  }

  take(error?: Error): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.(error);
  }

  /** Until nothing waits. */
  takeAll(): void {
    while (this.#taken !== undefined) this.take();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const line = (text: string): string => `${text.padEnd(9, ".")}\n`;

let clock: ManualClock;
let stream: SlowStream;

beforeEach(() => {
  clock = new ManualClock();
  stream = new SlowStream();
});

const open = (options: Partial<LineWriterOptions> = {}): LineWriter =>
  createLineWriter({ stream, clock, batchMs: 20, batchChars: 1000, maxChars: 50, ...options });

describe("createLineWriter()", () => {
  test("collects lines for a while, and writes them as one", async () => {
    const { write } = open();
    write(line("a"));
    write(line("b"));
    await clock.advance(19);
    expect(stream.batches).toEqual([]);
    await clock.advance(1);
    expect(stream.batches).toEqual([`${line("a")}${line("b")}`]);
    stream.take();
    write(line("c"));
    await clock.advance(20);
    expect(stream.batches).toHaveLength(2);
  });

  test("waits no longer once a batch is full", () => {
    const { write } = open({ batchChars: 30 });
    for (const text of ["a", "b", "c"]) write(line(text));
    expect(stream.batches).toHaveLength(1);
  });

  test("collects while the stream is full, drops whole lines beyond the bound, and says so", async () => {
    const said: number[] = [];
    const writer = open({ batchChars: 10, maxChars: 100 });
    writer.onDropped((lines) => said.push(lines));
    writer.write("x".repeat(100)); // more than the stream wants to hold
    for (let index = 0; index < 25; index++) writer.write(line(String(index)));
    expect(stream.batches).toHaveLength(1);
    expect([writer.dropped, said]).toEqual([15, []]);
    stream.take();
    await turn();
    expect(stream.batches[1]).toBe(Array.from({ length: 10 }, (_, i) => line(String(i))).join(""));
    stream.takeAll();
    await turn();
    expect([writer.dropped, said]).toEqual([15, [15]]);
    writer.write(line("after"));
    expect(stream.batches.at(-1)).toBe(line("after"));
  });

  test("flush() resolves when the stream has taken everything", async () => {
    const writer = open();
    writer.write(line("a"));
    let flushed = false;
    const flushing = writer.flush(new AbortController().signal).then(() => (flushed = true));
    await turn();
    expect([stream.batches, flushed]).toEqual([[line("a")], false]);
    stream.take();
    await flushing;
    await writer.flush(new AbortController().signal);
  });

  test("flush() does not wait for a reader longer than its signal", async () => {
    const writer = open();
    writer.write(line("a"));
    const late = new AbortController();
    const flushing = writer.flush(late.signal);
    late.abort();
    await flushing;
    expect(stream.batches).toHaveLength(1);
  });

  test("flushNow() hands over what waits, room or not", () => {
    const writer = open({ batchChars: 10, maxChars: 100 });
    writer.write("x".repeat(100));
    writer.write(line("a"));
    expect(stream.writableLength).toBe(100);
    writer.flushNow();
    expect(stream.writableLength).toBe(110);
  });

  test("goes on without a reader, and counts what nobody reads", async () => {
    const writer = open({ batchChars: 10 });
    writer.write(line("a"));
    stream.take(new Error("EPIPE"));
    await turn();
    for (let index = 0; index < 3; index++) writer.write(line("b"));
    expect(writer.dropped).toBe(3);
    await writer.flush(new AbortController().signal);
    writer.flushNow();
    expect(stream.batches).toHaveLength(1);
  });

  test("never holds a process up whose standard output nobody reads", async () => {
    const script = `
      import { systemClock } from ${JSON.stringify(join(import.meta.dirname, "clock.ts"))};
      import { createLineWriter } from ${JSON.stringify(join(import.meta.dirname, "line-writer.ts"))};
      const writer = createLineWriter({ stream: process.stdout, clock: systemClock });
      for (let index = 0; index < 100_000; index++) writer.write(String(index).padEnd(99, ".") + "\\n");
      // Reached, with a turn of the loop, although the pipe is full.
      setImmediate(() => process.stderr.write(String(writer.dropped)));
      process.once("SIGTERM", () => writer.flush(AbortSignal.timeout(5_000)).then(() => process.exit(0)));
      setInterval(() => {}, 1_000);
    `;
    const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval"];
    const child = spawn(process.execPath, [...flags, script], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    try {
      const [dropped] = (await once(child.stderr, "data")) as [Buffer];
      expect(Number(dropped.toString())).toBeGreaterThan(80_000);
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
      child.kill("SIGTERM");
      await once(child, "close");
      const lines = text.split("\n").slice(0, -1);
      expect(lines).toHaveLength(100_000 - Number(dropped.toString()));
      expect(new Set(lines.map((whole) => whole.length))).toEqual(new Set([99]));
    } finally {
      child.kill("SIGKILL");
    }
  });
});
