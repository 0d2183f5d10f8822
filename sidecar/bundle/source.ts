/**
 * Where a sidecar's bundle comes from. Two sources under one test suite: the bus (signed bytes, verified
 * before they count) and files (compiled by this process, for `postern run`).
 */
import type { Bundle } from "../../policy/bundle.ts";
import type { RefusalCode } from "../../policy/report.ts";

export type Arrival =
  | {
      readonly kind: "bundle";
      readonly bundle: Bundle;
      /** The signed bytes, to keep on disk; absent where nobody signed because nobody carried it. */
      readonly bytes?: Uint8Array;
    }
  | {
      readonly kind: "refused";
      readonly code: RefusalCode;
      readonly detail: string;
      readonly revision?: number;
    };

export interface BundleSource {
  /** For the log: `nats postern-bundles/shop.orders-1f2e3d4c` or `files policy.yaml`. */
  readonly name: string;
  /** The present bundle first, then each change; ends with the signal. Never throws for bad input: that is `refused`. */
  arrivals(signal: AbortSignal): AsyncIterable<Arrival>;
}
