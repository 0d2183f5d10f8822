/**
 * Golden files: whole inputs, whole outputs (bundles, conditions, problems). The name of a pair says the outcome.
 * `npm run golden` rewrites the outputs; the diff is the review.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { stringify } from "yaml";
import { acceptedCondition } from "../policy/accepted.ts";
import { compile } from "../policy/compile.ts";
import { sealBundle } from "../policy/encode.ts";
import { policyId } from "../policy/policy-id.ts";
import { readBundle } from "../policy/read-bundle.ts";
import { readDocuments, resourcesFrom } from "./support/resources.ts";

const FOLDER = join(import.meta.dirname, "golden", "compile");
const UPDATE = process.env["UPDATE_GOLDEN"] === "1";
const NAMES = globSync("*.in.yaml", { cwd: FOLDER })
  .map((file) => basename(file, ".in.yaml"))
  .sort();

function compiled(name: string) {
  const texts = ["base.yaml", `${name}.in.yaml`].map((file) =>
    readFileSync(join(FOLDER, file), "utf8"),
  );
  const { bundles, problems, selections } = compile(resourcesFrom(texts.flatMap(readDocuments)));
  const accepted = [...selections.keys()].map((id) => [
    id,
    acceptedCondition(problems.filter(({ policy }) => policyId(policy) === id)),
  ]);
  return {
    bundles: [...bundles.values()].map((content) =>
      sealBundle(content, { revision: 1, issuedAtMs: 0 }),
    ),
    accepted: Object.fromEntries(accepted) as object,
    selections: Object.fromEntries(selections) as object,
    problems,
  };
}

describe("compile()", () => {
  test("there are golden files to compare with", () => {
    expect(NAMES.length).toBeGreaterThanOrEqual(15);
  });

  test.each(NAMES)("%s", (name) => {
    const output = compiled(name);
    const text = stringify(output, { lineWidth: 0, aliasDuplicateObjects: false });
    const file = join(FOLDER, `${name}.out.yaml`);
    if (UPDATE) writeFileSync(file, text);
    expect(existsSync(file)).toBe(true);
    expect(text).toBe(readFileSync(file, "utf8"));
    for (const bundle of output.bundles) {
      expect(readBundle(JSON.parse(JSON.stringify(bundle)))).toEqual({ kind: "bundle", bundle });
    }
  });

  test("no output is left over from a case that is gone", () => {
    const outputs = globSync("*.out.yaml", { cwd: FOLDER }).map((file) =>
      basename(file, ".out.yaml"),
    );
    expect(outputs.sort()).toEqual(NAMES);
  });
});
