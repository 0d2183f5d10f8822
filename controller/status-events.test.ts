import { describe, expect, test } from "@jest/globals";
import type { PolicyRef } from "../policy/bundle.ts";
import type { Condition, PolicyStatus } from "../policy/status.ts";
import { statusEvents } from "./status-events.ts";

const POLICY: PolicyRef = {
  kind: "ApiSecurityPolicy",
  namespace: "shop",
  name: "orders",
  generation: 1,
};

function status(
  accepted: readonly [Condition["status"], string],
  enforced: readonly [Condition["status"], string],
  generation = 1,
): PolicyStatus {
  const condition = (
    type: Condition["type"],
    [is, reason]: readonly [Condition["status"], string],
  ): Condition => ({
    type,
    status: is,
    reason,
    message: `message of ${reason}`,
    observedGeneration: generation,
    lastTransitionTime: "2026-01-02T03:04:05Z",
  });
  return {
    observedGeneration: generation,
    conditions: [condition("Accepted", accepted), condition("Enforced", enforced)],
    workloads: [],
    sidecars: "1/1",
  };
}

const good = status(["True", "Accepted"], ["True", "Enforced"]);
const reasons = (previous: PolicyStatus | undefined, next: PolicyStatus): string[] =>
  statusEvents(POLICY, previous, next).map(({ type, reason }) => `${type} ${reason}`);

describe("statusEvents()", () => {
  test("tells that a policy is enforced, once per generation", () => {
    expect(statusEvents(POLICY, undefined, good)).toEqual([
      {
        policy: "ApiSecurityPolicy",
        namespace: "shop",
        name: "orders",
        type: "Normal",
        reason: "Enforced",
        message: "message of Enforced",
      },
    ]);
    expect(reasons(good, good)).toEqual([]);
    expect(reasons(good, status(["True", "Accepted"], ["True", "Enforced"], 2))).toEqual([
      "Normal Enforced",
    ]);
  });

  test("names no namespace for a cluster policy", () => {
    const ref: PolicyRef = { kind: "ClusterApiSecurityPolicy", name: "base", generation: 1 };
    expect(statusEvents(ref, undefined, good)[0]).not.toHaveProperty("namespace");
  });

  test.each([
    ["Warning Invalid", status(["False", "Invalid"], ["True", "Enforced"])],
    ["Warning KeysUnavailable", status(["True", "KeysUnavailable"], ["True", "Enforced"])],
    ["Warning SidecarRefused", status(["True", "Accepted"], ["False", "SidecarRefused"])],
    ["Warning SidecarLost", status(["True", "Accepted"], ["False", "Lagging"])],
  ])("tells %s when it appears, and not again while it lasts", (event, bad) => {
    expect(reasons(good, bad)).toEqual([event]);
    expect(reasons(bad, bad)).toEqual([]);
  });

  test("says nothing of progress", () => {
    expect(reasons(good, status(["True", "Accepted"], ["False", "Progressing"]))).toEqual([]);
  });
});
