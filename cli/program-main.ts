/** Binds the program to this process: streams, signals, environment. Everything else takes them as values. */
import { readFileSync } from "node:fs";
import { systemClock } from "../runtime/clock.ts";
import { describe } from "../runtime/error.ts";
import { type Io, PROBLEM } from "./io.ts";
import { runProgram } from "./program.ts";

const SAME_SIGNAL_MS = 1_000;
/** As shells say it: 128 + SIGINT. */
const INTERRUPTED = 130;

export async function main(args: readonly string[]): Promise<number> {
  const stop = new AbortController();
  let stoppedAtMs: number | undefined;
  const onStop = (signal: NodeJS.Signals): void => {
    stoppedAtMs ??= systemClock.now();
    // One Ctrl-C may come twice, from the terminal and through npm; whoever presses it again does not want to wait.
    if (systemClock.now() - stoppedAtMs > SAME_SIGNAL_MS) process.exit(INTERRUPTED);
    stop.abort(new Error(`received ${signal}`));
  };
  process.on("SIGINT", onStop);
  process.on("SIGTERM", onStop);
  // `postern … | head` closes our standard output: nobody reads on, so there is nothing left to do.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(PROBLEM);
    throw error;
  });
  const io: Io = {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    readStdin: () => readFileSync(0, "utf8"),
    env: process.env,
    signal: stop.signal,
    onHangup: (listener) => {
      process.on("SIGHUP", listener);
      stop.signal.addEventListener("abort", () => process.off("SIGHUP", listener));
    },
  };
  try {
    return await runProgram(args, io);
  } catch (error) {
    io.err(`postern: ${describe(error)}\n`);
    return PROBLEM;
  }
}
