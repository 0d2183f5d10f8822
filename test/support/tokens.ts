/** Real keys, made once per test file, and tokens of every kind that an attacker may think of. */
import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { PublicJwk, SignatureAlgorithm } from "../../policy/bundle.ts";

export interface TestKey {
  readonly kid: string;
  readonly algorithm: SignatureAlgorithm;
  readonly privateKey: KeyObject;
  readonly jwk: PublicJwk;
}

export type Claims = Readonly<Record<string, unknown>>;

export function rsaKey(kid: string, bits = 2048): TestKey {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: bits });
  return testKey(kid, "RS256", privateKey);
}

export function ecKey(kid: string): TestKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return testKey(kid, "ES256", privateKey);
}

/** P-521: its signatures take long enough to verify that a thread of its own does it. */
export function slowKey(kid: string): TestKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-521" });
  return testKey(kid, "ES512", privateKey);
}

export function edKey(kid: string): TestKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  return testKey(kid, "EdDSA", privateKey);
}

/** Valid for ten minutes around `nowMs` at the default provider of bundles.ts. */
export function claims(nowMs: number, more: Claims = {}): Claims {
  const now = Math.floor(nowMs / 1000);
  return {
    iss: "https://id.example.com",
    sub: "alice",
    aud: "orders",
    iat: now,
    exp: now + 600,
    ...more,
  };
}

/** A compact JWS with a true signature over whatever header and claims are given. */
export function token(key: TestKey, payload: Claims, header: Claims = {}): string {
  const head = { alg: key.algorithm, typ: "JWT", kid: key.kid, ...header };
  return signed(`${encode(head)}.${encode(payload)}`, key);
}

export function signed(input: string, key: TestKey): string {
  const bytes = Buffer.from(input);
  const signature =
    key.algorithm === "EdDSA"
      ? sign(null, bytes, key.privateKey)
      : sign(`sha${key.algorithm.slice(2)}`, bytes, {
          key: key.privateKey,
          dsaEncoding: "ieee-p1363",
        });
  return `${input}.${signature.toString("base64url")}`;
}

/** Algorithm confusion: the public key, in PEM, used as a shared secret. */
export function hmacToken(key: TestKey, payload: Claims, header: Claims = {}): string {
  const pem = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" });
  const input = `${encode({ alg: "HS256", typ: "JWT", kid: key.kid, ...header })}.${encode(payload)}`;
  return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
}

export function unsignedToken(payload: Claims, header: Claims = {}): string {
  return `${encode({ alg: "none", ...header })}.${encode(payload)}.`;
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString(
    "base64url",
  );
}

function testKey(kid: string, algorithm: SignatureAlgorithm, privateKey: KeyObject): TestKey {
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  return { kid, algorithm, privateKey, jwk: { ...(jwk as PublicJwk), kid } };
}
