/**
 * Names and timings on which controller and sidecars must agree. Changing one is a protocol change:
 * see docs/reference/bus-contract.md.
 */
import type { WorkloadRef } from "./bundle.ts";

/** JetStream KV bucket; the value of a key is one signed bundle. */
export const BUNDLE_BUCKET = "postern-bundles";
/** JetStream object store for large, content-addressed documents. */
export const DOCUMENT_BUCKET = "postern-documents";
/** `typ` of the compact JWS around a bundle (RFC 7515 §4.1.9): a token for another purpose never is a bundle. */
export const BUNDLE_JWS_TYPE = "postern-bundle+jws";
/** The only algorithm that a bundle may be signed with (RFC 8037). */
export const BUNDLE_JWS_ALGORITHM = "EdDSA";

/** A sidecar repeats its report this often (with ±10 % jitter), and at once when something changes. */
export const HEARTBEAT_MS = 4_000;
/** Without a report for this long, a sidecar counts as lagging. Two lost heartbeats and a little. */
export const HEARTBEAT_LOST_MS = 10_000;
/** The controller signs an unchanged bundle anew after this time, so that its age stays below `maxStale`. */
export const RENEW_AFTER_MS = 60 * 60_000;

/** Label by which the controller finds pods that carry a sidecar. */
export const SIDECAR_LABEL = "postern.dev/sidecar";
export const SIDECAR_LABEL_VALUE = "enabled";

export function bundleKey(workload: WorkloadRef): string {
  return `${workload.namespace}.${workload.name}`;
}

export function ackSubject(workload: WorkloadRef, pod: string): string {
  return `postern.ack.${workload.namespace}.${workload.name}.${pod}`;
}

/** Every sidecar's reports. */
export const ACK_SUBJECTS = "postern.ack.>";
