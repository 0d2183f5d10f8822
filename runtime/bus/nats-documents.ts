/**
 * Large documents over the JetStream object store, named by their SHA-256. The bus is not trusted: what comes
 * back is hashed again, so that a document is either exactly the one that was named or an error.
 */
import { createHash } from "node:crypto";
import { StorageType, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import type { ObjectStore } from "@nats-io/obj";
import { PosternError } from "../error.ts";
import type { Documents } from "./bus.ts";
import { isMissingBucket } from "./nats-errors.ts";
import type { Epoch, NatsLink } from "./nats-link.ts";
import { REQUEST_TIMEOUT_MS } from "./nats-options.ts";
import type { NatsOptions } from "./nats-options.ts";

/** More than any schema or rule set needs; bounds what a read can take of memory. */
const MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;

export function natsDocuments(link: NatsLink, bucket: string, options: NatsOptions): Documents {
  return {
    async put(bytes, signal) {
      if (bytes.length > MAX_DOCUMENT_BYTES) {
        throw new PosternError(
          "bus.rejected",
          `Cannot put document: it must have at most ${MAX_DOCUMENT_BYTES} bytes, current size is ${bytes.length}`,
        );
      }
      const sha256 = digest(bytes);
      await link.exchange(`put document ${sha256}`, signal, async (epoch) => {
        const store = await openStore(epoch, bucket, options);
        const present = await store.info(sha256);
        if (present !== null && !present.deleted && present.size === bytes.length) return;
        await store.putBlob({ name: sha256 }, bytes, { timeout: REQUEST_TIMEOUT_MS });
      });
      return sha256;
    },
    async get(sha256, signal) {
      const action = `get document ${sha256}`;
      const bytes = await link.exchange(action, signal, async (epoch) => {
        const store = await openStore(epoch, bucket, options);
        const present = await store.info(sha256);
        if (present === null || present.deleted) return undefined;
        if (present.size > MAX_DOCUMENT_BYTES) {
          throw new PosternError("bus.rejected", `Cannot ${action}: it has ${present.size} bytes`);
        }
        return (await store.getBlob(sha256)) ?? undefined;
      });
      if (bytes !== undefined && digest(bytes) !== sha256) {
        throw new PosternError("bus.rejected", `Cannot ${action}: its bytes have another digest`);
      }
      return bytes;
    },
  };
}

async function openStore(epoch: Epoch, bucket: string, options: NatsOptions): Promise<ObjectStore> {
  const objects = new Objm(jetstream(epoch.nc, { timeout: REQUEST_TIMEOUT_MS }));
  if (!options.ensureBuckets) return objects.open(bucket, { check: false });
  const manager = await jetstreamManager(epoch.nc, {
    checkAPI: false,
    timeout: REQUEST_TIMEOUT_MS,
  });
  try {
    await manager.streams.info(`OBJ_${bucket}`);
    return await objects.open(bucket, { check: false });
  } catch (cause) {
    if (!isMissingBucket(cause)) throw cause;
    options.log.info("Creating bucket", { bucket });
    return objects.create(bucket, {
      storage: StorageType.File,
      replicas: options.replicas ?? 1,
      description: "Postern's large documents, named by their SHA-256",
    });
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
