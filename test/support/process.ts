/**
 * Real servers as child processes: started on loopback, their output kept for the failure message, killed with
 * the test process at the latest. Never waits longer than it says.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** Kept of each process's output; what explains a failure stands at its end. */
const KEPT_OUTPUT_CHARS = 16_384;

export interface ServerProcess {
  readonly pid: number;
  /** The end of what it has written. */
  output(): string;
  exited(): boolean;
  /** Resolves when the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export function startServer(
  path: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): ServerProcess {
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let kept = "";
  const keep = (chunk: Buffer): void => {
    kept = (kept + chunk.toString("utf8")).slice(-KEPT_OUTPUT_CHARS);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  child.on("error", (error) => keep(Buffer.from(`\n${error.message}\n`)));
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const killNow = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", killNow);
  return {
    pid: child.pid ?? 0,
    output: () => kept,
    exited: () => hasExited(child),
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const forced = setTimeout(killNow, 10_000);
      await gone;
      clearTimeout(forced);
      process.off("exit", killNow);
    },
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
