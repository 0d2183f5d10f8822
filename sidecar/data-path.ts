/**
 * The data path as one thing: a listener that serves requests by the policy in force and forwards what is
 * permitted. Owns its sockets, its upstream connections and its deadlines.
 */
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { Clock } from "../runtime/clock.ts";
import { PosternError } from "../runtime/error.ts";
import type { Log } from "../runtime/log.ts";
import { canonicalAddress } from "./connection/client-address.ts";
import { Deadlines } from "./deadlines.ts";
import type { RecordSink } from "./decision-record.ts";
import { logRecords } from "./decision-record.ts";
import { createHttp1Server } from "./http1/server.ts";
import type { ConnectionLimits } from "./http1/connection-host.ts";
import type { Metrics } from "./metrics.ts";
import type { Prepared } from "./prepared.ts";
import type { UpstreamAddress } from "./upstream/address.ts";
import { Pool } from "./upstream/pool.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface DataPathLimits extends ConnectionLimits {
  /** More are closed at once. */
  readonly maxConnections: number;
  /** To the application, which is on this machine. */
  readonly connectMs: number;
  /** To the response's head, from the connection or from the last move of a body that is still being sent. */
  readonly responseHeadMs: number;
  /** Without a move of either body, once the response has begun. */
  readonly responseIdleMs: number;
  /** To the application, in use and idle. */
  readonly maxUpstreamConnections: number;
  /** Requests that may wait for one, and how long. */
  readonly maxUpstreamWaiting: number;
  readonly upstreamWaitMs: number;
}

export const DEFAULT_LIMITS: DataPathLimits = {
  headersMs: 10_000,
  keepAliveMs: 65_000,
  idleMs: 300_000,
  maxConnections: 10_000,
  connectMs: 2_000,
  responseHeadMs: 60_000,
  responseIdleMs: 300_000,
  maxUpstreamConnections: 10_000,
  maxUpstreamWaiting: 1_000,
  upstreamWaitMs: 2_000,
};

export interface DataPathOptions {
  /** The policy in force; read once per request. */
  readonly current: () => Prepared;
  readonly upstream: UpstreamAddress;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits?: Partial<DataPathLimits>;
  /** Default: the log. */
  readonly record?: RecordSink;
}

export interface DataPath {
  /** Throws PosternError `listen.failed`. */
  listen(address: ListenAddress): Promise<ListenAddress>;
  /** Where it listens, with the real port. */
  readonly address: ListenAddress | undefined;
  readonly connections: number;
  /** Stops accepting and lets what is in flight end; at the signal, cuts what is left. */
  drain(signal: AbortSignal): Promise<void>;
  /** At once; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function createDataPath(options: DataPathOptions): DataPath {
  const limits: DataPathLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const deadlines = new Deadlines(options.clock);
  const upstream = new Pool({
    address: options.upstream,
    limits: {
      maxConnections: limits.maxUpstreamConnections,
      maxWaiting: limits.maxUpstreamWaiting,
      waitMs: limits.upstreamWaitMs,
    },
    deadlines,
    clock: options.clock,
  });
  const http1 = createHttp1Server({
    current: options.current,
    upstream,
    deadlines,
    limits,
    clock: options.clock,
    log: options.log,
    metrics: options.metrics,
    record: options.record ?? logRecords(options.log),
  });
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
    const client = {
      address: canonicalAddress(socket.remoteAddress),
      port: socket.remotePort ?? 0,
    };
    http1.serve({ socket, client, protocol: "http/1.1" });
  });
  server.maxConnections = limits.maxConnections;
  server.on("drop", () => {
    options.metrics.count("postern_connections_dropped_total");
  });
  options.metrics.gauge("postern_requests_in_flight", () => http1.inFlight);
  options.metrics.gauge("postern_connections", () => http1.connections);
  let address: ListenAddress | undefined;
  const end = (): void => {
    upstream.close();
    deadlines.close();
  };
  const close = async (): Promise<void> => {
    const closed = closeServer(server);
    await http1.close();
    await closed;
    end();
  };
  return {
    listen: async (wanted) => {
      address = await listen(server, wanted);
      return address;
    },
    get address() {
      return address;
    },
    get connections() {
      return http1.connections;
    },
    drain: async (signal) => {
      const closed = closeServer(server);
      await http1.drain(signal);
      await closed;
      end();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      const where = `${host}:${port}`;
      reject(new PosternError("listen.failed", `Cannot listen on "${where}"`, { cause }));
    };
    server.once("error", failed);
    server.listen({ host, port }, () => {
      server.removeListener("error", failed);
      resolve();
    });
  });
  const bound = server.address();
  return typeof bound === "object" && bound !== null
    ? { host: bound.address, port: bound.port }
    : { host, port };
}

/** Resolves when no connection is left. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The only error is "not running", and then there is nothing to wait for.
    server.close(() => {
      resolve();
    });
  });
}
