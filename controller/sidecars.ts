/**
 * What the sidecars say of themselves: the last report of each pod and its age. Only pods that the cluster
 * knows count; a bounded number of reports of pods that it does not know yet waits for them, because a report
 * may be faster than the watch. A report stands for one pod: the subject that it came on must be that pod's.
 */
import type { WorkloadRef } from "../policy/bundle.ts";
import { ackSubject, HEARTBEAT_LOST_MS } from "../policy/contract.ts";
import { readReport } from "../policy/read-report.ts";
import type { SidecarReport } from "../policy/report.ts";
import type { Workload } from "../policy/resources.ts";
import type { BusMessage } from "../runtime/bus/bus.ts";
import type { Clock } from "../runtime/clock.ts";

/** A sidecar that left in order has this long before its pod must be gone or have a sidecar again. */
const LEAVING_MS = 30_000;
const MAX_UNKNOWN_PODS = 1024;
const MAX_REPORT_BYTES = 1024 * 1024;

export type SidecarState =
  /** Its last report is fresh. */
  | { readonly kind: "reporting"; readonly report: SidecarReport }
  /** No report within HEARTBEAT_LOST_MS; `reported` says whether there ever was one. */
  | { readonly kind: "lost"; readonly reported: boolean; readonly silentMs: number }
  /** The pod is new and has not reported yet. */
  | { readonly kind: "starting" }
  /** Shuts down in order: does not count. */
  | { readonly kind: "leaving" };

/** By `podKey()`. A pod that is missing here was not expected. */
export type SidecarStates = ReadonlyMap<string, SidecarState>;

/** `ignored`: not a report, or of a pod that does not exist; counted. */
export type Taken =
  | { readonly kind: "changed" | "same"; readonly report: SidecarReport }
  | { readonly kind: "ignored"; readonly reason: string };

export interface Sidecars {
  /** These pods exist, and no others. */
  expect(workloads: readonly Workload[]): void;
  take(message: BusMessage): Taken;
  states(): SidecarStates;
  readonly counts: { readonly reports: number; readonly ignored: number; readonly pods: number };
}

interface Pod {
  readonly workload: WorkloadRef;
  readonly expectedAtMs: number;
  last: { readonly report: SidecarReport; readonly atMs: number } | undefined;
}

export function podKey(namespace: string, pod: string): string {
  return `${namespace}/${pod}`;
}

export function createSidecars(clock: Pick<Clock, "now">): Sidecars {
  let pods = new Map<string, Pod>();
  /** Insertion order is age: the oldest is dropped first. */
  const unknown = new Map<string, { readonly report: SidecarReport; readonly atMs: number }>();
  let reports = 0;
  let ignored = 0;

  function ignore(reason: string): Taken {
    ignored += 1;
    return { kind: "ignored", reason };
  }

  function stateOf(pod: Pod): SidecarState {
    const now = clock.now();
    if (pod.last === undefined) {
      const silentMs = now - pod.expectedAtMs;
      return silentMs < HEARTBEAT_LOST_MS
        ? { kind: "starting" }
        : { kind: "lost", reported: false, silentMs };
    }
    const silentMs = now - pod.last.atMs;
    const { report } = pod.last;
    if (report.state === "leaving" && silentMs < LEAVING_MS) return { kind: "leaving" };
    if (report.state === "leaving" || silentMs >= HEARTBEAT_LOST_MS) {
      return { kind: "lost", reported: true, silentMs };
    }
    return { kind: "reporting", report };
  }

  return {
    expect(workloads) {
      const expected = new Map<string, Pod>();
      for (const { namespace, name, pods: names } of workloads) {
        for (const podName of names) {
          const key = podKey(namespace, podName);
          const known = pods.get(key);
          const same = known?.workload.name === name;
          const pod: Pod = same
            ? known
            : { workload: { namespace, name }, expectedAtMs: clock.now(), last: undefined };
          const early = unknown.get(key);
          if (early !== undefined && early.report.workload.name === name) {
            pod.last = early;
            unknown.delete(key);
          }
          expected.set(key, pod);
        }
      }
      pods = expected;
    },
    take(message) {
      const report = parseReport(message.data);
      if (report === undefined) return ignore("it is not a report");
      if (message.subject !== ackSubject(report.workload, report.pod)) {
        return ignore("the report is of another pod than its subject says");
      }
      const key = podKey(report.workload.namespace, report.pod);
      const pod = pods.get(key);
      const last = { report, atMs: clock.now() };
      if (pod === undefined || pod.workload.name !== report.workload.name) {
        unknown.delete(key);
        unknown.set(key, last);
        if (unknown.size > MAX_UNKNOWN_PODS) unknown.delete(unknown.keys().next().value ?? key);
        return ignore("the cluster knows no such pod with a sidecar");
      }
      reports += 1;
      const before = stateOf(pod);
      pod.last = last;
      return { kind: sameState(before, stateOf(pod)) ? "same" : "changed", report };
    },
    states() {
      return new Map([...pods].map(([key, pod]) => [key, stateOf(pod)]));
    },
    get counts() {
      return { reports, ignored, pods: pods.size };
    },
  };
}

function parseReport(data: Uint8Array): SidecarReport | undefined {
  if (data.length > MAX_REPORT_BYTES) return undefined;
  try {
    return readReport(JSON.parse(Buffer.from(data).toString("utf8")));
  } catch {
    // Not JSON: whoever may publish here can send anything.
    return undefined;
  }
}

/** Whether a report says nothing new, apart from when it was sent. */
function sameState(before: SidecarState, after: SidecarState): boolean {
  if (before.kind !== "reporting" || after.kind !== "reporting") return before.kind === after.kind;
  return (
    before.report.state === after.report.state &&
    JSON.stringify(before.report.enforced) === JSON.stringify(after.report.enforced) &&
    JSON.stringify(before.report.refused) === JSON.stringify(after.report.refused)
  );
}
