/**
 * The bus inside this process: for `postern dev` without NATS and for tests. Behaves as NATS JetStream does
 * where our contract says so, bounded queues included; it never is disconnected, and loses all at the end.
 */
import { createHash } from "node:crypto";
import { BoundedQueue } from "../bounded-queue.ts";
import { PosternError } from "../error.ts";
import { SLOW_READER_MESSAGES } from "./bus.ts";
import type { Bus, BusMessage, BusState, Documents, KeyUpdate, KeyValue } from "./bus.ts";
import { assertKey, assertSubject, matchesSubject } from "./subject.ts";

export class InProcessBus implements Bus {
  readonly bundles: KeyValue;
  readonly documents: Documents;
  readonly state: BusState = "connected";
  readonly #closing = new AbortController();
  readonly #subscriptions = new Set<{ pattern: string; queue: BoundedQueue<BusMessage> }>();
  #lost = 0;

  constructor() {
    this.bundles = inProcessKeyValue(this.#closing.signal);
    this.documents = inProcessDocuments(this.#closing.signal);
  }

  get dropped(): number {
    let sum = this.#lost;
    for (const { queue } of this.#subscriptions) sum += queue.dropped;
    return sum;
  }

  publish(subject: string, data: Uint8Array): void {
    assertSubject(subject, "subject");
    if (this.#closing.signal.aborted) {
      this.#lost += 1;
      return;
    }
    const message = { subject, data: data.slice() };
    for (const { pattern, queue } of this.#subscriptions) {
      if (matchesSubject(pattern, subject)) queue.push(message);
    }
  }

  subscribe(pattern: string, signal: AbortSignal): AsyncIterable<BusMessage> {
    assertSubject(pattern, "pattern");
    const queue = new BoundedQueue<BusMessage>({ capacity: SLOW_READER_MESSAGES, drop: "oldest" });
    const subscription = { pattern, queue };
    this.#subscriptions.add(subscription);
    onAbort([signal, this.#closing.signal], () => {
      if (this.#subscriptions.delete(subscription)) this.#lost += queue.dropped;
      queue.end();
    });
    return queue;
  }

  states(signal: AbortSignal): AsyncIterable<BusState> {
    const queue = new BoundedQueue<BusState>({ capacity: 1, drop: "oldest" });
    queue.push("connected");
    onAbort([signal, this.#closing.signal], () => queue.end());
    return queue;
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function inProcessKeyValue(closed: AbortSignal): KeyValue {
  const values = new Map<string, Uint8Array>();
  const watchers = new Set<{ key: string; queue: BoundedQueue<KeyUpdate> }>();
  const tell = (update: KeyUpdate): void => {
    for (const watcher of watchers) if (watcher.key === update.key) watcher.queue.push(update);
  };
  const current = (key: string): KeyUpdate => {
    const value = values.get(key);
    return value === undefined ? { kind: "removed", key } : { kind: "put", key, value };
  };
  return {
    async put(key, value, signal) {
      check("put", key, closed, signal);
      values.set(key, value.slice());
      tell(current(key));
    },
    async get(key, signal) {
      check("get", key, closed, signal);
      return values.get(key);
    },
    async remove(key, signal) {
      check("remove", key, closed, signal);
      if (values.delete(key)) tell({ kind: "removed", key });
    },
    async keys(signal) {
      assertOpen("list keys", closed, signal);
      return [...values.keys()];
    },
    watch(key, signal) {
      assertKey(key);
      const queue = new BoundedQueue<KeyUpdate>({ capacity: 1, drop: "oldest" });
      const watcher = { key, queue };
      watchers.add(watcher);
      queue.push(current(key));
      onAbort([signal, closed], () => {
        watchers.delete(watcher);
        queue.end();
      });
      return queue;
    },
  };
}

function inProcessDocuments(closed: AbortSignal): Documents {
  const documents = new Map<string, Uint8Array>();
  return {
    async put(bytes, signal) {
      assertOpen("put document", closed, signal);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      documents.set(sha256, bytes.slice());
      return sha256;
    },
    async get(sha256, signal) {
      assertOpen("get document", closed, signal);
      return documents.get(sha256);
    },
  };
}

function check(action: string, key: string, closed: AbortSignal, signal?: AbortSignal): void {
  assertKey(key);
  assertOpen(`${action} ${JSON.stringify(key)}`, closed, signal);
}

function assertOpen(action: string, closed: AbortSignal, signal?: AbortSignal): void {
  if (signal?.aborted === true) {
    throw new PosternError("aborted", `Cannot ${action}: aborted`, { cause: signal.reason });
  }
  if (closed.aborted) {
    throw new PosternError("bus.unavailable", `Cannot ${action}: the bus is closed`);
  }
}

function onAbort(signals: readonly AbortSignal[], act: () => void): void {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) act();
  else any.addEventListener("abort", act, { once: true });
}
