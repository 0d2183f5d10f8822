/**
 * Kubernetes Events: what an operator must see where they look first (`kubectl describe`). Best effort by
 * design: a bounded queue, a rate, repeated events counted instead of repeated; a failure is a line in the log
 * and never an error for anybody.
 */
import { backoffDelayMs } from "../../runtime/backoff.ts";
import { BoundedQueue } from "../../runtime/bounded-queue.ts";
import type { Clock } from "../../runtime/clock.ts";
import { describe } from "../../runtime/error.ts";
import type { Log } from "../../runtime/log.ts";
import type { ClusterEvent } from "../cluster.ts";
import { hasStatus } from "./client.ts";
import type { KubeClient } from "./client.ts";

const MAX_WAITING = 256;
/** Five a second is more than anybody reads. */
const SPACING_MS = 200;
/** The same event within this time only raises the count of the first. */
const SAME_WITHIN_MS = 10 * 60_000;
const MAX_REMEMBERED = 1_024;
const MAX_MESSAGE_CHARS = 1_024;

export interface Involved {
  readonly apiVersion: string;
  readonly uid?: string;
}

export interface Events {
  /** Never waits. */
  emit(event: ClusterEvent, involved: Involved): void;
  readonly dropped: number;
  /** Runs until the signal; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

interface Written {
  readonly name: string;
  count: number;
  lastMs: number;
}

export function createEvents(client: KubeClient, clock: Clock, log: Log): Events {
  const queue = new BoundedQueue<{ readonly event: ClusterEvent; readonly involved: Involved }>({
    capacity: MAX_WAITING,
    drop: "oldest",
  });
  /** Insertion order is age. */
  const written = new Map<string, Written>();
  let serial = 0;

  async function write(
    event: ClusterEvent,
    involved: Involved,
    signal: AbortSignal,
  ): Promise<void> {
    const key = JSON.stringify(event);
    const nowMs = clock.now();
    const before = written.get(key);
    // Events of cluster-wide objects live in "default", as Kubernetes has it.
    const namespace = event.namespace ?? "default";
    const path = `/api/v1/namespaces/${namespace}/events`;
    const lastTimestamp = seconds(nowMs);
    if (before !== undefined && nowMs - before.lastMs < SAME_WITHIN_MS) {
      before.count += 1;
      before.lastMs = nowMs;
      try {
        await client.send({
          method: "PATCH",
          path: `${path}/${before.name}`,
          contentType: "application/merge-patch+json",
          body: { count: before.count, lastTimestamp },
          signal,
        });
        return;
      } catch (error) {
        // Events expire; then it is a new one.
        if (!hasStatus(error, 404)) throw error;
      }
    }
    serial += 1;
    const name = `${event.name.slice(0, 200)}.${nowMs.toString(16)}${serial.toString(16)}`;
    await client.send({
      method: "POST",
      path,
      body: {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace },
        involvedObject: {
          kind: event.policy,
          name: event.name,
          apiVersion: involved.apiVersion,
          ...(event.namespace === undefined ? {} : { namespace: event.namespace }),
          ...(involved.uid === undefined ? {} : { uid: involved.uid }),
        },
        type: event.type,
        reason: event.reason,
        message: event.message.slice(0, MAX_MESSAGE_CHARS),
        source: { component: "postern-controller" },
        reportingComponent: "postern.dev/controller",
        firstTimestamp: lastTimestamp,
        lastTimestamp,
        count: 1,
      },
      signal,
    });
    written.delete(key);
    written.set(key, { name, count: 1, lastMs: nowMs });
    if (written.size > MAX_REMEMBERED) written.delete(written.keys().next().value ?? key);
  }

  return {
    emit(event, involved) {
      queue.push({ event, involved });
    },
    get dropped() {
      return queue.dropped;
    },
    async run(signal) {
      signal.addEventListener("abort", () => queue.end(), { once: true });
      let failures = 0;
      for await (const { event, involved } of queue) {
        if (signal.aborted) return;
        try {
          await write(event, involved, signal);
          failures = 0;
        } catch (error) {
          failures += 1;
          log.warn("Cannot write an event", { reason: event.reason, error: describe(error) });
        }
        const pauseMs =
          failures === 0
            ? SPACING_MS
            : backoffDelayMs(failures - 1, { firstMs: SPACING_MS, maxMs: 10_000 });
        await clock.sleep(pauseMs, signal).catch(() => undefined);
      }
    },
  };
}

function seconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
