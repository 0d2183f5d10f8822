/**
 * A real nats-server with JetStream on loopback, for one test file: started on a free port that stays the same
 * over restarts, with a store that the test can wipe. Always stop it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lookUp } from "./parts.ts";
import { freePort, startServer } from "./process.ts";
import type { ServerProcess } from "./process.ts";
import { waitFor } from "./wait.ts";

export interface NatsServerOptions {
  /** More arguments, such as `--auth TOKEN`. */
  readonly args?: readonly string[];
  /** The program; looked up when absent. */
  readonly path?: string;
}

export interface NatsServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** Ends it as `kill -9` does. */
  kill(): Promise<void>;
  /** On the same port, with the store as it is. */
  start(): Promise<void>;
  /** Empties the store of a stopped server: it comes back knowing nothing. */
  wipe(): Promise<void>;
  /** Ends it and removes its store. */
  close(): Promise<void>;
}

export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const path = options.path ?? (await natsServerPath());
  const port = await freePort();
  const store = await mkdtemp(join(tmpdir(), "postern-nats-"));
  let running: ServerProcess | undefined;

  const start = async (): Promise<void> => {
    const args = ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", store];
    const started = startServer(path, [...args, ...(options.args ?? [])]);
    running = started;
    await waitFor(`nats-server answers on port ${port}`, async () => {
      if (started.exited()) throw new Error(`nats-server ended: ${started.output()}`);
      return greets(port);
    });
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await running?.stop(signal);
    running = undefined;
  };
  const close = async (): Promise<void> => {
    await end("SIGKILL");
    await rm(store, { recursive: true, force: true });
  };
  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    start,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    wipe: async () => {
      if (running !== undefined) throw new Error("Cannot wipe store: stop the server before");
      await rm(store, { recursive: true, force: true });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function natsServerPath(): Promise<string> {
  const obtained = await lookUp("nats-server");
  if (obtained.kind === "missing") throw new Error(`nats-server is missing: ${obtained.remedy}`);
  return obtained.path;
}

/** The server's first word is `INFO`; it says it once JetStream is up. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("data", (data) => answer(data.toString("latin1").startsWith("INFO ")));
    socket.once("error", () => answer(false));
    socket.once("close", () => resolve(false));
  });
}
