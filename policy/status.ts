/** A policy's status as the API server keeps it (GEP-713 words), and the truth that no intent can tell: N of M enforce. */

export type ConditionType = "Accepted" | "Programmed" | "Enforced";

export interface Condition {
  readonly type: ConditionType;
  readonly status: "True" | "False" | "Unknown";
  /** CamelCase, stable; see policy/problems.ts for those of `Accepted`. */
  readonly reason: string;
  /** For people; names the field, the sidecar, the remedy. */
  readonly message: string;
  readonly observedGeneration: number;
  /** RFC 3339, seconds. Changes only when `status` does. */
  readonly lastTransitionTime: string;
}

export interface WorkloadStatus {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly digest: string;
  readonly sidecars: number;
  readonly enforcing: number;
}

export interface PolicyStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  /** At most 100, those that lag first; `sidecars` counts all. */
  readonly workloads: readonly WorkloadStatus[];
  /** `enforcing/all`, as the Sidecars column shows it. */
  readonly sidecars: string;
}
