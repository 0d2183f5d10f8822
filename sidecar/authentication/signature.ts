/**
 * Verifies a signature of JWS (RFC 7518 §3) with a key whose algorithm was fixed when it was imported: what the
 * token says picks a key and nothing else. OpenSSL in this thread costs 60 to 120 µs for the common algorithms,
 * less than handing the work to another thread and back; the slow ones (0.8 ms for P-384, 1.8 ms for P-521,
 * large RSA) are handed over, so that whoever forges tokens holds nobody up.
 */
import type { KeyObject, VerifyKeyObjectInput } from "node:crypto";
import { constants, verify } from "node:crypto";
import type { SignatureAlgorithm } from "../../policy/bundle.ts";

export interface VerifyingKey {
  readonly algorithm: SignatureAlgorithm;
  /** What OpenSSL is told, made once. */
  readonly how: VerifyKeyObjectInput;
  /** Slow enough to be worth a thread of its own. */
  readonly isSlow: boolean;
}

/** Above, one verification takes more than some 150 µs. */
const MAX_QUICK_RSA_BITS = 4096;

export function verifyingKey(algorithm: SignatureAlgorithm, key: KeyObject): VerifyingKey {
  const { padding } = ALGORITHMS[algorithm];
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  const isSlow = algorithm === "ES384" || algorithm === "ES512" || bits > MAX_QUICK_RSA_BITS;
  // Two numbers side by side, never DER (RFC 7518 §3.4). RSA does not look at it.
  return { algorithm, how: { key, dsaEncoding: "ieee-p1363", ...padding }, isSlow };
}

/** A promise only for keys that are slow. Throws, or rejects, where the key cannot verify at all: a fault of ours. */
export function verifySignature(
  { algorithm, how, isSlow }: VerifyingKey,
  signingInput: Uint8Array,
  signature: Uint8Array,
): boolean | Promise<boolean> {
  const { hash, signatureBytes } = ALGORITHMS[algorithm];
  // A signature of another length is none; OpenSSL would be asked for nothing.
  if (signatureBytes !== undefined && signature.length !== signatureBytes) return false;
  if (!isSlow) return verify(hash, signingInput, how, signature);
  return new Promise((resolve, reject) => {
    verify(hash, signingInput, how, signature, (error, isValid) => {
      if (error === null) resolve(isValid);
      else reject(error);
    });
  });
}

interface Algorithm {
  /** Undefined: the algorithm has its own. */
  readonly hash: string | undefined;
  readonly padding?: { readonly padding: number; readonly saltLength?: number };
  /** Where the algorithm fixes it. */
  readonly signatureBytes?: number;
}

const PKCS1 = { padding: constants.RSA_PKCS1_PADDING };
/** The salt is as long as the hash (RFC 7518 §3.5), not of any length that the signer likes. */
const PSS = {
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
};

const ALGORITHMS: Readonly<Record<SignatureAlgorithm, Algorithm>> = {
  RS256: { hash: "sha256", padding: PKCS1 },
  RS384: { hash: "sha384", padding: PKCS1 },
  RS512: { hash: "sha512", padding: PKCS1 },
  PS256: { hash: "sha256", padding: PSS },
  PS384: { hash: "sha384", padding: PSS },
  PS512: { hash: "sha512", padding: PSS },
  ES256: { hash: "sha256", signatureBytes: 64 },
  ES384: { hash: "sha384", signatureBytes: 96 },
  ES512: { hash: "sha512", signatureBytes: 132 },
  EdDSA: { hash: undefined, signatureBytes: 64 },
};
