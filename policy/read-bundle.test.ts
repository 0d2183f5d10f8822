import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import type { BundleContent, BundleLayer, Rule } from "./bundle.ts";
import { closed } from "./closed.ts";
import { digestOf, sealBundle } from "./encode.ts";
import { readBundle } from "./read-bundle.ts";
import { readReport } from "./read-report.ts";

const workload = { namespace: "shop", name: "orders-1" };
const policy = {
  kind: "ApiSecurityPolicy",
  namespace: "shop",
  name: "orders",
  generation: 7,
} as const;
const rule: Rule = {
  name: "read",
  methods: ["GET", "PUT"],
  path: [{ literal: "orders" }, { parameter: "id" }],
  providers: ["corp"],
  scopes: { all: ["a"] },
};
const layer: BundleLayer = {
  policy,
  tier: "workload",
  authentication: {
    mode: "Enforce",
    anonymous: "Deny",
    providers: [
      {
        kind: "jwt",
        name: "corp",
        issuer: "https://id.example.com",
        audiences: [],
        algorithms: ["RS256"],
        locations: [{ in: "header", name: "authorization", prefix: "Bearer" }],
        clockSkewSeconds: 30,
        keys: { kind: "known", jwks: [{ kty: "RSA", n: "x", e: "AQAB" }] },
        claimsToHeaders: [{ claim: "sub", header: "x-sub" }],
      },
    ],
  },
  operations: { mode: "Enforce", undeclared: "Deny", rules: [rule] },
};
const content: BundleContent = { workload, policies: [policy], layers: [layer] };

/** With a digest that is right, so that only what is said about it can refuse it. */
function sealed(changed: object): unknown {
  const bundle = { ...sealBundle(content, { revision: 3, issuedAtMs: 9 }), ...changed };
  return JSON.parse(JSON.stringify({ ...bundle, digest: digestOf(bundle) }));
}

function withLayer(changed: object): unknown {
  return sealed({ layers: [{ ...layer, ...changed }] });
}

function withRules(...rules: object[]): unknown {
  return withLayer({ operations: { ...layer.operations, rules } });
}

function withProvider(changed: object): unknown {
  const { authentication } = layer;
  const providers = [{ ...authentication?.providers[0], ...changed }];
  return withLayer({ authentication: { ...authentication, providers } });
}

describe("readBundle()", () => {
  test("takes what was sealed", () => {
    const bundle = sealBundle(content, { revision: 3, issuedAtMs: 9 });
    expect(readBundle(JSON.parse(JSON.stringify(bundle)))).toEqual({ kind: "bundle", bundle });
    const none = sealBundle(closed(workload, "policy.none", "none"), {
      revision: 1,
      issuedAtMs: 0,
    });
    expect(readBundle(JSON.parse(JSON.stringify(none)))).toEqual({ kind: "bundle", bundle: none });
  });

  test.each([
    ["undefined", undefined],
    ["null", null],
    ["a text", "{}"],
    ["a list", []],
    ["an object without a version", {}],
    ["a version that is a text", { schemaVersion: "1" }],
  ])("refuses %s as malformed", (_, value) => {
    expect(readBundle(value)).toMatchObject({ kind: "refused", code: "bundle.malformed" });
  });

  test("refuses a newer schema, and says which revision had it", () => {
    expect(readBundle(sealed({ schemaVersion: 3 }))).toEqual({
      kind: "refused",
      code: "bundle.version",
      detail: expect.stringContaining("found 3, this sidecar knows 2"),
      revision: 3,
    });
    expect(readBundle(sealed({ schemaVersion: 0 }))).toMatchObject({ code: "bundle.version" });
  });

  test("refuses a digest that is not that of the content", () => {
    const other = sealBundle(closed(workload, "policy.none", "x"), { revision: 1, issuedAtMs: 0 });
    const value = { ...sealBundle(content, { revision: 3, issuedAtMs: 9 }), digest: other.digest };
    expect(readBundle(value)).toMatchObject({
      kind: "refused",
      code: "bundle.digest",
      revision: 3,
    });
  });

  test.each<[string, () => unknown, string]>([
    ["an unknown field", () => sealed({ limits: {} }), 'unknown field "limits"'],
    [
      "an unknown field in a layer",
      () => withLayer({ threats: {} }),
      'unknown field "layers[0].threats"',
    ],
    [
      "an unknown field in a rule",
      () => withRules({ ...rule, condition: "x" }),
      'unknown field "layers[0].operations.rules[0].condition"',
    ],
    [
      "an unknown field in a key",
      () => withProvider({ keys: { kind: "known", jwks: [{ kty: "RSA", d: "x" }] } }),
      'jwks[0].d"',
    ],
    [
      "an unknown kind of provider",
      () => withProvider({ kind: "apiKey" }),
      "layers[0].authentication.providers[0]: Invalid value",
    ],
    [
      "an unknown mode",
      () => withLayer({ operations: { ...layer.operations, mode: "Audit" } }),
      'layers[0].operations.mode: Unsupported value: "Audit"',
    ],
    [
      "an unknown algorithm",
      () => withProvider({ algorithms: ["HS256"] }),
      'Unsupported value: "HS256"',
    ],
    [
      "an unknown location",
      () => withProvider({ locations: [{ in: "body", name: "x" }] }),
      "locations[0]: Invalid value",
    ],
    [
      "an unknown denial",
      () =>
        withLayer({
          authentication: undefined,
          operations: undefined,
          closed: { code: "policy.off", detail: "" },
        }),
      'Unsupported value: "policy.off"',
    ],
    [
      "an unknown method",
      () => withRules({ ...rule, methods: ["TRACE"] }),
      'Unsupported value: "TRACE"',
    ],
    ["no algorithms", () => withProvider({ algorithms: [] }), "algorithms: Invalid value: 0"],
    ["no locations", () => withProvider({ locations: [] }), "locations: Invalid value: 0"],
    ["no methods", () => withRules({ ...rule, methods: [] }), "methods: Invalid value: 0"],
    [
      "no scopes in a scope rule",
      () => withRules({ ...rule, scopes: { any: [] } }),
      "scopes.any: Invalid value: 0",
    ],
    [
      "both kinds of scope rule",
      () => withRules({ ...rule, scopes: { any: ["a"], all: ["a"] } }),
      "unknown field",
    ],
    [
      "no providers in a rule",
      () => withRules({ ...rule, providers: [] }),
      "providers: Invalid value: 0",
    ],
    [
      "a provider that the layer does not have",
      () => withRules({ ...rule, providers: ["other"] }),
      "must rest on the layer's own authentication",
    ],
    [
      "scopes without authentication",
      () => withLayer({ authentication: undefined }),
      "must rest on the layer's own authentication",
    ],
    [
      "unsorted methods",
      () => withRules({ ...rule, methods: ["PUT", "GET"] }),
      "methods must be sorted",
    ],
    [
      "unsorted rules",
      () =>
        withRules({ ...rule, path: [{ parameter: "x" }] }, { ...rule, path: [{ literal: "a" }] }),
      "rules must be sorted",
    ],
    [
      "two rules for one operation",
      () =>
        withRules(
          { ...rule, methods: ["GET"] },
          { ...rule, methods: ["POST"] },
          { ...rule, methods: ["GET"] },
        ),
      "each method and path once",
    ],
    [
      "an empty segment within a path",
      () => withRules({ ...rule, path: [{ literal: "" }, { literal: "a" }] }),
      "only the last segment",
    ],
    [
      "a header in upper case",
      () => withProvider({ claimsToHeaders: [{ claim: "sub", header: "X-Sub" }] }),
      "header must be in lower case",
    ],
    [
      "neither layers nor closed",
      () => sealed({ policies: [], layers: [] }),
      "a bundle must have layers, or be closed",
    ],
    [
      "layers and closed",
      () => sealed({ closed: { code: "policy.none", detail: "" } }),
      "a bundle must have layers, or be closed",
    ],
    [
      "a layer without sections",
      () => withLayer({ authentication: undefined, operations: undefined }),
      "a layer must have sections, or be closed",
    ],
    [
      "a closed layer with sections",
      () => withLayer({ closed: { code: "policy.invalid", detail: "" } }),
      "a layer must have sections, or be closed",
    ],
    [
      "policies that are not those of the layers",
      () => sealed({ policies: [] }),
      "policies must be those of the layers",
    ],
    [
      "a namespaced policy without namespace",
      () => sealed({ policies: [{ kind: "ApiSecurityPolicy", name: "a", generation: 1 }] }),
      "namespace must be there",
    ],
    [
      "narrow layers before wide ones",
      () =>
        sealed({ policies: [policy, policy], layers: [layer, { ...layer, tier: "namespace" }] }),
      "layers must be sorted",
    ],
    ["a revision of zero", () => sealed({ revision: 0 }), "revision: Invalid value"],
    ["a fractional time", () => sealed({ issuedAtMs: 1.5 }), "issuedAtMs: Invalid value"],
    [
      "null for an absent section",
      () => withLayer({ closed: null }),
      "layers[0].closed: Invalid value: found null",
    ],
  ])("refuses %s", (_, value, why) => {
    expect(readBundle(value())).toMatchObject({
      kind: "refused",
      code: "bundle.unknown",
      detail: expect.stringContaining(why),
    });
  });

  test("never throws", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(readBundle(value).kind).toBe("refused");
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(readBundle(withLayer({ operations: value })).kind).toBe("refused");
      }),
    );
  });

  test("refuses every single change of a sealed bundle's content", () => {
    const bundle = sealBundle(content, { revision: 3, issuedAtMs: 9 });
    const free = new Set(["revision", "issuedAtMs"]);
    const places = leaves(bundle).filter(([first]) => !free.has(String(first)));
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue(), (place, value) => {
        const copy: unknown = JSON.parse(JSON.stringify(bundle));
        const changed = replace(copy, place, value);
        fc.pre(JSON.stringify(changed) !== JSON.stringify(bundle));
        expect(readBundle(changed).kind).toBe("refused");
      }),
    );
  });
});

describe("readReport()", () => {
  const report = {
    workload,
    pod: "orders-1-a",
    state: "current",
    enforced: { revision: 3, digest: "sha256:x", policies: [policy], sinceMs: 1 },
    refused: { code: "bundle.replayed", detail: "older" },
    version: "0.1.0",
    sentAtMs: 2,
  };

  test("takes a report", () => {
    expect(readReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["a text", "x"],
    ["an unknown state", { ...report, state: "fine" }],
    ["an unknown field", { ...report, extra: 1 }],
    ["an unknown refusal", { ...report, refused: { code: "x", detail: "" } }],
    ["no pod", { ...report, pod: "" }],
    [
      "an endless detail",
      { ...report, refused: { code: "bundle.stale", detail: "x".repeat(5000) } },
    ],
  ])("refuses %s", (_, value) => {
    expect(readReport(value)).toBe(undefined);
  });
});

type Place = readonly (string | number)[];

function leaves(value: unknown, place: Place = []): Place[] {
  if (typeof value !== "object" || value === null) return [place];
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? value.map((item: unknown, index) => [index, item])
    : Object.entries(value);
  return entries.flatMap(([key, item]) => [[...place, key], ...leaves(item, [...place, key])]);
}

function replace(value: unknown, [key, ...rest]: Place, by: unknown): unknown {
  if (key === undefined) return by;
  const holder = value as Record<string | number, unknown>;
  holder[key] = replace(holder[key], rest, by);
  return holder;
}
