/**
 * Runs a helper program to its end, without a shell and without input. Never throws for what the program
 * does: a program that is absent, fails or takes too long is an exit code like any other.
 */
import { spawn } from "node:child_process";
import type { Env } from "./part.ts";

export interface RunResult {
  /** undefined: it could not be started, or was killed. */
  readonly exitCode: number | undefined;
  /** Standard output and standard error, the last 64 KiB. */
  readonly output: string;
}

export interface RunOptions {
  readonly env: Env;
  readonly signal: AbortSignal;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

const KEPT_OUTPUT = 64 * 1024;

export function run(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...options.env },
      // Not spawn's own timeout: its timer goes on when the program cannot be started.
      signal:
        options.timeoutMs === undefined
          ? options.signal
          : AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString("utf8")).slice(-KEPT_OUTPUT);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.once("error", (error) => {
      resolve({ exitCode: undefined, output: output === "" ? error.message : output });
    });
    child.once("close", (code) => resolve({ exitCode: code ?? undefined, output }));
  });
}

/** The last lines that say something: what a failed program most likely died of. */
export function lastLines(output: string, count: number): string {
  return output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(-count)
    .join(" / ");
}
