import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { acceptedCondition } from "./accepted.ts";
import { compile, compileFor } from "./compile.ts";
import { canonicalJson, sealBundle } from "./encode.ts";
import { keySourceId, keySources } from "./key-sources.ts";
import { policyId, policyRef } from "./policy-id.ts";
import { readBundle } from "./read-bundle.ts";
import { readPolicy } from "./read-policy.ts";
import type {
  Namespace,
  Policy,
  Resources,
  Service,
  UnreadablePolicy,
  Workload,
} from "./resources.ts";

const NAMESPACES = ["shop", "bank"];
const APPS = ["orders", "cart", "ledger"];
const ED = {
  kty: "OKP",
  crv: "Ed25519",
  x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
} as const;

const app = fc.constantFrom(...APPS);
const selector = fc.oneof(
  fc.constant({}),
  app.map((name) => ({ matchLabels: { app: name } })),
  fc
    .record({
      key: fc.constantFrom("app", "tier"),
      operator: fc.constantFrom("In", "NotIn"),
      values: fc.uniqueArray(app, { minLength: 1 }),
    })
    .map((expression) => ({ matchExpressions: [expression] })),
  fc.constantFrom("Exists", "DoesNotExist").map((operator) => ({
    matchExpressions: [{ key: "tier", operator }],
  })),
);
const target = fc.oneof(
  selector.map((value) => ({ selector: value })),
  app.map((name) => ({ targetRefs: [{ group: "", kind: "Service", name }] })),
);
const rule = fc.record(
  {
    name: fc.constantFrom("a", "b", "c", "d"),
    methods: fc.uniqueArray(fc.constantFrom("GET", "PUT", "POST"), { minLength: 1 }),
    path: fc.constantFrom(
      "/",
      "/a",
      "/a/",
      "/a/{x}",
      "/a/{y}",
      "/{x}/b",
      "/a/b",
      "/%zz",
      "/{x}/{x}",
    ),
    scopes: fc.oneof(fc.constant({ all: ["s"] }), fc.constant({ any: ["s", "t"] })),
    providers: fc.constant(["corp"]),
  },
  { requiredKeys: ["name", "methods", "path"] },
);
const sections = fc.record(
  {
    mode: fc.constantFrom("Enforce", "Observe"),
    authentication: fc.record({
      anonymous: fc.constantFrom("Deny", "Allow"),
      providers: fc.uniqueArray(
        fc.record({
          name: fc.constantFrom("corp", "b"),
          jwt: fc.record({
            issuer: fc.constant("https://id.example.com"),
            jwks: fc.constantFrom(
              { discovery: {} },
              { uri: "https://id.example.com/jwks" },
              { inline: JSON.stringify({ keys: [ED] }) },
              { inline: '{"keys":' },
            ),
          }),
        }),
        { selector: ({ name }) => name },
      ),
    }),
    operations: fc.record({ rules: fc.uniqueArray(rule, { selector: ({ name }) => name }) }),
    limits: fc.constant({}),
  },
  { requiredKeys: [] },
);
const object = fc
  .record({
    cluster: fc.boolean(),
    name: fc.constantFrom("p1", "p2", "p3", "p4"),
    namespace: fc.constantFrom(...NAMESPACES),
    target,
    sections,
    namespaceSelector: fc.constantFrom({}, { matchLabels: { team: "retail" } }),
  })
  .map((x) => ({
    apiVersion: "postern.dev/v1alpha1",
    kind: x.cluster ? "ClusterApiSecurityPolicy" : "ApiSecurityPolicy",
    metadata: x.cluster ? { name: x.name } : { name: x.name, namespace: x.namespace },
    spec: {
      ...x.target,
      ...x.sections,
      ...(x.cluster ? { namespaceSelector: x.namespaceSelector } : {}),
    },
  }));
const objects = fc.uniqueArray(object, {
  selector: ({ kind, metadata }) => `${kind}/${JSON.stringify(metadata)}`,
  maxLength: 6,
});

const workloads: readonly Workload[] = NAMESPACES.flatMap((namespace) =>
  APPS.map((name) => ({
    namespace,
    name,
    labels: name === "cart" ? { app: name } : { app: name, tier: "api" },
    pods: [`${name}-0`],
  })),
);
const services: readonly Service[] = APPS.slice(1).map((name) => ({
  namespace: "shop",
  name,
  selector: { app: name },
}));
const namespaces: readonly Namespace[] = [
  { name: "shop", labels: { team: "retail" } },
  { name: "bank", labels: { team: "finance" } },
];

function resources(documents: readonly object[]): Resources {
  const policies: Policy[] = [];
  const unreadable: UnreadablePolicy[] = [];
  for (const document of documents) {
    const reading = readPolicy(document);
    if (reading.kind === "policy") policies.push(reading.policy);
    else if (reading.unreadable !== undefined) unreadable.push(reading.unreadable);
  }
  const keys = new Map([
    ["uri:https://id.example.com/jwks", { kind: "known" as const, jwks: [ED] }],
  ]);
  return { policies, unreadable, namespaces, services, workloads, keys };
}

function text({ bundles, problems, selections }: ReturnType<typeof compile>): string {
  return canonicalJson({ bundles: [...bundles], problems, selections: [...selections] });
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  return items
    .map((item, index) => ({ item, key: Math.sin(seed + index * 7919) }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

describe("compile()", () => {
  test("gives the same bytes for the same resources in any order", () => {
    fc.assert(
      fc.property(objects, fc.integer(), (documents, seed) => {
        const straight = resources(documents);
        // New objects, so that nothing is remembered from the first time.
        const again = resources(shuffled(documents, seed));
        const mixed: Resources = {
          ...again,
          namespaces: shuffled(namespaces, seed),
          services: shuffled(services, seed),
          workloads: shuffled(workloads, seed).map((workload) => ({ ...workload })),
        };
        expect(text(compile(mixed))).toBe(text(compile(straight)));
      }),
    );
  });

  test("only ever adds a layer when a policy is added", () => {
    fc.assert(
      fc.property(objects, object, (documents, added) => {
        const id = (x: { kind: string; metadata: object }) => x.kind + JSON.stringify(x.metadata);
        const others = documents.filter((x) => id(x) !== id(added));
        const before = compile(resources(others)).bundles;
        const after = compile(resources([...others, added])).bundles;
        for (const [key, { layers, closed }] of before) {
          const now = after.get(key)?.layers.map((layer) => canonicalJson(layer)) ?? [];
          for (const layer of layers) expect(now).toContain(canonicalJson(layer));
          if (closed === undefined) expect(after.get(key)?.closed).toBe(undefined);
        }
      }),
    );
  });

  test("makes only what readBundle() takes, unchanged", () => {
    fc.assert(
      fc.property(objects, (documents) => {
        for (const content of compile(resources(documents)).bundles.values()) {
          const bundle = sealBundle(content, { revision: 1, issuedAtMs: 0 });
          const reading = readBundle(JSON.parse(canonicalJson(bundle)));
          expect(reading).toEqual({ kind: "bundle", bundle });
        }
      }),
    );
  });

  test("has a bundle for every workload, open only where a policy selects it", () => {
    fc.assert(
      fc.property(objects, (documents) => {
        const { bundles, selections } = compile(resources(documents));
        expect(bundles.size).toBe(workloads.length);
        for (const [key, { layers, closed }] of bundles) {
          const selecting = [...selections.values()].filter((keys) => keys.includes(key));
          expect(layers.length).toBe(selecting.length);
          expect(closed?.code).toBe(selecting.length === 0 ? "policy.none" : undefined);
        }
      }),
    );
  });

  test("closes the layer of every policy with an error about its operations", () => {
    fc.assert(
      fc.property(objects, (documents) => {
        const { bundles, problems } = compile(resources(documents));
        const spoiled = new Set(
          problems
            .filter(({ reason }) =>
              ["Invalid", "PathInvalid", "OperationConflict", "UnknownProvider"].includes(reason),
            )
            .map(({ policy }) => policyId(policy)),
        );
        for (const { layers } of bundles.values()) {
          for (const { policy, closed } of layers) {
            expect(closed?.code === "policy.invalid").toBe(spoiled.has(policyId(policy)));
          }
        }
      }),
    );
  });

  test("remembers what has not changed, so that digests need no second computation", () => {
    const input = resources([orders({ undeclared: "Allow" })]);
    const first = compile(input).bundles;
    const again = workloads.map((workload) => ({ ...workload }));
    const second = compile({ ...input, workloads: again }).bundles;
    const open = [...first].filter(([, { layers }]) => layers.length > 0);
    expect(open.length).toBe(1);
    for (const [key, content] of open) expect(second.get(key)).toBe(content);
  });

  test("compiles a policy anew when its keys have changed", () => {
    const input = resources([
      orders(
        {},
        { providers: [{ name: "c", jwt: { issuer: "https://x", jwks: { discovery: {} } } }] },
      ),
    ]);
    const keysOf = (keys: Resources["keys"]) =>
      compile({ ...input, keys }).bundles.get("shop.orders")?.layers[0]?.authentication
        ?.providers[0]?.keys;
    expect(keysOf(new Map())).toMatchObject({ kind: "unavailable" });
    const known = { kind: "known", jwks: [ED] } as const;
    expect(keysOf(new Map([["discovery:https://x", known]]))).toEqual(known);
    const empty = { kind: "known", jwks: [] } as const;
    expect(keysOf(new Map([["discovery:https://x", empty]]))).toEqual(empty);
  });

  test("lets a cluster policy cover a namespace that has not been seen yet", () => {
    const document = {
      ...orders({ undeclared: "Allow" }),
      kind: "ClusterApiSecurityPolicy",
      metadata: { name: "retail" },
    };
    const spec = { ...document.spec, namespaceSelector: { matchLabels: { team: "retail" } } };
    const input = resources([{ ...document, spec }]);
    const covered = (seen: readonly Namespace[]) =>
      [...compile({ ...input, namespaces: seen }).selections.values()][0];
    expect(covered(namespaces)).toEqual(["shop.orders"]);
    expect(covered([])).toEqual(["bank.orders", "shop.orders"]);
  });
});

describe("compileFor()", () => {
  test("applies every policy to the one workload, whatever it selects", () => {
    const { policies, unreadable, keys } = resources([
      orders({ undeclared: "Allow" }),
      { ...orders({}), metadata: { name: "other", namespace: "elsewhere" } },
      { ...orders({}), metadata: { name: "broken", namespace: "shop" }, spec: { selector: {} } },
    ]);
    const workload = { namespace: "default", name: "local" };
    const { content, problems } = compileFor(workload, { policies, unreadable, keys });
    expect(content.policies.map(policyId)).toEqual([
      "ApiSecurityPolicy/shop/broken",
      "ApiSecurityPolicy/elsewhere/other",
      "ApiSecurityPolicy/shop/orders",
    ]);
    expect(content.layers[0]?.closed?.code).toBe("policy.invalid");
    expect(problems.map(({ reason }) => reason)).toEqual(["Invalid"]);
  });

  test("closes without a policy", () => {
    const none = { policies: [], unreadable: [], keys: new Map() };
    const { content } = compileFor({ namespace: "default", name: "local" }, none);
    expect(content.closed?.code).toBe("policy.none");
  });
});

describe("acceptedCondition()", () => {
  const ref = {
    kind: "ApiSecurityPolicy",
    namespace: "shop",
    name: "orders",
    generation: 1,
  } as const;
  const warning = {
    policy: ref,
    reason: "NothingSelected",
    severity: "warning",
    path: "",
    message: "no pod",
  } as const;
  const error = {
    policy: ref,
    reason: "PathInvalid",
    severity: "error",
    path: "spec.x",
    message: "bad",
  } as const;

  test("is true without problems", () => {
    expect(acceptedCondition([])).toEqual({
      status: "True",
      reason: "Accepted",
      message: "The policy is valid",
    });
  });

  test("stays true with a warning, and tells it", () => {
    expect(acceptedCondition([warning])).toEqual({
      status: "True",
      reason: "NothingSelected",
      message: "no pod",
    });
  });

  test("is false with an error, whatever else there is", () => {
    expect(acceptedCondition([warning, error])).toEqual({
      status: "False",
      reason: "PathInvalid",
      message: "spec.x: bad",
    });
  });

  test("stays short", () => {
    const { message } = acceptedCondition(Array.from({ length: 100 }, () => error));
    expect(message).toContain("(and 95 more)");
  });
});

describe("keySources()", () => {
  test("names each source once, and no inline keys", () => {
    const provider = (name: string, jwks: object) => ({ name, jwt: { issuer: "https://x", jwks } });
    const { policies } = resources([
      orders(
        {},
        {
          providers: [
            provider("a", { uri: "https://x/jwks" }),
            provider("b", { uri: "https://x/jwks" }),
            provider("c", { discovery: {} }),
            provider("d", { secretRef: { name: "s", key: "k" } }),
            provider("e", { configMapRef: { name: "s", key: "k" } }),
            provider("f", { inline: '{"keys":[]}' }),
          ],
        },
      ),
    ]);
    expect(keySources(policies).map(keySourceId)).toEqual([
      "uri:https://x/jwks",
      "discovery:https://x",
      "secret:shop/s/k",
      "configMap:shop/s/k",
    ]);
  });
});

test("policyId() names a policy by kind, namespace and name", () => {
  const [policy] = resources([orders({})]).policies;
  expect(policy === undefined ? "" : policyId(policyRef(policy))).toBe(
    "ApiSecurityPolicy/shop/orders",
  );
  expect(policyId({ kind: "ClusterApiSecurityPolicy", name: "a" })).toBe(
    "ClusterApiSecurityPolicy/a",
  );
});

function orders(operations: object, authentication?: object) {
  return {
    apiVersion: "postern.dev/v1alpha1",
    kind: "ApiSecurityPolicy",
    metadata: { name: "orders", namespace: "shop" },
    spec: {
      selector: { matchLabels: { app: "orders" } },
      operations,
      ...(authentication === undefined ? {} : { authentication }),
    },
  };
}
