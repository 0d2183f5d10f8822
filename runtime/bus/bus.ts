/**
 * The bus between controller and sidecars, as both see it. Two implementations under one test suite: NATS
 * JetStream, and one inside this process for the embedded default. It carries bytes and knows nothing of
 * policy; who may be believed is decided by signatures, not by the bus.
 */

/** One key's newest value, or its removal. */
export type KeyUpdate =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: "removed"; readonly key: string };

/** So many messages wait for a slow reader of `subscribe()`. */
export const SLOW_READER_MESSAGES = 4096;

export interface BusMessage {
  readonly subject: string;
  readonly data: Uint8Array;
}

export type BusState = "connected" | "disconnected";

export interface KeyValue {
  /** Resolves when the bus has stored it. Throws PosternError `bus.unavailable` when it could not. */
  put(key: string, value: Uint8Array, signal?: AbortSignal): Promise<void>;
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  remove(key: string, signal?: AbortSignal): Promise<void>;
  keys(signal?: AbortSignal): Promise<string[]>;
  /**
   * The current value first (or `removed` when there is none), then every change, until the signal.
   * Survives disconnection: after a reconnect, also to a server that lost its state, it starts again with the
   * current value. Only the newest value of a key is kept for a slow reader.
   */
  watch(key: string, signal: AbortSignal): AsyncIterable<KeyUpdate>;
}

export interface Documents {
  /** Content-addressed: resolves to the lower-case hex SHA-256. Idempotent. */
  put(bytes: Uint8Array, signal?: AbortSignal): Promise<string>;
  /** Verified against its digest; undefined when the bus does not have it. */
  get(sha256: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
}

export interface Bus {
  readonly bundles: KeyValue;
  readonly documents: Documents;
  /** At most once, never blocks, dropped (and counted) while disconnected. */
  publish(subject: string, data: Uint8Array): void;
  /** Messages from now on, until the signal. At most 4096 wait for a slow reader, then the oldest are dropped. */
  subscribe(pattern: string, signal: AbortSignal): AsyncIterable<BusMessage>;
  readonly state: BusState;
  /** Messages lost so far: published while disconnected, or too many for a slow reader. */
  readonly dropped: number;
  /** The present state, then each change, until the signal. */
  states(signal: AbortSignal): AsyncIterable<BusState>;
  /** Drains and closes; idempotent. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
