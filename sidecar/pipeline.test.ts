import { PassThrough } from "node:stream";
import { describe, expect, test } from "@jest/globals";
import type { BundleLayer } from "../policy/bundle.ts";
import { ManualClock } from "../runtime/clock.ts";
import {
  authentication,
  bundle,
  layer,
  operations,
  provider,
  rule,
  transport,
} from "../test/support/bundles.ts";
import { claims, ecKey, token } from "../test/support/tokens.ts";
import type { Check } from "./checks/check.ts";
import type { Exchange, Reply } from "./exchange.ts";
import type { Decision } from "./pipeline.ts";
import { CHECKS, decide } from "./pipeline.ts";
import { prepare, prepareClosed } from "./prepared.ts";
import { readRequest } from "./normal-form/request.ts";

const clock = new ManualClock();
const key = ecKey("k1");
const keys = { kind: "known", jwks: [key.jwk] } as const;
const signedBy = (more = {}): string => token(key, claims(clock.now(), more));
const asks = authentication({ providers: [provider({ keys })] });

const noReply: Reply = {
  begun: false,
  status: 0,
  body: new PassThrough(),
  proceed: () => undefined,
  head: () => undefined,
  trailers: () => undefined,
  answer: () => undefined,
  cut: () => undefined,
  onClosed: () => undefined,
};

async function ask(
  layers: readonly BundleLayer[],
  request: { method?: string; target?: string; bearer?: string; headers?: readonly string[] } = {},
  checks: readonly Check[] = CHECKS,
): Promise<Decision> {
  const prepared = await prepare(bundle({ layers }));
  const { method = "GET", target = "/", bearer, headers = [] } = request;
  const normal = readRequest(
    {
      method,
      target,
      version: "1.1",
      headers: [
        "Host",
        "api",
        ...(bearer === undefined ? [] : ["Authorization", `Bearer ${bearer}`]),
        ...headers,
      ],
    },
    prepared.guards,
  );
  if ("code" in normal) throw new TypeError(`Cannot ask: ${normal.detail}`);
  const exchange: Exchange = {
    ...normal,
    id: "r1",
    receivedAtMs: clock.now(),
    client: { address: "127.0.0.1", port: 1 },
    body: new PassThrough(),
    reply: noReply,
  };
  return decide(prepared, exchange, clock, checks);
}

function outcome(decision: Decision): string {
  return decision.kind === "permit" ? "permit" : decision.refused.denial.code;
}

describe("decide()", () => {
  test("denies when a check throws, even in mode Observe", async () => {
    const broken: Check = {
      name: "broken",
      evaluate: () => {
        throw new Error("boom");
      },
    };
    const decision = await ask([layer({ operations: operations([], { mode: "Observe" }) })], {}, [
      broken,
    ]);
    expect(decision).toMatchObject({
      kind: "deny",
      refused: { denial: { code: "check.failed" }, check: "broken", certain: false },
    });
  });

  test("denies when a check rejects", async () => {
    const broken: Check = { name: "broken", evaluate: () => Promise.reject(new Error("boom")) };
    expect(outcome(await ask([layer()], {}, [broken]))).toBe("check.failed");
  });

  test("refuses everything without layers: an empty set never means all", async () => {
    expect(outcome(await ask([]))).toBe("policy.none");
  });

  test("refuses everything when closed, with the reason", async () => {
    const prepared = prepareClosed("policy.stale", "too old");
    const decision = await decide(prepared, {} as Exchange, clock);
    expect(decision).toMatchObject({ kind: "deny", refused: { denial: { code: "policy.stale" } } });
  });

  test("refuses what came over a TLS connection for another host, whatever layers observe", async () => {
    const prepared = await prepare(bundle({ layers: [layer()] }));
    const normal = readRequest(
      { method: "GET", target: "/", version: "1.1", headers: ["Host", "api"] },
      prepared.guards,
    );
    if ("code" in normal) throw new TypeError(`Cannot ask: ${normal.detail}`);
    const exchange = (serverName: string): Exchange => ({
      ...normal,
      id: "r1",
      receivedAtMs: clock.now(),
      client: { address: "127.0.0.1", port: 1, tls: { version: "TLSv1.3", serverName } },
      body: new PassThrough(),
      reply: noReply,
    });
    expect(outcome(await decide(prepared, exchange("api"), clock))).toBe("permit");
    expect(await decide(prepared, exchange("cart"), clock)).toMatchObject({
      kind: "deny",
      refused: { denial: { code: "transport.misdirected" }, check: "transport" },
    });
  });

  test("finds the client's address by the rule of the narrowest layer that has one", async () => {
    const asking = (trustedHops: number) =>
      layer({ transport: transport({ clientAddress: { from: "XForwardedFor", trustedHops } }) });
    const forwarded = { headers: ["X-Forwarded-For", "192.0.2.1, 192.0.2.2"] };
    const narrowest = await ask([asking(2), asking(1), layer()], forwarded);
    expect(narrowest).toMatchObject({ kind: "permit", clientAddress: "192.0.2.2" });
    const none = await ask([layer()], forwarded);
    expect(none).toMatchObject({ kind: "permit", clientAddress: undefined });
  });

  test("permits what no layer asks about", async () => {
    expect(outcome(await ask([layer()]))).toBe("permit");
  });

  test("lets one closed layer close, whatever the others say and whatever their mode", async () => {
    const closed = layer({ closed: { code: "policy.invalid", detail: "spec.x is wrong" } });
    const open = layer({ operations: operations([rule("GET", "/")]) });
    for (const layers of [
      [closed, open],
      [open, closed],
    ]) {
      expect(await ask(layers)).toMatchObject({
        refused: { denial: { code: "policy.invalid" }, check: "closed", policy: "shop/orders" },
      });
    }
  });

  test("asks every layer: what one permits another may refuse", async () => {
    const wide = layer({ operations: operations([rule("GET", "/{a}")]) });
    const narrow = layer({ operations: operations([rule("GET", "/a")]) });
    expect(outcome(await ask([wide, narrow], { target: "/a" }))).toBe("permit");
    expect(outcome(await ask([wide, narrow], { target: "/b" }))).toBe("operation.undeclared");
    expect(outcome(await ask([narrow, wide], { target: "/b" }))).toBe("operation.undeclared");
  });

  test("refuses the undeclared before it looks at the token", async () => {
    const layers = [layer({ authentication: asks, operations: operations([rule("GET", "/a")]) })];
    expect(outcome(await ask(layers, { target: "/b", bearer: "nonsense" }))).toBe(
      "operation.undeclared",
    );
  });

  test.each(["undeclared", "mode"] as const)(
    "records and lets through (%s: Observe)",
    async (field) => {
      const layers = [layer({ operations: operations([], { [field]: "Observe" }) })];
      expect(await ask(layers)).toMatchObject({
        kind: "permit",
        wouldDeny: [
          { denial: { code: "operation.undeclared" }, check: "operation", policy: "shop/orders" },
        ],
      });
    },
  );

  test("treats a bad token in mode Observe as nobody's", async () => {
    const observing = layer({
      authentication: { ...asks, mode: "Observe" },
      operations: operations([rule("GET", "/", { scopes: { all: ["a"] } })]),
    });
    const decision = await ask([observing], { bearer: "nonsense" });
    expect(outcome(decision)).toBe("authn.missing");
    expect(decision.wouldDeny).toMatchObject([{ denial: { code: "authn.malformed" } }]);
  });

  test("asks the wider rule's scopes of what the narrower one leaves undeclared", async () => {
    const rules = [
      rule("POST", "/orders/export"),
      rule("GET", "/orders/{id}", { scopes: { all: ["orders:read"] } }),
    ];
    const layers = [
      layer({
        authentication: { ...asks, anonymous: "Allow" },
        operations: operations(rules, { undeclared: "Allow" }),
      }),
    ];
    expect(outcome(await ask(layers, { target: "/orders/export" }))).toBe("authn.missing");
    expect(outcome(await ask(layers, { target: "/else" }))).toBe("permit");
  });
});

describe("authorization", () => {
  const layers = (scopes: Parameters<typeof rule>[2]): BundleLayer[] => [
    layer({ authentication: asks, operations: operations([rule("GET", "/", scopes)]) }),
  ];

  test.each([
    [{ all: ["a", "b"] }, "a b c", "permit"],
    [{ all: ["a", "b"] }, "a", "authz.scope"],
    [{ any: ["a", "b"] }, "b", "permit"],
    [{ any: ["a", "b"] }, "c", "authz.scope"],
    [{ any: [] }, "a", "authz.scope"],
    [{ all: [] }, "", "permit"],
  ])("%j with scope %j is %s", async (scopes, scope, wanted) => {
    expect(outcome(await ask(layers({ scopes }), { bearer: signedBy({ scope }) }))).toBe(wanted);
  });

  test("names the scopes that would have sufficed", async () => {
    const decision = await ask(layers({ scopes: { all: ["a", "b"] } }), { bearer: signedBy() });
    expect(decision).toMatchObject({ refused: { scopes: ["a", "b"], rule: "GET /" } });
  });

  test("refuses another provider than the rule names", async () => {
    const decision = await ask(layers({ providers: ["partners"] }), { bearer: signedBy() });
    expect(outcome(decision)).toBe("authz.provider");
  });

  test("asks for a caller where the layer allows none", async () => {
    const open = layer({
      authentication: { ...asks, anonymous: "Allow" },
      operations: operations([rule("GET", "/", { providers: ["corp"] })]),
    });
    expect(outcome(await ask([open]))).toBe("authn.missing");
  });
});

describe("a layer's providers", () => {
  const at = (...providers: ReturnType<typeof provider>[]): BundleLayer[] => [
    layer({ authentication: authentication({ providers }) }),
  ];
  const unavailable = { kind: "unavailable", reason: "unreachable" } as const;

  test("without any, nobody can authenticate", async () => {
    expect(outcome(await ask(at(), { bearer: signedBy() }))).toBe("authn.missing");
  });

  test("of one issuer are tried in order, and the furthest failure is told", async () => {
    const other = provider({ name: "other", keys, audiences: ["payments"] });
    const own = provider({ keys });
    expect(await ask(at(other, own), { bearer: signedBy() })).toMatchObject({
      kind: "permit",
      subject: { provider: "corp" },
    });
    const keyless = provider({ name: "keyless" });
    expect(outcome(await ask(at(other, keyless), { bearer: signedBy() }))).toBe("authn.audience");
  });

  test("cannot tell without keys, and says so unless another one knows", async () => {
    const dark = provider({ name: "dark", keys: unavailable });
    const strange = provider({ name: "strange" });
    const bearer = signedBy();
    expect(outcome(await ask(at(dark), { bearer }))).toBe("authn.keys-unavailable");
    expect(outcome(await ask(at(dark, strange), { bearer }))).toBe("authn.keys-unavailable");
    expect(outcome(await ask(at(strange, dark), { bearer }))).toBe("authn.keys-unavailable");
    expect(outcome(await ask(at(dark, provider({ keys })), { bearer }))).toBe("permit");
  });

  test("a token of another issuer is not hindered by a provider without keys", async () => {
    const dark = provider({ name: "dark", issuer: "https://dark.example", keys: unavailable });
    expect(outcome(await ask(at(dark, provider({ keys })), { bearer: signedBy() }))).toBe("permit");
  });

  test("name the subject to the application, once for all layers", async () => {
    const mapping = [{ claim: "sub", header: "x-user" }];
    const mapped = layer({
      authentication: authentication({ providers: [provider({ keys, claimsToHeaders: mapping })] }),
    });
    const decision = await ask([mapped, mapped], { bearer: signedBy() });
    if (decision.kind !== "permit") throw new TypeError(outcome(decision));
    expect(decision.permit.identity).toEqual([{ name: "x-user", key: "x-user", value: "alice" }]);
  });

  test("must not disagree on a header between layers", async () => {
    const by = (header: string): BundleLayer =>
      layer({
        authentication: authentication({
          providers: [
            provider({
              keys,
              locations: [{ in: "header", name: header, prefix: "" }],
              claimsToHeaders: [{ claim: "sub", header: "x-user" }],
            }),
          ],
        }),
      });
    const headers = ["x-a", signedBy(), "x-b", signedBy({ sub: "bob" })];
    expect(outcome(await ask([by("x-a"), by("x-b")], { headers }))).toBe("authn.ambiguous");
  });
});

describe("prepare()", () => {
  test("leaves out a key that cannot be used, and says which", async () => {
    const broken = { kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "broken" } as const;
    const prepared = await prepare(
      bundle({
        layers: [
          layer({
            authentication: authentication({
              providers: [provider({ keys: { kind: "known", jwks: [broken, key.jwk] } })],
            }),
          }),
        ],
      }),
    );
    expect(prepared.problems).toEqual([
      expect.stringMatching(/^shop\/orders: Provider "corp", key 0: /),
    ]);
  });

  test("a key with an algorithm of its own serves no other", async () => {
    const keys = { kind: "known", jwks: [{ ...key.jwk, alg: "ES384" }] } as const;
    const layers = [layer({ authentication: authentication({ providers: [provider({ keys })] }) })];
    expect(outcome(await ask(layers, { bearer: signedBy() }))).toBe("authn.algorithm");
  });

  test("tries a token without kid against four keys at most", async () => {
    const others = ["a", "b", "c", "d"].map((kid) => ecKey(kid).jwk);
    const bearer = token(key, claims(clock.now()), { kid: undefined });
    const by = (jwks: readonly (typeof key.jwk)[]): BundleLayer[] => [
      layer({
        authentication: authentication({
          providers: [provider({ keys: { kind: "known", jwks } })],
        }),
      }),
    ];
    expect(outcome(await ask(by([...others.slice(1), key.jwk]), { bearer }))).toBe("permit");
    expect(outcome(await ask(by([...others, key.jwk]), { bearer }))).toBe("authn.signature");
  });
});
