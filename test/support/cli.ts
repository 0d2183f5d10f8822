/** The built `postern` command as a child process, as users run it. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "..", "..");
const PROGRAM = join(ROOT, "dist", "postern.js");
const WITHIN_MS = 20_000;

export interface Finished {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  readonly output: () => string;
  /** Resolves with the match as soon as the output (both streams) has one. */
  readonly says: (pattern: RegExp, withinMs?: number) => Promise<RegExpExecArray>;
  readonly signal: (signal: NodeJS.Signals) => void;
  readonly finished: Promise<Finished>;
  readonly stop: () => Promise<Finished>;
}

export interface StartOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** For a shell: signals go to all that it started, as from a terminal. */
  readonly isGroup?: boolean;
}

export function startCli(args: readonly string[], options: StartOptions = {}): Running {
  if (!existsSync(PROGRAM)) throw new Error("dist/postern.js is missing: run npm run build");
  return startProgram(process.execPath, [PROGRAM, ...args], options);
}

export function startProgram(
  program: string,
  args: readonly string[],
  options: StartOptions = {},
): Running {
  const child = spawn(program, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, NODE_OPTIONS: "", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    detached: options.isGroup === true,
  });
  // Never 0, which would be our own group.
  const groupId = child.pid ?? Number.NaN;
  const send = (signal: NodeJS.Signals): void => {
    if (options.isGroup !== true) {
      child.kill(signal);
      return;
    }
    try {
      process.kill(-groupId, signal);
    } catch (error) {
      // All of the group are gone already.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  const killNow = (): void => send("SIGKILL");
  process.once("exit", killNow);
  let stdout = "";
  let stderr = "";
  let all = "";
  const listeners = new Set<() => void>();
  const keep = (add: (text: string) => void) => (chunk: Buffer) => {
    add(chunk.toString("utf8"));
    all += chunk.toString("utf8");
    for (const listener of listeners) listener();
  };
  child.stdout.on(
    "data",
    keep((text) => {
      stdout += text;
    }),
  );
  child.stderr.on(
    "data",
    keep((text) => {
      stderr += text;
    }),
  );
  child.stdin.on("error", () => undefined); // it need not read what we write
  child.stdin.end(options.stdin ?? "");
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      process.off("exit", killNow);
      resolve({ exitCode: code ?? undefined, stdout, stderr });
      for (const listener of listeners) listener();
    });
  });
  const says = (pattern: RegExp, withinMs = WITHIN_MS): Promise<RegExpExecArray> =>
    new Promise((resolve, reject) => {
      const end = (): void => {
        listeners.delete(look);
        clearTimeout(timer);
      };
      const look = (): void => {
        const match = pattern.exec(all);
        if (match !== null) {
          end();
          resolve(match);
        } else if (child.exitCode !== null) {
          end();
          reject(new Error(`It ended with ${child.exitCode} and never said ${pattern}:\n${all}`));
        }
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`It did not say ${pattern} within ${withinMs} ms:\n${all}`));
      }, withinMs);
      listeners.add(look);
      look();
    });
  return {
    pid: child.pid ?? 0,
    output: () => all,
    says,
    signal: send,
    finished,
    stop: async () => {
      send("SIGTERM");
      const forced = setTimeout(killNow, WITHIN_MS);
      const result = await finished;
      clearTimeout(forced);
      return result;
    },
  };
}

/** To its end. */
export function runCli(args: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return startCli(args, options).finished;
}
