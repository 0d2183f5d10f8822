/**
 * What the controller asks of the place that policies live in: the API server (controller/kube), or a folder
 * of files (`postern dev`). Level-based: a change says only "look again", never what changed.
 */
import type { Policy, Resources } from "../policy/resources.ts";
import type { PolicyStatus } from "../policy/status.ts";

/** A referenced Secret or ConfigMap key: its text, or why there is none. */
export type Material =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "unavailable"; readonly reason: string };

/** All that the cluster knows, at one moment. Keys are resolved afterwards, from `material` and the network. */
export interface Snapshot extends Omit<Resources, "keys"> {
  /** By `keySourceId()`, for the Secrets and ConfigMaps that policies refer to. */
  readonly material: ReadonlyMap<string, Material>;
  /** What status each policy has now, by `policyId()`; to write only what differs. */
  readonly statuses: ReadonlyMap<string, PolicyStatus>;
}

export interface ClusterEvent {
  readonly policy: Policy["kind"];
  readonly namespace?: string;
  readonly name: string;
  readonly type: "Normal" | "Warning";
  /** CamelCase: `Enforced`, `Invalid`, `KeysUnavailable`, `SidecarRefused`, `SidecarLost`. */
  readonly reason: string;
  readonly message: string;
}

export interface Cluster {
  /** Resolves when the first complete snapshot can be taken. */
  synced(signal: AbortSignal): Promise<void>;
  snapshot(): Snapshot;
  /** One tick after each burst of changes; a slow reader gets one tick for all that it missed. */
  changes(signal: AbortSignal): AsyncIterable<void>;
  /** Throws PosternError `cluster.*`; the caller tries again. */
  writeStatus(
    policy: Pick<Policy, "kind" | "metadata">,
    status: PolicyStatus,
    signal: AbortSignal,
  ): Promise<void>;
  /** Best effort: an event that cannot be written is logged. */
  emit(event: ClusterEvent): void;
  close(): Promise<void>;
}
