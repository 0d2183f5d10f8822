/**
 * A server under measurement. Its output goes through a real pipe into a process that only keeps the end of it,
 * as a container runtime would read it: reading here would cost the load generator's core, and a file would
 * spare the server the writes to a pipe.
 */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const KEPT_OUTPUT_BYTES = 8_192;

/** None of them outlives us. */
const running = new Set<() => void>();
process.once("exit", () => {
  for (const killNow of running) killNow();
});

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  exited(): boolean;
  /** Kills it; resolves with the end of what it has written. Idempotent. */
  stop(): Promise<string>;
}

export function startDaemon(
  path: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Daemon {
  const folder = mkdtempSync(join(tmpdir(), "postern-bench-pipe-"));
  const fifo = join(folder, "output");
  execFileSync("mkfifo", [fifo]);
  const reader = spawn("tail", ["-c", String(KEPT_OUTPUT_BYTES), fifo], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let kept = "";
  reader.stdout.on("data", (chunk: Buffer) => (kept += chunk.toString("utf8")));
  const readerGone = once(reader, "close");
  const pipe = openSync(fifo, "w"); // waits for the reader
  rmSync(folder, { recursive: true, force: true });
  const child = spawn(path, args, { stdio: ["ignore", pipe, pipe], env });
  closeSync(pipe);
  child.on("error", (error) => (kept += `${error.message}\n`));
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const killNow = (): void => void child.kill("SIGKILL");
  running.add(killNow);
  const stop = async (): Promise<string> => {
    killNow();
    await gone;
    await readerGone;
    running.delete(killNow);
    return kept;
  };
  return {
    pid: child.pid ?? 0,
    exited: () => hasExited(child),
    stop,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}
