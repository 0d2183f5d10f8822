import {
  constants,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  sign,
} from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import type { SignatureAlgorithm } from "../../policy/bundle.ts";
import { SIGNATURE_ALGORITHMS } from "../../policy/bundle.ts";
import { verifySignature, verifyingKey } from "./signature.ts";

const INPUT = Buffer.from("eyJhbGciOiJ4In0.eyJzdWIiOiJhIn0");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pairs = {
  RS: rsa,
  PS: rsa,
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ES512: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  EdDSA: generateKeyPairSync("ed25519"),
};

function pairOf(algorithm: SignatureAlgorithm): (typeof pairs)["RS"] {
  const pair = Object.entries(pairs).find(([name]) => algorithm.startsWith(name))?.[1];
  if (pair === undefined) throw new TypeError(algorithm);
  return pair;
}

function signed(
  algorithm: SignatureAlgorithm,
  how: { readonly saltLength?: number; readonly dsaEncoding?: "der" | "ieee-p1363" } = {},
): Buffer {
  const key = pairOf(algorithm).privateKey;
  const padding = algorithm.startsWith("PS")
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  const hash = algorithm === "EdDSA" ? undefined : `sha${algorithm.slice(2)}`;
  return sign(hash, INPUT, { key, dsaEncoding: "ieee-p1363", ...padding, ...how });
}

const keyFor = (algorithm: SignatureAlgorithm) =>
  verifyingKey(algorithm, pairOf(algorithm).publicKey);

describe("verifySignature()", () => {
  test.each(SIGNATURE_ALGORITHMS)(
    "%s: takes the true signature and nothing near it",
    async (of) => {
      const key = keyFor(of);
      const good = signed(of);
      expect(await verifySignature(key, INPUT, good)).toBe(true);
      const turned = Buffer.from(good);
      turned[turned.length - 1] = (turned.at(-1) ?? 0) ^ 1;
      for (const bad of [
        turned,
        good.subarray(0, -1),
        Buffer.concat([good, Buffer.alloc(1)]),
        Buffer.concat([Buffer.alloc(1), good]),
        Buffer.alloc(good.length),
        Buffer.alloc(good.length, 255),
        Buffer.alloc(0),
      ]) {
        expect(await verifySignature(key, INPUT, bad)).toBe(false);
      }
      expect(await verifySignature(key, INPUT.subarray(1), good)).toBe(false);
    },
  );

  test.each(SIGNATURE_ALGORITHMS)("%s: takes no signature of another algorithm", async (of) => {
    for (const other of SIGNATURE_ALGORITHMS) {
      if (other === of) continue;
      expect([other, await verifySignature(keyFor(of), INPUT, signed(other))]).toEqual([
        other,
        false,
      ]);
    }
  });

  test("takes an elliptic signature as two numbers only, never as DER (RFC 7518 §3.4)", async () => {
    for (const algorithm of ["ES256", "ES384", "ES512"] as const) {
      const der = signed(algorithm, { dsaEncoding: "der" });
      expect(await verifySignature(keyFor(algorithm), INPUT, der)).toBe(false);
    }
  });

  test("takes a PSS signature with a salt of the hash's length only (RFC 7518 §3.5)", () => {
    for (const saltLength of [0, 20, 31, 33, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
      expect(verifySignature(keyFor("PS256"), INPUT, signed("PS256", { saltLength }))).toBe(false);
    }
    expect(verifySignature(keyFor("PS256"), INPUT, signed("PS256", { saltLength: 32 }))).toBe(true);
  });

  test("verifies the example of RFC 8037 §A.4", () => {
    const key = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
      format: "jwk",
    });
    const input = Buffer.from("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
    const signature = Buffer.from(
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
      "base64url",
    );
    expect(verifySignature(verifyingKey("EdDSA", key), input, signature)).toBe(true);
  });

  test("gives only what is slow to another thread", async () => {
    const large = generateKeyPairSync("rsa", { modulusLength: 4104 }).publicKey;
    expect(verifyingKey("RS256", large).isSlow).toBe(true);
    const slow = SIGNATURE_ALGORITHMS.filter((algorithm) => keyFor(algorithm).isSlow);
    expect(slow).toEqual(["ES384", "ES512"]);
    const waiting = verifySignature(keyFor("ES384"), INPUT, signed("ES384"));
    expect(waiting).toBeInstanceOf(Promise);
    expect(await waiting).toBe(true);
  });

  test("a key that cannot verify is a fault of ours, not of the token", async () => {
    const secret = createSecretKey(Buffer.alloc(32));
    const fault = expect.objectContaining({ code: "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE" });
    const ask = async (algorithm: SignatureAlgorithm): Promise<boolean> =>
      verifySignature(verifyingKey(algorithm, secret), INPUT, signed(algorithm));
    await expect(ask("ES256")).rejects.toThrow(fault);
    await expect(ask("ES512")).rejects.toThrow(fault);
  });
});
