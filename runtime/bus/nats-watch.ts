/**
 * Watches one key for ever. A watch is a push consumer of one epoch that delivers the newest value first; it is
 * given up and made anew when the connection is lost, when the server falls silent (the bucket was deleted, or
 * lost with the server's disk), and when a delivery is missing. So nothing is ever resumed from a position.
 */
import { AckPolicy, DeliverPolicy, JsHeaders, jetstreamManager } from "@nats-io/jetstream";
import { createInbox, nanos } from "@nats-io/transport-node";
import type { Msg } from "@nats-io/transport-node";
import { backoff } from "../backoff.ts";
import { BoundedQueue } from "../bounded-queue.ts";
import type { Clock } from "../clock.ts";
import { describe } from "../error.ts";
import type { Log } from "../log.ts";
import type { KeyUpdate } from "./bus.ts";
import { isMissingBucket } from "./nats-errors.ts";
import type { Epoch, NatsLink } from "./nats-link.ts";
import { REQUEST_TIMEOUT_MS } from "./nats-options.ts";

const RETRY = { firstMs: 100, maxMs: 3_000 } as const;
/** The server forgets a consumer that nobody listens to after this time. */
const INACTIVE_MS = 15_000;
const OPERATION_HEADER = "KV-Operation";

export interface WatchOptions {
  readonly link: NatsLink;
  readonly bucket: string;
  readonly key: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Log;
  readonly heartbeatMs: number;
  /** Makes the bucket, where we may. */
  readonly ensure: (epoch: Epoch) => Promise<void>;
}

export function watchKey(options: WatchOptions): AsyncIterable<KeyUpdate> {
  const updates = new BoundedQueue<KeyUpdate>({ capacity: 1, drop: "oldest" });
  void run(options, updates).finally(() => updates.end());
  options.signal.addEventListener("abort", () => updates.end(), { once: true });
  return updates;
}

async function run(options: WatchOptions, updates: BoundedQueue<KeyUpdate>): Promise<void> {
  for await (const epoch of options.link.epochs(options.signal)) {
    const signal = AbortSignal.any([options.signal, epoch.signal]);
    for await (const attempt of backoff({ ...RETRY, clock: options.clock, signal })) {
      try {
        await watchOnce(options, epoch, signal, updates);
        options.log.debug("Watch ended; starting it again", { key: options.key });
      } catch (cause) {
        const level = attempt === 0 ? "warn" : "debug";
        if (!signal.aborted) {
          options.log[level]("Cannot watch key; trying on", {
            key: options.key,
            error: describe(cause),
          });
        }
        if (isMissingBucket(cause)) await ensureQuietly(options, epoch);
      }
    }
  }
}

/** Resolves when the watch must be made anew. */
async function watchOnce(
  options: WatchOptions,
  epoch: Epoch,
  signal: AbortSignal,
  updates: BoundedQueue<KeyUpdate>,
): Promise<void> {
  const { bucket, key, heartbeatMs } = options;
  const subject = `$KV.${bucket}.${key}`;
  const jsm = await jetstreamManager(epoch.nc, { checkAPI: false, timeout: REQUEST_TIMEOUT_MS });
  const inbox = createInbox();
  const over = Promise.withResolvers<void>();
  let heardAt = performance.now();
  let delivered = 0;
  const subscription = epoch.nc.subscribe(inbox, {
    callback: (error, message) => {
      heardAt = performance.now();
      if (error !== null) {
        over.reject(error);
      } else if (isStatus(message)) {
        // A heartbeat tells how many were sent; fewer received means that one was lost.
        const sent = Number(message.headers?.get(JsHeaders.LastConsumerSeqHdr) ?? "0");
        if (sent > delivered) over.resolve();
      } else {
        delivered += 1;
        updates.push(toUpdate(key, message));
      }
    },
  });
  try {
    const consumer = await jsm.consumers.add(`KV_${bucket}`, {
      name: `watch-${inbox.slice(inbox.lastIndexOf(".") + 1)}`,
      deliver_subject: inbox,
      deliver_policy: DeliverPolicy.LastPerSubject,
      filter_subject: subject,
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      num_replicas: 1,
      mem_storage: true,
      idle_heartbeat: nanos(heartbeatMs),
      inactive_threshold: nanos(INACTIVE_MS),
    });
    if (consumer.num_pending === 0 && delivered === 0 && consumer.delivered.consumer_seq === 0) {
      updates.push({ kind: "removed", key });
    }
    const stop = (): void => over.resolve();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const listening = new AbortController();
    void untilSilent(() => performance.now() - heardAt, options, listening.signal).then(stop);
    try {
      await over.promise;
    } finally {
      listening.abort();
      signal.removeEventListener("abort", stop);
    }
  } finally {
    // Also after a loss: the client would renew it at the next connect.
    subscription.unsubscribe();
  }
}

/** Resolves when nothing has been heard for two and a half heartbeats, or with the signal. */
async function untilSilent(
  quietMs: () => number,
  options: WatchOptions,
  signal: AbortSignal,
): Promise<void> {
  try {
    while (quietMs() < options.heartbeatMs * 2.5) {
      await options.clock.sleep(options.heartbeatMs, signal);
    }
    options.log.warn("Watch fell silent; starting it again", { key: options.key });
  } catch (cause) {
    if (!signal.aborted) throw cause;
  }
}

async function ensureQuietly(options: WatchOptions, epoch: Epoch): Promise<void> {
  try {
    await options.ensure(epoch);
  } catch (cause) {
    // The next attempt meets the same reason and logs it.
    options.log.debug("Cannot create bucket", { bucket: options.bucket, error: describe(cause) });
  }
}

function isStatus(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === 100;
}

function toUpdate(key: string, message: Msg): KeyUpdate {
  const operation = message.headers?.get(OPERATION_HEADER) ?? "";
  return operation === "DEL" || operation === "PURGE"
    ? { kind: "removed", key }
    : { kind: "put", key, value: message.data };
}
