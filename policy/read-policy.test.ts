import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { readPolicy } from "./read-policy.ts";
import { issueText } from "./schema/validate.ts";

const CRDS = join(import.meta.dirname, "..", "test", "crds");

function files(folder: "valid" | "invalid") {
  return globSync("*.yaml", { cwd: join(CRDS, folder) })
    .sort()
    .map((file) => {
      const text = readFileSync(join(CRDS, folder, file), "utf8");
      const expected = /^# expect: (.+)$/m.exec(text)?.[1];
      return { name: basename(file, ".yaml"), expected, object: parse(text) as unknown };
    });
}

function issuesOf(object: unknown, options?: { defaultNamespace?: string }): string[] {
  const reading = readPolicy(object, options);
  return reading.kind === "policy" ? [] : reading.issues.map(issueText);
}

function policy(spec: unknown, more: object = {}): object {
  return {
    apiVersion: "postern.dev/v1alpha1",
    kind: "ApiSecurityPolicy",
    metadata: { name: "orders", namespace: "shop", generation: 7 },
    spec,
    ...more,
  };
}

const ALLOW = { undeclared: "Allow" };

describe("readPolicy() judges as the API server does", () => {
  test.each(files("valid"))("accepts $name", ({ object }) => {
    expect(issuesOf(object)).toEqual([]);
  });

  test.each(files("invalid"))("refuses $name", ({ expected, object }) => {
    expect(typeof expected).toBe("string");
    expect(issuesOf(object).join("\n")).toContain(expected);
  });
});

describe("readPolicy()", () => {
  test("fills in the defaults", () => {
    const reading = readPolicy(
      policy({
        selector: {},
        authentication: {
          providers: [{ name: "corp", jwt: { issuer: "i", jwks: { uri: "https://x/jwks" } } }],
        },
        operations: {},
      }),
    );
    expect(reading).toMatchObject({
      kind: "policy",
      policy: {
        metadata: { name: "orders", namespace: "shop", generation: 7 },
        spec: {
          mode: "Enforce",
          authentication: {
            anonymous: "Deny",
            providers: [
              {
                jwt: {
                  algorithms: ["RS256", "PS256", "ES256", "EdDSA"],
                  locations: [{ header: "Authorization", prefix: "Bearer" }],
                  clockSkew: "30s",
                },
              },
            ],
          },
          operations: { undeclared: "Deny", rules: [] },
        },
      },
    });
  });

  test("takes the namespace from the caller where the object has none", () => {
    const object = policy({ selector: {}, operations: ALLOW }, { metadata: { name: "a" } });
    expect(issuesOf(object)).toEqual(["metadata.namespace: Required value: a string is missing"]);
    expect(readPolicy(object, { defaultNamespace: "default" })).toMatchObject({
      policy: { metadata: { name: "a", namespace: "default", generation: 1 } },
    });
  });

  test.each([
    ["null", null, "not a policy object"],
    ["a list", [], "not a policy object"],
    ["a text", "selector: {}", "not a policy object"],
    [
      "an empty object",
      {},
      'kind: Unsupported value: nothing: supported values: "ApiSecurityPolicy"',
    ],
    [
      "an object of another group",
      policy({}, { apiVersion: "v1" }),
      'apiVersion: Unsupported value: "v1": supported values: "postern.dev/v1alpha1"',
    ],
    [
      "a misspelt kind",
      policy({}, { kind: "ApiSecurityPolcy" }),
      'did you mean "ApiSecurityPolicy"?',
    ],
    [
      "a misspelt top-level field",
      policy({ selector: {}, operations: ALLOW }, { sepc: {} }),
      'unknown field "sepc"; did you mean "spec"?',
    ],
    [
      "a policy without a name",
      policy({ selector: {}, operations: ALLOW }, { metadata: { namespace: "a" } }),
      "metadata.name: Required value",
    ],
    [
      "metadata that is a list",
      policy({ selector: {}, operations: ALLOW }, { metadata: [] }),
      "metadata: Required value",
    ],
    [
      "a name that is none",
      policy({ selector: {}, operations: ALLOW }, { metadata: { name: "a/b", namespace: "x" } }),
      "metadata.name: Invalid value",
    ],
    [
      "a generation that is none",
      policy(
        { selector: {}, operations: ALLOW },
        { metadata: { name: "a", namespace: "x", generation: "7" } },
      ),
      "metadata.generation: Invalid value",
    ],
    [
      "a cluster policy with a namespace",
      policy(
        { selector: {}, namespaceSelector: {}, operations: ALLOW },
        { kind: "ClusterApiSecurityPolicy" },
      ),
      "has no namespace, remove this field",
    ],
    [
      "null for a section",
      policy({ selector: {}, operations: null }),
      "spec.operations: Invalid value: found null, an object is required",
    ],
    [
      "a lone surrogate",
      policy({
        selector: {},
        operations: { rules: [{ name: "a", methods: ["GET"], path: "/\ud800" }] },
      }),
      "well-formed Unicode",
    ],
    [
      "a key named __proto__",
      policy(JSON.parse('{"selector": {}, "__proto__": {"operations": {}}}')),
      'unknown field "spec.__proto__"',
    ],
  ])("refuses %s", (_, object, sentence) => {
    expect(issuesOf(object).join("\n")).toContain(sentence);
  });

  test("keeps the target of a policy that it cannot read", () => {
    const reading = readPolicy(policy({ selector: { matchLabels: { app: "a" } }, limits: {} }));
    expect(reading).toMatchObject({
      kind: "invalid",
      unreadable: { target: { selector: { matchLabels: { app: "a" } } } },
    });
  });

  test.each([
    ["is misspelt", { selector: { matchLabel: { app: "a" } } }],
    ["is missing", {}],
    ["is there twice", { selector: {}, targetRefs: [{ group: "", kind: "Service", name: "a" }] }],
  ])("does not guess a target that %s", (_, target) => {
    const reading = readPolicy(policy({ ...target, limits: {} }));
    expect(reading).toMatchObject({ kind: "invalid", unreadable: { kind: "ApiSecurityPolicy" } });
    expect(reading.kind === "invalid" && reading.unreadable?.target).toBe(undefined);
  });

  test("stays bounded for hostile input", () => {
    const object = policy({
      selector: {},
      operations: { rules: Array.from({ length: 128 }, () => ({ bad: "x".repeat(10_000) })) },
    });
    const text = issuesOf(object).join("\n");
    expect(text.length).toBeGreaterThan(0);
    expect(text.length).toBeLessThan(10_000);
  });
});
