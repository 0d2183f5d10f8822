/**
 * The field block of an HTTP/2 request → the raw head that every protocol delivers, or why it is none. Node's
 * parser refuses much of this before; what it lets through, such as any :scheme, and any :path under a scheme
 * that is not http, is refused here (CVE-2026-33186, CVE-2023-35944).
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { RawRequest } from "../normal-form/request.ts";

export interface Http2Head {
  /** Complete as far as could be read, for the record of a refusal too. */
  readonly raw: RawRequest;
  readonly refusal?: Denial;
}

interface HeadContext {
  /** Whether the connection is encrypted: `:scheme` must not claim anything else. */
  readonly encrypted: boolean;
  /** Whether DATA may follow. */
  readonly hasBody: boolean;
}

const PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path"]);
/** RFC 9113 §8.2.2: fields of a connection have no place in HTTP/2, and would steer HTTP/1.1 behind us. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** `fields`: name, value, name, value …, in the order received. */
export function readHead(fields: readonly string[], context: HeadContext): Http2Head {
  const pseudo = new Map<string, string>();
  const headers: string[] = [];
  let cookieAt = -1;
  let problem: Denial | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (name.startsWith(":")) {
      problem ??= pseudoProblem(name, pseudo, headers.length > 0);
      if (!pseudo.has(name)) pseudo.set(name, value);
      continue;
    }
    problem ??= fieldProblem(name, value);
    if (name === "cookie" && cookieAt !== -1) {
      // RFC 9113 §8.2.3: crumbs of one header, which HTTP/1.1 must get in one line.
      headers[cookieAt] = `${headers[cookieAt] ?? ""}; ${value}`;
      continue;
    }
    if (name === "cookie") cookieAt = headers.length + 1;
    headers.push(name, value);
  }
  const authority = pseudo.get(":authority");
  const method = pseudo.get(":method") ?? "";
  const raw: RawRequest = {
    method,
    target: pseudo.get(":path") ?? "",
    version: "2",
    headers: withHost(headers, authority),
    hasBody: context.hasBody,
  };
  const refusal =
    problem ?? requestProblem(pseudo, context) ?? authorityProblem(headers, authority);
  return refusal === undefined ? { raw } : { raw, refusal };
}

/** RFC 9113 §8.3: each once, known, and before all others. */
function pseudoProblem(
  name: string,
  seen: ReadonlyMap<string, string>,
  isLate: boolean,
): Denial | undefined {
  // Extended CONNECT (RFC 8441) is a tunnel like the other.
  if (name === ":protocol") return tunnel();
  if (!PSEUDO.has(name)) return malformed(`has the unknown pseudo-header "${name}"`);
  if (seen.has(name)) return malformed(`has the pseudo-header "${name}" twice`);
  return isLate ? malformed(`has the pseudo-header "${name}" behind a header`) : undefined;
}

function fieldProblem(name: string, value: string): Denial | undefined {
  if (name !== name.toLowerCase()) return malformed("has a header name in upper case");
  if (CONNECTION_SPECIFIC.has(name)) return malformed(`has the connection's header "${name}"`);
  if (name === "te" && value.toLowerCase() !== "trailers") {
    return malformed("has a TE header with anything but trailers");
  }
  return undefined;
}

function requestProblem(
  pseudo: ReadonlyMap<string, string>,
  { encrypted }: HeadContext,
): Denial | undefined {
  if (pseudo.get(":method") === "CONNECT") return tunnel();
  const scheme = pseudo.get(":scheme");
  const expected = encrypted ? "https" : "http";
  if (scheme !== expected) {
    return malformed(
      `has the :scheme "${scheme ?? ""}": on this connection it must be ${expected}`,
    );
  }
  return undefined;
}

/** RFC 9113 §8.3.1: two names for one target must be one name. */
function authorityProblem(
  headers: readonly string[],
  authority: string | undefined,
): Denial | undefined {
  if (authority === undefined) return undefined;
  const host = headers.findIndex((name, index) => index % 2 === 0 && name === "host");
  if (host === -1 || headers[host + 1]?.toLowerCase() === authority.toLowerCase()) return undefined;
  return deny("request.host", "The Host header and :authority disagree");
}

/** One Host in front; a second and third stay where they are, to be refused as such. */
function withHost(headers: readonly string[], authority: string | undefined): readonly string[] {
  if (authority === undefined) return headers;
  const host = headers.findIndex((name, index) => index % 2 === 0 && name === "host");
  const others = host === -1 ? headers : headers.toSpliced(host, 2);
  return ["host", authority, ...others];
}

function tunnel(): Denial {
  return deny("request.method", "CONNECT is never forwarded");
}

function malformed(what: string): Denial {
  return deny("request.malformed", `The request ${what}`);
}
