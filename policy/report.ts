/**
 * What a sidecar says of itself on its ack subject: at once when its bundle changes or is refused, and as a
 * heartbeat. The controller computes a policy's `Enforced` condition from these and from nothing else.
 */
import type { PolicyRef, WorkloadRef } from "./bundle.ts";

/** Why a published bundle was not taken. The current one stays. */
export type RefusalCode =
  | "bundle.malformed" // not a compact JWS, or not JSON inside
  | "bundle.signature" // not signed by a key that this sidecar trusts
  | "bundle.replayed" // older than what this sidecar has
  | "bundle.workload" // made for another workload
  | "bundle.version" // of a schema version that this sidecar does not know
  | "bundle.unknown" // has a field or value that this sidecar does not know
  | "bundle.digest" // the content does not have the digest that it claims
  | "bundle.stale"; // issued longer ago than this sidecar accepts

export interface SidecarReport {
  readonly workload: WorkloadRef;
  readonly pod: string;
  /** `leaving`: the last report of a sidecar that shuts down in order. */
  readonly state: "waiting" | "current" | "stale" | "leaving";
  /** What is enforced; absent while waiting. */
  readonly enforced?: {
    readonly revision: number;
    readonly digest: string;
    readonly policies: readonly PolicyRef[];
    /** Unix milliseconds since when. */
    readonly sinceMs: number;
  };
  /** The newest bundle that was refused, until a newer one is taken. */
  readonly refused?: {
    readonly code: RefusalCode;
    /** What and where, for the operator. */
    readonly detail: string;
    /** Where it could be read. */
    readonly revision?: number;
  };
  readonly version: string;
  readonly sentAtMs: number;
}
