import { describe, expect, test } from "@jest/globals";
import type { Authentication, JwtProvider } from "../../policy/bundle.ts";
import { authentication, bundle, layer, provider } from "../../test/support/bundles.ts";
import { claims, ecKey, token } from "../../test/support/tokens.ts";
import { readRequest } from "../normal-form/request.ts";
import { prepare } from "../prepared.ts";
import type { Identity } from "./authenticate.ts";
import { authenticate } from "./authenticate.ts";

const NOW = 1_700_000_000_000;
const key = ecKey("k1");
const keys = { kind: "known", jwks: [key.jwk] } as const;
const corp = provider({ keys });
const signed = (more = {}): string => token(key, claims(NOW, more));

async function ask(
  parts: Partial<Authentication>,
  headers: readonly string[] = [],
  target = "/",
): Promise<Identity> {
  const prepared = await prepare(
    bundle({ layers: [layer({ authentication: authentication(parts) })] }),
  );
  const request = readRequest(
    { method: "GET", target, version: "1.1", headers: ["Host", "a", ...headers] },
    prepared.guards,
  );
  const asked = prepared.layers[0]?.authentication;
  if ("code" in request || asked === undefined) throw new TypeError("Cannot ask");
  return authenticate(request, asked, NOW);
}

const bearer = (text: string): string[] => ["Authorization", `Bearer ${text}`];
const refused = (code: string) => ({ kind: "refused", denial: { code } });

describe("authenticate()", () => {
  test.each([
    ["Allow", { kind: "anonymous" }],
    ["Deny", refused("authn.missing")],
  ] as const)("without a credential, anonymous: %s", async (anonymous, wanted) => {
    expect(await ask({ providers: [corp], anonymous })).toMatchObject(wanted);
  });

  test("takes a credential of another scheme for none", async () => {
    expect(await ask({ providers: [corp] }, ["Authorization", "Basic YTpi"])).toMatchObject(
      refused("authn.missing"),
    );
  });

  test.each<[string, readonly string[], string]>([
    ["a bad form", ["Authorization", "Bearer"], "authn.malformed"],
    ["no JWS", bearer("x"), "authn.malformed"],
    ["an expired token", bearer(signed({ exp: 1 })), "authn.expired"],
    ["an unknown issuer", bearer(signed({ iss: "x" })), "authn.issuer"],
    ["no issuer", bearer(signed({ iss: undefined })), "authn.issuer"],
    ["an issuer that is no string", bearer(signed({ iss: 1 })), "authn.issuer"],
    ["an issuer that every object has", bearer(signed({ iss: "constructor" })), "authn.issuer"],
  ])("refuses %s even where anonymous callers are welcome", async (_title, headers, code) => {
    expect(await ask({ providers: [corp], anonymous: "Allow" }, headers)).toMatchObject(
      refused(code),
    );
  });

  test("two credentials are ambiguous, even equal ones, at whatever places", async () => {
    const everywhere = provider({
      keys,
      locations: [
        { in: "header", name: "authorization", prefix: "Bearer" },
        { in: "cookie", name: "s" },
        { in: "query", name: "t" },
      ],
    });
    const text = signed();
    const at = { providers: [everywhere] };
    expect(await ask(at, bearer(text))).toMatchObject({ kind: "subject" });
    expect(await ask(at, ["Cookie", `s=${text}`])).toMatchObject({ kind: "subject" });
    expect(await ask(at, [], `/?t=${text}`)).toMatchObject({ kind: "subject" });
    for (const [headers, target] of [
      [[...bearer(text), "Cookie", `s=${text}`], "/"],
      [["Cookie", `s=${text}; s=${text}`], "/"],
      [[], `/?t=${text}&t=${text}`],
      [bearer(text), `/?t=`],
      [bearer(text), `/?t=%zz`],
    ] as const) {
      expect(await ask(at, headers, target)).toMatchObject(refused("authn.ambiguous"));
    }
  });

  test.each<[string, Partial<JwtProvider>, Partial<JwtProvider>, string]>([
    [
      "audience before key",
      { audiences: ["x"] },
      { keys: { kind: "known", jwks: [] } },
      "authn.audience",
    ],
    [
      "key before algorithm",
      { algorithms: ["RS256"] },
      { keys: { kind: "known", jwks: [] } },
      "authn.key-unknown",
    ],
    [
      "could-not-tell before all",
      { audiences: ["x"] },
      { keys: { kind: "unavailable", reason: "r" } },
      "authn.keys-unavailable",
    ],
    ["the first of two equal ones", { audiences: ["x"] }, { audiences: ["y"] }, "authn.audience"],
  ])("of two providers tells the furthest failure: %s", async (_title, one, other, code) => {
    const first = provider({ keys, name: "one", ...one });
    const second = provider({ keys, name: "two", ...other });
    for (const providers of [
      [first, second],
      [second, first],
    ]) {
      expect(await ask({ providers }, bearer(signed()))).toMatchObject(refused(code));
    }
  });

  test("names the provider that verified", async () => {
    const other = provider({ name: "other", keys, audiences: ["payments"] });
    expect(await ask({ providers: [other, corp] }, bearer(signed()))).toMatchObject({
      kind: "subject",
      subject: { id: "alice", provider: "corp" },
    });
  });
});
