/** Each check by itself, on one layer; what they decide together stands in pipeline.test.ts. */
import { describe, expect, test } from "@jest/globals";
import type { BundleLayer, Rule, ScopeRule } from "../../policy/bundle.ts";
import {
  authentication as asks,
  bundle,
  layer,
  operations,
  provider,
  rule,
} from "../../test/support/bundles.ts";
import { claims, ecKey, token } from "../../test/support/tokens.ts";
import type { Subject } from "../authentication/subject.ts";
import { readRequest } from "../normal-form/request.ts";
import { prepare } from "../prepared.ts";
import { authentication } from "./authentication.ts";
import { authorization } from "./authorization.ts";
import type { CheckInput, LayerFindings, Verdict } from "./check.ts";
import { PASS } from "./check.ts";
import { closed } from "./closed.ts";
import { operation } from "./operation.ts";

const NOW = 1_700_000_000_000;
const key = ecKey("k1");
const known = { kind: "known", jwks: [key.jwk] } as const;
const dark = { kind: "unavailable", reason: "unreachable" } as const;

async function input(
  parts: Partial<BundleLayer>,
  request: { readonly line?: string; readonly bearer?: string } = {},
  findings: Partial<LayerFindings> = {},
): Promise<CheckInput> {
  const prepared = await prepare(bundle({ layers: [layer(parts)] }));
  const [method = "", target = ""] = (request.line ?? "GET /").split(" ");
  const headers = ["Host", "a"];
  if (request.bearer !== undefined) headers.push("Authorization", `Bearer ${request.bearer}`);
  const normal = readRequest({ method, target, version: "1.1", headers }, prepared.guards);
  const only = prepared.layers[0];
  if ("code" in normal || only === undefined) throw new TypeError("Cannot ask");
  return {
    request: normal,
    client: { address: "127.0.0.1", port: 1 },
    nowMs: NOW,
    layer: only,
    findings: { clientAddress: undefined, rule: undefined, subject: undefined, ...findings },
  };
}

function subject(...scopes: string[]): Subject {
  return {
    id: "alice",
    provider: "corp",
    claims: {},
    scopes: new Set(scopes),
    identityHeaders: [],
  };
}

describe("closed", () => {
  test("passes a layer that is whole", async () => {
    expect(closed.evaluate(await input({}))).toEqual(PASS);
  });

  test("could not tell, never observed, of one that is not", async () => {
    const broken = { code: "policy.invalid", detail: "spec.x is wrong" } as const;
    expect(closed.evaluate(await input({ closed: broken }))).toEqual({
      kind: "undecided",
      denial: broken,
      observed: false,
    });
  });
});

describe("operation", () => {
  const rules = [rule("GET", "/a"), rule("POST", "/{x}")];

  test("passes a layer that does not ask, and finds nothing", async () => {
    const asked = await input({});
    expect(operation.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.rule).toBeUndefined();
  });

  test("passes the declared and finds its rule", async () => {
    const asked = await input({ operations: operations(rules) }, { line: "GET /a" });
    expect(operation.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.rule?.name).toBe("GET /a");
  });

  test.each([
    ["Deny", "Enforce", "refusal", false],
    ["Deny", "Observe", "refusal", true],
    ["Observe", "Enforce", "refusal", true],
    ["Observe", "Observe", "refusal", true],
    ["Allow", "Enforce", "pass", undefined],
    ["Allow", "Observe", "pass", undefined],
  ] as const)(
    "of the undeclared, with %s in mode %s, says %s",
    async (undeclared, mode, kind, observed) => {
      const asked = await input(
        { operations: operations(rules, { undeclared, mode }) },
        { line: "PUT /a" },
      );
      const verdict = operation.evaluate(asked) as Verdict;
      expect(verdict.kind).toBe(kind);
      if (verdict.kind === "pass") return;
      expect(verdict).toMatchObject({
        observed,
        denial: { code: "operation.undeclared", detail: "No rule declares PUT /a" },
      });
    },
  );

  test("finds the wider rule of the method for what the narrower path leaves undeclared", async () => {
    const asked = await input({ operations: operations(rules) }, { line: "POST /a" });
    expect(operation.evaluate(asked)).toMatchObject({ kind: "refusal" });
    expect(asked.findings.rule?.name).toBe("POST /{x}");
  });

  test("without rules declares nothing", async () => {
    expect(operation.evaluate(await input({ operations: operations([]) }))).toMatchObject({
      denial: { code: "operation.undeclared" },
    });
  });
});

describe("authentication", () => {
  const by = (parts = {}): Partial<BundleLayer> => ({
    authentication: asks({ providers: [provider({ keys: known })], ...parts }),
  });
  const good = token(key, claims(NOW));

  test("passes a layer that does not ask, whatever was sent", async () => {
    expect(await authentication.evaluate(await input({}, { bearer: "nonsense" }))).toEqual(PASS);
  });

  test("finds the subject", async () => {
    const asked = await input(by(), { bearer: good });
    expect(await authentication.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.subject?.id).toBe("alice");
  });

  test("finds nobody where anonymous callers are welcome", async () => {
    const asked = await input(by({ anonymous: "Allow" }));
    expect(await authentication.evaluate(asked)).toEqual(PASS);
    expect(asked.findings.subject).toBeUndefined();
  });

  test.each([
    ["Enforce", false],
    ["Observe", true],
  ] as const)("in mode %s tells a no from what it cannot tell", async (mode, observed) => {
    const no = await input(by({ mode }), { bearer: token(key, claims(NOW, { exp: 1 })) });
    expect(await authentication.evaluate(no)).toMatchObject({
      kind: "refusal",
      observed,
      denial: { code: "authn.expired" },
    });
    const unknown = await input(by({ mode, providers: [provider({ keys: dark })] }), {
      bearer: good,
    });
    expect(await authentication.evaluate(unknown)).toMatchObject({
      kind: "undecided",
      observed,
      denial: { code: "authn.keys-unavailable" },
    });
    for (const { findings } of [no, unknown]) expect(findings.subject).toBeUndefined();
  });
});

describe("authorization", () => {
  async function judge(parts: Partial<Rule> | undefined, who?: Subject, mode = "Enforce" as const) {
    const found = parts && rule("GET", "/", parts);
    const asked = await input(
      { operations: operations([], { mode }) },
      {},
      { rule: found, subject: who },
    );
    return authorization.evaluate(asked);
  }

  test.each([[undefined], [{}]])("passes where no rule asks for anything: %j", async (parts) => {
    expect(await judge(parts)).toEqual(PASS);
  });

  test.each<[Partial<Rule>]>([[{ providers: ["corp"] }], [{ scopes: { all: [] } }]])(
    "asks for a caller: %j",
    async (parts) => {
      expect(await judge(parts)).toEqual({
        kind: "refusal",
        observed: false,
        rule: "GET /",
        denial: {
          code: "authn.missing",
          detail: 'The rule "GET /" asks for an authenticated caller',
        },
      });
    },
  );

  test.each([
    [["corp"], "pass"],
    [["x", "corp"], "pass"],
    [["x"], "refusal"],
    [[], "refusal"],
  ])("of providers %j says %s", async (providers, kind) => {
    const verdict = await judge({ providers }, subject());
    expect(verdict.kind).toBe(kind);
    if (kind === "refusal") expect(verdict).toMatchObject({ denial: { code: "authz.provider" } });
  });

  test.each<[ScopeRule, string[], readonly string[] | undefined]>([
    [{ all: [] }, [], undefined],
    [{ all: ["a"] }, ["a"], undefined],
    [{ all: ["a", "b"] }, ["b", "a", "c"], undefined],
    [{ all: ["a", "b"] }, ["a"], ["a", "b"]],
    [{ all: ["a"] }, ["A"], ["a"]],
    [{ any: ["a", "b"] }, ["b"], undefined],
    [{ any: ["a", "b"] }, ["c"], ["a"]],
    // Nothing can be one of nothing: an empty set never means all.
    [{ any: [] }, ["a"], [""]],
  ])("of scopes %j with %j, these would have sufficed: %j", async (scopes, has, wanted) => {
    const verdict = await judge({ scopes }, subject(...has));
    if (wanted === undefined) expect(verdict).toEqual(PASS);
    else {
      expect(verdict).toMatchObject({
        kind: "refusal",
        denial: { code: "authz.scope" },
        scopes: wanted,
      });
    }
  });

  test("asks for the provider before the scopes, and for both", async () => {
    const parts = { providers: ["x"], scopes: { all: ["a"] } };
    expect(await judge(parts, subject())).toMatchObject({ denial: { code: "authz.provider" } });
    expect(await judge({ ...parts, providers: ["corp"] }, subject())).toMatchObject({
      denial: { code: "authz.scope" },
    });
    expect(await judge({ ...parts, providers: ["corp"] }, subject("a"))).toEqual(PASS);
  });

  test("observes with its section, and enforces where the rule comes from none", async () => {
    const found = rule("GET", "/", { providers: ["x"] });
    const observing = await input(
      { operations: operations([], { mode: "Observe" }) },
      {},
      { rule: found },
    );
    expect(authorization.evaluate(observing)).toMatchObject({ kind: "refusal", observed: true });
    const bare = await input({}, {}, { rule: found });
    expect(authorization.evaluate(bare)).toMatchObject({ kind: "refusal", observed: false });
  });
});
