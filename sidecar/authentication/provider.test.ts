import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import type { PublicJwk, SignatureAlgorithm } from "../../policy/bundle.ts";
import { SIGNATURE_ALGORITHMS } from "../../policy/bundle.ts";
import { provider } from "../../test/support/bundles.ts";
import { ecKey, edKey, rsaKey } from "../../test/support/tokens.ts";
import type { PreparedProvider } from "./provider.ts";
import { prepareProvider } from "./provider.ts";

const rsa = rsaKey("rsa");
const curve = (namedCurve: string): PublicJwk =>
  generateKeyPairSync("ec", { namedCurve }).publicKey.export({ format: "jwk" }) as PublicJwk;

function prepared(
  jwk: PublicJwk,
  algorithms: readonly SignatureAlgorithm[] = SIGNATURE_ALGORITHMS,
): Promise<PreparedProvider> {
  return prepareProvider(provider({ algorithms, keys: { kind: "known", jwks: [jwk] } }));
}

async function served(...of: Parameters<typeof prepared>): Promise<string[]> {
  const { keys } = await prepared(...of);
  if (keys.kind !== "known") throw new TypeError(keys.reason);
  return keys.keys.flatMap(({ byAlgorithm }) => [...byAlgorithm.keys()]);
}

describe("prepareProvider()", () => {
  test.each<[string, PublicJwk, string[]]>([
    ["RSA", rsa.jwk, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]],
    ["P-256", curve("P-256"), ["ES256"]],
    ["P-384", curve("P-384"), ["ES384"]],
    ["P-521", curve("P-521"), ["ES512"]],
    ["Ed25519", edKey("ed").jwk, ["EdDSA"]],
    ["RSA, for one algorithm only", { ...rsa.jwk, alg: "PS256" }, ["PS256"]],
    ["secp256k1, which no algorithm of ours has", curve("secp256k1"), []],
    ["EC without a curve", { kty: "EC" }, []],
    ["OKP of another curve", { kty: "OKP", crv: "X25519", x: "AA" }, []],
    ["EC that says it is for EdDSA", { ...ecKey("e").jwk, alg: "EdDSA" }, []],
  ])("a key of %s serves its own algorithms", async (_title, jwk, algorithms) => {
    expect(await served(jwk)).toEqual(algorithms);
  });

  test("a key serves no algorithm that policy does not list", async () => {
    expect(await served(rsa.jwk, ["RS512", "ES256"])).toEqual(["RS512"]);
    expect(await served(rsa.jwk, [])).toEqual([]);
  });

  test.each<[string, PublicJwk, RegExp]>([
    ["too short", rsaKey("weak", 1024).jwk, /1024 bits are less than 2048/],
    [
      "not on its curve",
      { kty: "EC", crv: "P-256", x: "AA", y: "AA" },
      /cannot be imported for ES256/,
    ],
    ["without a modulus", { kty: "RSA", e: "AQAB" }, /cannot be imported for RS256/],
  ])("leaves a key out that is %s, and says which", async (_title, jwk, reason) => {
    const { problems, keys } = await prepared({ ...jwk, kid: "odd" }, ["RS256", "ES256"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^Provider "corp", key 0: /);
    expect(problems[0]).toMatch(reason);
    // Its name stays known: "wrong algorithm" is a better answer than "unknown key".
    expect(keys).toMatchObject({ keys: [{ kid: "odd", byAlgorithm: new Map() }] });
  });

  test("keeps only what is public, even when the bundle holds more", async () => {
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const whole = pair.privateKey.export({ format: "jwk" }) as PublicJwk;
    const { keys, problems } = await prepared(whole);
    if (keys.kind !== "known") throw new TypeError(keys.reason);
    expect(keys.keys[0]?.byAlgorithm.get("ES256")?.how.key.type).toBe("public");
    expect(problems).toEqual([]);
  });

  test("hands on that there are no keys, and why", async () => {
    const none = { kind: "unavailable", reason: "unreachable" } as const;
    expect((await prepareProvider(provider({ keys: none }))).keys).toEqual(none);
  });
});
