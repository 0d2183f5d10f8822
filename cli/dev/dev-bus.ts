/** The bus of `postern dev`: a real nats-server of our own, one that the user names, or one inside this process. */
import { join } from "node:path";
import type { Bus } from "../../runtime/bus/bus.ts";
import { InProcessBus } from "../../runtime/bus/in-process.ts";
import type { NatsCredentials } from "../../runtime/bus/nats-options.ts";
import { connectNats } from "../../runtime/bus/nats.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/log.ts";
import { UsageError } from "../io.ts";
import { NATS_SERVER } from "../parts/nats-server.ts";
import { type Env, obtainPart } from "../parts/part.ts";
import { type NatsProcess, startNats } from "./nats-process.ts";

export type BusChoice =
  | { readonly kind: "start"; readonly env: Env; readonly report: (line: string) => void }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "in-process" };

export interface DevBusOptions {
  readonly bus: BusChoice;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface DevBus extends AsyncDisposable {
  /** For the screen. */
  readonly sentence: string;
  /** Only when we started it. */
  readonly process: NatsProcess | undefined;
  /** A connection of one's own; its owner closes it. */
  connect(name: string): Promise<Bus>;
}

export async function openDevBus(options: DevBusOptions): Promise<DevBus> {
  switch (options.bus.kind) {
    case "in-process":
      return inProcess("inside this process, as asked");
    case "url":
      return named(options.bus.url, options);
    case "start": {
      const part = await obtainPart(NATS_SERVER, { ...options, ...options.bus });
      if (part.kind === "missing") {
        return inProcess(`inside this process, since nats-server is missing: ${part.remedy}`);
      }
      const server = await startNats(part.path, join(options.folder), options.signal);
      const credentials: NatsCredentials = { kind: "token", token: server.token };
      return {
        sentence: `nats-server at ${server.url} (pid ${server.pid}, from ${part.from})`,
        process: server,
        connect: (name) => connect(server.url, credentials, name, options),
        [Symbol.asyncDispose]: () => server.close(),
      };
    }
  }
}

function inProcess(sentence: string): DevBus {
  const bus = new InProcessBus();
  return {
    sentence,
    process: undefined,
    connect: async () => bus,
    [Symbol.asyncDispose]: () => bus.close(),
  };
}

function named(text: string, options: DevBusOptions): DevBus {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["nats:", "tls:"].includes(url.protocol)) {
    const found = JSON.stringify(text);
    throw new UsageError(`--nats must be like nats://127.0.0.1:4222: found ${found}`);
  }
  const { username, password } = url;
  const credentials: NatsCredentials | undefined =
    username === ""
      ? undefined
      : {
          kind: "user",
          user: decodeURIComponent(username),
          password: decodeURIComponent(password),
        };
  const server = `${url.protocol}//${url.host}`;
  return {
    sentence: server,
    process: undefined,
    connect: (name) => connect(server, credentials, name, options),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function connect(
  server: string,
  credentials: NatsCredentials | undefined,
  name: string,
  { clock, log }: DevBusOptions,
): Promise<Bus> {
  return connectNats({
    servers: [server],
    name,
    ...(credentials !== undefined && { credentials }),
    clock,
    log,
    // Not the program's signal: the last reports go out while we close.
    signal: new AbortController().signal,
    ensureBuckets: name === "postern-controller",
  });
}
