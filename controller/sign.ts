/**
 * Makes the signature by which sidecars know that a bundle is ours: a compact JWS (RFC 7515) with Ed25519
 * (RFC 8037). The bus is not trusted with this: whoever owns the bus can withhold policy, and cannot forge it.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { sign as signBytes, verify as verifyBytes } from "node:crypto";
import { BUNDLE_JWS_ALGORITHM, BUNDLE_JWS_TYPE } from "../policy/contract.ts";

/** RFC 8037 §2. */
export interface PrivateSigningJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
  readonly d: string;
}

export interface PublicSigningJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
  readonly kid: string;
  readonly alg: typeof BUNDLE_JWS_ALGORITHM;
  readonly use: "sig";
}

export interface Signer {
  /** RFC 7638 thumbprint of the public key. */
  readonly keyId: string;
  /** What sidecars need in order to verify. */
  readonly publicJwks: { readonly keys: readonly PublicSigningJwk[] };
  sign(payload: Uint8Array): Uint8Array;
  /** The payload, when this signer made it; for what the bus gives back to us. */
  verify(jws: Uint8Array): Uint8Array | undefined;
}

export function generateSigningJwk(): PrivateSigningJwk {
  const { privateKey } = generateKeyPairSync("ed25519");
  return readSigningJwk(privateKey.export({ format: "jwk" }));
}

/** Throws a TypeError that says what is wrong, and never quotes the key. */
export function readSigningJwk(value: unknown): PrivateSigningJwk {
  const jwk = value as Partial<Record<keyof PrivateSigningJwk, unknown>> | null | undefined;
  if (jwk?.kty !== "OKP" || jwk.crv !== "Ed25519") {
    throw new TypeError(
      'Cannot use signing key: it must be a JWK with kty "OKP" and crv "Ed25519"',
    );
  }
  const { x, d } = jwk;
  if (typeof x !== "string" || typeof d !== "string") {
    throw new TypeError('Cannot use signing key: the members "x" and "d" must be strings');
  }
  return { kty: "OKP", crv: "Ed25519", x, d };
}

export function createSigner(jwk: PrivateSigningJwk): Signer {
  const privateKey = createPrivateKey({ key: { ...jwk }, format: "jwk" });
  // Derived, not copied: an "x" that does not belong to "d" would make signatures that nobody can verify.
  const publicKey = createPublicKey(privateKey);
  const x = publicKey.export({ format: "jwk" }).x;
  if (x !== jwk.x) {
    throw new TypeError('Cannot use signing key: the members "x" and "d" belong to different keys');
  }
  const keyId = createHash("sha256")
    .update(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }))
    .digest("base64url");
  const header = base64url(
    JSON.stringify({ alg: BUNDLE_JWS_ALGORITHM, kid: keyId, typ: BUNDLE_JWS_TYPE }),
  );
  return {
    keyId,
    publicJwks: {
      keys: [{ kty: "OKP", crv: "Ed25519", x, kid: keyId, alg: BUNDLE_JWS_ALGORITHM, use: "sig" }],
    },
    sign(payload) {
      const input = `${header}.${base64url(payload)}`;
      const signature = signBytes(null, Buffer.from(input), privateKey);
      return Buffer.from(`${input}.${base64url(signature)}`);
    },
    verify(jws) {
      const [head, payload, signature, ...rest] = Buffer.from(jws).toString("latin1").split(".");
      // The header is a constant of ours, so nothing in it needs interpreting.
      if (head !== header || payload === undefined || signature === undefined) return undefined;
      if (rest.length > 0) return undefined;
      const input = Buffer.from(`${head}.${payload}`);
      if (!verifyBytes(null, input, publicKey, Buffer.from(signature, "base64url"))) {
        return undefined;
      }
      return Buffer.from(payload, "base64url");
    },
  };
}

function base64url(value: string | Uint8Array): string {
  return Buffer.from(value as Uint8Array).toString("base64url");
}
