/**
 * Bundles from the bus: watches this workload's key and verifies each value. A key that is removed says
 * nothing: whoever holds the bus can withhold policy, and that must neither open nor close anything; the
 * bundle in force grows stale, visibly.
 */
import type { WorkloadRef } from "../../policy/bundle.ts";
import { BUNDLE_BUCKET, bundleKey } from "../../policy/contract.ts";
import { BoundedQueue } from "../../runtime/bounded-queue.ts";
import type { Bus } from "../../runtime/bus/bus.ts";
import type { BundleSource } from "./source.ts";
import type { Verify } from "./verify.ts";

export interface BusSource extends BundleSource {
  /** Verifies the newest value again: the trusted keys have changed. */
  recheck(): void;
}

export function busSource(options: {
  readonly bus: Pick<Bus, "bundles">;
  readonly workload: WorkloadRef;
  readonly verify: Verify;
}): BusSource {
  const key = bundleKey(options.workload);
  const rechecks = new Set<() => void>();
  return {
    name: `nats ${BUNDLE_BUCKET}/${key}`,
    recheck: () => {
      for (const recheck of rechecks) recheck();
    },
    async *arrivals(signal) {
      // Only the newest value is of interest, as on the bus.
      const values = new BoundedQueue<Uint8Array>({ capacity: 1, drop: "oldest" });
      let newest: Uint8Array | undefined;
      const recheck = (): void => {
        if (newest !== undefined && values.size === 0) values.push(newest);
      };
      const follow = async (): Promise<void> => {
        for await (const update of options.bus.bundles.watch(key, signal)) {
          newest = update.kind === "put" ? update.value : undefined;
          if (newest !== undefined) values.push(newest);
        }
      };
      rechecks.add(recheck);
      const following = follow().finally(() => values.end());
      try {
        for await (const value of values) yield await options.verify(value);
        await following;
      } finally {
        rechecks.delete(recheck);
      }
    },
  };
}
