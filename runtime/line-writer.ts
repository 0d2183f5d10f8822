/**
 * Lines for a stream that may be slow, such as standard output: collected, and written in batches off the path of
 * whoever has something to say. Guarantees: write() returns at once and never throws; what waits is bounded; a
 * line is written whole or dropped, and what was dropped is counted and said as soon as there is room again.
 */
import type { Clock } from "./clock.ts";

/** What of a stream this needs. */
export interface LineStream {
  /** False: there is no room until `drain`. */
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "drain", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

export interface LineWriterOptions {
  readonly stream: LineStream;
  readonly clock: Pick<Clock, "sleep">;
  /** How long a line may wait for others. */
  readonly batchMs?: number;
  /** So much is written without waiting. */
  readonly batchChars?: number;
  /** Of what waits for the stream; lines beyond are dropped. */
  readonly maxChars?: number;
}

export interface LineWriter {
  /** Takes one line with its newline. */
  readonly write: (line: string) => void;
  /** Lines, since the start. */
  readonly dropped: number;
  /** Called with their number when lines were dropped and there is room again. */
  onDropped(listener: (lines: number) => void): void;
  /** Resolves when the stream has taken everything, or at the signal. */
  flush(signal: AbortSignal): Promise<void>;
  /** Hands everything to the stream, room or not: for the last moment of a process. */
  flushNow(): void;
}

/** A person who follows the log does not see it; some hundred lines of a busy sidecar. */
const BATCH_MS = 20;
/** What a pipe holds on Linux. */
const BATCH_CHARS = 64 * 1024;
/** A second or so of a busy sidecar's records. */
const MAX_CHARS = 1024 * 1024;

export function createLineWriter(options: LineWriterOptions): LineWriter {
  const { stream, clock, batchMs = BATCH_MS, batchChars = BATCH_CHARS } = options;
  const maxChars = options.maxChars ?? MAX_CHARS;
  const never = new AbortController().signal;
  let waiting = "";
  let isScheduled = false;
  let isFull = false;
  let isBroken = false;
  let dropped = 0;
  let unsaid = 0;
  /** Batches that the stream has not finished. */
  let underWay = 0;
  let tell: ((lines: number) => void) | undefined;
  let idle: (() => void)[] = [];

  const write = (line: string): void => {
    if (isBroken || waiting.length + line.length > maxChars) {
      dropped += 1;
      unsaid += 1;
      return;
    }
    waiting += line;
    if (isFull) return;
    if (waiting.length >= batchChars) flushNow();
    else if (!isScheduled) {
      isScheduled = true;
      void clock.sleep(batchMs, never).then(() => {
        isScheduled = false;
        if (!isFull) flushNow();
      });
    }
  };
  function flushNow(): void {
    if (isBroken || waiting === "") return;
    const batch = waiting;
    waiting = "";
    underWay += 1;
    isFull = !stream.write(batch, () => {
      underWay -= 1;
      settle();
    });
    sayDropped();
  }
  function sayDropped(): void {
    if (unsaid === 0 || isFull || isBroken || tell === undefined) return;
    const lines = unsaid;
    unsaid = 0;
    tell(lines);
  }
  function settle(): void {
    if (!isBroken && (underWay > 0 || waiting !== "")) return;
    for (const resolve of idle) resolve();
    idle = [];
  }
  stream.on("drain", () => {
    isFull = false;
    flushNow();
    sayDropped();
  });
  // Nobody reads any more. That is no reason to stop serving; it can be seen in the count.
  stream.on("error", () => {
    isBroken = true;
    waiting = "";
    settle();
  });
  return {
    write,
    get dropped() {
      return dropped;
    },
    onDropped: (listener) => {
      tell = listener;
    },
    flush: (signal) =>
      new Promise((resolve) => {
        flushNow();
        idle.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
        if (signal.aborted) resolve();
        settle();
      }),
    flushNow,
  };
}
