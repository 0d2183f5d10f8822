/** A change of a policy's status → the Kubernetes Events that an operator should see. Pure. */
import type { PolicyRef } from "../policy/bundle.ts";
import type { Condition, ConditionType, PolicyStatus } from "../policy/status.ts";
import type { ClusterEvent } from "./cluster.ts";

/** Which reason of which condition is worth an event, when it appears. */
const TOLD: readonly {
  readonly type: ConditionType;
  readonly when: (condition: Condition) => boolean;
  readonly event: Pick<ClusterEvent, "type"> & { readonly reason?: string };
}[] = [
  {
    type: "Accepted",
    when: ({ status }) => status === "False",
    event: { type: "Warning" },
  },
  {
    type: "Accepted",
    when: ({ status, reason }) => status === "True" && reason === "KeysUnavailable",
    event: { type: "Warning" },
  },
  {
    type: "Enforced",
    when: ({ status }) => status === "True",
    event: { type: "Normal" },
  },
  {
    type: "Enforced",
    when: ({ reason }) => reason === "SidecarRefused",
    event: { type: "Warning" },
  },
  {
    type: "Enforced",
    when: ({ reason }) => reason === "Lagging",
    event: { type: "Warning", reason: "SidecarLost" },
  },
];

export function statusEvents(
  policy: PolicyRef,
  previous: PolicyStatus | undefined,
  next: PolicyStatus,
): ClusterEvent[] {
  const events: ClusterEvent[] = [];
  for (const { type, when, event } of TOLD) {
    const now = find(next, type);
    if (now === undefined || !when(now)) continue;
    const before = previous === undefined ? undefined : find(previous, type);
    if (before !== undefined && when(before) && before.reason === now.reason) {
      // Enforced of a new generation is news; the same trouble with another number is not.
      const progress =
        event.type === "Normal" && previous?.observedGeneration !== next.observedGeneration;
      if (!progress) continue;
    }
    events.push({
      policy: policy.kind,
      ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
      name: policy.name,
      type: event.type,
      reason: event.reason ?? now.reason,
      message: now.message,
    });
  }
  return events;
}

function find(status: PolicyStatus, type: ConditionType): Condition | undefined {
  return status.conditions.find((condition) => condition.type === type);
}
