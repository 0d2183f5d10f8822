/**
 * Reads the header lines. A header that decides something is single, plain ASCII, and cannot be removed or
 * imitated from outside: not by a Connection option (CVE-2024-45410), not by an alias that an application
 * server would fold into it (`X_Forwarded_For`, CVE-2026-39858).
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { HeaderLine } from "../exchange.ts";
import { HeaderList } from "../exchange.ts";

/** What the policy in force adds to the rules. */
export interface HeaderGuards {
  /** `spelling()` of what policy sets from verified claims: stripped from what callers send. */
  readonly identity: ReadonlySet<string>;
  /** Lower-case names where policy looks for credentials: no alias, no removal. */
  readonly credential: ReadonlySet<string>;
}

export const MAX_HEADER_LINES = 100;
export const MAX_HEADER_BYTES = 32 * 1024;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]/;
const NOT_ASCII = /[^\t\u0020-\u007e]/;
const PLAIN_KEY = /^[a-z0-9-]+$/;

/** Read by somebody as one value; a second line would be read by somebody else. */
const SINGLE: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "content-type",
  "content-encoding",
  "content-range",
  "content-location",
  "authorization",
  "proxy-authorization",
  "cookie",
  "expect",
  "upgrade",
  "range",
  "referer",
  "origin",
  "user-agent",
  "from",
  "max-forwards",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
  "x-real-ip",
  "x-http-method-override",
]);

/** Decides who calls, whom, or where the message ends. */
const GUARDED: ReadonlySet<string> = new Set([
  "host",
  "transfer-encoding",
  "authorization",
  "proxy-authorization",
  "cookie",
  "expect",
  "origin",
  "forwarded",
  "x-real-ip",
]);
const GUARDED_FAMILIES = ["content-", "x-forwarded-"];

/** What a name means by itself, whatever policy is in force. */
interface NameFacts {
  readonly key: string;
  readonly twin: string;
  readonly isSingle: boolean;
  readonly isGuarded: boolean;
}

/** Callers send the same few names over and over, so what they mean is looked up and not worked out. */
const KNOWN_NAMES = new Map<string, NameFacts>();
/** Whoever sends names that nobody else sends fills it, and it begins anew: that costs what it cost without. */
const MAX_KNOWN_NAMES = 1_000;
const MAX_KNOWN_NAME_CHARS = 64;

/** Undefined: the name is not a token. */
function factsOf(name: string): NameFacts | undefined {
  const known = KNOWN_NAMES.get(name);
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) return undefined;
  // A copy: a part of a text keeps the whole of it, here a head of many kilobytes.
  const own = Buffer.from(name, "latin1").toString("latin1");
  const key = own.toLowerCase();
  const facts: NameFacts = {
    key,
    twin: spelling(key),
    isSingle: SINGLE.has(key),
    isGuarded: isAlwaysGuarded(key),
  };
  if (own.length <= MAX_KNOWN_NAME_CHARS) {
    if (KNOWN_NAMES.size >= MAX_KNOWN_NAMES) KNOWN_NAMES.clear();
    KNOWN_NAMES.set(own, facts);
  }
  return facts;
}

/** One form for all names that an application server may fold into one (CGI turns everything into `_`). */
export function spelling(name: string): string {
  const key = name.toLowerCase();
  return PLAIN_KEY.test(key) ? key : key.replace(/[^a-z0-9]/g, "-");
}

export function readHeaders(
  raw: readonly string[],
  guards: HeaderGuards,
): { readonly headers: HeaderList } | Denial {
  if (raw.length > MAX_HEADER_LINES * 2) {
    return deny(
      "request.header-size",
      `The request has more than ${MAX_HEADER_LINES} header lines`,
    );
  }
  const lines: HeaderLine[] = [];
  const single: string[] = [];
  let bytes = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    bytes += name.length + value.length + 4;
    const facts = factsOf(name);
    if (facts === undefined) return refuse("A header name is not a token (RFC 9110 §5.1)");
    const { key, twin, isSingle } = facts;
    // Visible ASCII, as almost every value is, needs no second look.
    const isPlain = !NOT_ASCII.test(value);
    if (!isPlain && CONTROL.test(value)) {
      return refuse(`The header "${key}" holds a control character`);
    }
    if (guards.identity.has(twin)) continue;
    if (twin !== key && !guards.credential.has(key) && isGuarded(twin, guards)) {
      return refuse(`The header "${key}" imitates "${twin}"`);
    }
    if (isSingle) {
      // Two Hosts have a code of their own; see host.ts.
      if (single.includes(key) && key !== "host") return refuse(`The header "${key}" is repeated`);
      single.push(key);
    }
    if (!isPlain && (facts.isGuarded || guards.credential.has(key))) {
      return refuse(`The header "${key}" holds a byte outside of ASCII`);
    }
    lines.push({ name, key, value });
  }
  if (bytes > MAX_HEADER_BYTES) {
    return deny("request.header-size", `The request head exceeds ${MAX_HEADER_BYTES} bytes`);
  }
  const headers = new HeaderList(lines);
  for (const value of headers.all("connection")) {
    for (const option of value.split(",")) {
      const key = option.trim().toLowerCase();
      if (key === "") continue;
      if (!TOKEN.test(key)) return refuse("A Connection option is not a token (RFC 9110 §7.6.1)");
      const twin = spelling(key);
      if (isGuarded(twin, guards) || guards.credential.has(key) || guards.identity.has(twin)) {
        return refuse(`The Connection header names "${key}", which is not for the connection`);
      }
    }
  }
  return { headers };
}

function isGuarded(key: string, guards: HeaderGuards): boolean {
  return isAlwaysGuarded(key) || guards.credential.has(key);
}

function isAlwaysGuarded(key: string): boolean {
  return GUARDED.has(key) || GUARDED_FAMILIES.some((family) => key.startsWith(family));
}

function refuse(detail: string): Denial {
  return deny("request.header", detail);
}
