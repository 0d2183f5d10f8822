/** The bundle that refuses everything: what a workload has when no policy, or no usable policy, speaks for it. */
import type { BundleContent, Closed, WorkloadRef } from "./bundle.ts";

export function closed(
  { namespace, name }: WorkloadRef,
  code: Closed["code"],
  detail: string,
): BundleContent {
  return { workload: { namespace, name }, policies: [], layers: [], closed: { code, detail } };
}
