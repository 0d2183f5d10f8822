/**
 * Reads a request target, refusing whatever two parsers could read differently. Nothing is repaired: what is
 * matched is the decoding of exactly the bytes that are forwarded. No URL parser comes near it, since those
 * resolve dots, turn backslashes and read `//x` as an authority (CVE-2026-26205).
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";

export interface Target {
  readonly path: string;
  readonly segments: readonly string[];
  readonly query: string | undefined;
}

const SLASH = 0x2f;
const PERCENT = 0x25;
const QUESTION = 0x3f;

/** What RFC 3986 §3.3 allows in a path: pchar, `/` and `%`; less `;`, which servers cut off as path parameters. */
const PATH_BYTE = byteSet("/%-._~!$&'()*+,=:@");
/** Visible ASCII but `#`: wider than RFC 3986, since brackets and bars are common and nothing is decided on them. */
const QUERY_BYTE = queryByteSet();

/** A percent sign that survives decoding and decodes again: somebody behind us may decode twice. */
const ENCODED_TWICE = /%[0-9A-Fa-f]{2}/;
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const NEVER_IN_SEGMENT = /[\u0000-\u001f\u007f-\u009f/\\;]/;

export function readTarget(target: string): Target | Denial {
  if (target.charCodeAt(0) !== SLASH) {
    return refuse("is not in origin form: it must begin with a slash (RFC 9112 §3.2.1)");
  }
  let end = target.length;
  let encoded = false;
  for (let i = 1; i < target.length; i++) {
    const byte = target.charCodeAt(i);
    if (byte === QUESTION) {
      end = i;
      break;
    }
    if (byte > 0x7e || PATH_BYTE[byte] === 0) return refuse(`holds ${show(byte)} unencoded`);
    if (byte === PERCENT) encoded = true;
    // `//` is one slash to some and an empty segment, or an authority, to others.
    else if (byte === SLASH && target.charCodeAt(i - 1) === SLASH) {
      return refuse("has an empty segment");
    }
  }
  for (let i = end + 1; i < target.length; i++) {
    const byte = target.charCodeAt(i);
    if (byte > 0x7e || QUERY_BYTE[byte] === 0) {
      return refuse(`holds ${show(byte)} unencoded in its query`);
    }
  }
  const path = target.slice(0, end);
  const query = end === target.length ? undefined : target.slice(end + 1);
  if (path === "/") return { path, segments: [], query };
  const segments = path.slice(1).split("/");
  for (const [index, raw] of segments.entries()) {
    let segment = raw;
    if (encoded && raw.includes("%")) {
      const decoded = decodeSegment(raw);
      if (typeof decoded !== "string") return decoded;
      segment = decoded;
      segments[index] = segment;
    }
    if (segment === "." || segment === "..") return refuse("has a dot segment");
  }
  return { path, segments, query };
}

function decodeSegment(raw: string): string | Denial {
  let decoded: string;
  try {
    // Refuses bad triplets, overlong UTF-8 and surrogates.
    decoded = decodeURIComponent(raw);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    return refuse("has percent-encoding that is not valid UTF-8");
  }
  if (NEVER_IN_SEGMENT.test(decoded)) {
    return refuse("encodes a slash, a backslash, a semicolon or a control character");
  }
  if (ENCODED_TWICE.test(decoded)) return refuse("is percent-encoded twice");
  return decoded;
}

function refuse(what: string): Denial {
  return deny("request.path", `The request target ${what}`);
}

function show(byte: number): string {
  return byte > 0x20 && byte < 0x7f
    ? `"${String.fromCharCode(byte)}"`
    : `the byte 0x${byte.toString(16).padStart(2, "0")}`;
}

function byteSet(punctuation: string): Uint8Array {
  const set = new Uint8Array(128);
  for (let byte = 0; byte < 128; byte++) {
    const char = String.fromCharCode(byte);
    if (/[A-Za-z0-9]/.test(char) || punctuation.includes(char)) set[byte] = 1;
  }
  return set;
}

function queryByteSet(): Uint8Array {
  const set = new Uint8Array(128);
  set.fill(1, 0x21, 0x7f);
  set[0x23] = 0;
  return set;
}
