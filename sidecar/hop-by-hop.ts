/**
 * Which header lines cross the sidecar. Fields of one connection end here in both directions (RFC 9110
 * §7.6.1); framing is written anew from what was decided, never copied.
 */
import type { Framing, HeaderLine, HeaderList } from "./exchange.ts";

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Framing and hop-by-hop fields are not trailers (RFC 9110 §6.5.1), nor is what a reader acts on before the end. */
const NEVER_TRAILER: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "content-length",
  "content-type",
  "content-encoding",
  "host",
  "set-cookie",
  "cookie",
  "authorization",
  "location",
  "cache-control",
]);

const NOTHING: ReadonlySet<string> = new Set();

/** Methods for which a missing body is worth a word (RFC 9110 §8.6). */
const EXPECT_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** The request's lines as the application gets them: name, value, name, value …. */
export function requestHeaders(
  request: {
    readonly method: string;
    readonly headers: HeaderList;
    readonly framing: Framing;
  },
  identity: readonly HeaderLine[],
): string[] {
  const named = connectionOptions(request.headers.all("connection"));
  const flat: string[] = [];
  for (const { name, key, value } of request.headers.lines) {
    if (HOP_BY_HOP.has(key) || named.has(key) || key === "content-length" || key === "expect") {
      continue;
    }
    flat.push(name, value);
  }
  for (const { name, value } of identity) flat.push(name, value);
  switch (request.framing.kind) {
    case "length":
      flat.push("content-length", String(request.framing.bytes));
      break;
    case "chunked":
      flat.push("transfer-encoding", "chunked");
      break;
    case "none":
      if (EXPECT_BODY.has(request.method)) flat.push("content-length", "0");
      break;
  }
  return flat;
}

/** The response's lines as the caller gets them; `trailers` names the fields that may follow the body. */
export function responseHeaders(raw: readonly string[]): {
  readonly lines: readonly HeaderLine[];
  readonly trailers: ReadonlySet<string>;
} {
  let lines: HeaderLine[] = [];
  let named = NOTHING;
  let declared: string[] | undefined;
  let connection: string[] | undefined;
  let hasLength = false;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const key = name.toLowerCase();
    const value = raw[i + 1] ?? "";
    if (!HOP_BY_HOP.has(key)) {
      lines.push({ name, key, value });
      if (key === "content-length") hasLength = true;
    } else if (key === "connection") (connection ??= []).push(value);
    else if (key === "trailer") (declared ??= []).push(...value.split(","));
  }
  if (connection !== undefined) named = connectionOptions(connection);
  if (named.size > 0) lines = lines.filter(({ key }) => !named.has(key));
  // Trailers need chunks; with a length there is no place for them.
  if (declared === undefined || hasLength) return { lines, trailers: NOTHING };
  const trailers = new Set(
    declared.map((name) => name.trim().toLowerCase()).filter((key) => key !== "" && isTrailer(key)),
  );
  if (trailers.size > 0) {
    lines.push({ name: "Trailer", key: "trailer", value: [...trailers].join(", ") });
  }
  return { lines, trailers };
}

export function trailerLines(
  raw: readonly string[],
  declared: ReadonlySet<string>,
): readonly HeaderLine[] {
  return toLines(raw).filter(({ key }) => declared.has(key));
}

function isTrailer(key: string): boolean {
  return !NEVER_TRAILER.has(key);
}

/** Never a framing field: an answer that asks to drop its own length is not followed. */
function connectionOptions(values: readonly string[]): ReadonlySet<string> {
  // What nearly all say; it names a header that is of one connection anyway.
  if (values.length === 0 || (values.length === 1 && values[0] === "keep-alive")) return NOTHING;
  const options = new Set<string>();
  for (const value of values) {
    for (const option of value.split(",")) options.add(option.trim().toLowerCase());
  }
  options.delete("content-length");
  options.delete("host");
  return options;
}

function toLines(raw: readonly string[]): HeaderLine[] {
  const lines: HeaderLine[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    lines.push({ name, key: name.toLowerCase(), value: raw[i + 1] ?? "" });
  }
  return lines;
}
