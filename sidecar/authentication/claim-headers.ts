/**
 * Verified claims → header lines for the application. A claim that a header cannot carry without loss refuses
 * the token: an application that sees no or half an identity may take the caller for somebody else.
 */
import type { ClaimToHeader } from "../../policy/bundle.ts";
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { HeaderLine } from "../exchange.ts";

/** Applications commonly accept 8 KiB of headers in all. */
const MAX_VALUE_CHARS = 4096;
/** Visible ASCII, with spaces inside only: HTTP trims the outer ones, and readers disagree on other bytes. */
const SAFE_VALUE = /^(?:[\u0021-\u007e](?:[\u0020-\u007e]*[\u0021-\u007e])?)?$/;

export function claimHeaders(
  claims: Readonly<Record<string, unknown>>,
  mapping: readonly ClaimToHeader[],
): { readonly headers: readonly HeaderLine[] } | Denial {
  const headers: HeaderLine[] = [];
  for (const { claim, header } of mapping) {
    const claimed = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    // Absent: the application sees no such header, whatever the caller sent.
    if (claimed === undefined || claimed === null) continue;
    const value = headerValue(claimed);
    if (value === undefined || value.length > MAX_VALUE_CHARS || !SAFE_VALUE.test(value)) {
      return deny("authn.claims", `The claim "${claim}" cannot be put into the header "${header}"`);
    }
    headers.push({ name: header, key: header.toLowerCase(), value });
  }
  return { headers };
}

function headerValue(claimed: unknown): string | undefined {
  if (!Array.isArray(claimed)) return scalar(claimed);
  const parts: string[] = [];
  for (const item of claimed as readonly unknown[]) {
    const part = scalar(item);
    // ["a,b"] and ["a","b"] must not become one value.
    if (part === undefined || part.includes(",")) return undefined;
    parts.push(part);
  }
  return parts.join(",");
}

function scalar(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return undefined;
}
