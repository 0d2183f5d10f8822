import { describe, expect, test } from "@jest/globals";
import { workloadLabels, workloadName } from "./workload-name.ts";

describe("workloadLabels()", () => {
  test("leaves out what tells the pods of one workload apart", () => {
    expect(
      workloadLabels({
        app: "orders",
        "pod-template-hash": "6c9f",
        "controller-revision-hash": "x",
        "pod-template-generation": "1",
        "statefulset.kubernetes.io/pod-name": "orders-0",
        "apps.kubernetes.io/pod-index": "0",
        "controller-uid": "u",
        "job-name": "j",
        "batch.kubernetes.io/job-name": "j",
        "postern.dev/sidecar": "enabled",
        tier: "api",
      }),
    ).toEqual({ app: "orders", tier: "api" });
  });
});

describe("workloadName()", () => {
  test.each([
    [{ "app.kubernetes.io/name": "cart", app: "x" }, /^cart-[0-9a-f]{8}$/],
    [{ app: "orders", "k8s-app": "y" }, /^orders-[0-9a-f]{8}$/],
    [{ "k8s-app": "dns" }, /^dns-[0-9a-f]{8}$/],
    [{ tier: "api" }, /^workload-[0-9a-f]{8}$/],
    [{}, /^workload-[0-9a-f]{8}$/],
    [{ app: "" }, /^workload-[0-9a-f]{8}$/],
    [{ app: "My_App.v2" }, /^my-app-v2-[0-9a-f]{8}$/],
    [{ app: "..." }, /^workload-[0-9a-f]{8}$/],
    [{ app: `${"a".repeat(39)}_b` }, /^a{39}-[0-9a-f]{8}$/],
  ])("of %j is a DNS label", (labels, pattern) => {
    expect(workloadName(labels as Record<string, string>)).toMatch(pattern);
  });

  test("is the same for all pods of a workload, in whatever order their labels come", () => {
    const name = workloadName({ app: "a", tier: "b", "pod-template-hash": "1" });
    expect(workloadName({ "pod-template-hash": "2", tier: "b", app: "a" })).toBe(name);
    expect(workloadName({ app: "a", tier: "c" })).not.toBe(name);
  });

  test("does not change between versions: both planes derive it", () => {
    expect(workloadName({ app: "orders", tier: "api" })).toBe("orders-096ede4c");
  });
});
