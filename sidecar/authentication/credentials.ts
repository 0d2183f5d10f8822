/**
 * Finds credentials where policy says to look, and nowhere else. Every occurrence counts: two tokens are
 * ambiguous even when they are equal, since the application may read the other one.
 */
import type { CredentialLocation } from "../../policy/bundle.ts";
import type { NormalRequest } from "../exchange.ts";

/** `text` is a secret: it is verified, forwarded as it came, and never logged. */
export type Credential =
  | { readonly kind: "token"; readonly text: string }
  /** There is one, of a wrong form. */
  | { readonly kind: "malformed"; readonly detail: string };

export function findCredentials(
  request: Pick<NormalRequest, "headers" | "query">,
  locations: readonly CredentialLocation[],
): Credential[] {
  const found: Credential[] = [];
  for (const location of locations) {
    switch (location.in) {
      case "header":
        for (const value of request.headers.all(location.name.toLowerCase())) {
          const credential = fromHeader(value, location.prefix);
          if (credential !== undefined) found.push(credential);
        }
        break;
      case "cookie":
        for (const value of request.headers.all("cookie")) {
          for (const text of fromCookie(value, location.name)) found.push({ kind: "token", text });
        }
        break;
      case "query":
        found.push(...fromQuery(request.query, location.name));
        break;
    }
  }
  return found;
}

/** `Bearer x`: the scheme in any case (RFC 9110 §11.1), then exactly one space. Other schemes are not ours. */
function fromHeader(value: string, prefix: string): Credential | undefined {
  const scheme = prefix.trim();
  if (scheme === "") return { kind: "token", text: value };
  const given = value.slice(0, scheme.length);
  if (given.toLowerCase() !== scheme.toLowerCase()) return undefined;
  const rest = value.slice(scheme.length);
  // `Bearerish x` is another scheme.
  if (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(rest)) return undefined;
  if (!/^ [^ \t]/.test(rest)) {
    return { kind: "malformed", detail: "The scheme is not followed by one space and a token" };
  }
  return { kind: "token", text: rest.slice(1) };
}

/** RFC 6265 §4.2.1. Names are compared as they are; an empty value is a credential of a wrong form. */
function fromCookie(header: string, name: string): string[] {
  const found: string[] = [];
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=");
    if (equals !== -1 && pair.slice(0, equals).trim() === name) {
      found.push(pair.slice(equals + 1).trim());
    }
  }
  return found;
}

/** As form decoding reads it, so that no spelling of the name hides a second one. */
function fromQuery(query: string | undefined, name: string): Credential[] {
  const found: Credential[] = [];
  if (query === undefined) return found;
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=");
    const rawName = equals === -1 ? pair : pair.slice(0, equals);
    if (decode(rawName) !== name) continue;
    const text = equals === -1 ? "" : decode(pair.slice(equals + 1));
    found.push(
      text === undefined
        ? { kind: "malformed", detail: "The query parameter has invalid percent-encoding" }
        : { kind: "token", text },
    );
  }
  return found;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    return undefined;
  }
}
