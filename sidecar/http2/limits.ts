/** What one HTTP/2 connection may cost. Every number says what it is there against. */
import type { Allowance } from "./budget.ts";

export interface Http2Limits {
  /** For the caller's preface and SETTINGS. */
  readonly headersMs: number;
  /** Without a request under way; then the connection is asked to go. Pings do not count. */
  readonly keepAliveMs: number;
  /** Without a byte in either direction while requests are under way. */
  readonly idleMs: number;
  /** For an answer that the caller's flow-control window holds up (CVE-2019-9517). */
  readonly stallMs: number;
  /** After that the connection takes no new requests; 0: never. */
  readonly maxAgeMs: number;
  readonly maxStreams: number;
  /** Requests that the caller breaks off, or makes us break off, before they are answered (CVE-2023-44487, CVE-2025-8671). */
  readonly resets: Allowance;
  /** A gRPC caller measures its bandwidth with pings while bodies move; those are refunded (CVE-2019-9512). */
  readonly pings: Allowance;
  /** CVE-2019-9515. */
  readonly settings: Allowance;
}

export const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  headersMs: 10_000,
  keepAliveMs: 65_000,
  idleMs: 300_000,
  stallMs: 30_000,
  maxAgeMs: 0,
  maxStreams: 100,
  resets: { burst: 500, perSecond: 100 },
  pings: { burst: 200, perSecond: 20 },
  settings: { burst: 50, perSecond: 1 },
};

/**
 * Above the lines that normal form allows, so that one too many is refused in a sentence; far above them Node
 * resets the stream before anybody has counted (HPACK bombs, CVE-2016-6581).
 */
export const MAX_FIELDS = 128;

/** Malformed requests, and DATA frames without data (CVE-2019-9518), before Node ends the connection. */
export const MAX_INVALID_FRAMES = 100;

/** Of request bodies that wait for the application, over all streams of a connection. */
export const SESSION_WINDOW = 1024 * 1024;
/** Of one body. */
export const STREAM_WINDOW = 64 * 1024;

/** Megabytes, Node's unit: what one connection's queues and streams may hold in all. */
export const MAX_SESSION_MEMORY = 10;

/** How long a connection that was told to go may take for it. */
export const CLOSE_MS = 1_000;
