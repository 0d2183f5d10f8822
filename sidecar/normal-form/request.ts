/**
 * The raw head of a request → the one reading that everybody behind this point shares, or the reason why there
 * is none. Order: framing first, since a message without a certain end has no certain anything.
 */
import type { Denial } from "../../policy/denials.ts";
import { deny } from "../../policy/denials.ts";
import type { Framing, HeaderList, NormalRequest } from "../exchange.ts";
import type { HeaderGuards } from "./headers.ts";
import { readHeaders } from "./headers.ts";
import { readHost } from "./host.ts";
import { readTarget } from "./path.ts";

/** As a protocol's parser delivers it. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1" | "2";
  /** Name, value, name, value …, in the order received, one character per byte. */
  readonly headers: readonly string[];
  /** Of HTTP/2, which frames bodies by itself: whether DATA may follow the head. */
  readonly hasBody?: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Never forwarded: a tunnel escapes policy, and TRACE echoes credentials. */
const REFUSED_METHODS: ReadonlySet<string> = new Set(["CONNECT", "TRACE", "TRACK"]);
const LENGTH = /^[0-9]{1,15}$/;

export function readRequest(raw: RawRequest, guards: HeaderGuards): NormalRequest | Denial {
  const read = readHeaders(raw.headers, guards);
  if ("code" in read) return read;
  const { headers } = read;
  const framing = readFraming(raw, headers);
  if ("code" in framing) return framing;
  if (!TOKEN.test(raw.method) || REFUSED_METHODS.has(raw.method.toUpperCase())) {
    return deny("request.method", `The method "${raw.method}" is never forwarded`);
  }
  const host = readHost(headers.all("host"));
  if ("code" in host) return host;
  const target = readTarget(raw.target);
  if ("code" in target) return target;
  const expect = headers.get("expect")?.toLowerCase();
  if (expect !== undefined && expect !== "100-continue") {
    return deny(
      "request.expectation",
      "The Expect header asks for something else than 100-continue",
    );
  }
  const upgrade = headers.get("upgrade")?.trim().toLowerCase();
  // h2c may be ignored (RFC 9113 §3.1 has withdrawn it); anything else means to leave HTTP.
  if (upgrade !== undefined && upgrade !== "h2c") {
    return deny("request.upgrade", `The request asks for an upgrade to "${upgrade}"`);
  }
  return {
    method: raw.method,
    target: raw.target,
    path: target.path,
    segments: target.segments,
    query: target.query,
    host: host.host,
    headers,
    framing,
    // HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
    expectsContinue: expect !== undefined && raw.version !== "1.0",
  };
}

/** RFC 9112 §6.1 and §6.3: where a message ends must not depend on who reads it. */
function readFraming(raw: RawRequest, headers: HeaderList): Framing | Denial {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    if (length !== undefined) return malformed("has Content-Length and Transfer-Encoding");
    if (raw.version !== "1.1") return malformed(`has Transfer-Encoding in HTTP/${raw.version}`);
    if (coding.toLowerCase() !== "chunked") return malformed("has a transfer coding but chunked");
    return { kind: "chunked" };
  }
  // Behind us it goes in chunks: HTTP/2 tells the end by a flag, and the caller need not know the length.
  if (length === undefined) return { kind: raw.hasBody === true ? "chunked" : "none" };
  if (!LENGTH.test(length)) return malformed("has a Content-Length that is not a number");
  return { kind: "length", bytes: Number(length) };
}

function malformed(what: string): Denial {
  return deny("request.malformed", `The request ${what}`);
}
