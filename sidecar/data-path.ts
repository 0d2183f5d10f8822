/**
 * The data path as one thing: a listener that serves requests by the policy in force and forwards what is
 * permitted. Owns its sockets, its upstream connections and its deadlines.
 */
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { Deadlines } from "./deadlines.ts";
import type { RecordSink } from "./decision-record.ts";
import { logRecords } from "./decision-record.ts";
import type { ListenAddress, Listener, ListenerLimits } from "./http/listener.ts";
import { createListener } from "./http/listener.ts";
import type { Metrics } from "./metrics.ts";
import type { Prepared } from "./prepared.ts";
import type { UpstreamAddress } from "./upstream.ts";
import { createUpstream } from "./upstream.ts";

export interface DataPathLimits extends ListenerLimits {
  /** To the application, which is on this machine. */
  readonly connectMs: number;
  /** To the response's head, from the connection or from the last move of a body that is still being sent. */
  readonly responseHeadMs: number;
}

export const DEFAULT_LIMITS: DataPathLimits = {
  headersMs: 10_000,
  keepAliveMs: 65_000,
  idleMs: 300_000,
  maxConnections: 10_000,
  connectMs: 2_000,
  responseHeadMs: 60_000,
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
  const upstream = createUpstream(options.upstream);
  const listener: Listener = createListener({
    current: options.current,
    upstream,
    deadlines,
    limits,
    clock: options.clock,
    log: options.log,
    metrics: options.metrics,
    record: options.record ?? logRecords(options.log),
  });
  const end = (): void => {
    upstream.close();
    deadlines.close();
  };
  const close = async (): Promise<void> => {
    await listener.close();
    end();
  };
  return {
    listen: (address) => listener.listen(address),
    get address() {
      return listener.address;
    },
    get connections() {
      return listener.connections;
    },
    drain: async (signal) => {
      await listener.drain(signal);
      end();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
