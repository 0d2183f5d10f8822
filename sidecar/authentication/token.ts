/**
 * A compact JWS (RFC 7515 §7.1) taken apart, before anything in it is believed. What verification reads later
 * is the same text, so there is one reading of header and claims.
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";

export interface UnverifiedToken {
  /** A secret. */
  readonly text: string;
  readonly algorithm: string;
  readonly kid: string | undefined;
  /** Not believed before the signature is. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Room for group claims; more costs us decoding that an attacker chooses. */
export const MAX_TOKEN_CHARS = 16 * 1024;

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

export function readToken(text: string): UnverifiedToken | Denial {
  if (text.length > MAX_TOKEN_CHARS) {
    return malformed(`The token has more than ${MAX_TOKEN_CHARS} characters`);
  }
  if (!COMPACT_JWS.test(text)) return malformed("The token is not a compact JWS");
  const [protectedHeader = "", payload = "", signature = ""] = text.split(".");
  if (![protectedHeader, payload, signature].every(isCanonical)) {
    return malformed("The token is not in canonical base64url");
  }
  const header = readObject(protectedHeader);
  if (header === undefined) return malformed("The token's header is not a JSON object");
  // We understand no extension, so none may be critical (RFC 7515 §4.1.11). `jku`, `x5u`, `jwk` and `x5c`
  // are never looked at: keys come from policy only.
  if (Object.hasOwn(header, "crit")) return malformed("The token's header has `crit`");
  const algorithm = header["alg"];
  if (typeof algorithm !== "string") return malformed("The token's header has no `alg`");
  const kid = header["kid"];
  if (kid !== undefined && typeof kid !== "string") return malformed("The `kid` is not a string");
  const claims = readObject(payload);
  if (claims === undefined) return malformed("The token's payload is not a JSON object");
  return { text, algorithm, kid, claims };
}

/** Every octet has one spelling (RFC 4648 §3.5): another text is another token, to whoever remembers tokens. */
function isCanonical(part: string): boolean {
  const last = part.slice(-1);
  switch (part.length % 4) {
    case 0:
      return true;
    case 2:
      return "AQgw".includes(last);
    case 3:
      return "AEIMQUYcgkosw048".includes(last);
    default:
      return false;
  }
}

function readObject(part: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(Buffer.from(part, "base64url")));
  } catch {
    // Not UTF-8 or not JSON: the caller's mistake, told by the code.
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

function malformed(detail: string): Denial {
  return deny("authn.malformed", detail);
}
