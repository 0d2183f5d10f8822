/**
 * A provider made ready: its keys imported once for every algorithm that both the policy and the key permit.
 * Which algorithm a key serves is thereby decided by policy and key alone; a token only picks one of them
 * (algorithm confusion: CVE-2015-9235, CVE-2026-22817).
 */
import { KeyObject } from "node:crypto";
import { importJWK } from "jose/key/import";
import type {
  ClaimToHeader,
  JwtProvider,
  PublicJwk,
  SignatureAlgorithm,
} from "../../policy/bundle.ts";
import type { VerifyingKey } from "./signature.ts";
import { verifyingKey } from "./signature.ts";

export interface PreparedProvider {
  readonly name: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: ReadonlySet<string>;
  readonly clockSkewMs: number;
  readonly keys: PreparedKeys;
  readonly claimsToHeaders: readonly ClaimToHeader[];
  /** Keys that cannot be used, and why. */
  readonly problems: readonly string[];
}

export type PreparedKeys =
  | { readonly kind: "known"; readonly keys: readonly PreparedKey[] }
  | { readonly kind: "unavailable"; readonly reason: string };

export interface PreparedKey {
  readonly kid: string | undefined;
  readonly byAlgorithm: ReadonlyMap<string, VerifyingKey>;
}

/** RFC 7518 §3.3 and §3.5; the library refuses less only when it verifies. */
const MIN_RSA_BITS = 2048;

const CURVE_ALGORITHM: Readonly<Record<string, SignatureAlgorithm>> = {
  "P-256": "ES256",
  "P-384": "ES384",
  "P-521": "ES512",
};

export async function prepareProvider(provider: JwtProvider): Promise<PreparedProvider> {
  const problems: string[] = [];
  return {
    name: provider.name,
    issuer: provider.issuer,
    audiences: provider.audiences,
    algorithms: new Set(provider.algorithms),
    clockSkewMs: provider.clockSkewSeconds * 1000,
    keys:
      provider.keys.kind === "known"
        ? { kind: "known", keys: await importKeys(provider, provider.keys.jwks, problems) }
        : provider.keys,
    claimsToHeaders: provider.claimsToHeaders,
    problems,
  };
}

async function importKeys(
  provider: JwtProvider,
  jwks: readonly PublicJwk[],
  problems: string[],
): Promise<PreparedKey[]> {
  const keys: PreparedKey[] = [];
  for (const [index, jwk] of jwks.entries()) {
    const byAlgorithm = new Map<string, VerifyingKey>();
    for (const algorithm of provider.algorithms) {
      if (!fits(jwk, algorithm)) continue;
      const imported = await importKey(jwk, algorithm);
      if (imported.kind === "usable") byAlgorithm.set(algorithm, imported.key);
      else problems.push(`Provider "${provider.name}", key ${index}: ${imported.reason}`);
    }
    // Kept even without a use: its `kid` is known, and says "wrong algorithm" rather than "unknown key".
    keys.push({ kid: jwk.kid, byAlgorithm });
  }
  return keys;
}

function fits(jwk: PublicJwk, algorithm: SignatureAlgorithm): boolean {
  if (jwk.alg !== undefined && jwk.alg !== algorithm) return false;
  switch (jwk.kty) {
    case "RSA":
      return algorithm.startsWith("RS") || algorithm.startsWith("PS");
    case "EC":
      return jwk.crv !== undefined && CURVE_ALGORITHM[jwk.crv] === algorithm;
    case "OKP":
      return jwk.crv === "Ed25519" && algorithm === "EdDSA";
  }
}

type Imported =
  | { readonly kind: "usable"; readonly key: VerifyingKey }
  | { readonly kind: "unusable"; readonly reason: string };

async function importKey(jwk: PublicJwk, algorithm: SignatureAlgorithm): Promise<Imported> {
  try {
    const { kty, n, e, crv, x, y } = jwk;
    const members = Object.entries({ kty, n, e, crv, x, y }).filter(([, v]) => v !== undefined);
    const key = await importJWK(Object.fromEntries(members), algorithm);
    if (key instanceof Uint8Array) return { kind: "unusable", reason: "it is symmetric" };
    if (key.type !== "public") return { kind: "unusable", reason: `it is a ${key.type} key` };
    const bits = (key.algorithm as { readonly modulusLength?: number }).modulusLength;
    if (bits !== undefined && bits < MIN_RSA_BITS) {
      return { kind: "unusable", reason: `${bits} bits are less than ${MIN_RSA_BITS}` };
    }
    return { kind: "usable", key: verifyingKey(algorithm, KeyObject.from(key)) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return { kind: "unusable", reason: `it cannot be imported for ${algorithm}: ${reason}` };
  }
}
