/**
 * Writes policies' status: a merge patch on the `status` subresource, only of what differs. Per policy at most
 * one write in a while, and only the newest of what came meanwhile; a policy that is gone needs no status.
 */
import type { PolicyStatus } from "../../policy/status.ts";
import type { Clock } from "../../runtime/clock.ts";
import { hasStatus } from "./client.ts";
import type { KubeClient } from "./client.ts";

/** A burst of reports becomes two writes: the first at once, the last after this. */
const SPACING_MS = 300;

export interface StatusWriter {
  /** Resolves when this status, or a newer one, is written. Throws PosternError `cluster.*`. */
  write(path: string, status: PolicyStatus, signal: AbortSignal): Promise<void>;
  readonly writes: number;
}

interface Slot {
  status: PolicyStatus;
  done: Promise<void>;
}

export function createStatusWriter(client: KubeClient, clock: Clock): StatusWriter {
  /** Waiting writes, by path; only while they wait. */
  const waiting = new Map<string, Slot>();
  const lastMs = new Map<string, number>();
  let writes = 0;

  async function later(path: string, slot: Slot, signal: AbortSignal): Promise<void> {
    try {
      const waitMs = (lastMs.get(path) ?? 0) + SPACING_MS - clock.now();
      if (waitMs > 0) await clock.sleep(waitMs, signal);
    } finally {
      waiting.delete(path);
    }
    forgetOld();
    lastMs.set(path, clock.now());
    await patch(path, slot.status, signal);
  }

  async function patch(path: string, status: PolicyStatus, signal: AbortSignal): Promise<void> {
    try {
      writes += 1;
      await client.send({
        method: "PATCH",
        path: `${path}/status`,
        query: { fieldManager: "postern-controller" },
        contentType: "application/merge-patch+json",
        body: { status },
        // The answer repeats the whole object; its metadata is enough.
        accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
        signal,
      });
    } catch (error) {
      // Deleted meanwhile: there is nothing left to say it on.
      if (!hasStatus(error, 404)) throw error;
    }
  }

  /** Only the last moments matter: without this, the map would keep every policy that ever was. */
  function forgetOld(): void {
    if (lastMs.size < 4_096) return;
    const limit = clock.now() - SPACING_MS;
    for (const [path, atMs] of lastMs) if (atMs < limit) lastMs.delete(path);
  }

  return {
    write(path, status, signal) {
      const slot = waiting.get(path);
      if (slot !== undefined) {
        slot.status = status;
        return slot.done;
      }
      const fresh: Slot = { status, done: Promise.resolve() };
      waiting.set(path, fresh);
      fresh.done = later(path, fresh, signal);
      return fresh.done;
    },
    get writes() {
      return writes;
    },
  };
}
