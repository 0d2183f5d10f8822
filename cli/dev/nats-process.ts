/**
 * A real nats-server for `postern dev`: on loopback, with a secret of its own, its state in our folder. It can
 * be killed and started again on the same port, which is how the demo shows that sidecars go on without it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PosternError } from "../../runtime/error.ts";

const READY_WITHIN_MS = 15_000;
const KEPT_LINES = 20;

export interface NatsProcess {
  readonly url: string;
  readonly token: string;
  readonly pid: number | undefined;
  /** At once, as a crash would. Resolves when it is gone. */
  kill(): Promise<void>;
  /** On the same port, with the same state. */
  restart(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export async function startNats(
  program: string,
  folder: string,
  signal: AbortSignal,
): Promise<NatsProcess> {
  const token = randomBytes(24).toString("base64url");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let port = -1; // the first start takes a free one
  let child: ChildProcess | undefined;

  const start = async (signal: AbortSignal): Promise<void> => {
    const file = join(folder, "nats.conf");
    // Not as arguments: everybody on this machine can read those.
    writeFileSync(file, configuration(port, token, join(folder, "jetstream")), { mode: 0o600 });
    const started = await launch(program, file, signal);
    child = started.child;
    port = started.port;
  };
  const end = async (how: NodeJS.Signals): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, "exit");
    running.kill(how);
    await gone;
  };
  await start(signal);
  return {
    url: `nats://127.0.0.1:${port}`,
    token,
    get pid() {
      return child?.pid;
    },
    kill: () => end("SIGKILL"),
    restart: async (signal) => {
      await end("SIGTERM");
      await start(signal);
    },
    close: () => end("SIGTERM"),
  };
}

function configuration(port: number, token: string, store: string): string {
  return `host: "127.0.0.1"
port: ${port}
server_name: "postern-dev"
authorization { token: ${JSON.stringify(token)} }
jetstream { store_dir: ${JSON.stringify(store)}, max_memory_store: 64MB, max_file_store: 256MB }
`;
}

interface Launched {
  readonly child: ChildProcess;
  readonly port: number;
}

/** Resolves when the server says that it is ready. */
async function launch(program: string, file: string, signal: AbortSignal): Promise<Launched> {
  const child = spawn(program, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
  // Whatever ends this process, its server must not outlive it.
  const killNow = (): void => void child.kill("SIGKILL");
  process.once("exit", killNow);
  child.once("exit", () => process.off("exit", killNow));
  const lines: string[] = [];
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(READY_WITHIN_MS)]);
  try {
    return await new Promise<Launched>((resolve, reject) => {
      let port = 0;
      const output = createInterface({ input: child.stderr });
      output.on("line", (line) => {
        lines.push(line);
        if (lines.length > KEPT_LINES) lines.shift();
        port = Number(/client connections on \S+:(\d+)/.exec(line)?.[1] ?? port);
        if (line.includes("Server is ready")) resolve({ child, port });
      });
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`it ended with exit code ${code}`)));
      deadline.addEventListener("abort", () => reject(new Error("it was not ready in time")));
    });
  } catch (cause) {
    child.kill("SIGKILL");
    signal.throwIfAborted();
    const last = lines.slice(-3).join(" / ");
    throw new PosternError("part.missing", `Cannot start ${program}: ${last}`, { cause });
  }
}
