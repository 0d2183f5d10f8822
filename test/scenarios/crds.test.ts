/** The CRDs alone, at a real API server: every mistake is refused with a sentence that names the field. */
import { globSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startApiServer } from "../support/api-server.ts";
import type { ApiServer } from "../support/api-server.ts";
import { describeWithParts } from "../support/describe-with-parts.ts";
import { readText, ROOT } from "../support/kube.ts";

const files = (folder: string): string[] =>
  globSync(`test/crds/${folder}/*.yaml`, { cwd: ROOT }).toSorted();

await describeWithParts(["etcd", "kube-apiserver", "kubectl"], "CRDs at the API server", () => {
  let api: ApiServer;
  beforeAll(async () => {
    api = await startApiServer();
    await api.must(["apply", "-f", join(ROOT, "crds")]);
    for (const kind of ["apisecuritypolicies", "clusterapisecuritypolicies"]) {
      await api.must(["wait", "--for=condition=Established", `crd/${kind}.postern.dev`]);
    }
  }, 90_000);
  afterAll(() => api.stop());

  test("there are files to try", () => {
    expect(files("invalid").length).toBeGreaterThan(20);
    expect(files("valid").length).toBeGreaterThan(5);
  });

  test.each(files("invalid"))("refuses %s", async (file) => {
    const text = readText(file);
    const expected = /^# expect: (.+)$/m.exec(text)?.[1];
    expect(expected).toBeDefined();
    const { code, stderr } = await api.kubectl(["apply", "-f", "-"], text);
    expect(code).not.toBe(0);
    expect(stderr).toContain(expected);
  });

  test.each(files("valid"))("accepts %s", async (file) => {
    const { code, stdout, stderr } = await api.kubectl(["apply", "-f", join(ROOT, file)]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/created|configured|unchanged/);
    expect(code).toBe(0);
  });

  test("kubectl shows what an operator asks first", async () => {
    const header = (await api.must(["get", "asp", "--all-namespaces"])).split("\n")[0] ?? "";
    expect(header.trim().split(/\s+/)).toEqual([
      "NAMESPACE",
      "NAME",
      "ACCEPTED",
      "ENFORCED",
      "MODE",
      "SIDECARS",
      "AGE",
    ]);
  });
});
