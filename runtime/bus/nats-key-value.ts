/** The bucket of bundles over JetStream KV: one value of history, on the server's disk. */
import { Kvm } from "@nats-io/kv";
import type { KV } from "@nats-io/kv";
import { StorageType, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { KeyValue } from "./bus.ts";
import { isMissingBucket } from "./nats-errors.ts";
import type { Epoch, NatsLink } from "./nats-link.ts";
import { REQUEST_TIMEOUT_MS } from "./nats-options.ts";
import type { NatsOptions } from "./nats-options.ts";
import { watchKey } from "./nats-watch.ts";
import { assertKey } from "./subject.ts";

/** NATS's own default for one message; more would need another server configuration. */
const MAX_VALUE_BYTES = 1024 * 1024;
const MAX_KEYS = 100_000;

export function natsKeyValue(link: NatsLink, bucket: string, options: NatsOptions): KeyValue {
  const opened = new WeakMap<Epoch, Promise<KV>>();

  const open = (epoch: Epoch): Promise<KV> => {
    let kv = opened.get(epoch);
    if (kv === undefined) {
      kv = openBucket(epoch, bucket, options);
      opened.set(epoch, kv);
      kv.catch(() => opened.delete(epoch));
    }
    return kv;
  };
  /** The bucket can vanish while we are connected; whoever may make it does so once, and tries again. */
  const withBucket = async <T>(epoch: Epoch, act: (kv: KV) => Promise<T>): Promise<T> => {
    try {
      return await act(await open(epoch));
    } catch (cause) {
      if (!options.ensureBuckets || !isMissingBucket(cause)) throw cause;
      opened.delete(epoch);
      return act(await open(epoch));
    }
  };

  return {
    async put(key, value, signal) {
      assertKey(key);
      await link.exchange(`put ${JSON.stringify(key)}`, signal, (epoch) =>
        withBucket(epoch, (kv) => kv.put(key, value)),
      );
    },
    async get(key, signal) {
      assertKey(key);
      const entry = await link.exchange(`get ${JSON.stringify(key)}`, signal, (epoch) =>
        withBucket(epoch, (kv) => kv.get(key)),
      );
      return entry === null || entry.operation !== "PUT" ? undefined : entry.value;
    },
    async remove(key, signal) {
      assertKey(key);
      await link.exchange(`remove ${JSON.stringify(key)}`, signal, (epoch) =>
        withBucket(epoch, (kv) => kv.purge(key)),
      );
    },
    keys(signal) {
      return link.exchange(`list keys of ${bucket}`, signal, (epoch) =>
        withBucket(epoch, async (kv) => {
          const keys: string[] = [];
          for await (const key of await kv.keys()) {
            keys.push(key);
            if (keys.length === MAX_KEYS) break;
          }
          return keys;
        }),
      );
    },
    watch(key, signal) {
      assertKey(key);
      return watchKey({
        link,
        bucket,
        key,
        signal,
        clock: options.clock,
        log: options.log,
        heartbeatMs: options.watchHeartbeatMs ?? 5_000,
        ensure: async (epoch) => {
          if (!options.ensureBuckets) return;
          opened.delete(epoch);
          await open(epoch);
        },
      });
    },
  };
}

async function openBucket(epoch: Epoch, bucket: string, options: NatsOptions): Promise<KV> {
  const kvm = new Kvm(jetstream(epoch.nc, { timeout: REQUEST_TIMEOUT_MS }));
  // A sidecar may not ask about the stream; whether it exists shows at the first use.
  if (!options.ensureBuckets) return kvm.open(bucket, { bindOnly: true, allow_direct: true });
  const manager = await jetstreamManager(epoch.nc, {
    checkAPI: false,
    timeout: REQUEST_TIMEOUT_MS,
  });
  try {
    await manager.streams.info(`KV_${bucket}`);
    return await kvm.open(bucket, { bindOnly: true, allow_direct: true });
  } catch (cause) {
    if (!isMissingBucket(cause)) throw cause;
    options.log.info("Creating bucket", { bucket });
    return kvm.create(bucket, {
      history: 1,
      storage: StorageType.File,
      maxValueSize: MAX_VALUE_BYTES,
      replicas: options.replicas ?? 1,
      description: "Postern's signed bundles, one key for each workload",
      timeout: REQUEST_TIMEOUT_MS,
    });
  }
}
