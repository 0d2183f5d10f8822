/**
 * The first bytes of a connection → what it speaks. Pure: the same bytes give the same answer however they were
 * split, and no byte is lost but those of the PROXY header.
 */
import type { ProxyHeaderUse } from "./inbound.ts";
import { readProxyHeader } from "./proxy-header.ts";
import type { ProxySource } from "./proxy-header.ts";

export type Opening =
  | { readonly kind: "incomplete" }
  | { readonly kind: "refused"; readonly detail: string }
  | {
      readonly kind: "open";
      readonly speaks: "tls" | "http/1.1" | "h2";
      /** Bytes of the PROXY header: what comes behind them is the protocol's. */
      readonly taken: number;
      readonly source?: ProxySource;
    };

export interface OpeningRules {
  readonly proxyHeader: ProxyHeaderUse;
  /** There is a certificate. Without one, a ClientHello is left to HTTP/1.1, which says what it thinks of it. */
  readonly tls: boolean;
  /** HTTP/2 without TLS is served to those who know of it (RFC 9113 §3.3). */
  readonly h2: boolean;
}

/** RFC 8446 §5.1: the type of a handshake record. No method of HTTP begins with it. */
const TLS_HANDSHAKE = 0x16;
/** RFC 9113 §3.4. */
const H2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export function readOpening(bytes: Buffer, rules: OpeningRules): Opening {
  if (rules.proxyHeader === "none") return readProtocol(bytes, rules);
  const header = readProxyHeader(bytes);
  switch (header.kind) {
    case "incomplete":
      return header;
    case "malformed":
      return { kind: "refused", detail: header.detail };
    case "absent":
      if (rules.proxyHeader === "optional") return readProtocol(bytes, rules);
      return { kind: "refused", detail: "The connection does not begin with a PROXY header" };
    case "header": {
      const opening = readProtocol(bytes.subarray(header.length), rules);
      if (opening.kind !== "open") return opening;
      return { ...opening, taken: header.length, source: header.source };
    }
  }
}

function readProtocol(bytes: Buffer, { tls, h2 }: OpeningRules): Opening {
  if (bytes.length === 0) return { kind: "incomplete" };
  if (tls && bytes[0] === TLS_HANDSHAKE) return { kind: "open", speaks: "tls", taken: 0 };
  const length = Math.min(bytes.length, H2_PREFACE.length);
  if (!h2 || bytes.compare(H2_PREFACE, 0, length, 0, length) !== 0) {
    return { kind: "open", speaks: "http/1.1", taken: 0 };
  }
  return length < H2_PREFACE.length
    ? { kind: "incomplete" }
    : { kind: "open", speaks: "h2", taken: 0 };
}
