/**
 * Token + provider → subject, or a denial that names the first thing that is wrong. Algorithm and key first,
 * then the signature, and only then the claims: nothing is learnt from what nobody signed.
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import { claimHeaders } from "./claim-headers.ts";
import type { PreparedKey, PreparedProvider } from "./provider.ts";
import type { VerifyingKey } from "./signature.ts";
import { verifySignature } from "./signature.ts";
import type { Subject } from "./subject.ts";
import type { UnverifiedToken } from "./token.ts";

/** From the first millisecond that counts to the first one that does not. */
export interface Lifetime {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** A token without `kid` is tried against so many keys that fit: an issuer in rotation has two or three. */
const MAX_TRIES = 4;

/** A promise only where a key is slow. Throws, or rejects, what is a fault of ours. */
export function verifyToken(
  token: UnverifiedToken,
  provider: PreparedProvider,
  nowMs: number,
): Subject | Denial | Promise<Subject | Denial> {
  const name = `provider "${provider.name}"`;
  // `none` and HMAC are in no list: a public key is never a shared secret (CVE-2016-5431).
  if (!provider.algorithms.has(token.algorithm)) {
    return deny("authn.algorithm", `The ${name} does not accept "${token.algorithm}"`);
  }
  if (provider.keys.kind === "unavailable") {
    return deny("authn.keys-unavailable", `The ${name} has no keys: ${provider.keys.reason}`);
  }
  const candidates = candidateKeys(token, provider.keys.keys);
  if (candidates.kind === "none") return deny(candidates.code, `${candidates.detail} (${name})`);
  const verified = anyVerifies(token, candidates.keys);
  return typeof verified === "boolean"
    ? subjectOf(token, provider, verified, nowMs)
    : verified.then((isValid) => subjectOf(token, provider, isValid, nowMs));
}

function subjectOf(
  token: UnverifiedToken,
  provider: PreparedProvider,
  verified: boolean,
  nowMs: number,
): Subject | Denial {
  if (!verified) {
    return deny(
      "authn.signature",
      `The signature does not verify with a key of provider "${provider.name}"`,
    );
  }
  const wrong = checkClaims(token.claims, provider, nowMs);
  if (wrong !== undefined) return wrong;
  const identity = claimHeaders(token.claims, provider.claimsToHeaders);
  if ("code" in identity) return identity;
  const id = token.claims["sub"];
  return {
    id: typeof id === "string" ? id : undefined,
    provider: provider.name,
    claims: token.claims,
    scopes: scopesOf(token.claims),
    identityHeaders: identity.headers,
  };
}

/** When a token counts, the provider's skew included: the one reading of `exp` and `nbf`, for whoever remembers it. */
export function lifetimeOf(
  { exp, nbf }: Readonly<Record<string, unknown>>,
  { clockSkewMs }: Pick<PreparedProvider, "clockSkewMs">,
): Lifetime {
  return {
    fromMs: typeof nbf === "number" ? nbf * 1000 - clockSkewMs : Number.NEGATIVE_INFINITY,
    // Without `exp` it never counts.
    untilMs: typeof exp === "number" ? exp * 1000 + clockSkewMs : Number.NEGATIVE_INFINITY,
  };
}

type Candidates =
  | { readonly kind: "some"; readonly keys: readonly VerifyingKey[] }
  | {
      readonly kind: "none";
      readonly code: "authn.key-unknown" | "authn.algorithm";
      readonly detail: string;
    };

function candidateKeys(token: UnverifiedToken, keys: readonly PreparedKey[]): Candidates {
  const named =
    token.kid === undefined ? keys : keys.filter((candidate) => candidate.kid === token.kid);
  if (named.length === 0) {
    return { kind: "none", code: "authn.key-unknown", detail: "No key has the token's `kid`" };
  }
  const fitting: VerifyingKey[] = [];
  for (const candidate of named) {
    const key = candidate.byAlgorithm.get(token.algorithm);
    if (key !== undefined && fitting.length < MAX_TRIES) fitting.push(key);
  }
  if (fitting.length > 0) return { kind: "some", keys: fitting };
  return {
    kind: "none",
    code: "authn.algorithm",
    detail: `No key of the token's \`kid\` serves "${token.algorithm}"`,
  };
}

function anyVerifies(
  token: UnverifiedToken,
  keys: readonly VerifyingKey[],
): boolean | Promise<boolean> {
  const end = token.text.lastIndexOf(".");
  // ASCII, since the token was read.
  const signingInput = Buffer.from(token.text.slice(0, end), "latin1");
  const signature = Buffer.from(token.text.slice(end + 1), "base64url");
  return tryKeys(0);

  function tryKeys(tried: number): boolean | Promise<boolean> {
    let count = 0;
    for (const key of keys) {
      count += 1;
      if (count <= tried) continue;
      const verified = verifySignature(key, signingInput, signature);
      if (verified === true) return true;
      if (verified === false) continue;
      const reached = count;
      return verified.then((isValid) => isValid || tryKeys(reached));
    }
    return false;
  }
}

function checkClaims(
  claims: Readonly<Record<string, unknown>>,
  provider: PreparedProvider,
  nowMs: number,
): Denial | undefined {
  const { iss, exp, nbf, aud, sub } = claims as Record<
    "iss" | "exp" | "nbf" | "aud" | "sub",
    unknown
  >;
  if (iss !== provider.issuer)
    return deny("authn.issuer", "The `iss` is not the provider's issuer");
  if (typeof exp !== "number" || !Number.isFinite(exp)) {
    return deny("authn.claims", "The token has no numeric `exp`");
  }
  const { fromMs, untilMs } = lifetimeOf(claims, provider);
  if (nowMs >= untilMs) return deny("authn.expired", "The `exp` has passed");
  if (nbf !== undefined) {
    if (typeof nbf !== "number" || !Number.isFinite(nbf)) {
      return deny("authn.claims", "The `nbf` is not a number");
    }
    if (nowMs < fromMs) return deny("authn.not-yet-valid", "The `nbf` lies in the future");
  }
  if (provider.audiences.length > 0 && !names(aud, provider.audiences)) {
    return deny("authn.audience", "The `aud` names none of the provider's audiences");
  }
  if (sub !== undefined && typeof sub !== "string") {
    return deny("authn.claims", "The `sub` is not a string");
  }
  return undefined;
}

/** RFC 7519 §4.1.3: a string or an array of strings. */
function names(aud: unknown, audiences: readonly string[]): boolean {
  if (typeof aud === "string") return audiences.includes(aud);
  if (!Array.isArray(aud)) return false;
  const values: readonly unknown[] = aud;
  return (
    values.every((value) => typeof value === "string") &&
    values.some((value) => audiences.includes(value))
  );
}

/** `scope` as RFC 8693 §4.2 has it, and the `scp` and array forms of large issuers. Other types grant nothing. */
function scopesOf(claims: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const scopes = new Set<string>();
  for (const claim of [claims["scope"], claims["scp"]]) {
    const values: readonly unknown[] =
      typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
    for (const value of values) if (typeof value === "string" && value !== "") scopes.add(value);
  }
  return scopes;
}
