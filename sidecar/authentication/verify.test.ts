import { createSecretKey } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import type { JwtProvider } from "../../policy/bundle.ts";
import { provider } from "../../test/support/bundles.ts";
import type { Claims } from "../../test/support/tokens.ts";
import { claims, ecKey, rsaKey, token } from "../../test/support/tokens.ts";
import type { PreparedProvider } from "./provider.ts";
import { prepareProvider } from "./provider.ts";
import { verifyingKey } from "./signature.ts";
import { readToken } from "./token.ts";
import { verifyToken } from "./verify.ts";

const NOW = 1_700_000_000_000;
const SECONDS = NOW / 1000;
const SKEW = 30;
const key = ecKey("k1");
const keys = { kind: "known", jwks: [key.jwk] } as const;
const good = claims(NOW);
const without = (name: string): Claims =>
  Object.fromEntries(Object.entries(good).filter(([claim]) => claim !== name));

let corp: PreparedProvider;

beforeAll(async () => {
  corp = await prepareProvider(provider({ keys, clockSkewSeconds: SKEW }));
});

async function verify(text: string, by: PreparedProvider = corp): Promise<unknown> {
  const read = readToken(text);
  if ("code" in read) throw new TypeError(read.detail);
  return verifyToken(read, by, NOW);
}

const by = (parts: Partial<JwtProvider>): Promise<PreparedProvider> =>
  prepareProvider(provider({ keys, ...parts }));

describe("verifyToken()", () => {
  test("makes a subject of a good token", async () => {
    const mapping = [{ claim: "sub", header: "x-user" }];
    const subject = await verify(
      token(key, { ...good, scope: "a b" }),
      await by({ claimsToHeaders: mapping }),
    );
    expect(subject).toEqual({
      id: "alice",
      provider: "corp",
      claims: { ...good, scope: "a b" },
      scopes: new Set(["a", "b"]),
      identityHeaders: [{ name: "x-user", key: "x-user", value: "alice" }],
    });
  });

  test("a subject needs no name", async () => {
    expect(await verify(token(key, without("sub")))).toMatchObject({ id: undefined });
  });

  test.each<[string, Claims, string]>([
    ["no iss", without("iss"), "authn.issuer"],
    ["another iss", { ...good, iss: "https://id.example.com/" }, "authn.issuer"],
    ["an iss that is a list", { ...good, iss: ["https://id.example.com"] }, "authn.issuer"],
    ["no exp", without("exp"), "authn.claims"],
    ["an exp that is a string", { ...good, exp: String(SECONDS + 60) }, "authn.claims"],
    ["an exp that is null", { ...good, exp: null }, "authn.claims"],
    ["an exp just past, skew included", { ...good, exp: SECONDS - SKEW }, "authn.expired"],
    ["an exp before the epoch", { ...good, exp: -1e300 }, "authn.expired"],
    ["an nbf that is a string", { ...good, nbf: "0" }, "authn.claims"],
    ["an nbf that is null", { ...good, nbf: null }, "authn.claims"],
    [
      "an nbf to come, skew included",
      { ...good, nbf: SECONDS + SKEW + 0.001 },
      "authn.not-yet-valid",
    ],
    ["no aud", without("aud"), "authn.audience"],
    ["another aud", { ...good, aud: "Orders" }, "authn.audience"],
    ["an empty list of aud", { ...good, aud: [] }, "authn.audience"],
    ["an aud among what is no string", { ...good, aud: ["orders", 1] }, "authn.audience"],
    ["an aud that is an object", { ...good, aud: { orders: true } }, "authn.audience"],
    ["a sub that is a number", { ...good, sub: 7 }, "authn.claims"],
    ["a sub that is null", { ...good, sub: null }, "authn.claims"],
  ])("refuses %s", async (_title, payload, code) => {
    expect(await verify(token(key, payload))).toMatchObject({ code });
  });

  test.each<[string, Claims]>([
    ["an exp within the skew", { ...good, exp: SECONDS - SKEW + 0.001 }],
    ["an exp with a fraction", { ...good, exp: SECONDS + 0.5 }],
    ["an nbf within the skew", { ...good, nbf: SECONDS + SKEW }],
    ["one aud of several", { ...good, aud: ["payments", "orders"] }],
  ])("takes %s", async (_title, payload) => {
    expect(await verify(token(key, payload))).toMatchObject({ provider: "corp" });
  });

  test("asks for no audience where policy names none", async () => {
    expect(await verify(token(key, without("aud")), await by({ audiences: [] }))).toMatchObject({
      id: "alice",
    });
  });

  test("learns nothing from claims that nobody signed: the signature comes first", async () => {
    const forged = token(ecKey("k1"), { ...good, exp: 1, aud: "x" });
    expect(await verify(forged)).toMatchObject({ code: "authn.signature" });
  });

  test("looks at the algorithm before the keys, and at the keys before the kid", async () => {
    const dark = await by({ keys: { kind: "unavailable", reason: "unreachable" } });
    expect(await verify(token(key, good, { alg: "none" }), dark)).toMatchObject({
      code: "authn.algorithm",
    });
    expect(await verify(token(key, good, { kid: "?" }), dark)).toMatchObject({
      code: "authn.keys-unavailable",
      detail: expect.stringContaining("unreachable"),
    });
    expect(await verify(token(key, good, { kid: "?" }))).toMatchObject({
      code: "authn.key-unknown",
    });
    expect(await verify(token(key, good, { alg: "RS256" }))).toMatchObject({
      code: "authn.algorithm",
    });
  });

  test("without a key at all knows none", async () => {
    const none = await by({ keys: { kind: "known", jwks: [] } });
    expect(await verify(token(key, good, { kid: undefined }), none)).toMatchObject({
      code: "authn.key-unknown",
    });
  });

  test("of two keys of one name tries both", async () => {
    const twin = ecKey("k1");
    const both = await by({ keys: { kind: "known", jwks: [twin.jwk, key.jwk] } });
    expect(await verify(token(key, good), both)).toMatchObject({ id: "alice" });
    expect(await verify(token(twin, good), both)).toMatchObject({ id: "alice" });
  });

  test("refuses a claim that a header cannot carry", async () => {
    const mapping = [{ claim: "sub", header: "x-user" }];
    expect(
      await verify(token(key, { ...good, sub: "a\nb" }), await by({ claimsToHeaders: mapping })),
    ).toMatchObject({ code: "authn.claims" });
  });

  test("takes a key that cannot verify for a fault of ours, not of the token", async () => {
    const useless = verifyingKey("ES256", createSecretKey(Buffer.alloc(32)));
    const broken: PreparedProvider = {
      ...corp,
      keys: {
        kind: "known",
        keys: [{ kid: "k1", byAlgorithm: new Map([["ES256", useless]]) }],
      },
    };
    await expect(verify(token(key, good), broken)).rejects.toThrow(
      expect.objectContaining({ code: "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE" }),
    );
  });

  test.each<[string, Claims, string[]]>([
    ["a scope string", { scope: " a  b " }, ["a", "b"]],
    ["a scope list", { scope: ["a", "b c", ""] }, ["a", "b c"]],
    ["an scp string", { scp: "a b" }, ["a", "b"]],
    ["an scp list with what is no string", { scp: ["a", 1, null, { b: 1 }] }, ["a"]],
    ["both", { scope: "a", scp: ["b"] }, ["a", "b"]],
    ["an object", { scope: { a: true } }, []],
    ["a number", { scope: 1 }, []],
    ["nothing", {}, []],
  ])("reads scopes from %s", async (_title, more, scopes) => {
    expect(await verify(token(key, { ...good, ...more }))).toMatchObject({
      scopes: new Set(scopes),
    });
  });

  test("takes no RSA signature for an elliptic one", async () => {
    const rsa = rsaKey("k1");
    expect(await verify(token(rsa, good, { alg: "ES256" }))).toMatchObject({
      code: "authn.signature",
    });
  });
});
