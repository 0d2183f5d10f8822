/** `postern status` and the example policies against a real API server. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { PolicyStatus } from "../../policy/status.ts";
import { type ApiServer, startApiServer } from "../support/api-server.ts";
import { runCli } from "../support/cli.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { createNamespace } from "../support/kube.ts";

const EXAMPLES = ["orders-api", "catalog-public", "namespace-baseline"];

await describeWithParts(
  ["etcd", "kube-apiserver", "kubectl"],
  "a cluster with the example policies",
  () => {
    let api: ApiServer;

    beforeAll(async () => {
      api = await startApiServer();
    }, 120_000);
    afterAll(async () => {
      await api.stop();
    }, 30_000);

    const status = (...args: readonly string[]) =>
      runCli(["status", "--kubeconfig", api.kubeconfig, ...args]);

    async function setStatus(name: string, enforcing: number, generation: number): Promise<void> {
      const isEnforced = enforcing === 12;
      const lastTransitionTime = "2026-01-02T03:04:05Z";
      const condition = (type: "Accepted" | "Enforced", isTrue: boolean, message: string) =>
        ({
          type,
          status: isTrue ? "True" : "False",
          reason: isTrue ? type : "Progressing",
          message,
          observedGeneration: generation,
          lastTransitionTime,
        }) as const;
      const value: PolicyStatus = {
        observedGeneration: generation,
        conditions: [
          condition("Accepted", true, "the policy is valid"),
          condition(
            "Enforced",
            isEnforced,
            `${enforcing} of 12 sidecars enforce generation 1; lagging: orders-x2`,
          ),
        ],
        workloads: [
          {
            namespace: "shop",
            name: "orders-1f2e3d4c",
            revision: 93,
            digest: `sha256:${"a".repeat(64)}`,
            sidecars: 12,
            enforcing,
          },
        ],
        sidecars: `${enforcing}/12`,
      };
      const patch = JSON.stringify({ status: value });
      await api.must([
        "patch",
        "asp",
        name,
        "-n",
        "shop",
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
      ]);
    }

    test("without the kinds, says how to install them", async () => {
      const { exitCode, stderr } = await status();
      expect(stderr).toContain("install the kinds with kubectl apply -f crds/");
      expect(exitCode).toBe(1);
    });

    test("the API server takes every example", async () => {
      await api.must(["apply", "-f", "crds"]);
      await api.must(["wait", "--for=condition=Established", "crd", "--all"]);
      for (const namespace of ["shop", "billing"]) await createNamespace(api, namespace);
      for (const example of EXAMPLES) {
        await api.must(["apply", "-f", `examples/${example}/policy.yaml`]);
        await api.must(["apply", "-f", `examples/${example}/manifests.yaml`]);
      }
    });

    test("what kubectl prints of them, postern lint accepts", async () => {
      const stdin = await api.must(["get", "asp,casp", "-A", "-o", "yaml"]);
      const { exitCode, stdout } = await runCli(["lint", "-"], { stdin });
      expect(stdout).toContain("5 policies in 1 file: 0 errors");
      expect(exitCode).toBe(0);
    });

    test("shows that nobody has looked at them yet, and ends with 1", async () => {
      const { exitCode, stdout } = await status("-A");
      expect(stdout).toMatch(/^NAMESPACE +NAME +ACCEPTED +ENFORCED +MODE +SIDECARS +AGE$/m);
      expect(stdout).toMatch(/^shop +orders +Unknown +Unknown +Enforce +- +\d+s$/m);
      expect(stdout).toMatch(/^\(cluster\) +company +Unknown/m);
      expect(stdout).toContain("the controller has not looked at it yet");
      expect(exitCode).toBe(1);
    });

    test("names the laggards, and ends with 0 when there are none", async () => {
      await setStatus("orders", 11, 1);
      const behind = await status("orders", "-n", "shop");
      expect(behind.stdout).toMatch(/^shop +orders +True +False +Enforce +11\/12/m);
      expect(behind.stdout).toContain(
        "Enforced: Progressing: 11 of 12 sidecars enforce generation 1; lagging: orders-x2",
      );
      expect(behind.exitCode).toBe(1);
      await setStatus("orders", 12, 1);
      const done = await status("orders", "-n", "shop", "--output", "wide");
      expect(done.stdout).toMatch(/^shop\/orders-1f2e3d4c +93 +12\/12 +sha256:aaaa/m);
      expect(done.exitCode).toBe(0);
    });

    test("a status of an older generation does not count", async () => {
      await api.must([
        "patch",
        "asp",
        "orders",
        "-n",
        "shop",
        "--type=merge",
        "-p",
        '{"spec":{"mode":"Observe"}}',
      ]);
      const { exitCode, stdout } = await status("orders", "-n", "shop");
      expect(stdout).toContain("the status is of generation 1, the policy is at 2");
      expect(exitCode).toBe(1);
    });

    test("tells machines the same", async () => {
      const { stdout } = await status("-n", "shop", "--output", "json");
      const { policies } = JSON.parse(stdout) as {
        readonly policies: readonly { readonly name: string }[];
      };
      expect(policies.find(({ name }) => name === "orders")).toMatchObject({
        kind: "ApiSecurityPolicy",
        namespace: "shop",
        generation: 2,
        mode: "Observe",
        enforced: false,
        status: { sidecars: "12/12" },
      });
    });

    test("says so when there is no such policy", async () => {
      const { exitCode, stderr } = await status("nothing", "-n", "shop");
      expect(stderr).toBe(
        'There is no policy "nothing" in namespace "shop"; -A looks everywhere\n',
      );
      expect(exitCode).toBe(1);
    });
  },
);

describe("postern status", () => {
  test("names a kubeconfig that is not there", async () => {
    const { exitCode, stderr } = await runCli(["status", "--kubeconfig", "/nowhere/config"]);
    expect(stderr).toContain("there is no kubeconfig at /nowhere/config");
    expect(exitCode).toBe(1);
  });
});
