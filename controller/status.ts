/**
 * A policy's status: what was understood (Accepted), what is on the bus (Programmed), what is enforced
 * (Enforced, N of M, the laggards by name). Pure: the same facts give the same status, and a condition's time
 * moves only with its status, so that an unchanged world is never written twice.
 */
import type { PolicyRef } from "../policy/bundle.ts";
import type { Workload } from "../policy/resources.ts";
import type { Condition, ConditionType, PolicyStatus, WorkloadStatus } from "../policy/status.ts";
import { contains, judgeWorkload } from "./enforced.ts";
import type { Laggard, Published, WorkloadVerdict } from "./enforced.ts";
import type { SidecarStates } from "./sidecars.ts";

const MAX_NAMED_LAGGARDS = 5;
const MAX_WORKLOADS = 100;
/** The CRD allows 32 KiB; a detail that a sidecar sent must not make the whole status fail. */
const MAX_MESSAGE_CHARS = 2_048;

export type Verdict = Pick<Condition, "status" | "reason" | "message">;

export interface StatusInput {
  readonly policy: PolicyRef;
  readonly accepted: Verdict;
  /** The workloads that the policy selects. */
  readonly workloads: readonly Workload[];
  /** By workload: what the bus has confirmed. */
  readonly published: (workload: Workload) => Published | undefined;
  /** Why a workload's bundle could not be put there. */
  readonly failure: (workload: Workload) => string | undefined;
  /** False while we have never seen what the bus has. */
  readonly busKnown: boolean;
  readonly sidecars: SidecarStates;
  readonly bus: "connected" | "disconnected";
  /** We have listened for too short a time to say that somebody is silent. */
  readonly settling: boolean;
  readonly previous: PolicyStatus | undefined;
  readonly nowMs: number;
}

export function policyStatus(input: StatusInput): PolicyStatus {
  const verdicts = input.workloads.map((workload) =>
    judgeWorkload(input.policy, workload, input.published(workload), input.sidecars, input.nowMs),
  );
  const total = sum(verdicts, (verdict) => verdict.sidecars);
  const lagging = sum(verdicts, (verdict) => verdict.laggards.length);
  const kept = keptWhileSettling(input, verdicts, total);
  return {
    observedGeneration: input.policy.generation,
    conditions: [
      condition(input, "Accepted", input.accepted),
      condition(input, "Programmed", programmed(input, verdicts)),
      kept === undefined
        ? condition(input, "Enforced", enforced(input, verdicts, total))
        : kept.condition,
    ],
    workloads: kept?.status.workloads ?? workloadStatuses(verdicts),
    sidecars: kept?.status.sidecars ?? `${total - lagging}/${total}`,
  };
}

/** Equal in all that a reader of the status sees, apart from when a condition last changed. */
export function sameStatus(a: PolicyStatus | undefined, b: PolicyStatus): boolean {
  return a !== undefined && comparable(a) === comparable(b);
}

const UNKNOWN_BUS: Verdict = {
  status: "Unknown",
  reason: "BusUnavailable",
  message: "The bus has not been reached since the controller started, so nothing can be told",
};

/** Silence proves nothing while we have only just begun to listen: what was said before of the same pods stands. */
function keptWhileSettling(
  input: StatusInput,
  verdicts: readonly WorkloadVerdict[],
  total: number,
): { readonly condition: Condition; readonly status: PolicyStatus } | undefined {
  const { previous } = input;
  const laggards = verdicts.flatMap((verdict) => verdict.laggards);
  if (!input.settling || previous === undefined || laggards.length === 0) return undefined;
  if (!laggards.every(({ silent }) => silent)) return undefined;
  if (!previous.sidecars.endsWith(`/${total}`)) return undefined;
  const before = find(previous, "Enforced");
  if (before?.observedGeneration !== input.policy.generation) return undefined;
  return { condition: before, status: previous };
}

function programmed(input: StatusInput, verdicts: readonly WorkloadVerdict[]): Verdict {
  if (verdicts.length === 0) {
    return {
      status: "Unknown",
      reason: "NoWorkloads",
      message: "The policy selects no workload with a sidecar",
    };
  }
  if (!input.busKnown) return UNKNOWN_BUS;
  const missing = verdicts.filter(
    ({ published }) => published === undefined || !contains(published.policies, input.policy),
  );
  const first = missing[0];
  if (first === undefined) {
    return {
      status: "True",
      reason: "Programmed",
      message: `The bundles of ${count(verdicts.length, "workload")} are on the bus`,
    };
  }
  const why = input.failure(first.workload);
  const which = `${verdicts.length - missing.length} of ${count(verdicts.length, "workload")} programmed; missing: ${first.workload.namespace}/${first.workload.name}`;
  return input.bus === "disconnected"
    ? {
        status: "False",
        reason: "BusUnavailable",
        message: `${which}: the bus is not connected, sidecars keep what they have`,
      }
    : {
        status: "False",
        reason: "Pending",
        message: why === undefined ? which : `${which} (${why})`,
      };
}

function enforced(
  input: StatusInput,
  verdicts: readonly WorkloadVerdict[],
  total: number,
): Verdict {
  const { generation } = input.policy;
  const laggards = verdicts.flatMap((verdict) => verdict.laggards);
  if (verdicts.length > 0 && !input.busKnown) return UNKNOWN_BUS;
  if (total === 0) {
    return {
      status: "Unknown",
      reason: "NoSidecars",
      message: "No pod with a sidecar is selected, so nothing can enforce the policy",
    };
  }
  const tally = `${total - laggards.length} of ${count(total, "sidecar")} ${total === 1 ? "enforces" : "enforce"} generation ${generation}`;
  if (laggards.length === 0) return { status: "True", reason: "Enforced", message: tally };
  if (input.bus === "disconnected") {
    return {
      status: "Unknown",
      reason: "BusUnavailable",
      message: `${tally} by their last report; the bus is not connected, so the others cannot be told`,
    };
  }
  const worst = laggards.some(({ kind }) => kind === "refused")
    ? "SidecarRefused"
    : laggards.some(({ kind }) => kind === "late")
      ? "Lagging"
      : "Progressing";
  return { status: "False", reason: worst, message: `${tally}; lagging: ${names(laggards)}` };
}

/** Those that need a human first. */
function names(laggards: readonly Laggard[]): string {
  const rank = { refused: 0, late: 1, progressing: 2 };
  const sorted = laggards.toSorted(
    (a, b) =>
      rank[a.kind] - rank[b.kind] || compare(a.namespace, b.namespace) || compare(a.pod, b.pod),
  );
  const spaces = new Set(laggards.map(({ namespace }) => namespace));
  const named = sorted
    .slice(0, MAX_NAMED_LAGGARDS)
    .map(({ namespace, pod, why }) => `${spaces.size > 1 ? `${namespace}/` : ""}${pod} (${why})`);
  const more = laggards.length - named.length;
  return more > 0 ? `${named.join(", ")} and ${more} more` : named.join(", ");
}

function workloadStatuses(verdicts: readonly WorkloadVerdict[]): WorkloadStatus[] {
  return verdicts
    .toSorted(
      (a, b) =>
        b.laggards.length - a.laggards.length ||
        compare(a.workload.namespace, b.workload.namespace) ||
        compare(a.workload.name, b.workload.name),
    )
    .slice(0, MAX_WORKLOADS)
    .map(({ workload, published, sidecars, laggards }) => ({
      namespace: workload.namespace,
      name: workload.name,
      revision: published?.revision ?? 0,
      digest: published?.digest ?? "",
      sidecars,
      enforcing: sidecars - laggards.length,
    }));
}

function condition(input: StatusInput, type: ConditionType, verdict: Verdict): Condition {
  const before = input.previous === undefined ? undefined : find(input.previous, type);
  return {
    type,
    status: verdict.status,
    reason: verdict.reason,
    message: clip(verdict.message),
    observedGeneration: input.policy.generation,
    lastTransitionTime:
      before !== undefined && before.status === verdict.status
        ? before.lastTransitionTime
        : new Date(input.nowMs).toISOString().replace(/\.\d+Z$/, "Z"),
  };
}

function find(status: PolicyStatus, type: ConditionType): Condition | undefined {
  return status.conditions.find((condition) => condition.type === type);
}

function comparable(status: PolicyStatus): string {
  return JSON.stringify({
    generation: status.observedGeneration,
    sidecars: status.sidecars,
    conditions: status.conditions.map((c) => [
      c.type,
      c.status,
      c.reason,
      c.message,
      c.observedGeneration,
    ]),
    workloads: status.workloads.map((w) => [
      w.namespace,
      w.name,
      w.revision,
      w.digest,
      w.sidecars,
      w.enforcing,
    ]),
  });
}

function clip(message: string): string {
  return message.length <= MAX_MESSAGE_CHARS ? message : `${message.slice(0, MAX_MESSAGE_CHARS)}…`;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
