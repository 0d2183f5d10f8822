/**
 * Takes secrets out of whatever is about to be logged or shown: by the name of a field, and by the shape of
 * a text (compact JWS and JWE, `Bearer …` and `Basic …`, user information in URLs, PEM private keys).
 * Guarantees: never throws, never changes its input, bounded work, and the result can be written as JSON.
 */

/** What stands in the place of a secret. */
export const REDACTED = "[redacted]";

const MAX_TEXT = 16_384;

/** Compared without case, `-` and `_`, so that `set-cookie`, `setCookie` and `SET_COOKIE` are one name. */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  "accesstoken",
  "apikey",
  "assertion",
  "authorization",
  "authtoken",
  "bearer",
  "clientassertion",
  "clientsecret",
  "cookie",
  "cookies",
  "credential",
  "credentials",
  "idtoken",
  "jwt",
  "pass",
  "passphrase",
  "passwd",
  "password",
  "privatekey",
  "proxyauthorization",
  "refreshtoken",
  "secret",
  "secretkey",
  "seed",
  "setcookie",
  "signingkey",
  "token",
  "xapikey",
]);

/** Members that are private in a JWK (RFC 7518 §6.2.2, §6.3.2, §6.4.1), and mean nothing secret elsewhere. */
const PRIVATE_JWK_MEMBERS: ReadonlySet<string> = new Set([
  "d",
  "p",
  "q",
  "dp",
  "dq",
  "qi",
  "oth",
  "k",
]);

/**
 * Every shape below contains one of these, so an ordinary text costs one scan and no replacing. The letters are
 * spelled out since the flag `i` makes the scan twice as slow.
 */
const SUSPICIOUS =
  /eyJ|[bB][eE][aA][rR][eE][rR]|[bB][aA][sS][iI][cC]|[dD][pP][oO][pP]|:\/\/|PRIVATE KEY/;
/** Three parts are a JWS (RFC 7515 §7.1), five a JWE (RFC 7516 §7.1); both headers begin with `{"`. */
const COMPACT_TOKEN = /eyJ[\w-]{4,}\.[\w-]*\.[\w-]*(?:\.[\w-]*\.[\w-]*)?/g;
const AUTH_SCHEME = /\b(bearer|basic|dpop)(\s+)[\w\-.~+/]{6,}=*/gi;
const URL_USER_INFO = /(:\/\/)[^\s/?#@]{1,512}@/g;
const PEM_PRIVATE_KEY =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;

export interface RedactLimits {
  /** Of nesting. */
  readonly depth: number;
  /** Of one list or object. */
  readonly members: number;
}

/** For lines of log; what is shown on request may be larger. */
const LOG_LIMITS: RedactLimits = { depth: 8, members: 200 };

interface Walk {
  readonly limits: RedactLimits;
  readonly ancestors: Set<object>;
}

/** A copy of `value` without secrets, made only of what JSON can say. */
export function redact(value: unknown, limits: RedactLimits = LOG_LIMITS): unknown {
  return copy(value, 0, { limits, ancestors: new Set() });
}

/** A text without the secrets that can be told by their shape. */
export function redactText(text: string): string {
  const bounded =
    text.length > MAX_TEXT
      ? `${text.slice(0, MAX_TEXT)}… (${text.length - MAX_TEXT} more characters)`
      : text;
  if (!SUSPICIOUS.test(bounded)) return bounded;
  return bounded
    .replace(PEM_PRIVATE_KEY, REDACTED)
    .replace(AUTH_SCHEME, `$1$2${REDACTED}`)
    .replace(COMPACT_TOKEN, REDACTED)
    .replace(URL_USER_INFO, `$1${REDACTED}@`);
}

/**
 * Whether a text may hold a secret of some shape: false means that redactText() would leave it as it is. True also
 * of texts in JSON's escapes, which leave every mark of a shape visible.
 */
export function isSuspicious(text: string): boolean {
  return text.length > MAX_TEXT || SUSPICIOUS.test(text);
}

/** Whether a field of this name is never shown. */
export function isSecretName(name: string): boolean {
  return SECRET_NAMES.has(plain(name));
}

function copy(value: unknown, depth: number, walk: Walk): unknown {
  switch (typeof value) {
    case "string":
      return redactText(value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
    case "undefined":
      return value;
    case "bigint":
      return value.toString();
    case "symbol":
      return value.toString();
    case "function":
      return "[function]";
    case "object":
      return value === null ? null : copyObject(value, depth, walk);
  }
}

function copyObject(value: object, depth: number, walk: Walk): unknown {
  if (walk.ancestors.has(value)) return "[circular]";
  if (depth >= walk.limits.depth) return "[too deep]";
  walk.ancestors.add(value);
  try {
    return copyKnown(value, depth + 1, walk);
  } catch {
    // A getter or proxy of somebody else's object threw: the line must be written all the same.
    return "[unreadable]";
  } finally {
    walk.ancestors.delete(value);
  }
}

function copyKnown(value: object, depth: number, walk: Walk): unknown {
  if (Array.isArray(value)) {
    const items = value.slice(0, walk.limits.members).map((item) => copy(item, depth, walk));
    if (value.length > walk.limits.members)
      items.push(`… (${value.length - walk.limits.members} more)`);
    return items;
  }
  if (value instanceof Error) return copyError(value, depth, walk);
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  }
  if (value instanceof URL) return redactText(value.href);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map) return copyEntries(value.entries(), false, depth, walk);
  if (value instanceof Set) return copy([...value], depth, walk);
  return copyEntries(Object.entries(value), "kty" in value, depth, walk);
}

function copyEntries(
  entries: Iterable<[unknown, unknown]>,
  isJwk: boolean,
  depth: number,
  walk: Walk,
): Record<string, unknown> {
  // No prototype: names come from outside, and `__proto__` must be a name like any other.
  const result = Object.create(null) as Record<string, unknown>;
  let count = 0;
  for (const [key, member] of entries) {
    if (count === walk.limits.members) {
      result["…"] = "more members";
      break;
    }
    count += 1;
    const name = String(key);
    const hidden = isSecretName(name) || (isJwk && PRIVATE_JWK_MEMBERS.has(name));
    result[name] = hidden && hasContent(member) ? REDACTED : copy(member, depth, walk);
  }
  return result;
}

function copyError(error: Error, depth: number, walk: Walk): Record<string, unknown> {
  const code = (error as NodeJS.ErrnoException).code;
  return {
    name: error.name,
    message: redactText(error.message),
    ...(code === undefined ? {} : { code: copy(code, depth, walk) }),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: copy(error.cause, depth, walk) }),
  };
}

/** Absent stays visible as absent: "no token was sent" is what an operator looks for. A truth value is no secret. */
function hasContent(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "" && typeof value !== "boolean";
}

function plain(name: string): string {
  return name.replace(/[-_]/g, "").toLowerCase();
}
