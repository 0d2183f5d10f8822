/**
 * A JSON Web Key Set (RFC 7517) from outside → the public keys that can verify a signature, each reduced to the
 * members that this needs. A private or symmetric key anywhere refuses the whole set: whoever published it has
 * a larger problem, and a symmetric key next to public ones invites algorithm confusion (CVE-2023-48223).
 */
import type { PublicJwk, SignatureAlgorithm } from "./bundle.ts";

export type JwksReading =
  | {
      readonly kind: "keys";
      readonly jwks: readonly PublicJwk[];
      /** One sentence for each key that cannot be used here and was left out. */
      readonly ignored: readonly string[];
    }
  | { readonly kind: "problem"; readonly message: string };

export const MAX_JWKS_CHARACTERS = 256 * 1024;
export const MAX_KEYS = 64;

/** Below, RSA is not considered safe (NIST SP 800-131A); above, a verification costs an attacker nothing and us much. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
const MAX_KID_LENGTH = 256;
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/** Length of a coordinate in bytes, and the one algorithm of the curve (RFC 7518 §3.4, §6.2.1). */
const CURVES: ReadonlyMap<string, { readonly bytes: number; readonly alg: SignatureAlgorithm }> =
  new Map([
    ["P-256", { bytes: 32, alg: "ES256" }],
    ["P-384", { bytes: 48, alg: "ES384" }],
    ["P-521", { bytes: 66, alg: "ES512" }],
  ]);
const RSA_ALGORITHMS: readonly string[] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

type Members = Readonly<Record<string, unknown>>;

/** Takes the text of the document, or what was parsed of it. */
export function readJwks(input: unknown): JwksReading {
  let document = input;
  if (typeof input === "string") {
    if (input.length > MAX_JWKS_CHARACTERS) {
      return refuse(`has ${input.length} characters, at most ${MAX_JWKS_CHARACTERS} are accepted`);
    }
    try {
      document = JSON.parse(input);
    } catch {
      // The parser's message would quote the document.
      return refuse("is not JSON");
    }
  }
  const list = isMembers(document) ? document["keys"] : undefined;
  if (!Array.isArray(list)) return refuse('is not a JSON object with a list "keys"');
  if (list.length > MAX_KEYS) {
    return refuse(`has ${list.length} keys, at most ${MAX_KEYS} are accepted`);
  }
  const jwks: PublicJwk[] = [];
  const ignored: string[] = [];
  for (const [index, key] of list.entries()) {
    if (!isMembers(key)) return refuse(`has something at keys[${index}] that is not an object`);
    const secret = secretProblem(key);
    if (secret !== undefined) return refuse(`has ${secret} at keys[${index}]`);
    const reading = readKey(key);
    if (typeof reading === "string") ignored.push(`keys[${index}] is left out: ${reading}`);
    else jwks.push(reading);
  }
  return { kind: "keys", jwks, ignored };
}

function refuse(why: string): JwksReading {
  return { kind: "problem", message: `the JSON Web Key Set ${why}` };
}

function secretProblem(key: Members): string | undefined {
  if (key["kty"] === "oct" || Object.hasOwn(key, "k")) {
    return "a symmetric key, only public keys are accepted,";
  }
  const member = PRIVATE_MEMBERS.find((name) => Object.hasOwn(key, name));
  return member === undefined
    ? undefined
    : `a private key (member "${member}"), only public keys are accepted,`;
}

function readKey(key: Members): PublicJwk | string {
  if (key["use"] !== undefined && key["use"] !== "sig") return 'its "use" is not "sig"';
  const operations = key["key_ops"];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) {
    return 'its "key_ops" do not include "verify"';
  }
  const kid = key["kid"];
  if (kid !== undefined && !isKid(kid)) {
    return `its "kid" is not a string of 1 to ${MAX_KID_LENGTH} characters`;
  }
  const common = kid === undefined ? {} : { kid };
  switch (key["kty"]) {
    case "RSA":
      return readRsa(key, common);
    case "EC":
      return readEc(key, common);
    case "OKP":
      return readOkp(key, common);
    default:
      return 'its "kty" is none of "RSA", "EC", "OKP"';
  }
}

function readRsa(key: Members, common: { readonly kid?: string }): PublicJwk | string {
  const { n, e, alg } = key;
  if (!isBase64Url(n) || !isBase64Url(e)) return '"n" or "e" is not base64url';
  const bits = bitLength(n);
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    return `its modulus has ${bits} bits, ${MIN_RSA_BITS} to ${MAX_RSA_BITS} are accepted`;
  }
  // An exponent of 1 makes every signature valid; beyond 32 bits it only makes verification slow.
  if (bitLength(e) < 2 || bitLength(e) > 32 || !isOdd(e)) {
    return "its exponent is not an odd number from 3 to 2^32";
  }
  if (alg === undefined) return { kty: "RSA", ...common, n, e };
  if (typeof alg !== "string" || !RSA_ALGORITHMS.includes(alg)) return unusable(alg);
  return { kty: "RSA", ...common, alg: alg as SignatureAlgorithm, n, e };
}

function readEc(key: Members, common: { readonly kid?: string }): PublicJwk | string {
  const { crv, x, y, alg } = key;
  const curve = typeof crv === "string" ? CURVES.get(crv) : undefined;
  if (curve === undefined) return `its "crv" is none of "P-256", "P-384", "P-521"`;
  if (!isBytes(x, curve.bytes) || !isBytes(y, curve.bytes)) {
    return `"x" or "y" is not base64url of ${curve.bytes} bytes`;
  }
  if (alg !== undefined && alg !== curve.alg) return unusable(alg);
  return {
    kty: "EC",
    ...common,
    ...(alg === undefined ? {} : { alg: curve.alg }),
    crv: String(crv),
    x,
    y,
  };
}

function readOkp(key: Members, common: { readonly kid?: string }): PublicJwk | string {
  const { crv, x, alg } = key;
  if (crv !== "Ed25519") return 'its "crv" is not "Ed25519"';
  if (!isBytes(x, 32)) return '"x" is not base64url of 32 bytes';
  // RFC 9864 calls the same algorithm "Ed25519".
  if (alg !== undefined && alg !== "EdDSA" && alg !== "Ed25519") return unusable(alg);
  return { kty: "OKP", ...common, ...(alg === undefined ? {} : { alg: "EdDSA" }), crv, x };
}

function unusable(alg: unknown): string {
  const shown = typeof alg === "string" ? JSON.stringify(alg.slice(0, 32)) : typeof alg;
  return `its "alg" ${shown} is not a signature algorithm of this kind of key`;
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isKid(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= MAX_KID_LENGTH &&
    value.isWellFormed()
  );
}

const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function isBase64Url(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 1 &&
    value.length <= 2048 &&
    value.length % 4 !== 1 &&
    /^[A-Za-z0-9_-]+$/.test(value)
  );
}

function isBytes(value: unknown, bytes: number): value is string {
  return isBase64Url(value) && byteLength(value) === bytes;
}

function byteLength(text: string): number {
  return Math.floor((text.length * 6) / 8);
}

/** Of the big-endian number, without leading zeros. */
function bitLength(text: string): number {
  const first = text.search(/[^A]/);
  if (first === -1) return 0;
  const zeros = first * 6 + Math.clz32(BASE64URL.indexOf(text.charAt(first))) - 26;
  return Math.max(0, byteLength(text) * 8 - zeros);
}

function isOdd(text: string): boolean {
  // The last character carries 6, 4 or 2 bits of the number, then padding.
  const padding = text.length * 6 - byteLength(text) * 8;
  return ((BASE64URL.indexOf(text.charAt(text.length - 1)) >> padding) & 1) === 1;
}
