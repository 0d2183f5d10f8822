/**
 * Who enforces a policy, and who does not and why: the verdict behind `Enforced`. Pure. A sidecar enforces a
 * policy when its last fresh report names the published digest and, in it, this policy at this generation;
 * anything else is a laggard, with a sentence.
 */
import type { PolicyRef } from "../policy/bundle.ts";
import { HEARTBEAT_LOST_MS } from "../policy/contract.ts";
import type { Workload } from "../policy/resources.ts";
import { podKey } from "./sidecars.ts";
import type { SidecarState, SidecarStates } from "./sidecars.ts";

/** What stands on the bus for a workload, confirmed. */
export interface Published {
  readonly revision: number;
  readonly digest: string;
  readonly policies: readonly PolicyRef[];
  /** Since when the bus has this content. */
  readonly sinceMs: number;
}

export interface Laggard {
  readonly namespace: string;
  readonly pod: string;
  /** `no report for 40s`. */
  readonly why: string;
  /** `late`: it should have done so by now; `progressing`: it still may in time. */
  readonly kind: "refused" | "late" | "progressing";
  /** We know it by its silence alone. */
  readonly silent: boolean;
}

export interface WorkloadVerdict {
  readonly workload: Workload;
  readonly published: Published | undefined;
  readonly sidecars: number;
  readonly laggards: readonly Laggard[];
}

/** Whether the published bundle contains this policy at this generation. */
export function contains(policies: readonly PolicyRef[], policy: PolicyRef): boolean {
  return policies.some(
    (other) =>
      other.kind === policy.kind &&
      other.namespace === policy.namespace &&
      other.name === policy.name &&
      other.generation === policy.generation,
  );
}

export function judgeWorkload(
  policy: PolicyRef,
  workload: Workload,
  published: Published | undefined,
  states: SidecarStates,
  nowMs: number,
): WorkloadVerdict {
  const laggards: Laggard[] = [];
  let sidecars = 0;
  for (const pod of workload.pods) {
    const state = states.get(podKey(workload.namespace, pod)) ?? { kind: "starting" };
    if (state.kind === "leaving") continue;
    sidecars += 1;
    const lag = lagOf(policy, published, state, nowMs);
    if (lag === undefined) continue;
    const silent = state.kind !== "reporting";
    laggards.push({ namespace: workload.namespace, pod, silent, ...lag });
  }
  return { workload, published, sidecars, laggards };
}

function lagOf(
  policy: PolicyRef,
  published: Published | undefined,
  state: Exclude<SidecarState, { readonly kind: "leaving" }>,
  nowMs: number,
): Pick<Laggard, "why" | "kind"> | undefined {
  switch (state.kind) {
    case "starting":
      return { kind: "progressing", why: "starts" };
    case "lost":
      return state.reported
        ? { kind: "late", why: `no report for ${roughly(state.silentMs)}` }
        : { kind: "late", why: `never reported, known for ${roughly(state.silentMs)}` };
    case "reporting": {
      const { enforced, refused } = state.report;
      const patience =
        published === undefined || nowMs - published.sinceMs < HEARTBEAT_LOST_MS
          ? "progressing"
          : "late";
      // A refused replay or forgery takes nothing away from a sidecar that has the published bundle.
      if (published !== undefined && enforced?.digest === published.digest) {
        if (state.report.state === "stale") return { kind: "late", why: "its bundle is stale" };
        return contains(enforced.policies, policy)
          ? undefined
          : { kind: patience, why: "waits for this generation" };
      }
      if (refused !== undefined) {
        return { kind: "refused", why: `refuses its bundle, ${refused.code}: ${refused.detail}` };
      }
      return enforced === undefined
        ? { kind: patience, why: "waits for its first bundle" }
        : { kind: patience, why: `enforces revision ${enforced.revision}` };
    }
  }
}

/** Coarse on purpose: each change of a message is a write to the API server. */
const STEPS = [
  [24 * 3_600_000, "more than a day"],
  [6 * 3_600_000, "6h"],
  [3_600_000, "1h"],
  [20 * 60_000, "20m"],
  [5 * 60_000, "5m"],
  [60_000, "1m"],
  [30_000, "30s"],
] as const;

export function roughly(ms: number): string {
  return STEPS.find(([from]) => ms >= from)?.[1] ?? "10s";
}
