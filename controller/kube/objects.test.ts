import { describe, expect, test } from "@jest/globals";
import { KINDS } from "../../policy/api/kinds.ts";
import { workloadName } from "../../policy/workload-name.ts";
import type { KubeObject } from "./client.ts";
import { keepPod, keepPolicy, workloadsOf } from "./objects.ts";
import type { KeptPod } from "./objects.ts";

const [NAMESPACED, CLUSTER] = KINDS;
if (NAMESPACED === undefined || CLUSTER === undefined) throw new Error("There must be two kinds");

function policy(spec: unknown, metadata: Partial<KubeObject["metadata"]> = {}): KubeObject {
  return { metadata: { name: "p", namespace: "shop", generation: 3, uid: "u", ...metadata }, spec };
}

const GOOD = { selector: {}, operations: { undeclared: "Allow" } };

describe("keepPolicy()", () => {
  test("reads a policy from a list, where objects may not say their kind", () => {
    expect(keepPolicy(NAMESPACED, policy(GOOD)).policy).toMatchObject({
      kind: "policy",
      policy: {
        kind: "ApiSecurityPolicy",
        metadata: { name: "p", namespace: "shop", generation: 3 },
      },
    });
  });

  test("keeps an unreadable policy as one that closes, with the field", () => {
    const kept = keepPolicy(NAMESPACED, policy({ ...GOOD, mode: "enforce" }));
    expect(kept.policy).toMatchObject({
      kind: "unreadable",
      unreadable: { metadata: { name: "p", namespace: "shop", generation: 3 } },
    });
    expect(JSON.stringify(kept.policy)).toContain("spec.mode");
  });

  test.each([undefined, null, 1, "x", [], { selector: null }])(
    "never throws and never forgets a policy whose spec is %j",
    (spec) => expect(keepPolicy(CLUSTER, policy(spec)).policy.kind).toBe("unreadable"),
  );

  test("is the very same object while the generation is, whatever the status", () => {
    const before = keepPolicy(NAMESPACED, policy(GOOD));
    const after = keepPolicy(
      NAMESPACED,
      { ...policy(GOOD), status: { observedGeneration: 3, conditions: [] } },
      before,
    );
    expect(after.policy).toBe(before.policy);
    expect(after.status).toEqual({
      observedGeneration: 3,
      conditions: [],
      workloads: [],
      sidecars: "",
    });
  });

  test("is read anew when it was deleted and made again with the same generation", () => {
    const before = keepPolicy(NAMESPACED, policy(GOOD));
    const after = keepPolicy(
      NAMESPACED,
      policy({ ...GOOD, mode: "Observe" }, { uid: "v" }),
      before,
    );
    expect(after.policy).not.toBe(before.policy);
  });
});

describe("keepPod()", () => {
  const metadata = {
    name: "o-1",
    namespace: "shop",
    labels: { app: "o", "pod-template-hash": "x" },
  };

  test("derives the workload from the labels, less the hash labels", () => {
    expect(keepPod({ metadata })).toEqual({
      namespace: "shop",
      name: "o-1",
      workload: workloadName({ app: "o" }),
      labels: { app: "o" },
    });
  });

  test("a pod that terminates counts no more", () => {
    expect(
      keepPod({ metadata: { ...metadata, deletionTimestamp: "2026-01-02T03:04:05Z" } }),
    ).toBeUndefined();
  });
});

describe("workloadsOf()", () => {
  const pod = (name: string, workload = "w"): KeptPod => ({
    namespace: "shop",
    name,
    workload,
    labels: { app: workload },
  });

  test("groups and sorts", () => {
    const found = workloadsOf([pod("b"), pod("c", "v"), pod("a")], []);
    expect(found.map(({ name, pods }) => [name, pods])).toEqual([
      ["v", ["c"]],
      ["w", ["a", "b"]],
    ]);
  });

  test("leaves a workload that did not change the very same object", () => {
    const before = workloadsOf([pod("a"), pod("c", "v")], []);
    const after = workloadsOf([pod("c", "v"), pod("a"), pod("b")], before);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
  });
});
