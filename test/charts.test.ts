/**
 * The chart with the real helm: what it renders (golden files, rewritten by `npm run golden`; the diff is the
 * review) and what it refuses. What it does to a cluster is tested in scenarios/chart.test.ts.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { readConfig, SETTINGS } from "../controller/config.ts";
import { describeWithParts } from "./support/describe-with-parts.ts";
import { CHART, deploymentOf, environmentOf, openHelm } from "./support/helm.ts";
import type { Helm } from "./support/helm.ts";
import { readText, ROOT, SYSTEM_NAMESPACE } from "./support/kube.ts";

const FOLDER = join(import.meta.dirname, "golden", "chart");
const UPDATE = process.env["UPDATE_GOLDEN"] === "1";
const NAMES = globSync("*.values.yaml", { cwd: FOLDER })
  .map((file) => basename(file, ".values.yaml"))
  .toSorted();
const IMAGE = "--set=image.repository=registry.example.com/postern-controller";

/** Settings that the chart does not offer, each for a reason. */
const NOT_OFFERED = [
  "POSTERN_KUBECONFIG", // it is the pod's ServiceAccount
  "POSTERN_NATS_TOKEN_FILE", // credentials are how NATS in a cluster is usually guarded
  "POSTERN_ADMIN_LISTEN", // probes and Service stand on its default
  "POSTERN_DRAIN_TIMEOUT", // its default stands below the pod's grace period
];

describe("the chart's files", () => {
  test("its versions are the package's", () => {
    const chart = parse(readText("charts", "postern", "Chart.yaml")) as Record<string, string>;
    const { version } = JSON.parse(readText("package.json")) as { version: string };
    expect([chart["version"], chart["appVersion"]]).toEqual([version, version]);
  });

  test("its CRDs are those of crds/, and no others", () => {
    const files = (folder: string): string[] => globSync("*", { cwd: join(ROOT, folder) });
    expect(files("charts/postern/crds").toSorted()).toEqual(files("crds").toSorted());
    for (const file of files("crds")) {
      expect(readText("charts", "postern", "crds", file)).toBe(readText("crds", file));
    }
  });
});

await describeWithParts(["helm"], "the chart, rendered", ({ helm: path }) => {
  let helm: Helm;
  beforeAll(() => {
    helm = openHelm(path);
  });
  afterAll(() => helm[Symbol.dispose]());

  const render = (...args: readonly string[]): Promise<string> =>
    helm.must("template", "postern", CHART, `--namespace=${SYSTEM_NAMESPACE}`, ...args);
  const values = (name: string): string => `--values=${join(FOLDER, `${name}.values.yaml`)}`;

  test("there are golden files to compare with, and none is left over", () => {
    const outputs = globSync("*.out.yaml", { cwd: FOLDER }).map((f) => basename(f, ".out.yaml"));
    expect(NAMES).toEqual(["everything", "smallest"]);
    if (!UPDATE) expect(outputs.toSorted()).toEqual(NAMES);
  });

  test.each(NAMES)("%s", async (name) => {
    const text = await render(values(name));
    const file = join(FOLDER, `${name}.out.yaml`);
    if (UPDATE) writeFileSync(file, text);
    expect(existsSync(file)).toBe(true);
    expect(text).toBe(readFileSync(file, "utf8"));
  });

  test.each(NAMES)("helm lint finds nothing with %s", async (name) => {
    expect(await helm.must("lint", "--strict", CHART, values(name))).toContain("0 chart(s) failed");
  });

  test.each(NAMES)("the controller can read what %s sets", async (name) => {
    const config = readConfig(environmentOf(deploymentOf(await render(values(name)))));
    expect(config.namespace).toBe(SYSTEM_NAMESPACE);
  });

  test("every setting of the controller is a value, or stands with its reason", async () => {
    const env = environmentOf(deploymentOf(await render(values("everything"))));
    expect([...Object.keys(env), ...NOT_OFFERED].toSorted()).toEqual(
      Object.values(SETTINGS)
        .map(({ name }) => name)
        .toSorted(),
    );
  });

  test("names stay apart and valid with any name of a release", async () => {
    const long = "r".repeat(53);
    const text = await helm.must("template", long, CHART, values("smallest"));
    expect(deploymentOf(text).metadata.name).toMatch(/^r{43}-postern-controller$/);
  });

  test.each([
    [
      "no image",
      ["--set=nats.url=nats://nats:4222"],
      "image.repository is empty and no image is published yet, set it to your own image of dist/controller.js",
    ],
    ["no NATS", [IMAGE], "nats.url is empty, set it to your NATS servers with JetStream"],
    [
      "a misspelt value",
      ["--set=nats.ulr=nats://nats:4222"],
      "additional properties 'ulr' not allowed",
    ],
    [
      "a misspelt section",
      ["--set=natz.url=nats://nats:4222"],
      "additional properties 'natz' not allowed",
    ],
    [
      "more than one controller",
      ["--set=replicas=2"],
      "additional properties 'replicas' not allowed",
    ],
    ["a password in the URL", ["--set=nats.url=nats://me:secret@nats:4222"], "at '/nats/url'"],
    ["a duration without a unit", ["--set-string=keys.refresh=300"], "at '/keys/refresh'"],
    ["a level that does not exist", ["--set=logLevel=trace"], "at '/logLevel'"],
  ])("refuses %s", async (_, args, sentence) => {
    const { code, stderr } = await helm.run("template", "postern", CHART, ...args);
    expect(stderr).toContain(sentence);
    expect(code).not.toBe(0);
  });
});
