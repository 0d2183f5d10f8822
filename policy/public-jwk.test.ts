import { generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { readJwks } from "./public-jwk.ts";

type Jwk = Record<string, unknown>;

const X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED: Jwk = { kty: "OKP", crv: "Ed25519", x: X };

let rsa: Jwk;
let small: Jwk;
let ec: Jwk;
let privateEc: Jwk;

beforeAll(() => {
  rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({
    format: "jwk",
  });
  small = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({
    format: "jwk",
  });
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  ec = pair.publicKey.export({ format: "jwk" });
  privateEc = pair.privateKey.export({ format: "jwk" });
});

describe("readJwks()", () => {
  test("keeps what verification needs, and nothing else", () => {
    const reading = readJwks({
      keys: [
        { ...rsa, kid: "r", use: "sig", alg: "RS256", x5c: ["…"], x5u: "https://evil.example" },
        { ...ec, kid: "e", key_ops: ["verify"] },
        { ...ED, alg: "Ed25519" },
      ],
    });
    expect(reading).toEqual({
      kind: "keys",
      ignored: [],
      jwks: [
        { kty: "RSA", kid: "r", alg: "RS256", n: rsa["n"], e: "AQAB" },
        { kty: "EC", kid: "e", crv: "P-256", x: ec["x"], y: ec["y"] },
        { kty: "OKP", alg: "EdDSA", crv: "Ed25519", x: X },
      ],
    });
  });

  test("takes text as well as what was parsed", () => {
    expect(readJwks(JSON.stringify({ keys: [ED] }))).toEqual(readJwks({ keys: [ED] }));
  });

  test("an empty set is known to be empty", () => {
    expect(readJwks('{"keys":[]}')).toEqual({ kind: "keys", jwks: [], ignored: [] });
  });

  test.each<[string, () => unknown, string]>([
    ["text that is not JSON", () => "<html>", "is not JSON"],
    ["a document without keys", () => "{}", 'a list "keys"'],
    ["null", () => null, 'a list "keys"'],
    ["a list", () => [ED], 'a list "keys"'],
    ["a document that is too large", () => " ".repeat(256 * 1024 + 1), "at most 262144"],
    ["too many keys", () => ({ keys: Array.from({ length: 65 }, () => ED) }), "at most 64"],
    ["a key that is a text", () => ({ keys: ["x"] }), "keys[0] that is not an object"],
    [
      "a private key",
      () => ({ keys: [ED, privateEc] }),
      'a private key (member "d"), only public keys are accepted, at keys[1]',
    ],
    [
      "a private key of a kind that is not used",
      () => ({ keys: [{ kty: "PQC", d: "x" }] }),
      "a private key",
    ],
    ["RSA factors", () => ({ keys: [{ ...rsa, p: "x" }] }), 'member "p"'],
    ["a symmetric key", () => ({ keys: [{ kty: "oct" }] }), "a symmetric key"],
    [
      "a symmetric key that says RSA",
      () => ({ keys: [{ ...rsa, k: "c2VjcmV0" }] }),
      "a symmetric key",
    ],
  ])("refuses the whole set for %s", (_, input, why) => {
    expect(readJwks(input())).toEqual({ kind: "problem", message: expect.stringContaining(why) });
  });

  test.each<[string, () => Jwk, string]>([
    ["an encryption key", () => ({ ...rsa, use: "enc" }), '"use"'],
    ["a key without verify", () => ({ ...rsa, key_ops: ["encrypt"] }), '"key_ops"'],
    ["a small RSA key", () => small, "its modulus has 1024 bits"],
    ["a huge RSA key", () => ({ ...rsa, n: "_".repeat(2000) }), "its modulus has 12000 bits"],
    ["an exponent of one", () => ({ ...rsa, e: "AAAB" }), "its exponent"],
    ["an even exponent", () => ({ ...rsa, e: "AQAA" }), "its exponent"],
    ["a modulus that is no base64url", () => ({ ...rsa, n: "+/=" }), "not base64url"],
    ["an unknown kind", () => ({ kty: "AKP" }), '"kty"'],
    ["an unknown curve", () => ({ ...ec, crv: "secp256k1" }), '"crv"'],
    ["a coordinate of the wrong length", () => ({ ...ec, x: "AAAA" }), "32 bytes"],
    ["Ed448", () => ({ kty: "OKP", crv: "Ed448", x: X }), '"crv"'],
    ["an RSA key for HS256", () => ({ ...rsa, alg: "HS256" }), '"alg" "HS256"'],
    ["an algorithm of another curve", () => ({ ...ec, alg: "ES384" }), '"alg" "ES384"'],
    ["an encryption algorithm", () => ({ ...rsa, alg: "RSA-OAEP" }), '"alg"'],
    ["a kid that is a number", () => ({ ...ED, kid: 1 }), '"kid"'],
    ["a kid that is too long", () => ({ ...ED, kid: "x".repeat(257) }), '"kid"'],
  ])("leaves out %s and says so", (_, key, why) => {
    const reading = readJwks({ keys: [key(), ED] });
    expect(reading).toEqual({
      kind: "keys",
      jwks: [ED],
      ignored: [expect.stringContaining(why)],
    });
  });
});
