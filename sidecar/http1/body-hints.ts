/** What a request's lines say of a body, before anybody has decided whether they are acceptable. */

export interface BodyHints {
  /** A line says where a body ends. */
  readonly isFramed: boolean;
  /** Something of a body may be on its way. */
  readonly mayHaveBody: boolean;
}

const NONE: BodyHints = { isFramed: false, mayHaveBody: false };
const EMPTY: BodyHints = { isFramed: true, mayHaveBody: false };
const SOME: BodyHints = { isFramed: true, mayHaveBody: true };

export function bodyHints(headers: readonly string[]): BodyHints {
  let hints = NONE;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    // Both names are this long; most others are not.
    if (name.length !== 14 && name.length !== 17) continue;
    const key = name.toLowerCase();
    if (key === "transfer-encoding") return SOME;
    if (key !== "content-length") continue;
    if (headers[i + 1] !== "0") return SOME;
    hints = EMPTY;
  }
  return hints;
}

/**
 * Trailers are not forwarded. One that would route, frame or authenticate is an attempt all the same: whoever
 * merges it into the header sees another request (RFC 9110 §6.5.1).
 */
const TELLING =
  /^(?:host|content-.*|transfer-encoding|te|trailer|connection|keep-alive|proxy-.*|upgrade|expect|authorization|cookie|set-cookie|forwarded|x-forwarded-.*|x-real-ip|range|if-.*|max-forwards|cache-control)$/;

/** The first that may not be one, as sent. */
export function forbiddenTrailer(fields: readonly string[]): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (TELLING.test(name.toLowerCase().replaceAll("_", "-"))) return name;
  }
  return undefined;
}
