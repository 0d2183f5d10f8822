/**
 * The bus over NATS JetStream. Opening it never waits for a server: a sidecar must enforce what it has on disk
 * while NATS is away. See docs/reference/bus-contract.md.
 */
import { BoundedQueue } from "../bounded-queue.ts";
import { describe } from "../error.ts";
import { SLOW_READER_MESSAGES } from "./bus.ts";
import type { Bus, BusMessage, BusState, Documents, KeyValue } from "./bus.ts";
import { natsKeyValue } from "./nats-key-value.ts";
import { NatsLink } from "./nats-link.ts";
import type { NatsOptions } from "./nats-options.ts";
import { assertSubject } from "./subject.ts";

/** As policy/contract.ts names them; this folder knows nothing of policy, and a test compares the two. */
export const NATS_BUNDLE_BUCKET = "postern-bundles";
export const NATS_DOCUMENT_BUCKET = "postern-documents";

/** Resolves at once, also while no server answers; `states()` tells when one does. */
export async function connectNats(options: NatsOptions): Promise<Bus> {
  return new NatsBus(options);
}

class NatsBus implements Bus {
  readonly bundles: KeyValue;
  readonly documents: Documents;
  readonly #link: NatsLink;
  readonly #options: NatsOptions;
  readonly #queues = new Set<BoundedQueue<BusMessage>>();
  #lost = 0;

  constructor(options: NatsOptions) {
    this.#options = options;
    this.#link = new NatsLink(options);
    this.bundles = natsKeyValue(this.#link, NATS_BUNDLE_BUCKET, options);
    this.documents = lazyDocuments(this.#link, options);
  }

  get state(): BusState {
    return this.#link.epoch === undefined ? "disconnected" : "connected";
  }

  get dropped(): number {
    let sum = this.#lost;
    for (const queue of this.#queues) sum += queue.dropped;
    return sum;
  }

  publish(subject: string, data: Uint8Array): void {
    assertSubject(subject, "subject");
    const epoch = this.#link.epoch;
    // The client would keep it in memory, without bound, until a server is back.
    if (epoch === undefined) {
      this.#lost += 1;
      return;
    }
    try {
      epoch.nc.publish(subject, data);
    } catch (cause) {
      this.#lost += 1;
      this.#options.log.warn("Cannot publish", { subject, error: describe(cause) });
    }
  }

  subscribe(pattern: string, signal: AbortSignal): AsyncIterable<BusMessage> {
    assertSubject(pattern, "pattern");
    const queue = new BoundedQueue<BusMessage>({ capacity: SLOW_READER_MESSAGES, drop: "oldest" });
    this.#queues.add(queue);
    const end = AbortSignal.any([signal, this.#link.closing]);
    const finish = (): void => {
      if (this.#queues.delete(queue)) this.#lost += queue.dropped;
      queue.end();
    };
    if (end.aborted) finish();
    end.addEventListener("abort", finish, { once: true });
    this.#link.onEpoch((epoch) => {
      if (epoch === undefined) return;
      const subscription = epoch.nc.subscribe(pattern, {
        callback: (error, message) => {
          if (error === null) queue.push({ subject: message.subject, data: message.data });
          else this.#options.log.warn("Subscription ended", { pattern, error: describe(error) });
        },
      });
      AbortSignal.any([end, epoch.signal]).addEventListener(
        "abort",
        () => subscription.unsubscribe(),
        { once: true },
      );
    }, end);
    return queue;
  }

  states(signal: AbortSignal): AsyncIterable<BusState> {
    return this.#link.states(signal);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The object store's code is loaded at its first use: most sidecars never need it. */
function lazyDocuments(link: NatsLink, options: NatsOptions): Documents {
  let loaded: Promise<Documents> | undefined;
  const load = (): Promise<Documents> => {
    loaded ??= import("./nats-documents.ts").then((module) =>
      module.natsDocuments(link, NATS_DOCUMENT_BUCKET, options),
    );
    return loaded;
  };
  return {
    put: async (bytes, signal) => (await load()).put(bytes, signal),
    get: async (sha256, signal) => (await load()).get(sha256, signal),
  };
}
