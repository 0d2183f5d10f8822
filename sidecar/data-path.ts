/**
 * The data path as one thing: a listener that serves requests by the policy in force and forwards what is
 * permitted. Owns its sockets, its upstream connections and its deadlines.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { createAcceptor } from "./connection/acceptor.ts";
import type { AcceptorLimits, ListenAddress } from "./connection/acceptor.ts";
import type { WatchedTlsFiles } from "./connection/tls-files.ts";
import { Deadlines } from "./deadlines.ts";
import type { RecordSink } from "./decision-record.ts";
import { logRecords } from "./decision-record.ts";
import { createHttp1Server } from "./http1/server.ts";
import { createHttp2Server } from "./http2/server.ts";
import type { ConnectionLimits } from "./http1/connection-host.ts";
import type { Metrics } from "./metrics.ts";
import type { Prepared } from "./prepared.ts";
import type { UpstreamAddress } from "./upstream/address.ts";
import { Pool } from "./upstream/pool.ts";

export interface DataPathLimits extends ConnectionLimits, Omit<AcceptorLimits, "firstBytesMs"> {
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
  handshakeMs: 5_000,
  maxHandshakes: 256,
  connectMs: 2_000,
  responseHeadMs: 60_000,
  responseIdleMs: 300_000,
  maxUpstreamConnections: 10_000,
  maxUpstreamWaiting: 1_000,
  upstreamWaitMs: 2_000,
};

/** Who has said nothing until then is taken for HTTP/1.1, and has its time for a head. */
const FIRST_BYTES_MS = 5_000;

export interface DataPathOptions {
  /** The policy in force; read once per request. */
  readonly current: () => Prepared;
  readonly upstream: UpstreamAddress;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Absent: no TLS. Stays its owner's to close. */
  readonly tls?: Pick<WatchedTlsFiles, "current" | "onChange"> | undefined;
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
  const served = {
    current: options.current,
    upstream,
    deadlines,
    limits,
    clock: options.clock,
    log: options.log,
    metrics: options.metrics,
    record: options.record ?? logRecords(options.log),
  };
  const http1 = createHttp1Server(served);
  const { headersMs, keepAliveMs, idleMs } = limits;
  const h2 = createHttp2Server({ ...served, http2: { headersMs, keepAliveMs, idleMs } });
  const acceptor = createAcceptor({
    servers: { "http/1.1": http1, h2 },
    proxyHeader: () => options.current().proxyHeader,
    ...(options.tls !== undefined && { tls: options.tls }),
    limits: { ...limits, firstBytesMs: Math.min(headersMs, FIRST_BYTES_MS) },
    deadlines,
    clock: options.clock,
    log: options.log,
    metrics: options.metrics,
  });
  options.metrics.gauge("postern_requests_in_flight", () => http1.inFlight + h2.inFlight);
  options.metrics.gauge("postern_connections", () => acceptor.connections);
  const end = (): void => {
    upstream.close();
    deadlines.close();
  };
  const close = async (): Promise<void> => {
    await acceptor.close();
    end();
  };
  return {
    listen: (address) => acceptor.listen(address),
    get address() {
      return acceptor.address;
    },
    get connections() {
      return acceptor.connections;
    },
    drain: async (signal) => {
      await acceptor.drain(signal);
      end();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
