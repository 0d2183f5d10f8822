import { describe, expect, test } from "@jest/globals";
import { compactVerify, importJWK } from "jose";
import { createSigner, generateSigningJwk, readSigningJwk } from "./sign.ts";

describe("createSigner()", () => {
  const jwk = generateSigningJwk();
  const signer = createSigner(jwk);

  test("signs what an independent implementation verifies", async () => {
    const jws = signer.sign(Buffer.from('{"a":1}'));
    const key = await importJWK({ ...signer.publicJwks.keys[0] }, "EdDSA");
    const verified = await compactVerify(jws, key);
    expect(Buffer.from(verified.payload).toString()).toBe('{"a":1}');
    expect(verified.protectedHeader).toEqual({
      alg: "EdDSA",
      typ: "postern-bundle+jws",
      kid: signer.keyId,
    });
  });

  test("publishes no private member", () => {
    expect(JSON.stringify(signer.publicJwks)).not.toContain(jwk.d);
  });

  test("has the same key id each time", () => {
    expect(createSigner(jwk).keyId).toBe(signer.keyId);
  });

  test("verifies its own signature, and nobody else's", () => {
    const jws = signer.sign(Buffer.from("x"));
    expect(Buffer.from(signer.verify(jws) ?? []).toString()).toBe("x");
    expect(createSigner(generateSigningJwk()).verify(jws)).toBeUndefined();
  });

  test.each(["", "a", "a.b", "a.b.c", "a.b.c.d"])("does not verify %j", (text) => {
    expect(signer.verify(Buffer.from(text))).toBeUndefined();
  });

  test("does not verify a changed payload", () => {
    const [head, , signature] = Buffer.from(signer.sign(Buffer.from("x")))
      .toString()
      .split(".");
    expect(signer.verify(Buffer.from(`${head}.eQ.${signature}`))).toBeUndefined();
  });

  test("refuses a public key that belongs to another private key", () => {
    expect(() => createSigner({ ...jwk, x: generateSigningJwk().x })).toThrow(
      'the members "x" and "d" belong to different keys',
    );
  });
});

describe("readSigningJwk()", () => {
  test.each([undefined, null, 1, {}, { kty: "RSA" }, { kty: "OKP", crv: "Ed25519", x: "a" }])(
    "refuses %j",
    (value) => expect(() => readSigningJwk(value)).toThrow(/^Cannot use signing key: /),
  );

  test("never quotes the key", () => {
    const jwk = { ...generateSigningJwk(), kty: "oct" };
    expect(() => readSigningJwk(jwk)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining(jwk.d) }),
    );
  });
});
