/** How to reach NATS and who we are there; credentials in files are read anew at every connect, so they may rotate. */
import { readFileSync } from "node:fs";
import { credsAuthenticator, tokenAuthenticator } from "@nats-io/transport-node";
import type { Authenticator, NodeConnectionOptions } from "@nats-io/transport-node";
import type { Clock } from "../clock.ts";
import { describe } from "../error.ts";
import type { Log } from "../log.ts";

export type NatsCredentials =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "user"; readonly user: string; readonly password: string }
  /** For example a projected ServiceAccount token. */
  | { readonly kind: "token-file"; readonly path: string }
  /** As `nsc` writes it: a user JWT and its seed. */
  | { readonly kind: "creds-file"; readonly path: string };

export interface NatsTls {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface NatsOptions {
  /** `nats://host:port` or `tls://host:port`. */
  readonly servers: readonly string[];
  /** How this connection is called in the server's monitoring. */
  readonly name: string;
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  readonly clock: Clock;
  readonly log: Log;
  /** Closes the bus. */
  readonly signal: AbortSignal;
  /** Make the buckets where they are missing, also again after the server lost them. Only the controller may. */
  readonly ensureBuckets: boolean;
  /** Of the buckets that we make: 1 or 3. */
  readonly replicas?: number;
  /** How often the server says that a quiet watch lives; two and a half of silence start it again. */
  readonly watchHeartbeatMs?: number;
}

export const REQUEST_TIMEOUT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A partition without a FIN is noticed within about 25 s. */
const PING_INTERVAL_MS = 10_000;
const MAX_PINGS_OUT = 2;
const RECONNECT_MIN_MS = 100;
const RECONNECT_SPREAD_MS = 1_400;

export function connectionOptions(options: NatsOptions): NodeConnectionOptions {
  return {
    servers: [...options.servers],
    name: options.name,
    timeout: CONNECT_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: MAX_PINGS_OUT,
    maxReconnectAttempts: -1,
    // Credentials may rotate and auth servers may come later than we do: try for ever.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => RECONNECT_MIN_MS + Math.random() * RECONNECT_SPREAD_MS,
    ...authentication(options),
    ...(options.tls === undefined ? {} : { tls: { ...options.tls } }),
  };
}

function authentication(options: NatsOptions): Partial<NodeConnectionOptions> {
  const { credentials } = options;
  switch (credentials?.kind) {
    case undefined:
      return {};
    case "token":
      return { token: credentials.token };
    case "user":
      return { user: credentials.user, pass: credentials.password };
    case "token-file": {
      const { path } = credentials;
      return {
        authenticator: guarded(
          options,
          tokenAuthenticator(() => readFileSync(path, "utf8").trim()),
        ),
      };
    }
    case "creds-file": {
      const { path } = credentials;
      return {
        authenticator: guarded(
          options,
          credsAuthenticator(() => readFileSync(path)),
        ),
      };
    }
  }
}

/** An unreadable file must not end the reconnecting: without credentials the server refuses, and we try again. */
function guarded(options: NatsOptions, authenticator: Authenticator): Authenticator {
  return (nonce) => {
    try {
      return authenticator(nonce);
    } catch (cause) {
      options.log.error("Cannot read NATS credentials", { error: describe(cause) });
      return undefined;
    }
  };
}
